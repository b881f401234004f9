"""The noise that scores and blends rest upon: as it is given, or estimated with care."""

from __future__ import annotations

import numpy as np

from ._arrays import split_axes
from ._calling import apply_denoiser
from .denoisers import nl_ridge
from .fills import MeanFill
from .losses import squared_error
from .noise import NoiseCurve, estimate_noise, estimate_noise_curve
from .pieces import middle, sample
from .risk import probed_penalty

__all__ = ["axes_of", "check_noise_variance", "consistent_variance"]

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


def axes_of(estimator, ndim: int) -> tuple[int | None, int | None]:
    """Return the axes along which the entries of an estimator's data are not neighbours.

    Parameters
    ----------
    estimator : estimator
        It says so by a method of this name, or by its parameters.
    ndim : int
        The number of axes of the data.

    Returns
    -------
    channel_axis, batch_axis : int or None
        The axes of channels and of independent items.
    """
    if hasattr(estimator, "axes_of"):
        return estimator.axes_of(ndim)
    return getattr(estimator, "channel_axis", None), getattr(estimator, "batch_axis", None)


def check_noise_variance(value, X, channel_axis: int | None = None, batch_axis: int | None = None):
    """Return the variance of the noise in `X`, estimated where it is not given.

    Parameters
    ----------
    value : float, array-like, NoiseCurve or None
        The variance, or one that broadcasts to the shape of `X`, or how it depends on the
        signal; None estimates it: as a curve if it grows with the signal beyond doubt, and
        otherwise as a number, for images checked against a denoiser.
    X : ndarray of float or dask array
        The noisy data; of more than 4 million entries, as many are looked at.
    channel_axis, batch_axis : int or None
        As for `estimate_noise`.

    Returns
    -------
    float, ndarray or NoiseCurve
        The variance.

    Raises
    ------
    ValueError
        If `value` is negative or not finite, or does not fit the shape.
    """
    if value is None:
        X, channel_axis, batch_axis = sample(X, channel_axis, batch_axis, _READ)
        curve = estimate_noise_curve(X, channel_axis=channel_axis, batch_axis=batch_axis)
        if curve.is_signal_dependent:
            return curve
        variance = estimate_noise(X, channel_axis=channel_axis, batch_axis=batch_axis) ** 2
        return consistent_variance(X, variance, channel_axis, batch_axis)
    if isinstance(value, NoiseCurve):
        return value
    try:
        given = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(
            f"noise_variance={value!r} must be a number, an array of numbers, a NoiseCurve, "
            "or None."
        ) from None
    try:
        fits = np.broadcast_shapes(given.shape, X.shape) == X.shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"noise_variance of shape {given.shape} does not broadcast to the shape {X.shape} "
            "of X: give one number, or one for each entry."
        )
    if not np.isfinite(given).all() or (given < 0).any():
        raise ValueError(f"noise_variance={value!r} must be finite and not negative.")
    return float(given) if given.ndim == 0 else given


def consistent_variance(
    X, variance: float, channel_axis: int | None = None, batch_axis: int | None = None
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

        def denoise(shown, params=params):
            return apply_denoiser(nl_ridge, shown, params, channel_axis=None, batch_axis=batch)

        output = denoise(X)
        freedom = float(np.mean(probed_penalty(denoise, X, output, variance))) / (2 * variance)
        if not 0 <= freedom <= _MOST_FREEDOM:
            break
        residual = float(np.mean(squared_error(X, output)[~missing], dtype=np.float64))
        before, variance = variance, min(variance, residual / (1 - freedom) / _CONSISTENT)
        if variance > _FAR * before:
            break
    return variance
