"""The noise that scores and blends rest upon: as it is given, or estimated with care."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._utils.arrays import split_axes
from .._utils.tiling import middle, sample
from ..denoisers import nl_ridge
from ..denoisers.calling import apply_denoiser
from ..losses import squared_error
from ..masking.fills import MeanFill
from ..noise.estimate import estimate_noise_model
from ..noise.model import NoiseModel, check_noise
from .sure import probed_divergence

__all__ = ["consistent_variance", "noise_of"]

#: Entries that the variance is read from, at most.
_READ = 2**22

#: Entries that are denoised to check the level.
_CHECKED = 2**16

#: What the residuals of `nl_ridge` have of the variance that they would have, were it the
#: posterior mean: measured on 21 images with noise of 8 to 50 of 255.
_CONSISTENT = 0.97

#: With more degrees of freedom than this, residuals tell little of the noise.
_MOST_FREEDOM = 0.6

#: A variance that is corrected to less than this share of itself is checked once more.
_FAR = 0.95
_MOST_CHECKS = 4


def noise_of(
    value: Any, X: Any, channel_axis: int | None = None, batch_axis: int | None = None
) -> NoiseModel:
    """Return the noise in `X`, estimated where `value` is None.

    The estimate is read from up to 4 million entries; the level of images is checked against
    a denoiser.
    """
    if value is not None:
        return check_noise(value, X)
    model = estimate_noise_model(X, channel_axis=channel_axis, batch_axis=batch_axis)
    if not model.is_uniform or model.is_correlated or model.outliers or model.notes:
        return model  # what the check takes for granted is not so
    X, channel_axis, batch_axis = sample(X, channel_axis, batch_axis, _READ)
    variance = float(model.variance(X))
    return model.replace(level=np.sqrt(consistent_variance(X, variance, channel_axis, batch_axis)))


def consistent_variance(
    X: np.ndarray, variance: float, channel_axis: int | None = None, batch_axis: int | None = None
) -> float:
    """Lower an estimated variance of the noise until a denoiser agrees with it.

    Estimates from differences of neighbours count fine texture as noise. A denoiser knows
    better: of a posterior mean h the error is σ² times its degrees of freedom per entry, by
    Tweedie's formula, and with Stein's estimate of that error the mean of (h − x)² is σ²
    times one minus these. It is `nl_ridge` that is asked, on the middle of the data.

    Parameters
    ----------
    X : ndarray of float
        The noisy data; NaN marks missing entries.
    variance : float
        The variance of the noise, estimated.
    channel_axis, batch_axis : int or None
        As for `estimate_noise`.

    Returns
    -------
    float
        The variance: `variance` or less. It is returned as it is for other data than images
        of one channel, where denoiser and estimate are no better than each other.

    Notes
    -----
    On 21 images, the mean error of the standard deviation is 1.3 % for noise of 15/255 and
    0.7 % for noise of 25/255; without the check it is 2.4 % and 1.2 %.

    References
    ----------
    .. [1] B. Efron, "Tweedie's formula and selection bias", J. Am. Stat. Assoc.
       106(496):1602-1614, 2011. :doi:`10.1198/jasa.2011.tm11181`
    """
    channel, batch, axes = split_axes(X.ndim, channel_axis, batch_axis)
    if channel is not None or len(axes) != 2 or not variance > 0:
        return variance
    X = X[middle(X.shape, _CHECKED, channel, batch)]
    missing = np.isnan(X)
    if missing.any():
        X = MeanFill()(X, missing, axes)
    for _ in range(_MOST_CHECKS):
        params = {"sigma": float(np.sqrt(variance)), "step": 6}

        def denoise(shown: np.ndarray, params: dict = params) -> np.ndarray:
            return apply_denoiser(nl_ridge, shown, params, channel_axis=None, batch_axis=batch)

        output = denoise(X)
        freedom = float(
            np.mean(probed_divergence(denoise, X, output, NoiseModel(np.sqrt(variance))))
        ) / (2 * variance)
        if not 0 <= freedom <= _MOST_FREEDOM:
            break
        residual = float(np.mean(squared_error(X, output)[~missing], dtype=np.float64))
        before, variance = variance, min(variance, residual / (1 - freedom) / _CONSISTENT)
        if variance > _FAR * before:
            break
    return variance
