"""The estimated error of an output, and how sure it is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import log_ndtr

from .._utils.arrays import block_sums, has_nan
from ..losses import squared_error
from ..noise.model import NoiseModel

__all__ = ["ErrorEstimate", "error_of", "ratio_of_means", "summarise"]

#: Into how many blocks an array is divided for the confidence interval, at most.
_MOST_BLOCKS = 256

#: Half the width of a 95 % confidence interval, in standard errors.
_QUANTILE = 1.959963984540054


_UNKNOWN = (np.nan, (np.nan, np.nan))

#: An error is unknown if the doubt of the level alone is this share of it: more than 1 dB.
_MOST_DOUBT = 0.3


_MEASURED = "the error is that of the entries that were measured, not of those filled in"


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
    assumptions : tuple of str
        What it rests upon, in words.
    doubts : tuple of str
        Why it is unknown, in words: all numbers are then NaN.
    """

    mse: float
    interval: tuple[float, float]
    data_range: float
    assumptions: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether what it rests upon holds, as far as can be told."""
        return not self.doubts

    def __str__(self) -> str:
        if not self.is_known:
            return f"The error is unknown: {'; '.join(self.doubts)}."
        low, high = self.psnr_interval
        return (
            f"Estimated PSNR: {self.psnr:.2f} dB ({low:.2f} to {high:.2f}), for a peak of "
            f"{self.data_range:.4g}."
        )

    def unknown(self, doubt: str) -> ErrorEstimate:
        """Return the same estimate, unknown for a reason that is given in words."""
        return ErrorEstimate(*_UNKNOWN, self.data_range, self.assumptions, (*self.doubts, doubt))

    @property
    def psnr(self) -> float:
        """The peak signal-to-noise ratio in dB."""
        return self._ratio(self.mse)

    @property
    def psnr_interval(self) -> tuple[float, float]:
        """Its confidence interval of 95 %."""
        low, high = self.interval
        return self._ratio(high), self._ratio(low)

    def _ratio(self, mse: float) -> float:
        if np.isnan(mse):
            return float("nan")
        if mse <= 0:
            return float("inf")
        return float(10 * np.log10(self.data_range**2 / mse)) if self.data_range else -np.inf


def error_of(
    X: np.ndarray, output: np.ndarray, divergence: np.ndarray, noise: NoiseModel
) -> ErrorEstimate:
    """Return the estimated error of an output, given its divergence term."""
    return summarise(squared_error(X, output) + divergence, X, output, noise)


def summarise(
    losses: np.ndarray, X: np.ndarray, output: np.ndarray, noise: NoiseModel, error: float = 0.0
) -> ErrorEstimate:
    """Average the losses of an output, and say how sure the result is.

    Parameters
    ----------
    losses : ndarray
        (h − x)² plus the divergence term, for each entry; NaN where nothing was measured.
    X, output : ndarray of that shape
        The data x, and the output h.
    noise : NoiseModel
        The noise.
    error : float, default=0.0
        A standard error of the mean loss, beside that which the losses show themselves.

    Returns
    -------
    ErrorEstimate
        Their mean less the variance of the noise; unknown where that has doubts.
    """
    variance = noise.variance(X)
    data_range = float(np.ptp(output))
    assumptions = noise.assumptions() + ((_MEASURED,) if has_nan(X) else ())
    if noise.doubts:
        return ErrorEstimate(*_UNKNOWN, data_range, assumptions, noise.doubts)
    excess = losses - variance
    mean = float(np.nanmean(excess, dtype=np.float64))
    blocks = _block_means(excess)
    spread = float(np.std(blocks, ddof=1) ** 2 / len(blocks)) if len(blocks) > 1 else np.inf
    level = 2 * noise.level_error * float(np.nanmean(variance))
    error = float(np.sqrt(spread + level**2 + error**2))
    mse, half = _not_negative(mean, error), _QUANTILE * error
    if level > _MOST_DOUBT * mse:
        doubt = (
            f"the level of the noise is known to {100 * noise.level_error:.2g} %, which tells no "
            f"more than that the mean squared error is below {max(mean + half, mse):.2g}"
        )
        return ErrorEstimate(*_UNKNOWN, data_range, assumptions, (doubt,))
    interval = (max(mean - half, 0.0), max(mean + half, mse))
    return ErrorEstimate(mse, interval, data_range, assumptions)


def ratio_of_means(
    above: np.ndarray, below: np.ndarray, channel: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ratio of two means, of each channel on its own, and its standard error.

    Parameters
    ----------
    above, below : ndarray of the same shape
        The values; those that are NaN in one of them do not count.
    channel : int, default=None
        The axis of channels.

    Returns
    -------
    ratio, error : ndarray that broadcast to that shape
        The ratio is 0 where the lower mean is.
    """
    ratios, errors = [], []
    axis = () if channel is None else (channel,)
    split = [np.moveaxis(values, axis, range(len(axis))) for values in (above, below)]
    pairs = zip(*split, strict=True) if axis else [tuple(split)]
    for a, b in pairs:
        total = np.nanmean(np.where(np.isnan(a), np.nan, b), dtype=np.float64)
        ratio = np.nanmean(np.where(np.isnan(b), np.nan, a), dtype=np.float64) / (total or np.inf)
        blocks = _block_means(a - ratio * b)
        spread = np.std(blocks, ddof=1) / np.sqrt(len(blocks)) if len(blocks) > 1 else np.inf
        ratios.append(ratio)
        errors.append(spread / total if total else 0.0)
    shape = [len(ratios) if a in axis else 1 for a in range(above.ndim)]
    return np.reshape(ratios, shape), np.reshape(errors, shape)


def _not_negative(mean: float, error: float) -> float:
    """Return the expectation of what was measured with a normal error, and is not negative."""
    if not 0 < error < np.inf:
        return max(mean, 0.0)
    x = mean / error
    return mean + error * float(np.exp(-(x**2) / 2 - log_ndtr(x)) / np.sqrt(2 * np.pi))


def _block_means(values: np.ndarray) -> np.ndarray:
    """Return the means of compact blocks of nearly equal size, as float64."""
    parts = max(1, int(_MOST_BLOCKS ** (1 / max(1, sum(n > 1 for n in values.shape)))))
    known = np.isfinite(values)
    total, count = block_sums(np.where(known, values, 0.0), parts), block_sums(known, parts)
    return total[count > 0] / count[count > 0]
