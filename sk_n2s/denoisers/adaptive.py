"""Averages whose weights adapt to the data: the bilateral filter and non-local means."""

from __future__ import annotations

from itertools import product
from math import ceil

import numpy as np
from numpy.typing import ArrayLike
from skimage.restoration import denoise_nl_means

from .._utils.arrays import per_axis
from ._input import as_data
from ._scale import binary_unit, noise_relative, non_negative
from .traits import declare

__all__ = ["bilateral", "nl_means"]


@declare(
    reach=lambda ndim, *, sigma_spatial, radius, **_: (
        max(2, ceil(3 * sigma_spatial)) if radius is None else radius
    ),
    estimates="sigma_color",
    releases_gil=True,
)
def bilateral(
    X: ArrayLike,
    *,
    sigma_color: float | None = None,
    sigma_spatial: float = 1.0,
    radius: int | None = None,
    channel_axis: int | None = None,
) -> np.ndarray:
    """Average over entries that are near and have a similar value.

    The weight of an entry at distance d whose value differs by v is
    exp(−d²/2·sigma_spatial² − v²/2·sigma_color²); the window is cut off at the border.

    Parameters
    ----------
    X : ndarray of float, any number of axes
        The data.
    sigma_color : float, default=None
        Which difference of values counts as similar, in the unit of the data. None takes
        twice the noise level that `estimate_noise` reads in `X`.
    sigma_spatial : float, default=1.0
        Standard deviation of the weight over distance, in entries.
    radius : int, default=None
        The window reaches this far along each axis; None takes ``ceil(3 * sigma_spatial)``,
        and at least 2.
    channel_axis : int, default=None
        An axis of channels: an entry's value is then the vector of its channels.

    Returns
    -------
    ndarray of the shape and dtype of `X`
        The filtered data.

    Raises
    ------
    ValueError
        If a parameter does not fit.

    Notes
    -----
    Unlike scikit-image's filter, which is made for images, this one takes any number of
    axes and values of any sign, and has no table that rounds the weights.

    References
    ----------
    .. [1] C. Tomasi and R. Manduchi, "Bilateral filtering for gray and color images",
       ICCV 1998, 839-846. :doi:`10.1109/ICCV.1998.710815`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.denoisers import bilateral
    >>> bilateral(np.array([0.0, 0.2, 9.0, 9.2]), sigma_color=1.0).round(1)
    array([0.1, 0.1, 9.1, 9.1])
    """
    X = as_data(X)
    sigma_color = noise_relative(sigma_color, 2.0, X, channel_axis, name="sigma_color")
    sigma_spatial = non_negative(sigma_spatial, name="sigma_spatial")
    if sigma_color == 0 or sigma_spatial == 0:
        return X.copy()  # nothing else is near, or similar
    if radius is None:
        radius = max(2, ceil(3 * sigma_spatial))
    values = X[..., np.newaxis] if channel_axis is None else np.moveaxis(X, channel_axis, -1)
    *sides, _ = values.shape
    radius = per_axis(radius, 1, name="radius", minimum=1)[0]
    total, count = values.copy(), np.ones(values.shape[:-1] + (1,), values.dtype)
    for offset in product(range(-radius, radius + 1), repeat=len(sides)):
        if offset <= (0,) * len(sides) or any(
            abs(d) >= n for d, n in zip(offset, sides, strict=True)
        ):
            continue  # a pair of entries has one weight, which serves both of them
        here = tuple(slice(max(0, -d), n - max(0, d)) for d, n in zip(offset, sides, strict=True))
        there = tuple(slice(max(0, d), n - max(0, -d)) for d, n in zip(offset, sides, strict=True))
        difference = values[there] - values[here]
        difference /= values.dtype.type(sigma_color)  # before the square, which might underflow
        exponent = np.square(difference, out=difference).sum(axis=-1, keepdims=True)
        exponent += values.dtype.type(sum(d * d for d in offset) / sigma_spatial**2)
        exponent *= values.dtype.type(-0.5)
        weight = np.exp(exponent, out=exponent)
        total[here] += weight * values[there]
        total[there] += weight * values[here]
        count[here] += weight
        count[there] += weight
    total /= count
    return total[..., 0] if channel_axis is None else np.moveaxis(total, -1, channel_axis)


@declare(
    reach=lambda ndim, *, patch_size, patch_distance, **_: patch_size // 2 + patch_distance + 1,
    estimates="h",
    releases_gil=True,
)
def nl_means(
    X: ArrayLike,
    *,
    h: float | None = None,
    sigma: float = 0.0,
    patch_size: int = 5,
    patch_distance: int = 6,
    fast_mode: bool = True,
    channel_axis: int | None = None,
) -> np.ndarray:
    """Non-local means: average over entries whose surroundings look alike.

    Parameters
    ----------
    X : ndarray of float, 1 to 4 axes
        The data; the slow mode takes up to 3 axes.
    h : float, default=None
        The decay of the weights with the distance between patches, in the unit of the
        data; larger is smoother. None takes 0.8 times the noise level that
        `estimate_noise` reads in `X`.
    sigma : float, default=0.0
        The standard deviation of the noise, in the unit of the data; what it contributes
        to the distances is subtracted.
    patch_size : int, default=5
        Side of the patches.
    patch_distance : int, default=6
        Largest distance between patches, along each axis.
    fast_mode : bool, default=True
        Whether all entries of a patch weigh the same, which is much faster; otherwise a
        Gaussian weighs them.
    channel_axis : int, default=None
        An axis of channels, whose distances are added.

    Returns
    -------
    ndarray of the shape and dtype of `X`
        The denoised data.

    Raises
    ------
    ValueError
        If a parameter or the number of axes does not fit.

    References
    ----------
    .. [1] A. Buades, B. Coll and J.-M. Morel, "A non-local algorithm for image denoising",
       CVPR 2005, 2:60-65. :doi:`10.1109/CVPR.2005.38`
    .. [2] J. Darbon et al., "Fast nonlocal filtering applied to electron cryomicroscopy",
       ISBI 2008, 1331-1334. :doi:`10.1109/ISBI.2008.4541250`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.denoisers import nl_means
    >>> stripes = np.tile([0.0, 0.0, 0.0, 9.0, 9.0, 9.0], (24, 4))
    >>> noisy = stripes + np.random.default_rng(0).normal(size=stripes.shape)
    >>> bool(np.std(nl_means(noisy, h=1.0) - stripes) < 0.4 * np.std(noisy - stripes))
    True
    """
    X = as_data(X)
    for name, value in (("patch_size", patch_size), ("patch_distance", patch_distance)):
        per_axis(value, 1, name=name, minimum=1)
    ndim = X.ndim - (channel_axis is not None)
    most = 4 if fast_mode else 3
    if ndim > most:
        raise ValueError(
            f"X of shape {X.shape} has {ndim} axes, and nl_means with fast_mode={fast_mode} takes "
            f"at most {most}: give the others as batch_axis or channel_axis."
        )
    h = noise_relative(h, 0.8, X, channel_axis, name="h")
    if h == 0:
        return X.copy()  # no other patch is alike
    if channel_axis is not None:
        X = np.moveaxis(X, channel_axis, -1)
    unit = binary_unit(X)  # or the square of h would underflow in single precision
    image = X / X.dtype.type(unit)
    result = denoise_nl_means(
        image[np.newaxis] if ndim == 1 else image,
        patch_size=patch_size,
        patch_distance=patch_distance,
        h=h / unit,
        sigma=non_negative(sigma, name="sigma") / unit,
        fast_mode=fast_mode,
        preserve_range=True,
        channel_axis=None if channel_axis is None else -1,
    ).reshape(X.shape)
    result *= X.dtype.type(unit)
    return result if channel_axis is None else np.moveaxis(result, -1, channel_axis)
