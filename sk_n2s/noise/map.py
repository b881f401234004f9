"""Where the noise is stronger: its level at each place, channel and item."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import fft, ndimage, special

from .._utils.arrays import along, as_float_array, split_axes
from ._blocks import block_side, items, quiet_blocks
from .level import estimate_noise

__all__ = ["NoiseMap", "estimate_noise_map"]

#: Blocks that are looked at, of all items together, which bounds the price; and of each.
_BLOCKS, _LEAST_BLOCKS = 2**14, 64

#: Side of the blocks of a signal: shorter than those of `block_side`, to see changes.
_SIDE_OF_SIGNALS = 16

#: So many blocks, along each axis, tell the level at a place.
_WINDOW = {1: 49, 2: 5}
_WINDOW_OF_MORE = 3

#: A little above the median: too low a level leaves noise in the output, which costs more
#: than too high a level does.
_PERCENTILE = 55

#: Share of the coefficients of high frequencies that are kept: edges fill the others.
_KEPT = 0.875

#: What texture has at high frequencies is less than this much of what it has more of at middle
#: and at low frequencies.
_FROM_MIDDLE, _FROM_LOW = 3.0, 0.1

#: The loudest tenth is louder than the quietest tenth by this factor beyond doubt: white noise
#: of one level on photographs came to 1.2 at most. Among channels and items, one that is
#: louder than the median by the second factor counts as well.
_UNEVEN, _ODD = 1.3, 1.6

#: Fewer blocks than this, or than this share of all, do not tell one place from another.
_ENOUGH, _ENOUGH_SHARE = 200, 0.25

#: So many blocks would have to differ by twice the first factor; more of them, by less.
_DOUBT = 25

#: An area without noise is one that holds the same value in this share of the blocks.
_SILENT = 0.02

#: So many times the power that rounding leaves is noise that rounding does not hide.
_FINE = 30.0


class NoiseMap(NamedTuple):
    """The level of white noise at each entry.

    Attributes
    ----------
    map : ndarray that broadcasts to the shape of the data
        The standard deviation, in the unit of the data.
    varies : tuple of str
        What it differs between, beyond doubt: any of "places", "channels", "items".
    """

    map: np.ndarray
    varies: tuple[str, ...] = ()

    @property
    def is_uniform(self) -> bool:
        """Whether nothing speaks against the same level everywhere."""
        return not self.varies

    @property
    def verdict(self) -> str:
        """What this means in words."""
        noisy = self.map[self.map > 0]
        if not noisy.size:
            return "no noise"
        if self.is_uniform:
            return f"the same everywhere: standard deviation {noisy.max():.3g}"
        between = " and ".join(self.varies)
        low, high = noisy.min(), noisy.max()
        text = f"differs between {between}: standard deviation {low:.3g} to {high:.3g}"
        silent = 1 - noisy.size / self.map.size
        return f"{text}, none in {100 * silent:.0f} % of the data" if silent else text


class _Powers(NamedTuple):
    """The power of a grid of blocks, per entry: in white noise, its variance at all bands."""

    high: np.ndarray
    middle: np.ndarray
    low: np.ndarray
    valid: np.ndarray  # which blocks tell something of the noise
    silent: tuple[float, ...]  # values of areas that hold nothing else
    floor: float  # the power that rounding leaves
    side: tuple[int, ...]

    def level(self) -> np.ndarray:
        """Return the mean power of the quiet blocks at high, middle and low frequencies."""
        high, middle, low = (v[self.valid] for v in (self.high, self.middle, self.low))
        quiet = quiet_blocks(high, middle + low)
        return np.array([v[quiet].mean() for v in (high, middle, low)])

    def error(self) -> float:
        """Return the relative standard error of the level."""
        overlap = 2**self.high.ndim
        return float(np.sqrt(2 * overlap / (np.prod(self.side) / 2) / self.valid.sum()))


def estimate_noise_map(
    X: Any, *, channel_axis: int | None = None, batch_axis: int | None = None
) -> NoiseMap:
    """Estimate the level of white noise at each place, channel and item.

    The upper half of the frequencies of small blocks holds little but noise; the median over
    neighbouring blocks is the level at their place. Texture looks like more noise, but has
    still more power at lower frequencies, which noise has not: that excess is taken off
    before the loudest and the quietest tenth of the places are compared, and a map is made
    only if these differ beyond doubt. Channels and items are looked at one by one, and
    compared in the same way.

    Parameters
    ----------
    X : array-like of one or more axes
        The noisy data; NaN marks missing entries.
    channel_axis, batch_axis : int, default=None
        Axes along which entries are not neighbours.

    Returns
    -------
    NoiseMap
        The map, what it varies between, and a verdict. An area that holds one value, and in
        which there is no noise, has a level of 0. Where the noise depends on the signal, the
        map follows the signal: ask `estimate_noise_curve` first.

    Raises
    ------
    ValueError
        If `channel_axis` or `batch_axis` is no axis of `X`.

    Notes
    -----
    The map follows a step of the level within some 10 entries of an image, and smooth changes.
    Data of less than about 64 × 64 entries are taken to be uniform in place. The price stops
    growing at about 16,000 blocks.

    References
    ----------
    .. [1] X. Liu, M. Tanaka and M. Okutomi, "Single-image noise level estimation for blind
       denoising", IEEE Trans. Image Process. 22(12):5226-5237, 2013.
       :doi:`10.1109/TIP.2013.2283400`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.noise import estimate_noise_map
    >>> white = np.random.default_rng(0).normal(size=(128, 128))
    >>> estimate_noise_map(white).is_uniform
    True
    >>> estimate_noise_map(white * np.linspace(1, 10, 128)).varies
    ('places',)
    """
    X = as_float_array(X)
    channel, batch, axes = split_axes(X.ndim, channel_axis, batch_axis)
    lone = tuple(a for a in (batch, channel) if a is not None)
    outer = tuple(X.shape[a] for a in lone)
    space = tuple(X.shape[a] for a in axes)
    limit = max(_LEAST_BLOCKS, _BLOCKS // int(np.prod(outer)))
    found: list[_Powers] = []
    grids: list[np.ndarray | None] = []
    quiet: list[np.ndarray | None] = []
    for item, measured in items(X, channel_axis, batch_axis):
        powers = _powers(item, measured, limit)
        found.append(powers)
        grids.append(_uneven_grid(powers))
        quiet.append(_silence(item, powers) if powers.silent else None)

    def uniform() -> float:
        return estimate_noise(X, channel_axis=channel_axis, batch_axis=batch_axis)

    def in_order(values: np.ndarray) -> np.ndarray:
        return np.moveaxis(values.reshape(*outer, *values.shape[1:]), range(len(lone)), lone)

    known = [powers.valid.any() for powers in found]
    if not any(known):
        return NoiseMap(np.full((1,) * X.ndim, uniform(), X.dtype))
    bands = np.array([p.level() if k else (np.nan,) * 3 for p, k in zip(found, known, strict=True)])
    error = float(np.median([p.error() for p, k in zip(found, known, strict=True) if k]))
    levels = np.sqrt(np.where(known, bands[:, 0], np.nanmedian(bands[:, 0])))
    varies = _differs(bands[known], error)
    names = [
        name
        for name, axis in (("items", batch), ("channels", channel))
        if varies and axis is not None and _spread(levels.reshape(outer), lone.index(axis))
    ]
    places = [grid is not None or area is not None for grid, area in zip(grids, quiet, strict=True)]
    if not any(places):
        if not names:
            return NoiseMap(np.full((1,) * X.ndim, uniform(), X.dtype))
        alone = levels.astype(X.dtype).reshape(-1, *(1,) * len(axes))
        return NoiseMap(in_order(alone), tuple(names))
    if not varies:
        levels[:] = uniform()
    whole = np.empty((len(found), *space), X.dtype)
    for values, *parts in zip(whole, levels, grids, quiet, found, strict=True):
        _fill(values, *parts)
    return NoiseMap(in_order(whole), ("places", *names))


def _fill(
    values: np.ndarray,
    level: float,
    grid: np.ndarray | None,
    area: np.ndarray | None,
    powers: _Powers,
) -> None:
    """Write the map of one item."""
    values[...] = level
    if grid is not None:
        found = _interpolated(grid, np.squeeze(values).shape, powers.side)
        values[...] = found.reshape(values.shape)
    if area is not None:
        values[area.reshape(values.shape)] = 0


def _powers(X: np.ndarray, measured: np.ndarray | None, limit: int) -> _Powers:
    """Measure at most about `limit` blocks, on a regular grid that overlaps by half."""
    full = _SIDE_OF_SIGNALS if X.ndim == 1 else block_side(X.ndim)
    side = tuple(min(full, n) for n in X.shape)
    counts = [(n - s) // max(1, s // 2) + 1 for n, s in zip(X.shape, side, strict=True)]
    thinning = min(1.0, float(limit / np.prod(counts)) ** (1 / X.ndim))
    counts = [max(1, int(thinning * n)) for n in counts]
    starts = np.ix_(
        *(
            np.linspace(0, n - s, count).round().astype(int)
            for n, s, count in zip(X.shape, side, counts, strict=True)
        )
    )

    def blocks(values: np.ndarray) -> np.ndarray:
        windows = np.lib.stride_tricks.sliding_window_view(values, side)[starts]
        return windows.reshape(-1, int(np.prod(side)))

    values = blocks(X)
    share = np.ones(len(values)) if measured is None else blocks(measured).mean(axis=1)
    smallest, largest = X.min(), X.max()
    ends = ((values == smallest) | (values == largest)).mean(axis=1)
    constant = (values.min(axis=1) == values.max(axis=1)) & (share == 1)
    sample = np.unique(values.ravel()[:: max(1, values.size // _BLOCKS)])
    gaps = np.diff(sample)
    gaps = gaps[gaps > 1e-6 * (largest - smallest)]
    powers = _bands(values, side)
    powers /= np.maximum(share, 0.5)  # what was filled in has next to no noise
    rounding = (8 * np.finfo(X.dtype).eps * max(abs(smallest), abs(largest))) ** 2
    valid = (ends <= 0.1) & (share >= 0.5) & (powers[0] > rounding)
    high, middle, low = powers.reshape(3, *counts)
    floor = float(gaps.min()) ** 2 / 12 if gaps.size else 0.0
    held, times = np.unique(values[constant, 0], return_counts=True)
    held = held[times >= _SILENT * len(values)]
    # Coarse rounding hides noise: what is constant after it was not so before.
    fine = valid.any() and np.median(powers[0, valid]) > _FINE * floor
    silent = tuple(held.tolist()) if fine else ()
    return _Powers(high, middle, low, valid.reshape(counts), silent, floor, side)


def _bands(blocks: np.ndarray, side: tuple[int, ...]) -> np.ndarray:
    """Return the power of each block at high, middle and low frequencies."""
    transform = np.ones((1, 1))
    for n in side:
        transform = np.kron(transform, fft.dct(np.eye(n), axis=1, norm="ortho"))
    radius = sum(np.ix_(*(np.square(np.arange(n) / n) for n in side)))
    radius = np.ravel(np.sqrt(radius))
    lower, upper = np.quantile(radius, (0.25, 0.5))
    squares = np.square((blocks - blocks.mean(axis=1, keepdims=True)) @ transform)
    high = squares[:, radius >= upper]
    n = max(1, int(_KEPT * high.shape[1]))
    # The mean of the smallest of normal squares, as a share of the mean of all.
    share = n / high.shape[1]
    kept = special.chdtr(3, special.chdtri(1, 1 - share)) / share if share < 1 else 1.0
    smallest = np.partition(high, n - 1, axis=1)[:, :n]
    powers = [smallest.mean(axis=1) / kept]
    for band in ((radius >= lower) & (radius < upper), (radius > 0) & (radius < lower)):
        powers.append(squares[:, band].mean(axis=1) if band.any() else powers[0])
    return np.array(powers)


def _noise_at_least(high: np.ndarray, middle: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Return the power at high frequencies, less what texture may have to do with it."""
    excess = _FROM_MIDDLE * np.maximum(middle - high, 0) + _FROM_LOW * np.maximum(low - high, 0)
    return high - excess


def _uneven_grid(powers: _Powers) -> np.ndarray | None:
    """Return the level at each block, or None if it is the same at all for all one can tell."""
    valid = powers.valid
    if valid.sum() < max(_ENOUGH, _ENOUGH_SHARE * valid.size):
        return None
    size = _WINDOW.get(valid.ndim, _WINDOW_OF_MORE)
    bands = np.stack(powers[:3])
    if not valid.all():
        nearest = ndimage.distance_transform_edt(
            ~valid, return_distances=False, return_indices=True
        )
        bands = bands[(slice(None), *nearest)]
    high, middle, low = (ndimage.percentile_filter(band, _PERCENTILE, size) for band in bands)
    loud = np.quantile(_noise_at_least(high, middle, low)[valid], 0.9)
    quiet = max(np.quantile(high[valid], 0.1), powers.floor)
    doubt = (1 + _DOUBT / valid.sum()) ** 2
    return np.sqrt(high) if loud >= _UNEVEN**2 * doubt * quiet else None


def _silence(X: np.ndarray, powers: _Powers) -> np.ndarray:
    """Return which entries are in areas that hold a single value."""
    areas = np.zeros(X.shape, dtype=bool)
    for value in powers.silent:
        same = np.equal(X, value).astype(np.uint8)
        size = [s | 1 for s in powers.side]
        areas |= ndimage.maximum_filter(ndimage.minimum_filter(same, size), size) > 0
    return areas


def _interpolated(grid: np.ndarray, shape: tuple[int, ...], side: tuple[int, ...]) -> np.ndarray:
    """Return the values at each entry, linear between the logarithms of those of the blocks."""
    values = np.log(np.maximum(grid, np.finfo(grid.dtype).tiny))
    for axis, (n, s) in enumerate(zip(shape, side, strict=True)):
        count = grid.shape[axis]
        place = (np.arange(n) - (s - 1) / 2) * ((count - 1) / max(1, n - s))
        place = np.clip(place, 0, count - 1)
        before = np.minimum(place.astype(int), max(0, count - 2))
        after = np.minimum(before + 1, count - 1)
        weight = along(place - before, axis, grid.ndim)
        values = values.take(before, axis) * (1 - weight) + values.take(after, axis) * weight
    return np.exp(values)


def _differs(bands: np.ndarray, error: float) -> bool:
    """Return whether the levels of channels and items differ beyond doubt."""
    high, least = bands[:, 0], _noise_at_least(*bands.T)
    doubt = 1 + 5 * error
    loud = np.quantile(least, 0.9, method="higher")
    quiet = np.quantile(high, 0.1, method="lower")
    odd = least.max() > _ODD**2 * doubt * np.median(high)
    return bool(odd or loud > _UNEVEN**2 * doubt * quiet)


def _spread(levels: np.ndarray, axis: int) -> bool:
    """Return whether levels differ along an axis."""
    return bool((levels.max(axis=axis) > _UNEVEN * levels.min(axis=axis)).any())
