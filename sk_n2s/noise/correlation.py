"""Whether the noise of neighbouring entries is correlated."""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from .._utils.arrays import as_float_array, per_axis, split_axes
from ._blocks import ENOUGH_MEASURED, SMOOTHING, block_means, block_side, items, quiet_blocks

__all__ = ["NoiseCorrelation", "estimate_noise_correlation"]

#: Correlations up to this are not told from what structure leaves.
_NEGLIGIBLE = 0.1


class NoiseCorrelation(NamedTuple):
    """The correlation of the noise between an entry and its neighbours.

    Attributes
    ----------
    map : ndarray of shape (2 * max_lag + 1,) * n_axes
        The correlation at each lag; 1 in the centre.
    error : float
        Its standard error.
    axes : tuple of int
        The axis of the data behind each axis of the map.
    """

    map: np.ndarray
    error: float
    axes: tuple[int, ...]

    @property
    def reach(self) -> tuple[int, ...]:
        """The largest lag along each axis that is correlated beyond doubt."""
        middle = self.map.shape[0] // 2
        found = np.abs(self.map) > max(4 * self.error, _NEGLIGIBLE)
        found[(middle,) * self.map.ndim] = False
        places = np.argwhere(found) - middle
        return tuple(np.abs(places).max(axis=0).tolist()) if len(places) else (0,) * self.map.ndim

    @property
    def verdict(self) -> str:
        """What this means in words: "independent", or along which axes it is correlated."""
        parts = [
            f"along axis {axis} over {lag} {'entry' if lag == 1 else 'entries'}"
            for axis, lag in zip(self.axes, self.reach, strict=True)
            if lag
        ]
        return "correlated " + " and ".join(parts) if parts else "independent"


def estimate_noise_correlation(
    X: Any,
    *,
    max_lag: int = 4,
    channel_axis: int | None = None,
    batch_axis: int | None = None,
) -> NoiseCorrelation:
    """Estimate whether the noise of neighbouring entries is correlated.

    J-invariance asks that it is not, or that correlated entries are hidden together. What
    remains of quiet parts of the data after a wide local mean is subtracted is noise; its
    correlation is counted from that at the largest lags. Where no part of the data is
    without fine texture, that counts as correlated noise.

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
        If the data are too small to tell.

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
    axes = tuple(
        a for a in split_axes(X.ndim, channel_axis, batch_axis)[2] if X.shape[a] > 1
    )  # fmt: skip
    width = 4 * max_lag + 1
    if not axes or min(X.shape[a] for a in axes) < width:
        raise ValueError(
            f"X of shape {X.shape} is too small to tell the correlation of its noise over "
            f"max_lag={max_lag} entries: at least {width} are needed along each axis."
        )
    n_axes, count = len(axes), 0.0
    total = np.zeros((2 * max_lag + 1,) * n_axes)
    for item, measured in items(X, channel_axis, batch_axis):
        products, n = _quiet_products(item, measured, max_lag, width)
        total, count = total + products, count + n
    centre = (max_lag,) * n_axes
    if not count or not total[centre] > 0:
        raise ValueError("X holds no noise whose correlation could be told: it is constant.")
    # Structure that is left is as strong at the largest lags as it is at the smaller ones,
    # and so is what the subtracted mean took away; noise is not.
    border = np.ones(total.shape, dtype=bool)
    border[(slice(1, -1),) * n_axes] = False
    noise = total - total[border].mean()
    corrected = noise / noise[centre]
    return NoiseCorrelation(corrected, float(1 / np.sqrt(count)), axes)


def _quiet_products(
    X: np.ndarray, measured: np.ndarray | None, max_lag: int, width: int
) -> tuple[np.ndarray, float]:
    """Return the sums of products of an array's noise with itself at each lag."""
    noise = X - ndimage.uniform_filter(X, width, mode="reflect")
    known = np.ones(X.shape) if measured is None else measured.astype(np.float64)
    noise *= known  # what was filled in has no noise
    slope = ndimage.gaussian_gradient_magnitude(X, 2 * SMOOTHING)
    side = block_side(X.ndim)
    inner = tuple(slice(max_lag, max_lag + (n - 2 * max_lag) // side * side) for n in X.shape)
    power, slope = (block_means(np.square(v[inner]), side) for v in (noise, slope))
    share = block_means(known[inner], side)
    full = np.flatnonzero(share >= min(ENOUGH_MEASURED, share.max()))
    chosen = np.zeros(len(power), dtype=bool)
    chosen[full[quiet_blocks(power[full] / share[full], slope[full])]] = True
    quiet = chosen.reshape([(s.stop - s.start) // side for s in inner])
    for axis in range(X.ndim):
        quiet = quiet.repeat(side, axis=axis)
    here, seen = noise[inner][quiet], known[inner][quiet]
    n = max(1.0, float(seen.sum()))
    lags = range(-max_lag, max_lag + 1)
    shape = (len(lags),) * X.ndim
    products = np.empty(shape)
    for index, lag in zip(np.ndindex(shape), product(lags, repeat=X.ndim), strict=True):
        there = tuple(slice(s.start + d, s.stop + d) for s, d in zip(inner, lag, strict=True))
        pairs = max(1.0, float(np.dot(seen, known[there][quiet])))
        products[index] = np.dot(here, noise[there][quiet]) * (n / pairs)
    return products, n
