"""Total variation."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from skimage.restoration import denoise_tv_bregman

from .._utils.arrays import per_axis, split_axes
from ._input import as_data
from ._scale import binary_unit, noise_relative
from .traits import declare

__all__ = ["tv", "tv_bregman"]

#: How far an image is mirrored: beyond that, scikit-image holds the noisy values.
_MARGIN = 8

#: From this distance, the solution depends little on the data.
_LITTLE = 32


@declare(reach=lambda ndim, *, num_iter, **_: num_iter + 1, estimates="weight", releases_gil=True)
def tv(
    X: ArrayLike,
    *,
    weight: float | None = None,
    num_iter: int = 30,
    channel_axis: int | None = None,
) -> np.ndarray:
    """Total-variation denoising by the fast gradient projection method.

    Minimises ½‖u − x‖² + weight · TV(u), with the isotropic total variation: piecewise
    constant arrays with sharp edges.

    Parameters
    ----------
    X : ndarray of float, any number of axes
        The data.
    weight : float, default=None
        The strength, in the unit of the data; larger is smoother. None takes the noise
        level that `estimate_noise` reads in `X`.
    num_iter : int, default=30
        The number of iterations. Weights that are large beside the noise need more to
        come near the minimum.
    channel_axis : int, default=None
        An axis of channels, each of which is denoised on its own.

    Returns
    -------
    ndarray of the shape and dtype of `X`
        The denoised data.

    Raises
    ------
    ValueError
        If `weight` is negative or not finite.

    Notes
    -----
    The number of iterations is fixed, and does not depend on the data through a stopping
    rule: the result is then a continuous function of the data, which Stein's risk estimate
    needs. In as much time as `skimage.restoration.denoise_tv_chambolle` takes with its
    default tolerance, the result is nearer to the minimum: on a photograph with noise of
    0.1, at weight 0.1, by 0.02 instead of 0.2 standard deviations of the noise.

    References
    ----------
    .. [1] A. Beck and M. Teboulle, "Fast gradient-based algorithms for constrained total
       variation image denoising and deblurring problems", IEEE Trans. Image Process.
       18(11):2419-2434, 2009. :doi:`10.1109/TIP.2009.2028250`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.denoisers import tv
    >>> step = np.repeat([0.0, 10.0], 20)
    >>> noisy = step + np.random.default_rng(0).normal(size=40)
    >>> bool(np.std(tv(noisy, weight=3.0) - step) < 0.4 * np.std(noisy - step))
    True
    """
    X = as_data(X)
    num_iter = per_axis(num_iter, 1, name="num_iter", minimum=1)[0]
    weight = noise_relative(weight, 1.0, X, channel_axis, name="weight")
    if weight == 0:
        return X.copy()
    if channel_axis is None:
        return _minimise(X, X.dtype.type(weight), num_iter)
    result = np.empty_like(X)
    places = np.moveaxis(result, channel_axis, 0)
    for channel, place in zip(np.moveaxis(X, channel_axis, 0), places, strict=True):
        place[...] = _minimise(channel, X.dtype.type(weight), num_iter)
    return result


def _minimise(X: np.ndarray, weight: np.floating, num_iter: int) -> np.ndarray:
    """Ascend the dual problem over fields of unit vectors, whose divergence is subtracted."""
    low, high = (
        [tuple(s if a == k else slice(None) for a in range(X.ndim)) for k in range(X.ndim)]
        for s in (slice(None, -1), slice(1, None))
    )
    length = X.dtype.type(1 / (4 * X.ndim)) / weight

    def primal(field: np.ndarray) -> np.ndarray:
        u = X.copy()
        for k, part in enumerate(field):
            flow = weight * part[low[k]]
            u[low[k]] += flow
            u[high[k]] -= flow
        return u

    last = np.zeros((X.ndim, *X.shape), X.dtype)
    ahead, pace = np.zeros_like(last), 1.0
    for _ in range(num_iter):
        u = primal(ahead)
        for k, part in enumerate(ahead):
            part[low[k]] += length * (u[high[k]] - u[low[k]])
        norm = np.sqrt(np.einsum("k...,k...->...", ahead, ahead))
        ahead /= np.maximum(norm, 1, out=norm)
        next_pace = (1 + np.sqrt(1 + 4 * pace**2)) / 2
        momentum = X.dtype.type((pace - 1) / next_pace)
        last, ahead, pace = ahead, ahead + momentum * (ahead - last), next_pace
    return primal(last)


@declare(reach=_LITTLE, exactly=False, releases_gil=True)
def tv_bregman(
    X: ArrayLike,
    *,
    weight: float | None = None,
    num_iter: int = 50,
    isotropic: bool = True,
    channel_axis: int | None = None,
) -> np.ndarray:
    """Total-variation denoising of signals and images by the split Bregman iteration.

    Minimises ½‖u − x‖² + weight · TV(u), as `tv` does. The isotropic form shrinks
    gradients more softly than the theory has it, and leaves fewer flat patches than `tv`.

    Parameters
    ----------
    X : ndarray of float, 1 or 2 axes, and one of channels
        The data.
    weight : float, default=None
        The strength, in the unit of the data; larger is smoother. None takes the noise
        level that `estimate_noise` reads in `X`.
    num_iter : int, default=50
        The number of iterations, which is fixed for the reason that `tv` gives.
    isotropic : bool, default=True
        Whether the gradient counts by its Euclidean norm or by the sum of its absolute
        components.
    channel_axis : int, default=None
        An axis of channels, each of which is denoised on its own.

    Returns
    -------
    ndarray of the shape and dtype of `X`
        The denoised data.

    Raises
    ------
    ValueError
        If a parameter or the number of axes does not fit.

    Notes
    -----
    scikit-image's iteration holds what lies beyond the border at its noisy values. The
    image is mirrored there first, so that this is done at some distance; even so, areas
    that reach the border lose less of their contrast than they do in `tv`.

    References
    ----------
    .. [1] T. Goldstein and S. Osher, "The split Bregman method for L1-regularized
       problems", SIAM J. Imaging Sci. 2(2):323-343, 2009. :doi:`10.1137/080725891`
    .. [2] P. Getreuer, "Rudin-Osher-Fatemi total variation denoising using split Bregman",
       IPOL 2:74-95, 2012. :doi:`10.5201/ipol.2012.g-tvd`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.denoisers import tv_bregman
    >>> step = np.tile(np.repeat([0.0, 10.0], 10), (20, 1))
    >>> noisy = step + np.random.default_rng(0).normal(size=step.shape)
    >>> bool(np.std(tv_bregman(noisy, weight=1.0) - step) < 0.5 * np.std(noisy - step))
    True
    """
    X = as_data(X)
    ndim = len(split_axes(X.ndim, channel_axis, None)[2])
    if ndim > 2:
        raise ValueError(
            f"X of shape {X.shape} has {ndim} axes, and tv_bregman takes at most 2: give the "
            "others as batch_axis or channel_axis, or take tv."
        )
    num_iter = per_axis(num_iter, 1, name="num_iter", minimum=1)[0]
    weight = noise_relative(weight, 1.0, X, channel_axis, name="weight")
    if weight == 0 or np.ptp(X) == 0:
        return X.copy()
    unit = binary_unit(X)
    channels = X[np.newaxis] if channel_axis is None else np.moveaxis(X, channel_axis, 0)
    result = np.empty_like(channels)
    inside = (slice(_MARGIN, -_MARGIN),) * 2
    for channel, place in zip(channels, result, strict=True):
        image = np.atleast_2d(channel)
        # Small values keep more of their digits.
        centre = image.mean(dtype=np.float64).astype(X.dtype)
        smooth = denoise_tv_bregman(
            np.pad((image - centre) / X.dtype.type(unit), _MARGIN, mode="symmetric"),
            weight=unit / weight,  # scikit-image weighs the data, not the variation
            max_num_iter=num_iter,
            eps=0,
            isotropic=isotropic,
        )
        place[...] = (smooth[inside] * X.dtype.type(unit) + centre).reshape(channel.shape)
    return result[0] if channel_axis is None else np.moveaxis(result, 0, channel_axis)
