"""What the noise is like, from the noisy array alone."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from ._arrays import as_float_array, per_axis, split_axes
from .fills import MeanFill

__all__ = [
    "NoiseCorrelation",
    "NoiseCurve",
    "estimate_noise",
    "estimate_noise_correlation",
    "estimate_noise_curve",
    "variance_at",
]

#: Entries of a block, whatever the number of axes.
_BLOCK = 64

#: Blocks are added, quietest first, in this many portions, for as long as the noise in the
#: next portion agrees with that in the blocks so far, within this many standard errors.
_PORTIONS = 20
_AGREEMENT = 2.0

#: So many quiet blocks tell the level with an error of about 2 %. They are taken without
#: asking whether they agree, but for between a tenth and two fifths of all.
_ENOUGH = 50

#: Data whose noise power is within this share of what counts have are counts.
_PURE = 0.15

#: Texture that is brighter than its surroundings looks like noise that grows with the
#: signal, but only a little: less than this share of the mean variance.
_MATTERS = 0.15

#: In a block there must be this share of the differences that are in the best one.
_ENOUGH_MEASURED = 0.25

#: With less than this share of all of them, there are too few along all axes together, and
#: along single axes.
_FEW, _FEWEST = 0.1, 0.005

#: A larger share of negative data than this is not of read noise about a signal of 0.
_FEW_BELOW = 0.01

#: How often the line of the noise curve is fitted.
_ITERATIONS = 8

#: Correlations up to this are not told from what structure leaves.
_NEGLIGIBLE = 0.1

#: Standard deviation, in entries, of the smoothing whose slope tells quiet blocks from others.
_SMOOTHING = 1.5


class _Blocks(NamedTuple):
    """Blocks of an array: values of shape (n_blocks,)."""

    power: np.ndarray  # the variance of the noise, where there is no structure
    slope: np.ndarray  # how much structure there is
    level: np.ndarray  # the mean of the data


def _items(X, channel_axis, batch_axis):
    """Yield the arrays along whose axes entries are neighbours, and where they were measured.

    Gaps are filled, and thin axes are left out; where nothing is missing, the second is None.
    """
    channel, batch, axes = split_axes(X.ndim, channel_axis, batch_axis)
    missing = np.isnan(X)
    if missing.any():
        X = MeanFill()(X, missing, axes)
    lone = [a for a in (batch, channel) if a is not None]

    def separate(values):
        moved = np.moveaxis(values, lone, range(len(lone)))
        return map(np.squeeze, moved.reshape(-1, *moved.shape[len(lone) :]))

    for item, gaps in zip(separate(X), separate(missing), strict=True):
        if item.ndim:  # as float64, since squares of float32 may not fit in one
            yield item.astype(np.float64, copy=False), ~gaps if gaps.any() else None


def _finest(X) -> np.ndarray:
    """Return second differences along all axes, whose variance is that of white noise."""
    for axis in range(X.ndim):
        X = ndimage.correlate1d(X, [1, -2, 1], axis=axis, mode="mirror") / np.sqrt(6)
        # At the ends the difference is 2 · (neighbour − entry), of a variance 8, not 6.
        X[(slice(None),) * axis + (slice(None, None, X.shape[axis] - 1),)] *= np.sqrt(3) / 2
    return X


def _block_means(values, side) -> np.ndarray:
    whole = tuple(slice(0, max(1, n // side) * side) for n in values.shape)
    values = values[whole]
    for axis, n in enumerate(values.shape):
        values = np.add.reduceat(values, np.arange(0, n, side), axis=axis) / min(side, n)
    return values.ravel()


def _squares(X, measured) -> tuple[np.ndarray, np.ndarray]:
    """Return the squares of second differences of noise, and which are of measured entries."""
    if measured is None:
        return np.square(_finest(X)), np.ones(X.shape)
    known = ndimage.binary_erosion(measured, np.ones((3,) * X.ndim), border_value=1)
    if known.mean() >= _FEW:
        return np.square(_finest(X)) * known, known.astype(np.float64)
    # Few boxes are complete, but there may be lines of three: differences along single axes.
    total, count = np.zeros(X.shape), np.zeros(X.shape)
    for axis in range(X.ndim):
        line = np.ones([3 if a == axis else 1 for a in range(X.ndim)])
        known = ndimage.binary_erosion(measured, line)
        total += known * ndimage.correlate1d(X, [1, -2, 1], axis=axis) ** 2 / 6
        count += known
    return total / X.ndim, count / X.ndim


def _blocks(X, measured=None) -> _Blocks:
    """Measure the blocks of an array, without those where a sensor has saturated.

    What was filled in has less noise: differences with it do not count.
    """
    squares, known = _squares(X, measured)
    if known.mean() < _FEWEST:  # take what was measured as one signal, in its order
        X = X[measured]
        squares, known = _squares(X, None)
    side = max(2, round(_BLOCK ** (1 / X.ndim)))
    slope = ndimage.gaussian_gradient_magnitude(X, _SMOOTHING)
    share = _block_means(known, side)
    power = _block_means(squares, side)
    power /= np.where(share == 0, 1, share)
    blocks = _Blocks(
        power,
        _block_means(np.square(slope, dtype=np.float64), side),
        _block_means(X, side),
    )
    ends = ((X == X.min()) | (X == X.max())).astype(np.float64)
    # Up to rounding, no noise at all: a constant area tells nothing of it elsewhere.
    rounding = (8 * np.finfo(X.dtype).eps * float(np.abs(X).max())) ** 2
    power[share < _ENOUGH_MEASURED * share.max()] = 0  # and so is not kept
    kept = (_block_means(ends, side) <= 0.1) & (power > rounding)
    if not kept.any():
        kept = power > rounding
    return _Blocks(*(values[kept] for values in blocks))


def _all_blocks(X, channel_axis, batch_axis) -> _Blocks:
    found = [_blocks(*item) for item in _items(X, channel_axis, batch_axis)]
    if not found:
        return _Blocks(*(np.empty(0) for _ in range(3)))
    return _Blocks(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _quiet(power, slope) -> np.ndarray:
    """Return which blocks hold noise and nothing else: the order of the quietest ones."""
    order = np.argsort(slope, kind="stable")
    if len(order) < 2 * _PORTIONS:
        return order
    portions = np.array_split(power[order], _PORTIONS)
    first = int(np.ceil(_PORTIONS * np.clip(_ENOUGH / len(order), 0.1, 0.4)))
    n = sum(map(len, portions[:first]))
    for portion in portions[first:]:
        so_far = power[order[:n]]
        error = np.var(portion, ddof=1) / len(portion) + np.var(so_far, ddof=1) / n
        if portion.mean() - so_far.mean() > _AGREEMENT * np.sqrt(error):
            break
        n += len(portion)
    return order[:n]


def estimate_noise(X, *, channel_axis: int | None = None, batch_axis: int | None = None) -> float:
    """Estimate the standard deviation of white noise.

    Second differences along all axes hold little but noise. Their power is averaged over
    the blocks of the array whose smoothed values have the smallest slopes, and over as
    many of them as agree with each other. Blocks at the ends of the range, where a sensor
    has saturated, are left out.

    Parameters
    ----------
    X : array-like of one or more axes
        The noisy data; NaN marks missing entries.
    channel_axis, batch_axis : int, default=None
        Axes along which entries are not neighbours: the noise level is the same for all
        channels and items.

    Returns
    -------
    float
        The standard deviation, in the unit of the data. Where no part of the data is
        without fine texture, that counts as noise.

    Notes
    -----
    Over photographs with noise of 25/255, the error is 1.4 % on average; that of the
    wavelet estimate of Donoho and Johnstone is 2.1 % (6 % against 3 % for noise of
    15/255), since it counts fine texture as noise everywhere.

    References
    ----------
    .. [1] J. Immerkær, "Fast noise variance estimation", Comput. Vis. Image Underst.
       64(2):300-302, 1996. :doi:`10.1006/cviu.1996.0060`
    .. [2] X. Liu, M. Tanaka and M. Okutomi, "Single-image noise level estimation for blind
       denoising", IEEE Trans. Image Process. 22(12):5226-5237, 2013.
       :doi:`10.1109/TIP.2013.2283400`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.noise import estimate_noise
    >>> noise = np.random.default_rng(0).normal(scale=2.0, size=(256, 256))
    >>> round(estimate_noise(noise), 1)
    2.0
    """
    blocks = _all_blocks(as_float_array(X), channel_axis, batch_axis)
    if not blocks.power.size:
        return 0.0
    return float(np.sqrt(blocks.power[_quiet(blocks.power, blocks.slope)].mean()))


class NoiseCurve(NamedTuple):
    """The variance of Poisson–Gaussian noise: gain · signal + intercept, and at least 0.

    Attributes
    ----------
    gain : float
        What one count of the Poisson part adds to the data: variance per signal.
    intercept : float
        The variance at signal 0: read noise² − gain · offset, of which the data do not
        tell more than the sum.
    gain_error : float
        The standard error of the gain.
    is_signal_dependent : bool
        Whether the noise grows with the signal, beyond doubt and by so much that it matters.
    """

    gain: float
    intercept: float
    gain_error: float = 0.0
    is_signal_dependent: bool = True

    def offset_and_read_noise(self, X) -> tuple[float, float]:
        """Return an offset of the data and a read noise that together explain the intercept.

        The data do not tell them apart: it is the read noise, unless the intercept is
        negative, or the data are partly so, which counts with an offset of 0 are not.

        Parameters
        ----------
        X : ndarray
            The noisy data.

        Returns
        -------
        offset, read_noise : float
            In the unit of the data.
        """
        below = np.count_nonzero(X < 0) > _FEW_BELOW * X.size
        if self.gain > 0 and (self.intercept < 0 or below):
            return -self.intercept / self.gain, 0.0
        return 0.0, float(np.sqrt(max(self.intercept, 0.0)))

    def variance(self, signal) -> np.ndarray:
        """Return the variance of the noise where the signal is known.

        Parameters
        ----------
        signal : array-like
            The clean data, or what stands for them: denoised data.

        Returns
        -------
        ndarray of that shape
            The variance.
        """
        return np.maximum(self.gain * np.asarray(signal) + self.intercept, 0.0)


def estimate_noise_curve(
    X, *, channel_axis: int | None = None, batch_axis: int | None = None
) -> NoiseCurve:
    """Estimate how the variance of the noise depends on the signal.

    Fits a line through the noise power of quiet blocks against their mean; blocks are
    quiet, as for `estimate_noise`, by comparison with the noise of their brightness.

    Parameters
    ----------
    X : array-like of one or more axes
        The noisy data; NaN marks missing entries.
    channel_axis, batch_axis : int, default=None
        Axes along which entries are not neighbours.

    Returns
    -------
    NoiseCurve
        Gain and intercept; a gain of 0 for data that are too small, or whose parts are
        equally bright.

    References
    ----------
    .. [1] A. Foi, M. Trimeche, V. Katkovnik and K. Egiazarian, "Practical
       Poissonian-Gaussian noise modeling and fitting for single-image raw-data", IEEE
       Trans. Image Process. 17(10):1737-1754, 2008. :doi:`10.1109/TIP.2008.2001399`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.noise import estimate_noise_curve
    >>> ramp = np.broadcast_to(np.linspace(5, 50, 256), (256, 256))
    >>> counts = 3.0 * np.random.default_rng(0).poisson(ramp)
    >>> curve = estimate_noise_curve(counts)
    >>> round(curve.gain, 1), curve.is_signal_dependent
    (3.0, True)
    """
    X = as_float_array(X)
    blocks = _all_blocks(X, channel_axis, batch_axis)
    power, level = blocks.power, blocks.level
    flat = NoiseCurve(0.0, float(np.mean(power)) if power.size else 0.0, 0.0, False)
    if power.size < 2 * _PORTIONS or np.ptp(level) <= 1e-9 * np.abs(level).max():
        return flat
    # Structure stands out against the noise of its own brightness, and a measured power errs
    # by a share of itself: both are relative to the line, which is therefore iterated.
    line, error = np.array([0.0, float(np.median(power))]), 0.0
    design = np.stack([level, np.ones_like(level)], axis=1)
    for _ in range(_ITERATIONS):
        fitted = np.maximum(design @ line, 0.05 * power.mean())
        quiet = _quiet(power / fitted, blocks.slope / fitted)
        rows = design[quiet] / fitted[quiet, None]
        line, *_ = np.linalg.lstsq(rows, power[quiet] / fitted[quiet], rcond=None)
        scatter = np.var(power[quiet] / fitted[quiet] - rows @ line)
        error = float(np.sqrt(scatter * np.linalg.pinv(rows.T @ rows)[0, 0]))
    gain, intercept = map(float, line)
    grows = gain > 4 * error
    count = _count(X)
    if count and grows:
        # The noise of few counts is skewed, so that power and mean of a block are dependent,
        # which bends the line. Where single counts can be seen in the data, it is known.
        ratio = np.mean(power[quiet]) / (count * np.mean(level[quiet]))
        if abs(ratio - 1) < _PURE:
            return NoiseCurve(count, 0.0, error, True)
    variance = np.maximum(design @ line, 0)
    grows &= bool(np.std(variance) > _MATTERS * np.mean(variance))
    return NoiseCurve(gain, intercept, error, grows)


def _count(X) -> float:
    """Return the step of data that are multiples of it from 0 on, or 0 if they are not."""
    values = X[~np.isnan(X)]
    if values.min() < 0 or not values.any():
        return 0.0
    step = float(values[values > 0].min())
    multiples = values / step
    return step if np.abs(multiples - np.rint(multiples)).max() < 1e-3 else 0.0


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
    X, *, max_lag: int = 4, channel_axis: int | None = None, batch_axis: int | None = None
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
    n_axes, count = len(axes), 0
    total = np.zeros((2 * max_lag + 1,) * n_axes)
    for item, measured in _items(X, channel_axis, batch_axis):
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


def _quiet_products(X, measured, max_lag, width):
    """Return the sums of products of an array's noise with itself at each lag."""
    noise = X - ndimage.uniform_filter(X, width, mode="reflect")
    known = np.ones(X.shape) if measured is None else measured.astype(np.float64)
    noise *= known  # what was filled in has no noise
    slope = ndimage.gaussian_gradient_magnitude(X, 2 * _SMOOTHING)
    side = max(2, round(_BLOCK ** (1 / X.ndim)))
    inner = tuple(slice(max_lag, max_lag + (n - 2 * max_lag) // side * side) for n in X.shape)
    power, slope = (_block_means(np.square(v[inner]), side) for v in (noise, slope))
    share = _block_means(known[inner], side)
    full = np.flatnonzero(share >= min(_ENOUGH_MEASURED, share.max()))
    chosen = np.zeros(len(power), dtype=bool)
    chosen[full[_quiet(power[full] / share[full], slope[full])]] = True
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


def variance_at(noise_variance, signal):
    """Return the variance of the noise where the signal is known.

    Parameters
    ----------
    noise_variance : float, ndarray or NoiseCurve
        The variance, given or estimated.
    signal : ndarray
        The signal, or the noisy data, whose expectation it is.

    Returns
    -------
    float or ndarray
        The variance, of the shape of `signal` if it depends on that.
    """
    curve = isinstance(noise_variance, NoiseCurve)
    return noise_variance.variance(signal) if curve else noise_variance
