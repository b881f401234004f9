"""How far an output is from the truth, estimated without it: Stein's unbiased risk.

For an output h of data x with noise of variance σ², the mean of
(h − x)² + 2σ²·∂hᵢ/∂xᵢ is the true error plus the variance of the noise. A J-invariant
output has no derivative by its own entry, and leaves the self-supervised loss; a blend of
it with x has 1 − λ; that of any other denoiser is probed with a small change of the data.
All outputs are thus compared on one scale.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import log_ndtr

from ._arrays import block_sums, squares_fit

__all__ = [
    "LEVEL_ERROR",
    "ErrorEstimate",
    "output_and_penalty",
    "penalty_of",
    "probed_penalty",
    "summarise",
]

#: The standard error of a variance of the noise that is estimated, as a share of it.
LEVEL_ERROR = 0.02

#: The probe's step, in standard deviations of the noise: large enough for what jumps, as
#: hard thresholds do, and small enough to be a derivative.
_STEP = 0.1

#: Into how many blocks an array is divided for the confidence interval, at most.
_MOST_BLOCKS = 256

#: Half the width of a 95 % confidence interval, in standard errors.
_QUANTILE = 1.959963984540054


def probed_penalty(
    denoise: Callable[[np.ndarray], np.ndarray], X, denoised, noise_variance, random_state: int = 0
) -> np.ndarray:
    """Return 2σ²·∂hᵢ/∂xᵢ for each entry, from one more call of the denoiser.

    Parameters
    ----------
    denoise : callable
        The denoiser h.
    X : ndarray of float
        The noisy data, without NaN.
    denoised : ndarray of the same shape
        Its output for `X`.
    noise_variance : float or ndarray that broadcasts to that shape
        The variance σ² of the noise.
    random_state : int, default=0
        Seed of the signs bᵢ of the probe. The same for all that are to be compared.

    Returns
    -------
    ndarray of that shape, of float64
        2σ²·bᵢ·(h(x + εb) − h(x))ᵢ/ε, whose *mean* estimates that of the penalty; a single
        value is that of its entry plus noise of the probe.

    References
    ----------
    .. [1] S. Ramani, T. Blu and M. Unser, "Monte-Carlo SURE: a black-box optimization of
       regularization parameters for general denoising algorithms", IEEE Trans. Image
       Process. 17(9):1540-1554, 2008. :doi:`10.1109/TIP.2008.2001404`
    """
    level = float(np.sqrt(np.mean(noise_variance)))
    if level == 0:
        return np.zeros(X.shape)
    step = X.dtype.type(_STEP * level)
    signs = np.random.default_rng(random_state).integers(0, 2, X.shape, dtype=np.int8) * 2 - 1
    change = denoise(X + signs * step) - denoised
    change *= signs
    change /= step
    return penalty_of(change, noise_variance)


def penalty_of(derivative: np.ndarray, noise_variance) -> np.ndarray:
    """Return 2σ²·∂hᵢ/∂xᵢ.

    Parameters
    ----------
    derivative : ndarray
        The derivatives.
    noise_variance : float or ndarray that broadcasts to its shape
        The variance σ² of the noise.

    Returns
    -------
    ndarray
        The penalty, of the dtype of the derivatives if σ² fits into that.
    """
    factor = np.asarray(2 * np.asarray(noise_variance, np.float64))
    dtype = derivative.dtype if squares_fit(float(np.mean(factor))) else np.float64
    return np.multiply(derivative, factor, dtype=dtype)


def output_and_penalty(estimator, X, noise_variance) -> tuple[np.ndarray, np.ndarray]:
    """Return the output of a fitted estimator, and 2σ²·∂hᵢ/∂xᵢ.

    Parameters
    ----------
    estimator : estimator
        A `JInvariantWrapper`, or any other that is J-invariant.
    X : ndarray of float
        The noisy data.
    noise_variance : float, ndarray or NoiseCurve
        The variance σ² of the noise.

    Returns
    -------
    output : ndarray of the shape of `X`
        The output.
    penalty : ndarray that broadcasts to that shape
        The penalty, 0 for what is J-invariant.
    """
    if hasattr(estimator, "output_and_penalty"):
        return estimator.output_and_penalty(X, noise_variance)
    return estimator.transform(X), np.zeros(())


class ErrorEstimate(NamedTuple):
    """An estimate of the true mean squared error.

    Attributes
    ----------
    mse : float
        The mean squared error, in the squared unit of the data. Where the measured one is
        no larger than its own error, or negative, this is what to expect nevertheless.
    interval : tuple of float
        Its confidence interval of 95 %.
    data_range : float
        The difference of the largest and the smallest value of the output, the peak of
        the signal-to-noise ratio.
    """

    mse: float
    interval: tuple[float, float]
    data_range: float

    @property
    def psnr(self) -> float:
        """The peak signal-to-noise ratio in dB."""
        return self._ratio(self.mse)

    @property
    def psnr_interval(self) -> tuple[float, float]:
        """Its confidence interval of 95 %."""
        low, high = self.interval
        return self._ratio(high), self._ratio(low)

    def _ratio(self, mse):
        if mse <= 0:
            return float("inf")
        return float(10 * np.log10(self.data_range**2 / mse)) if self.data_range else -np.inf


def summarise(losses, noise_variance, output, variance_error: float = 0.0) -> ErrorEstimate:
    """Average the losses of an output, and say how sure the result is.

    Parameters
    ----------
    losses : ndarray
        (h − x)² + 2σ²·∂hᵢ/∂xᵢ for each entry; NaN where nothing was measured.
    noise_variance : float or ndarray that broadcasts to that shape
        The variance of the noise.
    output : ndarray of that shape
        The output.
    variance_error : float, default=0.0
        The standard error of `noise_variance`, if it was estimated.

    Returns
    -------
    ErrorEstimate
        The estimate. Neighbours are dependent, so that the units of its confidence
        interval are blocks of the array.
    """
    excess = losses - noise_variance
    mean = float(np.nanmean(excess, dtype=np.float64))
    blocks = _block_means(excess)
    spread = float(np.std(blocks, ddof=1) ** 2 / len(blocks)) if len(blocks) > 1 else np.inf
    error = float(np.sqrt(spread + variance_error**2))
    half = _QUANTILE * error
    mse = _not_negative(mean, error)
    return ErrorEstimate(mse, (max(mean - half, 0.0), max(mean + half, mse)), float(np.ptp(output)))


def _not_negative(mean: float, error: float) -> float:
    """Return the expectation of what was measured with a normal error, and is not negative."""
    if not 0 < error < np.inf:
        return max(mean, 0.0)
    x = mean / error
    return mean + error * float(np.exp(-(x**2) / 2 - log_ndtr(x)) / np.sqrt(2 * np.pi))


def _block_means(values) -> np.ndarray:
    """Return the means of compact blocks of nearly equal size, as float64."""
    parts = max(1, int(_MOST_BLOCKS ** (1 / max(1, sum(n > 1 for n in values.shape)))))
    known = np.isfinite(values)
    total, count = block_sums(np.where(known, values, 0.0), parts), block_sums(known, parts)
    return total[count > 0] / count[count > 0]
