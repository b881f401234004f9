"""Wavelet shrinkage."""

from __future__ import annotations

from itertools import product

import numpy as np
from skimage.restoration import denoise_wavelet

from .._utils.arrays import per_axis, split_axes
from ._scale import binary_unit, noise_relative
from .locality import reaches

__all__ = ["wavelet"]


#: From this distance, coefficients hardly depend on the data, but for their thresholds.
_HARDLY = 32


@reaches(_HARDLY, exactly=False)
def wavelet(
    X,
    *,
    sigma=None,
    wavelet="db2",
    mode="soft",
    shrinkage="bayes",
    wavelet_levels=None,
    max_shifts=1,
    channel_axis=None,
):
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
    mode : {"soft", "hard"}, default="soft"
        Whether coefficients above the threshold are moved towards zero or kept.
    shrinkage : {"bayes", "universal"}, default="bayes"
        BayesShrink, a threshold for each band, or VisuShrink, one universal threshold.
    wavelet_levels : int, default=None
        The number of levels; None takes three fewer than fit.
    max_shifts : int or tuple of int, default=1
        The array is shifted by 0 to `max_shifts` entries along each axis, denoised and
        shifted back, and the results are averaged: (max_shifts + 1)ⁿ transforms in n axes.
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
    methods = {"bayes": "BayesShrink", "universal": "VisuShrink"}
    if shrinkage not in methods:
        raise ValueError(f"shrinkage={shrinkage!r} must be one of {sorted(methods)}.")
    axes = split_axes(X.ndim, channel_axis, None)[2]
    shifts = per_axis(max_shifts, len(axes), name="max_shifts")
    sigma = noise_relative(sigma, 1.0, X, channel_axis, name="sigma")
    if sigma == 0 or np.ptp(X) == 0:
        return X.copy()
    unit = binary_unit(X)
    X = X / X.dtype.type(unit)
    total = np.zeros_like(X)
    steps = list(product(*(range(s + 1) for s in shifts)))
    for step in steps:
        shifted = denoise_wavelet(
            np.roll(X, step, axis=axes),
            sigma=sigma / unit,
            wavelet=wavelet,
            mode=mode,
            wavelet_levels=wavelet_levels,
            method=methods[shrinkage],
            rescale_sigma=False,
            channel_axis=channel_axis,
        )
        total += np.roll(shifted, [-s for s in step], axis=axes)
    total *= X.dtype.type(unit / len(steps))
    return total
