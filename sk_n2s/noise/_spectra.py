"""Spectra of the blocks of an array, which tell correlated noise from texture.

How much noise a block holds in one half of its low frequencies says nothing of the other
half. Texture is strong in both, or weak in both: so the blocks are ordered by one half, and
what the other half holds in the first of them is noise if it does not grow.
"""

from __future__ import annotations

from functools import cached_property
from itertools import chain

import numpy as np
from scipy import fft
from scipy.stats import rankdata

from ._blocks import quiet_blocks

__all__ = ["NEGLIGIBLE", "Spectra", "block_sides", "blocks_of", "transformed", "usable_blocks"]

#: Side of the blocks for each number of axes; half of it where that gives too few of them, and
#: at least as much as gives low frequencies for both halves.
_SIDES = {1: 64, 2: 16, 3: 8}
_LEAST_SIDE = 6
_MANY, _FEWEST = 100, 12

#: A block with more than this share of its entries at the ends of the scale is saturated.
_SATURATED = 0.1

#: These shares of the blocks, quietest first, are asked whether they hold the same.
_SHARES = (0.3, 0.6, 1.0)

#: Growth in this many standard errors is not chance. In texture the two halves have this rank
#: correlation, so that among few blocks growth must be less, to be told from it.
_GROWTH, _IN_TEXTURE, _MARGIN = 3.0, 0.35, 2.0

#: A spectrum that falls by such a factor from low to high frequencies, and by less than this
#: among high ones, is that of smoothed noise, if power does not grow by so much.
_FALLS, _NO_MORE, _LITTLE_GROWTH = 4.5, 1.16, 2.5

#: Beyond these ratios the spectrum of independent channels is not that of white noise.
_NOT_WHITE = (2.0, 1.5)

#: In so many standard errors a difference is not chance.
_DIFFERENCE = 4.0

#: Blocks with so many times the usual power at the lowest frequencies hold slow structure.
_STEEP = 2.0

#: Correlations up to this are not told from what structure leaves.
NEGLIGIBLE = 0.07

_TINY = np.finfo(np.float64).tiny

#: Texture gives ratios of less than 1 + slack / √n of the power at low to that at high
#: frequencies, and at a half to three quarters of the highest to that above, where it passes
#: for noise in n blocks. Texture that passes for noise in few blocks does not give the next two
#: ratios; below the last two noise is white.
_SLACK = (60.0, 5.0)
_UNLIKE_TEXTURE = (20.0, 4.0)
_WHITE = (2.0, 1.15)


def block_sides(shapes: list[tuple[int, ...]], many: int = _MANY) -> tuple[int, ...]:
    """Return the sides of the blocks of arrays of these shapes."""
    side = _SIDES.get(len(shapes[0]), _LEAST_SIDE)
    if sum(int(np.prod([n // side for n in shape])) for shape in shapes) < many:
        side = max(_LEAST_SIDE, side // 2)
    return tuple(min(side, n) for n in shapes[0])


def blocks_of(values: np.ndarray, sides: tuple[int, ...]) -> np.ndarray:
    """Return the blocks of a (channels, *shape): a view (*places, channels, *sides)."""
    counts = [n // side for n, side in zip(values.shape[1:], sides, strict=True)]
    whole = tuple(slice(0, n * side) for n, side in zip(counts, sides, strict=True))
    pairs = chain.from_iterable(zip(counts, sides, strict=True))
    split = values[(slice(None), *whole)].reshape(len(values), *pairs)
    places, inner = range(1, split.ndim, 2), range(2, split.ndim, 2)
    return split.transpose(*places, 0, *inner)


def usable_blocks(
    values: np.ndarray, measured: np.ndarray | None, sides: tuple[int, ...], share: float = 1.0
) -> np.ndarray:
    """Return which blocks are measured, at least a share of them, hold noise, and are not
    saturated.
    """
    blocks = blocks_of(values, sides)
    inner = tuple(range(len(sides), blocks.ndim))
    space = tuple(range(1, values.ndim))
    low, high = (f(values, axis=space, keepdims=True) for f in (np.min, np.max))
    usable = ((blocks == low) | (blocks == high)).mean(axis=inner) <= _SATURATED
    # Up to rounding, no noise at all: a constant area tells nothing of it elsewhere.
    rounding = 8 * np.finfo(values.dtype).eps * float(np.abs(values).max())
    usable &= np.ptp(blocks, axis=inner[1:]).max(axis=-1) > rounding
    if measured is not None:
        usable &= blocks_of(measured[np.newaxis], sides).mean(axis=inner) >= share
    return usable


def transformed(values: np.ndarray, usable: np.ndarray, sides: tuple[int, ...]) -> np.ndarray:
    """Return the cosine transforms (n, channels, entries) of the usable blocks."""
    blocks = blocks_of(values, sides)[usable]
    blocks = fft.dctn(blocks, axes=tuple(range(2, blocks.ndim)), norm="ortho")
    return blocks.reshape(*blocks.shape[:2], int(np.prod(sides)))


class Spectra:
    """What the spectra of blocks say of the noise.

    Parameters
    ----------
    coefficients : ndarray of shape (n_blocks, n_channels, n_entries)
        Their cosine transforms.
    sides : tuple of int
        The sides of the blocks.
    """

    def __init__(self, coefficients: np.ndarray, sides: tuple[int, ...]) -> None:
        index = np.indices(sides).reshape(len(sides), -1)
        part = index / np.array(sides)[:, np.newaxis]  # of the highest frequency
        inner = (index > 0).all(axis=0)  # what is constant along an axis is not looked at here
        low = inner & (part.max(axis=0) < 0.5) & (part.sum(axis=0) >= 0.25)
        even = index.sum(axis=0) % 2 == 0
        high = inner & (part.max(axis=0) >= 0.5)
        of_channels = np.square(coefficients)
        power = of_channels.mean(axis=1)

        def mean(band: np.ndarray) -> np.ndarray:
            return power[:, band].mean(axis=1)

        self._half = of_channels[:, :, low & ~even].reshape(len(power), -1)
        self._n_channels = coefficients.shape[1]
        first, self._second = mean(low & even), mean(low & ~even)
        self._order = np.argsort(first, kind="stable")
        self._pairs = [(self._second, mean(high))]
        for own in part:
            middle, upper = inner & (own >= 0.5) & (own < 0.75), inner & (own >= 0.75)
            self._pairs.append((mean(middle), mean(upper)))
        # The spectrum of noise of correlation r(d) is 1 + 2 Σ r(d) cos(πfd).
        waves = [2 * np.cos(np.pi * d * own[high]) for own in part for d in (1, 2)]
        self._lags = np.linalg.pinv(np.stack([np.ones(high.sum()), *waves], axis=1))[1:]
        self._high = power[:, high]
        self.quiet = np.full(len(power), self.is_flat)
        self.quiet[quiet_blocks(self._second, first)] = True
        # Slow structure is not seen in either half of these frequencies.
        if self.quiet.any() and not self.is_flat:
            slow = mean((part.max(axis=0) < 0.25) & (index.sum(axis=0) > 0))
            self.quiet &= slow <= _STEEP * np.median(slow[self.quiet])
        self._fine = coefficients[self.quiet][:, :, high]

    def between_channels(self) -> np.ndarray:
        """Return the correlation of the noise between channels, at high frequencies."""
        fine = self._fine.swapaxes(0, 1).reshape(self._fine.shape[1], -1)
        products = fine @ fine.T
        scale = np.sqrt(products.diagonal())
        return products / np.where(scale > 0, scale, 1) / np.where(scale > 0, scale, 1)[:, None]

    def _first(self, share: float) -> np.ndarray:
        """Return the quietest blocks."""
        return self._order[: max(_FEWEST, int(share * len(self._order)))]

    @cached_property
    def _growth(self) -> dict[float, float]:
        """In how many standard errors power grows among the quietest blocks, for each share."""
        found = {}
        for share in _SHARES:
            few = self._first(share)
            n = len(few)
            ranks = rankdata(self._second[few]) - (n + 1) / 2
            places = np.arange(n) - (n - 1) / 2
            found[share] = ranks @ places / max(places @ places, 1) * np.sqrt(n)
        return found

    def _same(self, share: float) -> bool:
        """Return whether power does not grow among the quietest blocks, and would in texture."""
        n = len(self._first(share))
        most = min(_GROWTH, _IN_TEXTURE * np.sqrt(n) - _MARGIN)
        return n >= _FEWEST and self._growth[share] < most

    @cached_property
    def _n_same(self) -> int:
        """Return how many of the quietest blocks hold the same noise, and no structure."""
        return max((len(self._first(share)) for share in _SHARES if self._same(share)), default=0)

    @cached_property
    def is_flat(self) -> bool:
        """Whether next to no block holds structure."""
        return all(self._same(share) for share in _SHARES[-2:])

    def _differs(self, low: float, middle: float) -> bool:
        """Return whether powers differ by more than that between low and high frequencies."""
        few = self._first(_SHARES[0])
        limits = [low] + [middle] * (len(self._pairs) - 1)
        for (above, below), limit in zip(self._pairs, limits, strict=True):
            # The median, since an edge has more high frequencies than smooth noise has.
            ratio = np.log(np.maximum(above[few], _TINY) / np.maximum(below[few], _TINY))
            error = np.std(ratio) / np.sqrt(len(few))
            if abs(np.median(ratio)) > max(_DIFFERENCE * error, np.log(limit)):
                return True
        return False

    @cached_property
    def is_correlated(self) -> bool:
        """Whether the spectrum is not that of white noise, and not that of texture."""
        if len(self._order) < _FEWEST:
            return False
        n = max(1, self._n_same)
        limits = [1 + slack / np.sqrt(n) for slack in _SLACK]
        if self._n_same and (self._differs(*limits) or (self.is_flat and self._has_lags())):
            return True
        # Texture is much the same in all channels, so that it scatters as that of one does.
        is_told_by_channels = self._n_channels > 1 and self._differs(*_NOT_WHITE)
        for share in _SHARES[:2]:
            if (is_told_by_channels or self._ends_flat(share)) and self._scatters_little(share):
                return True
        return self._growth[_SHARES[0]] < _GROWTH and self._differs(*_UNLIKE_TEXTURE)

    def _ends_flat(self, share: float) -> bool:
        """Return whether the spectrum falls steeply and then no more, as texture's goes on to."""
        few = self._first(share)
        steep, *fine = (
            np.median(np.log(np.maximum(a[few], _TINY) / np.maximum(b[few], _TINY)))
            for a, b in self._pairs
        )
        return steep > np.log(_FALLS) and max(fine) < np.log(_NO_MORE)

    def _scatters_little(self, share: float) -> bool:
        """Return whether power differs between the quietest blocks no more than that of noise."""
        few = self._first(share)
        n, each = len(few), self._half[few]
        if n < _FEWEST or self._growth[share] > _LITTLE_GROWTH:
            return False
        mean, total = each.mean(axis=0), each.sum(axis=1)
        expected = 2 * np.sum(mean**2) / max(float(mean.sum()) ** 2, _TINY)
        return total.var() < (1 + 2 * np.sqrt(2 / n)) * expected * total.mean() ** 2

    @cached_property
    def is_told(self) -> bool:
        """Whether the noise is seen apart from texture: correlated, or white."""
        return self.is_correlated or len(self._order) >= _FEWEST and not self._differs(*_WHITE)

    @property
    def steepness(self) -> float:
        """By which factor power falls among high frequencies in the quietest blocks."""
        few = self._first(_SHARES[0])
        if len(few) < _FEWEST:
            return 1.0
        return max(
            float(np.median(a[few]) / max(np.median(b[few]), _TINY)) for a, b in self._pairs[1:]
        )

    def _has_lags(self) -> bool:
        """Return whether the high frequencies of all blocks tell of a correlation at lags 1, 2."""
        each = self._lags @ self._high.T / max(self._high.mean(), _TINY)
        error = np.std(each, axis=1) / np.sqrt(len(self._high))
        found = np.abs(each.mean(axis=1))
        return bool((found > np.maximum(_DIFFERENCE * error, NEGLIGIBLE)).any())
