"""Wavelet shrinkage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from math import log, sqrt

import numpy as np
import pywt
from numpy.typing import ArrayLike

from .._utils.arrays import per_axis, split_axes
from ._input import as_data
from ._scale import binary_unit, noise_relative
from .traits import declare

__all__ = ["wavelet"]

#: From this distance, coefficients depend little on the data, except for their thresholds.
_LITTLE = 32

#: The coarsest levels hold more signal than noise, and are left as they are.
_COARSEST = 3


@declare(reach=_LITTLE, exactly=False, releases_gil=True)
def wavelet(
    X: ArrayLike,
    *,
    sigma: float | None = None,
    wavelet: str = "db2",
    mode: str = "soft",
    shrinkage: str = "bayes",
    wavelet_levels: int | Sequence[int] | None = None,
    max_shifts: int | Sequence[int] = 1,
    shift_step: int = 1,
    channel_axis: int | None = None,
) -> np.ndarray:
    """Wavelet shrinkage, averaged over shifts of the array (cycle spinning).

    Parameters
    ----------
    X : ndarray of float, any number of axes
        The data.
    sigma : float, default=None
        The noise level that sets the thresholds, in the unit of the data. None takes what
        `estimate_noise` reads in `X`.
    wavelet : str, default="db2"
        An orthogonal wavelet, by PyWavelets' name.
    mode : {"soft", "hard", "garrote"}, default="soft"
        Whether coefficients above the threshold are moved towards zero by it, kept, or moved by
        the less the larger they are (the non-negative garrote).
    shrinkage : {"bayes", "universal"}, default="bayes"
        BayesShrink, a threshold for each band, or VisuShrink, one universal threshold.
    wavelet_levels : int or tuple of int, default=None
        The number of levels, along all axes or along each, of which no more are made than
        fit. None takes three fewer than fit, and at least one.
    max_shifts : int or tuple of int, default=1
        The array is shifted by 0 to `max_shifts` entries along each axis, denoised and
        shifted back, and the results are averaged: (max_shifts + 1)ⁿ transforms in n axes.
    shift_step : int, default=1
        Distance between shifts. Larger ones, odd by preference, serve coarse levels as well.
    channel_axis : int, default=None
        An axis of channels, each of which is denoised on its own.

    Returns
    -------
    ndarray of the shape and dtype of `X`
        The denoised data.

    Raises
    ------
    ValueError
        If a parameter does not fit.

    References
    ----------
    .. [1] S. G. Chang, B. Yu and M. Vetterli, "Adaptive wavelet thresholding for image
       denoising and compression", IEEE Trans. Image Process. 9(9):1532-1546, 2000.
       :doi:`10.1109/83.862633`
    .. [2] R. R. Coifman and D. L. Donoho, "Translation-invariant de-noising", in Wavelets
       and Statistics, Springer, 1995. :doi:`10.1007/978-1-4612-2544-7_9`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.denoisers import wavelet
    >>> line = np.linspace(0, 10, 512)
    >>> noisy = line + np.random.default_rng(0).normal(size=512)
    >>> bool(np.std(wavelet(noisy, sigma=1.0) - line) < 0.5 * np.std(noisy - line))
    True
    """
    X = as_data(X)
    for name, value, known in (
        ("shrinkage", shrinkage, ["bayes", "universal"]),
        ("mode", mode, ["garrote", "hard", "soft"]),
    ):
        if value not in known:
            raise ValueError(f"{name}={value!r} must be one of {known}.")
    axes = split_axes(X.ndim, channel_axis, None)[2]
    basis = pywt.Wavelet(wavelet)
    levels = _levels([X.shape[axis] for axis in axes], basis, wavelet_levels)
    shifts = per_axis(max_shifts, len(axes), name="max_shifts")
    sigma = noise_relative(sigma, 1.0, X, channel_axis, name="sigma")
    if sigma == 0 or np.ptp(X) == 0:
        return X.copy()
    unit = binary_unit(X)
    values = X / X.dtype.type(unit)
    channels = values[np.newaxis] if channel_axis is None else np.moveaxis(values, channel_axis, 0)
    shrink = partial(_shrunk, mode=mode, shrinkage=shrinkage, sigma=sigma / unit)
    result = np.zeros_like(channels)
    apart = per_axis(shift_step, 1, name="shift_step", minimum=1)[0]
    steps = list(product(*(range(0, apart * s + 1, apart) for s in shifts)))
    for channel, total in zip(channels, result, strict=True):
        for step in steps:
            shifted = np.roll(channel, step, axis=range(channel.ndim))
            once = _reconstructed(shifted, basis, levels, partial(shrink, size=channel.size))
            total += np.roll(once, [-s for s in step], axis=range(channel.ndim))
    result *= X.dtype.type(unit / len(steps))
    return result[0] if channel_axis is None else np.moveaxis(result, 0, channel_axis)


def _levels(
    shape: list[int], basis: pywt.Wavelet, wanted: int | Sequence[int] | None
) -> tuple[int, ...]:
    """Return the number of levels along each axis; one fits along any axis of two entries."""
    most = [max(pywt.dwt_max_level(n, basis.dec_len), min(n - 1, 1)) for n in shape]
    if wanted is None:
        return tuple(max(m - _COARSEST, min(m, 1)) for m in most)
    given = per_axis(wanted, len(shape), name="wavelet_levels")
    return tuple(min(pair) for pair in zip(most, given, strict=True))


def _reconstructed(
    values: np.ndarray, basis: pywt.Wavelet, levels: tuple[int, ...], shrink: Callable
) -> np.ndarray:
    """Transform the axes that have levels left, shrink the details, and transform back."""
    axes = [axis for axis, n in enumerate(levels) if n > 0]
    if not axes:
        return values
    bands = pywt.dwtn(values, basis, axes=axes)
    coarse = "a" * len(axes)
    rest = tuple(n - 1 for n in levels)
    for name, band in bands.items():
        bands[name] = _reconstructed(band, basis, rest, shrink) if name == coarse else shrink(band)
    # Of an odd length, there is one entry too many.
    return pywt.idwtn(bands, basis, axes=axes)[tuple(map(slice, values.shape))]


def _shrunk(band: np.ndarray, *, mode: str, shrinkage: str, sigma: float, size: int) -> np.ndarray:
    """Return the coefficients of a band, of an array of some size, beyond the threshold."""
    if shrinkage == "universal":
        limit = sigma * sqrt(2 * log(size))
    else:
        power = float(np.mean(np.square(band), dtype=np.float64)) - sigma**2
        limit = sigma**2 / sqrt(max(power, float(np.finfo(band.dtype).eps)))
    if mode == "garrote":
        with np.errstate(divide="ignore", over="ignore"):
            return band * np.maximum(0, 1 - np.square(limit / band))
    return pywt.threshold(band, limit, mode=mode)
