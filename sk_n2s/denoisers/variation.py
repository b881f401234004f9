"""Total variation."""

from __future__ import annotations

import numpy as np
from skimage.restoration import denoise_tv_chambolle

from .._arrays import per_axis
from ._scale import binary_unit, noise_relative

__all__ = ["tv"]


def tv(X, *, weight=None, eps=2e-4, max_num_iter=200, channel_axis=None):
    """Total-variation denoising by Chambolle's projection.

    Minimises ½‖u − x‖² + weight · TV(u): piecewise constant arrays with sharp edges.

    Parameters
    ----------
    X : ndarray of float, any number of axes
        The data.
    weight : float, default=None
        The strength, in the unit of the data; larger is smoother. None takes the noise
        level that `estimate_noise` reads in `X`.
    eps : float, default=2e-4
        The iteration stops once the objective changes by less than this fraction of its
        first value.
    max_num_iter : int, default=200
        The largest number of iterations.
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

    References
    ----------
    .. [1] A. Chambolle, "An algorithm for total variation minimization and applications",
       J. Math. Imaging Vis. 20:89-97, 2004. :doi:`10.1023/B:JMIV.0000011325.36760.1e`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.denoisers import tv
    >>> step = np.repeat([0.0, 10.0], 20)
    >>> noisy = step + np.random.default_rng(0).normal(size=40)
    >>> bool(np.std(tv(noisy, weight=3.0) - step) < 0.4 * np.std(noisy - step))
    True
    """
    per_axis(max_num_iter, 1, name="max_num_iter", minimum=1)
    weight = noise_relative(weight, 1.0, X, channel_axis, name="weight")
    if weight == 0 or np.ptp(X) == 0:
        return X.copy()
    unit = binary_unit(X)
    result = denoise_tv_chambolle(
        X / X.dtype.type(unit),
        weight=weight / unit,
        eps=eps,
        max_num_iter=max_num_iter,
        channel_axis=channel_axis,
    )
    result *= X.dtype.type(unit)
    return result
