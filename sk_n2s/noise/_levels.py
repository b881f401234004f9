"""Blocks of an array, and how much noise those of one brightness hold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from ._blocks import SMOOTHING, block_means, block_side, items

__all__ = ["Blocks", "Levels", "levels_of", "measure"]

#: Degrees of freedom of the power of a block of white noise, for each of its entries along
#: an axis: second differences of neighbours are correlated.
_FREEDOM = 1 / (1 + 2 * (4 / 6) ** 2 + 2 * (1 / 6) ** 2)

#: Brightness is divided into at most so many levels, of at least so many blocks.
_LEVELS, _LEAST = 16, 24

#: The quietest blocks of a level are taken in portions, for as long as the next one agrees.
_PORTIONS, _AGREEMENT = 8, 2.0

#: A block with a square of this many times the power at its level holds an outlier.
_OUTLIER = 40.0

#: The relative error that the power at a level has at least.
_FLOOR = 0.03

#: The part of structure that is fine enough to pass for noise is at least this; it is read
#: from the quieter and the less quiet half of this share of the blocks of a level.
_FINE, _HALVES = 0.01, 0.6

_TINY = 1e-300

#: Where data are too small for so many blocks, these are smaller, down to so many entries.
_FEW_BLOCKS, _SMALLEST = 80, 16

#: So many entries of a block may be at an end of the data by chance: one always is, and of few and
#: rounded ones two are; with half an entry for rounding.
_BY_CHANCE = (1.5, 2.5)

#: Of this share of the differences, at least, the entries were all measured.
_MEASURED = 0.25


class Blocks(NamedTuple):
    """Blocks of an array: values of shape (n_blocks,)."""

    power: np.ndarray  # the variance of the noise, where there is no structure
    slope: np.ndarray  # structure: 1 on average for white noise of variance 1
    level: np.ndarray  # the mean of the data
    largest: np.ndarray  # the largest square, of which the power is a mean
    low: np.ndarray  # the share of entries at the lower end of the data
    high: np.ndarray  # and at the upper end
    item: np.ndarray  # which item or channel
    place: np.ndarray  # (n_blocks, n_axes): where, from -1 to 1
    freedom: np.ndarray  # degrees of freedom of its power
    third: np.ndarray  # the third cumulant of its entries

    def where(self, kept: np.ndarray) -> Blocks:
        """Return some of them."""
        return Blocks(*(values[kept] for values in self))


class Levels(NamedTuple):
    """The noise of the quiet blocks of each brightness: values of shape (n_levels,)."""

    power: np.ndarray
    level: np.ndarray
    error: np.ndarray  # the relative error of the power
    quiet: np.ndarray  # (n_blocks,): which blocks were quiet


def measure(X: np.ndarray, channel_axis: int | None, batch_axis: int | None) -> Blocks:
    """Measure the blocks of all items and channels."""
    low, high = np.nanmin(X), np.nanmax(X)
    each = [
        (k, item, known)
        for k, (item, known) in enumerate(items(X, channel_axis, batch_axis))
        if known is None or known.any()
    ]
    side = _side(each[0][1].shape, len(each)) if each else 0
    found = [_measure(item, known, low, high, k, side) for k, item, known in each]
    if not found:
        return Blocks(*(np.empty(0) for _ in Blocks._fields))
    return Blocks(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _side(shape: tuple[int, ...], n_items: int) -> int:
    """Return the side of blocks: the usual one, or less where there would be few of them."""
    usual = block_side(len(shape))
    least = max(2, round(_SMALLEST ** (1 / len(shape))))
    for side in range(usual, least, -1):
        if n_items * np.prod([max(1, n // side) for n in shape]) >= _FEW_BLOCKS:
            return side
    return min(usual, least)


def _differences(X: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    for axis in axes:
        X = ndimage.correlate1d(X, [1, -2, 1], axis=axis, mode="mirror") / np.sqrt(6)
        # At the ends the difference is 2 · (neighbour − entry), of a variance 8, not 6.
        X[(slice(None),) * axis + (slice(None, None, X.shape[axis] - 1),)] *= np.sqrt(3) / 2
    return np.square(X)


def _measure(
    X: np.ndarray, known: np.ndarray | None, low: float, high: float, k: int, side: int
) -> Blocks:
    axes = tuple(range(X.ndim))
    whole = np.ones(X.shape) if known is None else known.astype(np.float64)
    if known is None:
        squares, used = _differences(X, axes), whole
    else:  # boxes of three that are complete; where there are few, lines of three
        used = ndimage.minimum_filter(whole, 3, mode="mirror")
        if used.mean() >= 0.1 * whole.mean():
            squares = _differences(X, axes) * used
        else:
            lines = [ndimage.minimum_filter1d(whole, 3, axis=a, mode="mirror") for a in axes]
            squares = sum(n * _differences(X, (a,)) for a, n in enumerate(lines)) / X.ndim
            used = sum(lines) / X.ndim
    share, measured = block_means(used, side), block_means(whole, side)
    slope = np.zeros(X.shape)
    for axis in axes:
        order = [int(a == axis) for a in axes]
        slope += np.square(ndimage.gaussian_filter(X, SMOOTHING, order, mode="nearest"))
    # The power of white noise in one derivative of a Gaussian.
    one = (4 * np.pi * SMOOTHING**2) ** (-X.ndim / 2) / (2 * SMOOTHING**2) * X.ndim
    blocks = tuple(max(1, n // side) for n in X.shape)
    grid = np.meshgrid(*(np.linspace(-1, 1, n) for n in blocks), indexing="ij")
    peak = squares[tuple(slice(0, n * side) for n in blocks)]
    for axis, n in enumerate(peak.shape):
        peak = np.maximum.reduceat(peak, np.arange(0, n, side), axis=axis)
    enough = share >= _MEASURED * share.max()
    share, measured = np.where(share == 0, 1, share), np.where(measured == 0, 1, measured)
    found = Blocks(
        block_means(squares, side) / share,
        block_means(slope, side) / one,
        block_means(X, side),
        peak.ravel(),
        _at_an_end((X == low) * whole, measured, side),
        _at_an_end((X == high) * whole, measured, side),
        np.full(len(share), k),
        np.stack([g.ravel() for g in grid], axis=1),
        np.full(len(share), float(side * _FREEDOM) ** X.ndim),
        _third_cumulants(X, whole, measured, side),
    )
    return found.where(enough)


def _at_an_end(found: np.ndarray, measured: np.ndarray, side: int) -> np.ndarray:
    """Return the share of each block that is at an end of the data, by more than chance."""
    share = block_means(found, side)
    chance = _BY_CHANCE[int(side < block_side(found.ndim))]
    return np.where(share * side**found.ndim <= chance, 0.0, share) / measured


def _third_cumulants(
    X: np.ndarray, whole: np.ndarray, measured: np.ndarray, side: int
) -> np.ndarray:
    """Return the third cumulant of what was measured in each block, without bias."""
    centred = (X - np.sum(X * whole) / np.sum(whole)) * whole
    one, two, three = (block_means(centred**k, side) / measured for k in (1, 2, 3))
    n = np.maximum(measured * side**X.ndim, 3.0)
    return (three - 3 * one * two + 2 * one**3) * n**2 / ((n - 1) * (n - 2))


def levels_of(blocks: Blocks, expected: np.ndarray) -> Levels:
    """Return the noise at each brightness, in blocks that are quiet for what is `expected`."""
    calm = blocks.largest <= _OUTLIER * expected
    if np.count_nonzero(calm) < _LEAST:
        calm[:] = True
    index = np.flatnonzero(calm)
    order = index[np.argsort(blocks.level[index], kind="stable")]
    structure, power = blocks.slope / expected, blocks.power / expected
    rows, quiet = [], np.zeros(len(expected), bool)
    for part in np.array_split(order, int(np.clip(len(order) / _LEAST, 1, _LEVELS))):
        part = part[np.argsort(structure[part], kind="stable")]
        chosen, *rest = np.array_split(part, _PORTIONS)
        for portion in rest:
            error = power[portion].var() / max(len(portion), 1) + power[chosen].var() / len(chosen)
            if power[portion].mean() - power[chosen].mean() > _AGREEMENT * np.sqrt(error):
                break
            chosen = np.concatenate([chosen, portion])
        quiet[chosen] = True
        mean, scatter = blocks.power[chosen].mean(), blocks.power[chosen].var()
        # Noise of few counts scatters more than normal noise.
        variance = max(2 / blocks.freedom[0], scatter / max(mean, _TINY) ** 2) / len(chosen)
        fine = _fine(*(values[part] for values in (blocks.power, blocks.slope)))
        texture = blocks.slope[chosen].mean() / max(mean, _TINY)
        rows.append((mean, blocks.level[chosen].mean(), variance, texture, *fine))
    mean, level, variance, texture, leak, doubt = np.array(rows).T
    texture = np.clip(texture - 1, 0, 1e6)
    usual = max(float(np.median(leak)), _FINE)
    leak = np.minimum(np.where(leak > usual + 2 * doubt, leak, usual), 1)
    return Levels(mean, level, np.sqrt(variance + _FLOOR**2 + (leak * texture) ** 2), quiet)


def _fine(power: np.ndarray, slope: np.ndarray) -> tuple[float, float]:
    """Return by how much the power of blocks in order of their structure grows with it."""
    a, b = np.array_split(np.arange(max(2, int(_HALVES * len(power)))), 2)
    more = max(slope[b].mean() - slope[a].mean(), 1e-9 * slope[b].mean(), _TINY)
    error = np.sqrt(power[a].var() / len(a) + power[b].var() / len(b))
    return (power[b].mean() - power[a].mean()) / more, error / more
