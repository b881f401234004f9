"""How good the best candidate of a search is, estimated from the noisy data alone."""

from __future__ import annotations

from copy import deepcopy
from mmap import mmap
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from .._utils.arrays import has_nan
from .._utils.base import BaseDenoiser
from .._utils.lazy import as_float_data, in_memory, is_lazy
from .._utils.tiling import middle, sample
from .._utils.warn import warn
from ..masking.thinning import Thinning
from ..noise.estimate import estimate_noise_model
from ..noise.level import white_noise
from ..noise.model import NoiseModel, check_noise
from ..risk.error_estimate import ErrorEstimate, error_of
from ..risk.noise_level import noise_of

__all__ = ["ErrorEstimateMixin", "kept"]

#: Entries and patches from which the level of the noise is read where only a warning rests on it.
_GLANCE, _PATCHES = 2**14, 2**11


def kept(X: Any, data: Any) -> Any:
    """Return data as they are now, whatever is written into `X` later, which they are made of."""
    if is_lazy(data):
        return data
    if not isinstance(data, np.ndarray):
        return deepcopy(data)
    made_here = isinstance(X, list | tuple)
    made_here |= isinstance(X, np.ndarray) and not np.may_share_memory(X, data)
    return data if made_here or _is_read_only(data) else data.copy()


def _is_read_only(array: np.ndarray) -> bool:
    """Return whether an array, and those that it is a view of, cannot be written into."""
    base: Any = array
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return False
        base = base.base
    return base is None or isinstance(base, mmap)


class ErrorEstimateMixin:
    """The estimated error of a fitted search, made when it is first asked for."""

    # What a fitted search has.
    _noisy: Any
    best_estimator_: Any
    best_params_: dict
    best_score_: float

    @property
    def error_estimate_(self) -> ErrorEstimate:
        """The estimated error of the best estimator's output on the data; see `sk_n2s.risk`."""
        return self._estimated()[0]

    @property
    def noise_(self) -> NoiseModel:
        """The noise that the estimated error rests upon."""
        return self._estimated()[1]

    @property
    def estimated_mse_(self) -> float:
        """The estimated mean squared error of the output."""
        return self.error_estimate_.mse

    @property
    def estimated_psnr_(self) -> float:
        """The estimated peak signal-to-noise ratio in dB; the peak is the output's range."""
        return self.error_estimate_.psnr

    @property
    def estimated_psnr_interval_(self) -> tuple[float, float]:
        """Its confidence interval of 95 %."""
        return self.error_estimate_.psnr_interval

    def _estimated(self) -> tuple[ErrorEstimate, NoiseModel]:
        """Estimate the error, at the first use: plain and blended outputs need more calls."""
        known = self.__dict__.get("_estimate")
        if known is not None:
            return known
        if "best_estimator_" not in self.__dict__:
            raise AttributeError(
                f"This {type(self).__name__} has no fitted estimator to estimate the error of."
            )
        if "_noisy" not in self.__dict__:
            raise AttributeError(
                "The error was not estimated before this search was pickled, which leaves the data "
                "behind: use error_estimate_ first."
            )
        X, wrapper = self._noisy, self.best_estimator_
        while isinstance(wrapper, Pipeline):
            X = wrapper[:-1].transform(deepcopy(X)) if len(wrapper) > 1 else X
            wrapper = wrapper[-1]
        if sparse.issparse(X):
            raise AttributeError(
                "The error of a sparse table is not estimated: give some of its rows, dense, to "
                "a search with the same candidates."
            )
        X = wrapper.shown(as_float_data(X))
        axes = wrapper.axes(X.ndim)
        noise = noise_of(wrapper.noise, X, axes)
        if not isinstance(X, np.ndarray):
            if isinstance(noise.level, np.ndarray):
                raise AttributeError(
                    "The error of data that are not in memory cannot be estimated with a noise "
                    "level for each entry: fit the search to a part of them, in memory."
                )
            X, channel, batch = sample(X, axes.channel, axes.batch)
            wrapper = clone(wrapper).set_params(channel_axis=channel, batch_axis=batch).fit(X)
        output, divergence = wrapper.output_and_divergence(X, noise)
        self.__dict__["_estimate"] = error_of(X, output, divergence, noise), noise
        return self.__dict__["_estimate"]

    def _warn_if_useless(self, wrapper: BaseDenoiser) -> None:
        """Say so if the noisy data are nearer to the truth than the best candidate."""
        if isinstance(wrapper.partition, Thinning):  # whose loss is that of a part
            return
        X, loss = wrapper.shown(self._noisy), -self.best_score_
        variance = _quick_level(wrapper, X) ** 2
        if loss - variance >= variance > 0:
            # Noise that neighbours share looks smaller at a glance than it is.
            variance = _variance(wrapper, X)
        error = loss - variance
        if error >= variance > 0:
            warn(
                "No candidate is better than the noisy data themselves: the best, "
                f"{self.best_params_}, has an estimated mean squared error of {error:.3g}, and the "
                f"variance of the noise is estimated as {variance:.3g}. Try weaker parameters, "
                "other denoisers, or leave the data as they are."
            )


def _variance(denoiser: BaseDenoiser, X: Any) -> float:
    """Return the mean variance of the noise, by all that is told of it from a part of the data."""
    axes = denoiser.axes(X.ndim)
    if denoiser.noise is not None or axes.is_table:
        return _quick_level(denoiser, X) ** 2
    part, channel, batch = sample(X, axes.channel, axes.batch)
    model = estimate_noise_model(part, channel_axis=channel, batch_axis=batch)
    return float(np.nanmean(model.variance(part)))


def _quick_level(denoiser: BaseDenoiser, X: Any) -> float:
    """Return the standard deviation of the noise, with no more effort than a warning is worth."""
    axes = denoiser.axes(X.ndim)
    if axes.is_table:
        return float(np.sqrt(np.nanmean(noise_of(denoiser.noise, X, axes).variance(X))))
    channel, batch = axes.channel, axes.batch
    part = in_memory([X[middle(X.shape, _GLANCE, channel, batch)]])[0]
    if denoiser.noise is not None:
        noise = check_noise(denoiser.noise, X)
        seen = X if isinstance(noise.level, np.ndarray) else part
        return float(np.sqrt(np.nanmean(noise.variance(seen))))
    if has_nan(part):
        part, channel, batch = sample(X, channel, batch)  # more of what was measured
    return white_noise(part, channel, batch, _PATCHES)
