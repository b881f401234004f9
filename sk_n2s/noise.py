"""What the noise is like, from the noisy array alone."""

from __future__ import annotations

import numpy as np
import pywt

from ._arrays import as_float_array, split_axes
from .fills import MeanFill

__all__ = ["check_noise_variance", "estimate_noise"]

#: The median of the absolute value of a standard normal variable.
_MEDIAN_OF_NORMAL = 0.6744897501960817


def estimate_noise(X, *, channel_axis: int | None = None, batch_axis: int | None = None) -> float:
    """Estimate the standard deviation of white Gaussian noise.

    The median absolute value of the finest diagonal wavelet coefficients, which hold
    little but noise, divided by its expectation for unit noise. Fine texture counts as
    noise: on strongly textured images the estimate is a few per cent too high.

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
        The standard deviation, in the unit of the data.

    References
    ----------
    .. [1] D. L. Donoho and I. M. Johnstone, "Ideal spatial adaptation by wavelet
       shrinkage", Biometrika 81(3):425-455, 1994. :doi:`10.1093/biomet/81.3.425`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.noise import estimate_noise
    >>> noise = np.random.default_rng(0).normal(scale=2.0, size=(256, 256))
    >>> round(estimate_noise(noise), 1)
    2.0
    """
    X = as_float_array(X)
    axes = split_axes(X.ndim, channel_axis, batch_axis)[2]
    axes = tuple(a for a in axes if X.shape[a] > 1)
    if not axes:
        return 0.0
    missing = np.isnan(X)
    if missing.any():
        X = MeanFill()(X, missing, axes)
    finest = np.abs(pywt.dwtn(X, "db2", axes=axes)["d" * len(axes)])
    # Zeros, up to rounding, come from constant areas and not from noise.
    finest = finest[finest > 8 * np.finfo(X.dtype).eps * np.abs(X).max()]
    return float(np.median(finest) / _MEDIAN_OF_NORMAL) if finest.size else 0.0


def check_noise_variance(value, X, *, channel_axis: int | None, batch_axis: int | None):
    """Return the variance of the noise in `X`, estimated where it is not given.

    Parameters
    ----------
    value : float, array-like or None
        The variance, or one that broadcasts to the shape of `X`; None estimates it.
    X : ndarray of float
        The noisy data.
    channel_axis, batch_axis : int or None
        As for `estimate_noise`.

    Returns
    -------
    float or ndarray
        The variance.

    Raises
    ------
    ValueError
        If `value` is negative or not finite, or does not fit the shape.
    """
    if value is None:
        return estimate_noise(X, channel_axis=channel_axis, batch_axis=batch_axis) ** 2
    try:
        variance = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(
            f"noise_variance={value!r} must be a number, an array of numbers, or None."
        ) from None
    try:
        fits = np.broadcast_shapes(variance.shape, X.shape) == X.shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"noise_variance of shape {variance.shape} does not broadcast to the shape {X.shape} "
            "of X: give one number, or one for each entry."
        )
    if not np.isfinite(variance).all() or (variance < 0).any():
        raise ValueError(f"noise_variance={value!r} must be finite and not negative.")
    return float(variance) if variance.ndim == 0 else variance
