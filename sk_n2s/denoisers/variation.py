"""Total variation."""

from __future__ import annotations

import numpy as np

from .._arrays import per_axis
from ._scale import noise_relative

__all__ = ["tv"]


def tv(X, *, weight=None, num_iter=30, channel_axis=None):
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


def _minimise(X, weight, num_iter):
    """Ascend the dual problem over fields of unit vectors, whose divergence is subtracted."""
    low, high = (
        [tuple(s if a == k else slice(None) for a in range(X.ndim)) for k in range(X.ndim)]
        for s in (slice(None, -1), slice(1, None))
    )
    length = X.dtype.type(1 / (4 * X.ndim)) / weight

    def primal(field):
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
