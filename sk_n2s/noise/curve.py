"""How the variance of the noise depends on the signal."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._utils.arrays import as_float_array
from ._blocks import PORTIONS, all_blocks, quiet_blocks

__all__ = ["NoiseCurve", "estimate_noise_curve"]

#: Data whose noise power is within this share of what counts have are counts.
_PURE = 0.15

#: Texture that is brighter than its surroundings looks like noise that grows with the
#: signal, but only a little: less than this share of the mean variance.
_MATTERS = 0.15

#: A larger share of negative data than this is not of read noise about a signal of 0.
_FEW_BELOW = 0.01

#: How often the line of the noise curve is fitted.
_ITERATIONS = 8


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

    def offset_and_read_noise(self, X: np.ndarray) -> tuple[float, float]:
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

    def variance(self, signal: Any) -> np.ndarray:
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
    X: Any, *, channel_axis: int | None = None, batch_axis: int | None = None
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
    blocks = all_blocks(X, channel_axis, batch_axis)
    power, level = blocks.power, blocks.level
    flat = NoiseCurve(0.0, float(np.mean(power)) if power.size else 0.0, 0.0, False)
    if power.size < 2 * PORTIONS or np.ptp(level) <= 1e-9 * np.abs(level).max():
        return flat
    # Structure stands out against the noise of its own brightness, and a measured power errs
    # by a share of itself: both are relative to the line, which is therefore iterated.
    # Level and power in units of their own size: least squares are blind to what is tiny.
    size, mean = float(np.abs(level).max()), float(power.mean())
    level, power = level / size, power / mean
    slope = blocks.slope / mean
    line, error = np.array([0.0, float(np.median(power))]), 0.0
    design = np.stack([level, np.ones_like(level)], axis=1)
    for _ in range(_ITERATIONS):
        fitted = np.maximum(design @ line, 0.05)
        quiet = quiet_blocks(power / fitted, slope / fitted)
        rows = design[quiet] / fitted[quiet, None]
        line, *_ = np.linalg.lstsq(rows, power[quiet] / fitted[quiet], rcond=None)
        scatter = np.var(power[quiet] / fitted[quiet] - rows @ line)
        error = float(np.sqrt(scatter * np.linalg.pinv(rows.T @ rows)[0, 0]))
    grows = bool(line[0] > 4 * error)
    gain, intercept, error = line[0] * mean / size, line[1] * mean, error * mean / size
    count = _count(X)
    if count and grows:
        # The noise of few counts is skewed, so that power and mean of a block are dependent,
        # which bends the line. Where single counts can be seen in the data, it is known.
        ratio = mean * np.mean(power[quiet]) / (count * size * np.mean(level[quiet]))
        if abs(ratio - 1) < _PURE:
            return NoiseCurve(count, 0.0, error, True)
    variance = np.maximum(design @ line, 0)
    grows &= bool(np.std(variance) > _MATTERS * np.mean(variance))
    return NoiseCurve(float(gain), float(intercept), error, grows)


def _count(X: np.ndarray) -> float:
    """Return the step of data that are multiples of it from 0 on, or 0 if they are not."""
    values = X[~np.isnan(X)]
    if values.min() < 0 or not values.any():
        return 0.0
    step = float(values[values > 0].min())
    multiples = values / step
    return step if np.abs(multiples - np.rint(multiples)).max() < 1e-3 else 0.0
