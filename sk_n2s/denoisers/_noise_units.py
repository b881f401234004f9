"""Data in units of their noise, as what combines similar patches takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._utils.threads import one_thread
from ._channels import Channels
from ._mixing import Correlation
from ._scale import noise_relative
from ._steps import Noise

__all__ = ["in_units_of_noise"]

#: Data up to this many units of the noise are worked on in single precision.
_SINGLE = 1e3

#: An entry without noise is taken for one with this share of the noise of the others.
_LEAST = 1e-4

Work = Callable[[np.ndarray, Noise], np.ndarray]


def in_units_of_noise(
    X: np.ndarray, sigma: Any, correlation: Any, channel_axis: int | None, work: Work
) -> np.ndarray:
    """Denoise data in units of their noise, less their mean, on the principal axes of channels.

    Parameters
    ----------
    X : ndarray of float
        The data.
    sigma : float, array-like or None
        The standard deviation of the noise; None estimates it.
    correlation : array-like or None
        The correlation of the noise.
    channel_axis : int or None
        The axis of channels.
    work : callable
        ``work(values, noise)`` returns denoised data of the shape of `values`, in which channels
        come first.

    Returns
    -------
    ndarray of the shape and dtype of `X`
        What `work` makes of them, in the unit of the data.
    """
    space = X.ndim - (channel_axis is not None)
    if correlation is not None:
        correlation = Correlation(correlation, space)
    deviation = _deviation(sigma, X, channel_axis)
    level = float(np.sqrt(np.mean(np.square(deviation, dtype=np.float64))))
    offset = X.dtype.type(np.mean(X, dtype=np.float64))
    values = X - offset
    extent = float(np.abs(values).max())
    if level <= np.finfo(X.dtype).eps * extent:
        return X.copy()  # less noise than the data have digits for
    # In units of the noise, single precision has digits to spare, unless noise is minute.
    unit = 2.0 ** round(np.log2(level))
    if extent >= _SINGLE * unit:
        values = values.astype(np.float64, copy=False)
    values /= values.dtype.type(unit)
    if extent < _SINGLE * unit:
        values = values.astype(np.float32, copy=False)
    variance = np.square(np.maximum(deviation / unit, _LEAST)).astype(values.dtype)
    axis = -1 if channel_axis is None else channel_axis
    if channel_axis is None:
        values, variance = values[..., np.newaxis], variance[..., np.newaxis]
    values, variance = np.moveaxis(values, axis, 0), np.moveaxis(variance, axis, 0)
    if np.ptp(variance) == 0:
        variance = variance[(slice(None), *(0,) * space)]
    # Sums that another number of threads rounds differently would choose other patches. The
    # products are small, and gain nothing from threads.
    with one_thread():
        result = _by_axes(values, Noise(variance, correlation), work)
    result = np.moveaxis(result, 0, axis).reshape(X.shape).astype(X.dtype)
    result *= X.dtype.type(unit)
    result += offset
    return result


def _by_axes(values: np.ndarray, noise: Noise, work: Work) -> np.ndarray:
    """Denoise channels on their principal axes, or one by one if they have nothing in common."""
    if len(values) == 1:
        return work(values, noise)
    channels = Channels(values, noise.variance)
    if channels.are_related:
        variance = channels.variance(noise.variance)
        turned = noise._replace(variance=variance, n_told=channels.n_told)
        return channels.restored(work(channels.turned(values), turned))
    each = zip(values[:, np.newaxis], noise.variance[:, np.newaxis], strict=True)
    return np.concatenate([work(v, noise._replace(variance=s)) for v, s in each])


def _deviation(sigma: Any, X: np.ndarray, channel_axis: int | None) -> np.ndarray:
    """Return the standard deviation of the noise of each entry."""
    if np.ndim(sigma) == 0:
        return np.broadcast_to(noise_relative(sigma, 1.0, X, channel_axis, name="sigma"), X.shape)
    deviation = np.asarray(sigma, dtype=float)
    try:
        fits = np.broadcast_shapes(deviation.shape, X.shape) == X.shape
    except ValueError:
        fits = False
    if not fits or not np.isfinite(deviation).all() or (deviation < 0).any():
        raise ValueError(
            f"sigma of shape {deviation.shape} must hold finite numbers that are not negative, and "
            f"broadcast to the shape {X.shape} of X."
        )
    return np.broadcast_to(deviation, X.shape)
