"""Denoising dask arrays: block by block, each shown with as much as the denoiser looks at."""

from __future__ import annotations

from copy import copy
from functools import partial
from math import ceil, inf
from typing import Any

import numpy as np

from ._arrays import as_float_array
from ._calling import name_of
from .distributed import as_blocks, map_blocks

__all__ = ["in_blocks"]


def in_blocks(wrapper, X: Any, noise_variance) -> Any:
    """Return the output of a wrapper for a dask array, as a dask array.

    Parameters
    ----------
    wrapper : JInvariantWrapper
        What denoises.
    X : dask array of float
        The noisy data.
    noise_variance : float, ndarray, NoiseCurve or None
        The variance of the noise, which a blend needs.

    Returns
    -------
    dask array of the shape and dtype of `X`
        The output, not yet computed.

    Raises
    ------
    ValueError
        If it is not known how far the denoiser looks, or if it looks at everything.
    """
    plan = wrapper.view_plan(X)  # which validates the parameters
    reach = wrapper.reach(X.ndim)
    if reach is None or inf in reach.distance:
        looks = "does not say how far it looks" if reach is None else "looks at all of X"
        raise ValueError(
            f"halo=None: {name_of(wrapper.denoiser)} {looks}, so that a dask array cannot be "
            "denoised in blocks as it is: set halo to how many entries around a block it is "
            "to be shown, or declare that with sk_n2s.denoisers.reaches."
        )
    halo, period = [0] * X.ndim, [1] * X.ndim
    for axis, distance in zip(plan.axes, reach.distance, strict=True):
        halo[axis] = ceil(distance)
    if plan.exact or wrapper.output == "plain":
        # Nothing is hidden in sets, which a block might be too small for.
        wrapper = copy(wrapper)
        wrapper.partition = None
    else:
        period = [1 if p is None else p for p in plan.partition.period(X.ndim, plan.axes)]
    if wrapper.channel_axis is not None:
        period[wrapper.channel_axis] = 0  # a denoiser may look at all channels together
    others: tuple = ()
    if isinstance(noise_variance, np.ndarray):
        others = (as_blocks(np.broadcast_to(noise_variance, X.shape)),)
    function = partial(_denoise_block, wrapper, noise_variance)
    return map_blocks(function, X, tuple(halo), tuple(period), *others)


def _denoise_block(wrapper, noise_variance, block, *variances):
    block = np.ma.filled(block, np.nan)
    if np.isnan(block).all():
        return block
    return wrapper.output_of(as_float_array(block), *(variances or (noise_variance,)))
