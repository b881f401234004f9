"""Data that are larger than memory: pieces tell how they are denoised, block by block."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .._utils.arrays import in_range
from .._utils.callbacks import Task
from .._utils.lazy import map_blocks
from .._utils.threads import one_thread
from .._utils.tiling import sample
from ..masking.views import NothingVisible
from ..noise.model import NoiseModel, check_noise
from ._denoising import Denoising
from ._indirect import Binned, Way
from ._settings import Settings

__all__ = ["Blockwise", "in_blocks"]

#: Entries that are looked at, and raced on, at most.
_READ = 2**20

#: Entries around a block that are shown with it, for signals, images, and volumes. What is further
#: away changes which patches are alike, and the result by less than a hundredth of the noise.
_HALO = {1: 1024, 2: 32, 3: 12}

_UNEVEN = "it differs between places: that of each block is looked at"
_SHARED = "lines share offsets, of which blocks show a part"


class Blockwise:
    """Denoises as pieces of the data ask for, which are looked at as the items of an array.

    Parameters
    ----------
    settings : Settings
        What was asked for.
    given : object, default=None
        The noise, if it is known.

    Attributes
    ----------
    noise : NoiseModel
        The noise, given or estimated from the pieces.
    n_outliers : int
        How many entries will be replaced, about.
    way : Way
        What denoised the pieces.
    """

    noise: NoiseModel
    n_outliers: int
    way: Way

    def __init__(self, settings: Settings, given: Any = None) -> None:
        self.settings, self._given = settings, given

    def fit(self, X: Any, progress: Task) -> None:
        """Choose, from pieces that are spread over the data."""
        axes = self.settings.axes(X.ndim)
        given = None if self._given is None else self._checked_noise(X)
        pieces, channel, batch = sample(X, axes.channel, axes.batch, _READ)
        if np.isnan(pieces).all():
            raise ValueError(
                "X is a dask array, and NaN in all of the pieces that were looked at: fit to a "
                "part that was measured."
            )
        self._are_items = pieces.ndim > X.ndim
        if given is not None and given.correlation is not None and self._are_items:
            given = given.replace(correlation=given.correlation[np.newaxis])
        asked = self.settings._replace(channel_axis=channel, batch_axis=batch)
        self._inner = Denoising(asked, given, levels=False)
        self._inner.fit(in_range(pieces), progress)
        self.way = self._inner.way
        self.n_outliers = round(self._inner.noise.outliers * X.size)
        noise = self._inner.noise
        if noise.correlation is not None and self._are_items:
            noise = noise.replace(correlation=noise.correlation[0])
        self._is_uneven = _differs(noise, pieces.ndim, channel)
        if self._is_uneven:
            assert noise.level is not None
            level = np.sqrt(np.mean(np.square(noise.level)))
            noise = noise.replace(level=level, notes=[*noise.notes, _UNEVEN])
        self.noise = noise
        if noise.lines:
            self.way.error_estimate = self.way.error_estimate.unknown(_SHARED)

    def _checked_noise(self, X: Any) -> NoiseModel:
        """Return the noise that is given, which may not be a map over the data."""
        given = check_noise(self._given, X)
        if _differs(given, X.ndim, self.settings.axes(X.ndim).channel):
            raise ValueError(
                f"noise={given} is a map over X, which is a dask array: "
                "give one standard deviation, or one for each channel, or None, which looks at the "
                "noise of each block where it differs."
            )
        return given

    def denoise(self, X: np.ndarray) -> np.ndarray:
        """Return what a block comes to, or other data in memory."""
        if self._is_uneven:
            return self._inner.denoise_anew(X, self.settings)
        return self._inner.denoise(X[np.newaxis])[0] if self._are_items else self._inner.denoise(X)


def _differs(noise: NoiseModel, ndim: int, channel: int | None) -> bool:
    """Return whether the level differs along another axis than that of channels."""
    shape = noise.level.shape if isinstance(noise.level, np.ndarray) else ()
    shape = (1,) * (ndim - len(shape)) + shape
    return any(n > 1 and a != channel for a, n in enumerate(shape))


def in_blocks(denoising: Any, X: Any) -> Any:
    """Return a dask array, denoised block by block, each shown with its surroundings."""
    channel, _, neighbours, _ = denoising.settings.axes(X.ndim)
    if isinstance(denoising, Denoising) and _differs(denoising.noise, X.ndim, channel):
        raise ValueError(
            "X is a dask array, and the fit was to data in memory whose noise differs between "
            "places or items, which blocks are not told: fit to the dask array."
        )
    n_long = max(1, sum(X.shape[a] > 1 for a in neighbours))
    halo = dict.fromkeys(neighbours, _HALO[min(n_long, max(_HALO))])
    way = denoising.way
    period = dict.fromkeys(neighbours, way.factor) if isinstance(way, Binned) else {}
    if channel is not None:
        period[channel] = 0  # all channels together
    return map_blocks(partial(_of_block, denoising), X, halo, period)


def _of_block(denoising: Any, block: np.ndarray) -> np.ndarray:
    """Return a block denoised; NaN where nothing can be predicted from anything else."""
    try:
        with one_thread():
            return denoising.denoise(in_range(block)).astype(block.dtype, copy=False)
    except NothingVisible:
        return np.full_like(block, np.nan)
