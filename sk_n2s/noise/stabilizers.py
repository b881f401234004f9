"""What makes noise white that depends on the signal in other ways than counts do."""

from __future__ import annotations

from functools import lru_cache
from numbers import Real
from typing import Any

import numpy as np
from scipy import special, stats
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from ._moments import clipped_moments, rician_moments
from ._stabilizer import Stabilizer
from .curve import MUCH_CLIPPED, NoiseCurve
from .stabilization import GeneralizedAnscombe

__all__ = ["ClippedNoise", "LogTransform", "RicianNoise", "stabilizer_for"]

_POSITIVE = Interval(Real, 0, None, closed="neither")
_NUMBER = Interval(Real, None, None, closed="both")

#: The logarithm is linear below this share of the mean of the data.
_LINEAR = 0.2


class LogTransform(Stabilizer):
    """The logarithm of data with multiplicative noise, and its unbiased inverse.

    Data x = signal · gamma of mean 1 become data whose noise has variance 1. The mean of the
    logarithm is less than the logarithm of the mean, by ψ(looks) − log(looks) [1]_; the
    inverse is the signal whose transform has the given expectation, and so without that
    bias. Near 0 the logarithm becomes a line (it is an inverse hyperbolic sine), for the
    sake of zeros and of noise that is added.

    Parameters
    ----------
    relative : float
        The variance of the noise where the signal is 1: 1 / the number of looks of speckle.
    read_noise : float, default=0.0
        The standard deviation of noise that is added, in the unit of the data.

    Attributes
    ----------
    scale_ : float
        Where the line becomes a logarithm, in the unit of the data.

    References
    ----------
    .. [1] H. Xie, L. E. Pierce and F. T. Ulaby, "Statistical properties of logarithmically
       transformed speckle", IEEE Trans. Geosci. Remote Sens. 40(3):721-727, 2002.
       :doi:`10.1109/TGRS.2002.1000333`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.noise import LogTransform
    >>> speckle = 7.0 * np.random.default_rng(0).gamma(4, 1 / 4, size=10_000)
    >>> log = LogTransform(relative=1 / 4).fit(speckle)
    >>> stable = log.transform(speckle)
    >>> bool(abs(stable.var() - 1) < 0.2)
    True
    >>> bool(abs(log.inverse_transform(np.full(3, stable.mean()))[0] - 7) < 0.1)
    True
    """

    _parameter_constraints: dict = {
        "relative": [_POSITIVE],
        "read_noise": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, relative: float, read_noise: float = 0.0):
        self.relative = relative
        self.read_noise = read_noise

    def _learn(self, X: np.ndarray) -> dict[str, Any]:
        usual = _LINEAR * float(np.nanmean(np.abs(X)))
        return {"scale_": max(usual, self.read_noise / np.sqrt(self.relative)) or 1.0}

    def transform(self, X: Any) -> Any:  # noqa: D102
        X = self._checked(X)
        return np.arcsinh(X / X.dtype.type(self.scale_)) / X.dtype.type(self._deviation)

    def inverse_transform(self, X: Any) -> np.ndarray:  # noqa: D102
        found = super().inverse_transform(X)
        signal, expected, _ = self._moments()
        X = self._checked(X).astype(np.float64)
        # Above the table it is a logarithm, whose bias is known.
        looks = 1 / self.relative
        log = np.minimum(X, 600 / self._deviation) * self._deviation
        above = 0.5 * self.scale_ * np.exp(log + np.log(looks) - special.digamma(looks))
        return np.where(X > expected[-1], above, found).astype(found.dtype)

    def slope(self, X: np.ndarray) -> np.ndarray:  # noqa: D102
        check_is_fitted(self)
        return (1 / (self._deviation * np.hypot(X, self.scale_))).astype(X.dtype)

    @property
    def _deviation(self) -> float:
        return float(np.sqrt(special.polygamma(1, 1 / self.relative)))

    def _moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        signal, mean, variance = _logarithms(self.relative, self.read_noise / self.scale_)
        deviation = self._deviation
        return signal * self.scale_, mean / deviation, variance / deviation**2


@lru_cache(maxsize=8)
def _logarithms(relative: float, read_noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return signals, and mean and variance of the arcsinh of those with noise."""
    signal = np.concatenate([np.linspace(0, 2, 81)[:-1], np.geomspace(2, 1e5, 400)])
    shares = (np.arange(400) + 0.5) / 400
    gammas = stats.gamma.ppf(shares, 1 / relative) * relative
    gammas /= gammas.mean()
    normals = stats.norm.ppf((np.arange(25) + 0.5) / 25) if read_noise else np.zeros(1)
    normals *= read_noise / (normals.std() or 1)
    values = np.arcsinh(signal[:, None, None] * gammas[:, None] + normals)
    return signal, values.mean(axis=(1, 2)), values.var(axis=(1, 2))


class RicianNoise(Stabilizer):
    """Magnitudes of complex data with normal noise, and the signal without their bias.

    Where there is no signal, magnitudes have a mean of 1.25 sigma, and a variance of 0.43
    sigma². The data are divided by sigma; the inverse is the signal whose magnitude has the
    given expectation [1]_.

    Parameters
    ----------
    sigma : float
        The standard deviation of the noise of the real and of the imaginary part.

    References
    ----------
    .. [1] C. G. Koay and P. J. Basser, "Analytically exact correction scheme for signal
       extraction from noisy magnitude MR signals", J. Magn. Reson. 179(2):317-322, 2006.
       :doi:`10.1016/j.jmr.2006.01.016`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.noise import RicianNoise
    >>> real, imaginary = np.random.default_rng(0).normal(size=(2, 10_000))
    >>> magnitudes = np.hypot(1.5 + real, imaginary)
    >>> rician = RicianNoise(sigma=1.0).fit(magnitudes)
    >>> bool(abs(rician.inverse_transform([magnitudes.mean()])[0] - 1.5) < 0.05)
    True
    """

    _parameter_constraints: dict = {"sigma": [_POSITIVE]}

    def __init__(self, sigma: float):
        self.sigma = sigma

    def _moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        signal, mean, variance = rician_moments()
        return signal * self.sigma, mean, variance


class ClippedNoise(Stabilizer):
    """White noise that was clipped with the data, and the signal without the bias of that.

    Near an end of the range, what is clipped is missing from the mean. The data are divided
    by sigma; the inverse is the signal, within the range, whose clipped data have the given
    expectation [1]_.

    Parameters
    ----------
    sigma : float
        The standard deviation of the noise before it was clipped.
    low, high : float, default=-inf, inf
        The ends of the range.

    References
    ----------
    .. [1] A. Foi, "Clipped noisy images: heteroskedastic modeling and practical denoising",
       Signal Process. 89(12):2609-2629, 2009. :doi:`10.1016/j.sigpro.2009.04.035`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.noise import ClippedNoise
    >>> noisy = 0.5 + np.random.default_rng(0).normal(size=10_000)
    >>> clipped = np.maximum(noisy, 0)
    >>> unclipped = ClippedNoise(sigma=1.0, low=0.0).fit(clipped)
    >>> bool(abs(unclipped.inverse_transform([clipped.mean()])[0] - 0.5) < 0.05)
    True
    """

    _parameter_constraints: dict = {"sigma": [_POSITIVE], "low": [_NUMBER], "high": [_NUMBER]}

    def __init__(self, sigma: float, low: float = -np.inf, high: float = np.inf):
        self.sigma = sigma
        self.low = low
        self.high = high

    def _learn(self, X: np.ndarray) -> dict[str, Any]:
        if not self.low < self.high:
            raise ValueError(f"low={self.low!r} has to be less than high={self.high!r}.")
        return {}

    def _moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        sigma, low, high = self.sigma, self.low, self.high
        if np.isinf(low) and np.isinf(high):
            wide = np.array([-1e6, 1e6])
            return wide * sigma, wide, np.ones(2)
        if np.isinf(low):  # the same from above
            signal, mean, variance = clipped_moments()
            signal, mean, variance = -signal[::-1], -mean[::-1], variance[::-1]
            start = high
        else:
            signal, mean, variance = clipped_moments(float((high - low) / sigma))
            start = low
        signal, mean = start + sigma * signal, start / sigma + mean
        inside = (signal >= low) & (signal <= high)
        signal, mean, variance = signal[inside], mean[inside], variance[inside]
        if np.isinf(high):
            far = signal[-1] + 1e6 * sigma
            return np.append(signal, far), np.append(mean, far / sigma), np.append(variance, 1.0)
        if np.isinf(low):
            far = signal[0] - 1e6 * sigma
            return np.append(far, signal), np.append(far / sigma, mean), np.append(1.0, variance)
        return signal, mean, variance


def stabilizer_for(curve: NoiseCurve, X: Any) -> Any:
    """Return what makes noise white, and takes the bias from what is denoised.

    Parameters
    ----------
    curve : NoiseCurve
        How the variance of the noise depends on the signal.
    X : array-like of one or more axes
        The noisy data; NaN marks missing entries.

    Returns
    -------
    GeneralizedAnscombe, LogTransform, RicianNoise, ClippedNoise or None
        A transformer, fitted to the data; None if the noise is white as it is.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.noise import NoiseCurve, stabilizer_for
    >>> stabilizer_for(NoiseCurve(gain=2.0, intercept=0.0), np.ones((8, 8)))
    GeneralizedAnscombe(gain=2.0)
    """
    array = np.asarray(X)
    if curve.rician:
        return RicianNoise(curve.rician).fit(X)
    if curve.is_signal_dependent and curve.relative > 0:
        return LogTransform(curve.relative, float(np.sqrt(max(curve.intercept, 0)))).fit(X)
    if curve.is_signal_dependent and curve.gain > 0:
        return GeneralizedAnscombe(curve.gain, *curve.offset_and_read_noise(array)).fit(X)
    if max(curve.clipped_low, curve.clipped_high) > MUCH_CLIPPED and curve.intercept > 0:
        low = float(np.nanmin(array)) if curve.clipped_low > MUCH_CLIPPED else -np.inf
        high = float(np.nanmax(array)) if curve.clipped_high > MUCH_CLIPPED else np.inf
        return ClippedNoise(float(np.sqrt(curve.intercept)), low, high).fit(X)
    return None
