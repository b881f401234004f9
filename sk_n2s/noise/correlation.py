"""Whether the noise of neighbouring entries is correlated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from scipy import fft, ndimage

from .._utils.arrays import as_float_array, per_axis, split_axes
from .._utils.tiling import sample
from ._autocovariance import autocovariance, products_at_lags
from ._blocks import items
from ._spectra import NEGLIGIBLE, Spectra, block_sides, blocks_of, transformed, usable_blocks
from ._stripes import stripe_variance
from .level import estimate_noise

__all__ = ["NoiseCorrelation", "estimate_noise_correlation"]

#: In so many standard errors chance is not believed.
_ERRORS = 4.0

#: Entries whose noise has less correlation than this need not be hidden together: they tell little
#: of each other, and to hide more costs more than it gains.
_HIDDEN = 0.15

#: Where gaps were bridged, neighbours that depend on each other by so much contradict white noise.
_DEPENDENT = 0.2

#: What is constant along an axis counts from this share of the variance on.
_FEW = 0.02

#: Where gaps leave too few whole blocks, gaps are bridged by what is around them, in a box of
#: this side, in blocks of which at least this share was measured.
_FEWEST, _BRIDGE, _MEASURED = 12, 5, 0.4

#: Noise does not resemble itself by so much, so many entries away along each axis, once the mean
#: of so many around each entry is taken out.
_ALIKE, _FAR, _WIDE = 0.3, 12, 9

#: At most so many entries are looked at.
_MOST = 2**18

_TINY = np.finfo(np.float64).tiny

#: Values of shape (channels, *shape), and where all channels were measured.
_Part = tuple[np.ndarray, np.ndarray | None]


class NoiseCorrelation(NamedTuple):
    """The correlation of the noise between an entry and its neighbours.

    Attributes
    ----------
    map : ndarray of shape (2 * max_lag + 1,) * n_axes
        The correlation at each lag: 1 in the centre, and 0 elsewhere unless it is beyond
        doubt that there is any.
    error : float
        Its standard error.
    axes : tuple of int
        The axis of the data behind each axis of the map.
    is_told : bool
        Whether the data tell. If not, structure is everywhere, and correlated noise would
        look like it.
    variance : float
        The variance of the noise, of which the map tells the share at each lag.
    stripes : tuple of float
        For each of these axes, the share of the variance of the noise that is constant along
        the whole of it: rows that share an offset are constant along axis 1.
    channels : ndarray of shape (n_channels, n_channels) or None
        The correlation of the noise between channels; None without channels.
    steepness : float
        By which factor the power of the quietest parts falls among the highest frequencies: 1 for
        white noise, 2 and more for texture.
    """

    map: np.ndarray
    error: float
    axes: tuple[int, ...]
    is_told: bool = True
    variance: float = 1.0
    stripes: tuple[float, ...] = ()
    channels: np.ndarray | None = None
    steepness: float = 1.0

    def _beyond(self, least: float) -> np.ndarray:
        """Return whether each lag is correlated by so much, beyond doubt."""
        found = np.abs(self.map) > max(_ERRORS * self.error, least)
        found[(self.map.shape[0] // 2,) * self.map.ndim] = True
        return found

    @property
    def lines(self) -> tuple[int, ...]:
        """The axes along which a part of the noise is constant."""
        return tuple(a for a, share in zip(self.axes, self.stripes, strict=False) if share)

    @property
    def reach(self) -> tuple[int, ...]:
        """The largest lag along each axis that is correlated beyond doubt."""
        return _extent(self._beyond(NEGLIGIBLE))

    def blind_spot(self, axes: tuple[int, ...]) -> Any:
        """Return what has to be hidden with an entry: a footprint for `BlindSpotPartition`.

        Parameters
        ----------
        axes : tuple of int
            The axes of the data that are cut.

        Returns
        -------
        ndarray of bool, or tuple of int and None
            The entries around it, as far along each axis as noise depends on its own, beyond
            doubt; how many on both sides if whole lines do, which None stands for.
        """
        strong = self._beyond(_HIDDEN)
        reach = dict(zip(self.axes, _extent(strong), strict=True))
        if self.lines:
            return tuple(None if a in self.lines else reach.get(a, 0) for a in axes)
        # All within the reach, since chance leaves holes in what is found.
        return np.ones([2 * reach.get(a, 0) + 1 for a in axes], dtype=bool)

    @property
    def verdict(self) -> str:
        """What this means in words: "independent", or along which axes it is correlated."""
        parts = [
            f"along axis {axis} over {lag} {'entry' if lag == 1 else 'entries'}"
            for axis, lag in zip(self.axes, self.reach, strict=True)
            if lag
        ]
        text = "correlated " + " and ".join(parts) if parts else "independent"
        for axis, share in zip(self.axes, self.stripes, strict=False):
            if share:
                text += f", {share:.0%} of it constant along axis {axis}"
        return text if parts or self.is_told else "independent, as far as can be told"


def _extent(found: np.ndarray) -> tuple[int, ...]:
    """Return how far from the centre a map is True along each axis."""
    places = np.argwhere(found) - found.shape[0] // 2
    return tuple(np.abs(places).max(axis=0).tolist())


def estimate_noise_correlation(
    X: Any,
    *,
    max_lag: int = 4,
    channel_axis: int | None = None,
    batch_axis: int | None = None,
) -> NoiseCorrelation:
    """Estimate whether the noise of neighbouring entries is correlated.

    J-invariance asks that it is not, or that correlated entries are hidden together. Blocks
    of the data are ordered by one half of their low frequencies. Of noise, the other half is
    the same in all of the quietest blocks, where texture makes it grow. If it does not grow,
    and the spectrum differs from that of white noise by more than faint texture would make
    it, the noise is correlated, and its correlation is what the quiet blocks have. If it
    grows, white noise and texture, or correlated noise and texture, are not told apart.

    Data of more than 2¹⁸ entries are looked at in parts.

    Parameters
    ----------
    X : array-like of one or more axes
        The noisy data; NaN marks missing entries.
    max_lag : int, default=4
        How far neighbours are looked at, along each axis.
    channel_axis, batch_axis : int, default=None
        Axes along which entries are not neighbours.

    Returns
    -------
    NoiseCorrelation
        The map, and its verdict.

    Raises
    ------
    ValueError
        If the data are too small to tell, or constant.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import ndimage
    >>> from sk_n2s.noise import estimate_noise_correlation
    >>> noise = np.random.default_rng(0).normal(size=(128, 128))
    >>> estimate_noise_correlation(noise).verdict
    'independent'
    >>> estimate_noise_correlation(ndimage.uniform_filter1d(noise, 3, axis=1)).verdict
    'correlated along axis 1 over 2 entries'
    """
    X = as_float_array(X)
    max_lag = per_axis(max_lag, 1, name="max_lag", minimum=1)[0]
    channel, batch, neighbours = split_axes(X.ndim, channel_axis, batch_axis)
    axes = tuple(a for a in neighbours if X.shape[a] > 1)
    width = 4 * max_lag + 1
    if not axes or min(X.shape[a] for a in axes) < width:
        raise ValueError(
            f"X of shape {X.shape} is too small to tell the correlation of its noise over "
            f"max_lag={max_lag} entries: at least {width} are needed along each axis."
        )
    part, *lone = sample(X, channel, batch, _MOST)
    parts = list(_parts(part, *lone))
    if not any(measured is None or measured.any() for _, measured in parts):
        raise ValueError("X holds no entry that was measured in all channels: leave channels out.")
    parts = [(v, measured) for v, measured in parts if measured is None or measured.any()]
    sides = block_sides([values.shape[1:] for values, _ in parts])
    usable = [usable_blocks(values, measured, sides) for values, measured in parts]
    has_gaps = any(measured is not None for _, measured in parts)
    is_bridged = has_gaps and sum(map(np.count_nonzero, usable)) < _FEWEST
    if is_bridged:
        parts = [(_bridged(values, measured), measured) for values, measured in parts]
        usable = [usable_blocks(values, measured, sides, _MEASURED) for values, measured in parts]
    if not any(u.any() for u in usable) and all(np.ptp(values) == 0 for values, _ in parts):
        raise ValueError("X holds no noise whose correlation could be told: it is constant.")
    coefficients = [transformed(v, u, sides) for (v, _), u in zip(parts, usable, strict=True)]
    spectra = Spectra(np.concatenate(coefficients), sides)
    quiet, first = [], 0
    for (values, measured), places in zip(parts, usable, strict=True):
        last = first + int(np.count_nonzero(places))
        places[places] = spectra.quiet[first:last]
        inside = _entries(places, sides, values.shape[1:])
        quiet.append(inside if measured is None else inside & measured)
        first = last
    constant = _constant_along(parts, len(axes))

    def measure(width: int, lag: int) -> tuple[np.ndarray, np.ndarray]:
        sums = [products_at_lags(v, q, width, lag) for (v, _), q in zip(parts, quiet, strict=True)]
        return np.sum([s[0] for s in sums], axis=0), np.sum([s[1] for s in sums], axis=0)

    longest = min(parts[0][0].shape[1:]) // 4
    near, pairs = autocovariance(measure, len(axes), longest)
    is_told = spectra.is_told
    if is_bridged and not spectra.is_correlated:  # what was measured must agree
        is_told &= _beside(near) < _DEPENDENT
    found = _as_map(near, max_lag, constant, spectra.is_correlated)
    variance = float(found.max())
    scale = 1 / variance if variance > 0 else 0.0
    constant[constant * scale < _FEW] = 0
    error = np.sqrt(np.sum(np.square(near)) / max(pairs, 1.0)) * scale
    result = NoiseCorrelation(
        found * scale,
        float(error),
        axes,
        is_told,
        variance,
        tuple((constant * scale).tolist()),
        None if channel is None else spectra.between_channels(),
        spectra.steepness,
    )
    if any(result.reach) and _is_periodic(items(part, *lone)):
        alone = np.zeros_like(found)
        alone[(max_lag,) * alone.ndim] = 1
        return result._replace(map=alone, is_told=True, stripes=(0.0,) * len(axes))
    return result


def _is_periodic(items: Iterable[_Part]) -> bool:
    """Return whether the data resemble themselves far away in all directions, as no noise does."""
    for item, measured in items:
        fine = item - ndimage.uniform_filter(item, _WIDE, mode="reflect")
        if measured is not None:
            fine *= measured
        # One for each lag, up to half of the data, of as many pairs as there are.
        shape = [fft.next_fast_len(3 * n // 2, real=True) for n in fine.shape]
        power = np.square(np.abs(fft.rfftn(fine, shape)))
        found = fft.irfftn(power, shape)
        far = tuple(slice(min(_FAR, n // 4), max(1, n // 2)) for n in fine.shape)
        pairs = [1 - np.arange(n)[s] / n for n, s in zip(fine.shape, far, strict=True)]
        alike = found[far] / reduce(np.multiply.outer, pairs)
        # By chance, few lines that share their noise are alike as well.
        limit = _ALIKE + 2 / np.sqrt(min(n for n in fine.shape if n > 1))
        if found.flat[0] > 0 and alike.max() > limit * found.flat[0]:
            return True
    return False


def _bridged(values: np.ndarray, measured: np.ndarray | None) -> np.ndarray:
    """Return values whose gaps hold what white noise around a local mean would be there."""
    if measured is None:
        return values
    known = measured.astype(np.float64)
    near = ndimage.uniform_filter(known, _BRIDGE, mode="reflect")
    lone = near < 0.5 / _BRIDGE**known.ndim  # nothing was measured around it
    near[lone] = 1
    bridged = values.copy()
    rng = np.random.default_rng(0)
    for channel in bridged:
        mean = ndimage.uniform_filter(channel * known, _BRIDGE, mode="reflect") / near
        mean[lone] = channel[lone]
        level = estimate_noise(np.where(measured, channel, np.nan))
        drawn = mean + level * rng.normal(size=mean.shape)
        channel[~measured] = drawn[~measured]
    return bridged


def _beside(near: np.ndarray) -> float:
    """Return the largest correlation with a direct neighbour."""
    steps = np.abs(np.indices(near.shape) - near.shape[0] // 2).sum(axis=0)
    return float(np.abs(near[steps == 1]).max() / max(near.max(), _TINY))


def _constant_along(parts: list[_Part], n_axes: int) -> np.ndarray:
    """Return the variance of what is constant along each axis, and subtract it."""
    variances = np.zeros(n_axes)
    for values, _ in parts:
        found = [np.mean([stripe_variance(v, a) for v in values]) for a in range(n_axes)]
        for axis in np.flatnonzero(found):
            values -= np.median(values, axis=axis + 1, keepdims=True)
        variances += found
    return variances / len(parts)


def _as_map(near: np.ndarray, max_lag: int, constant: np.ndarray, correlated: bool) -> np.ndarray:
    """Return the autocovariance up to a lag, with what is constant along axes."""
    ndim, reach = near.ndim, near.shape[0] // 2
    found = np.zeros((2 * max_lag + 1,) * ndim)
    common = min(reach, max_lag) if correlated else 0

    def around(middle: int) -> tuple[slice, ...]:
        return (slice(middle - common, middle + common + 1),) * ndim

    found[around(max_lag)] = near[around(reach)]
    for axis, variance in enumerate(constant):
        line: list[Any] = [max_lag] * ndim
        line[axis] = slice(None)
        found[tuple(line)] += variance
    return found


def _parts(X: np.ndarray, channel: int | None, batch: int | None) -> Iterator[_Part]:
    """Yield the items of the data, channels first, and where all channels were measured."""
    n_channels = 1 if channel is None else X.shape[channel]
    found = list(items(X, channel, batch))
    for first in range(0, len(found), n_channels):
        values, known = zip(*found[first : first + n_channels], strict=True)
        gaps = [k for k in known if k is not None]
        yield np.stack(values), np.logical_and.reduce(gaps) if gaps else None


def _entries(places: np.ndarray, sides: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Return which entries are in some blocks."""
    inside = np.zeros((1, *shape), dtype=bool)
    blocks = blocks_of(inside, sides)
    blocks[places] = True
    return inside[0]
