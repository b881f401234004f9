"""Denoising dask arrays: block by block, each shown with as much as the denoiser looks at."""

from __future__ import annotations

from copy import copy
from functools import partial
from math import ceil, inf
from typing import Any

import numpy as np

from .._utils.lazy import as_blocks, map_blocks
from ..denoisers.calling import name_of
from ..masking.views import NothingVisible
from ..noise.model import NoiseModel

__all__ = ["in_blocks"]


def in_blocks(wrapper: Any, X: Any, noise: NoiseModel | None) -> Any:
    """Return the output of a wrapper for a dask array, as a dask array."""
    plan = wrapper.view_plan(X)  # which validates the parameters
    reach = wrapper.reach(X.ndim)
    if reach is None or inf in reach.distance:
        looks = "does not say how far it looks" if reach is None else "looks at all of X"
        raise ValueError(
            f"halo=None: {name_of(wrapper.denoiser)} {looks}, so that a dask array cannot be "
            "denoised in blocks as it is: set halo to how many entries around a block it is "
            "to be shown, or declare that with sk_n2s.denoisers.declare."
        )
    halo = {axis: ceil(d) for axis, d in zip(plan.axes, reach.distance, strict=True)}
    period: dict[int, int] = {}
    if plan.exact or wrapper.output == "plain":
        # Nothing is hidden in sets, which a block might be too small for.
        wrapper = copy(wrapper)
        wrapper.partition = None
    else:
        periods = enumerate(plan.partition.period(X.ndim, plan.axes))
        period = {axis: p for axis, p in periods if p is not None}
        if wrapper.partition is None and len(period) == X.ndim:
            wrapper = copy(wrapper)
            wrapper.partition = plan.partition  # whose sets do not depend on the block's shape
    channel = wrapper.axes(X.ndim).channel
    if channel is not None:
        period[channel] = 0  # a denoiser may look at all channels together
    others: tuple = ()
    if noise is not None and isinstance(noise.level, np.ndarray):
        others = (as_blocks(np.broadcast_to(noise.level, X.shape)),)
    function = partial(_denoise_block, wrapper, noise)
    return map_blocks(function, X, halo, period, *others)


def _denoise_block(
    wrapper: Any, noise: NoiseModel | None, block: np.ndarray, *levels: np.ndarray
) -> np.ndarray:
    """Return the output for a block, with the part of the map of the noise that belongs to it."""
    try:
        return wrapper.output_of(block, NoiseModel(levels[0]) if levels else noise)
    except NothingVisible:
        return np.full_like(block, np.nan)
