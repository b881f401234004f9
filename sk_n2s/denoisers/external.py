"""Denoisers of other packages, which are asked for when they are called."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft

from .._utils.arrays import split_axes
from ._input import as_data
from ._scale import noise_relative

__all__ = ["bm3d"]


def bm3d(
    X: ArrayLike, *, sigma: float | None = None, channel_axis: int | None = None
) -> np.ndarray:
    """BM3D: similar patches of an image are stacked and shrunk together.

    This calls the package ``bm3d`` of its authors, which is no dependency of this one
    (``pip install bm3d``) and **whose licence allows non-commercial use only**. For that
    reason it is not among `DENOISERS`.

    Parameters
    ----------
    X : ndarray of float, 2 axes, and one of channels
        The image.
    sigma : float, default=None
        The standard deviation of the noise, in the unit of the data. None takes what
        `estimate_noise` reads in `X`.
    channel_axis : int, default=None
        An axis of channels. Similar patches are looked for in their mean.

    Returns
    -------
    ndarray of the shape and dtype of `X`
        The denoised image.

    Raises
    ------
    ImportError
        If the package ``bm3d`` is not installed.
    ValueError
        If `sigma` or the number of axes does not fit.

    Notes
    -----
    BM3D's limits for similar patches suit images from 0 to 1. The data are brought to that
    range before, and taken back after.

    References
    ----------
    .. [1] K. Dabov, A. Foi, V. Katkovnik and K. Egiazarian, "Image denoising by sparse 3-D
       transform-domain collaborative filtering", IEEE Trans. Image Process.
       16(8):2080-2095, 2007. :doi:`10.1109/TIP.2007.901238`
    .. [2] Y. Mäkinen, L. Azzari and A. Foi, "Collaborative filtering of correlated noise:
       exact transform-domain variance for improved shrinkage and patch matching", IEEE
       Trans. Image Process. 29:8339-8354, 2020. :doi:`10.1109/TIP.2020.3014721`
    """
    try:
        from bm3d import bm3d as filter_image
    except ImportError as error:
        raise ImportError(
            "bm3d needs the package of that name, whose licence allows non-commercial use only: "
            "pip install bm3d."
        ) from error
    X = as_data(X)
    ndim = len(split_axes(X.ndim, channel_axis, None)[2])
    if ndim != 2:
        raise ValueError(
            f"X of shape {X.shape} has {ndim} axes, and bm3d takes images of 2: give the others "
            "as batch_axis or channel_axis."
        )
    sigma = noise_relative(sigma, 1.0, X, channel_axis, name="sigma")
    low, extent = float(X.min()), float(np.ptp(X))
    if sigma == 0 or extent == 0:
        return X.copy()
    image = (X - X.dtype.type(low)) / X.dtype.type(extent)
    if channel_axis is None:
        result = filter_image(image, sigma / extent).reshape(X.shape)
    else:
        # White noise stays white, and the first channel, where bm3d looks, is the mean.
        mixed = fft.dct(np.moveaxis(image, channel_axis, -1), axis=-1, norm="ortho")
        found = filter_image(mixed, sigma / extent).reshape(mixed.shape)
        result = np.moveaxis(fft.idct(found, axis=-1, norm="ortho"), -1, channel_axis)
    result = result.astype(X.dtype)
    result *= X.dtype.type(extent)
    result += X.dtype.type(low)
    return result
