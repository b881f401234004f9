"""How good the best candidate of a search is, estimated from the noisy data alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from ._arrays import has_nan, split_axes
from ._warn import warn
from .distributed import as_float_data, in_memory
from .levels import axes_of, check_noise_variance
from .losses import squared_error
from .noise import estimate_noise, variance_at
from .pieces import middle, sample
from .risk import LEVEL_ERROR, ErrorEstimate, output_and_penalty, summarise

__all__ = ["ErrorEstimateMixin"]

#: Entries from which the level of the noise is read where only a warning rests upon it.
_GLANCE = 2**13


class ErrorEstimateMixin:
    """The estimated error of a fitted search, made when it is first asked for."""

    # What a fitted search has.
    _noisy: Any
    best_params_: dict
    best_score_: float

    @property
    def error_estimate_(self) -> ErrorEstimate:
        """The estimated error of the best estimator's output on the data; see `sk_n2s.risk`."""
        return self._estimated()[0]

    @property
    def noise_variance_(self):
        """The variance of the noise that the estimated error rests upon."""
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

    def _estimated(self):
        """Estimate the error, at the first use: plain and blended outputs need more calls."""
        known = self.__dict__.get("_estimate")
        if known is not None:
            return known
        if not hasattr(self, "best_estimator_"):
            raise AttributeError(
                f"This {type(self).__name__} has no fitted estimator to estimate the error of."
            )
        if not hasattr(self, "_noisy"):
            raise AttributeError(
                "The error was not estimated before this search was pickled, which leaves the data "
                "behind: use error_estimate_ first."
            )
        X, wrapper = self._noisy, self.best_estimator_
        while isinstance(wrapper, Pipeline):
            X, wrapper = as_float_data(wrapper[:-1].transform(X)), wrapper[-1]
        given = getattr(wrapper, "noise_variance", None)
        channel, batch = axes_of(wrapper, X.ndim)
        variance = check_noise_variance(given, X, channel, batch)
        if not isinstance(X, np.ndarray):
            if isinstance(variance, np.ndarray):
                raise AttributeError(
                    "The error of data that are not in memory cannot be estimated with a variance "
                    "of the noise for each entry: fit the search to a part of them, in memory."
                )
            X, channel, batch = sample(X, channel, batch)
            wrapper = clone(wrapper).set_params(channel_axis=channel, batch_axis=batch).fit(X)
        output, penalty = output_and_penalty(wrapper, X, variance)
        losses = squared_error(X, output) + penalty
        level = variance_at(variance, X)
        doubt = LEVEL_ERROR * float(np.mean(level)) if given is None else 0.0
        self.__dict__["_estimate"] = summarise(losses, level, output, doubt), variance
        return self.__dict__["_estimate"]

    def _warn_if_useless(self, wrapper) -> None:
        """Say so if the noisy data are nearer to the truth than the best candidate."""
        level = _quick_level(wrapper, self._noisy)
        error = -self.best_score_ - level**2
        if error >= level**2 > 0:
            warn(
                "No candidate is better than the noisy data themselves: the best, "
                f"{self.best_params_}, has an estimated mean squared error of {error:.3g}, and the "
                f"variance of the noise is estimated as {level**2:.3g}. Try weaker parameters, "
                "other denoisers, or leave the data as they are."
            )


def _quick_level(estimator, X) -> float:
    """Return the standard deviation of the noise, with no more effort than a warning is worth."""
    given = getattr(estimator, "noise_variance", None)
    channel, batch, _ = split_axes(X.ndim, *axes_of(estimator, X.ndim))
    part = in_memory([X[middle(X.shape, _GLANCE, channel, batch)]])[0]
    if given is not None:
        variance = check_noise_variance(given, X, channel, batch)
        seen = part if not isinstance(variance, np.ndarray) else X
        return float(np.sqrt(np.nanmean(variance_at(variance, seen))))
    if has_nan(part):
        part, channel, batch = sample(X, channel, batch)  # more of what was measured
    return estimate_noise(part, channel_axis=channel, batch_axis=batch)
