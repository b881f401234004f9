"""A race of denoisers on data of known noise, and the average of those that won it."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from .._utils.arrays import has_nan
from .._utils.callbacks import Task
from .._utils.tiling import middle
from ..denoisers import lichi
from ..j_invariance.wrapper import JInvariantWrapper
from ..losses import squared_error
from ..masking._holes import stretched, wide_holes
from ..masking.views import NothingVisible
from ..noise.model import NoiseModel, check_noise
from ..risk.error_estimate import ErrorEstimate, ratio_of_means, summarise
from ..stacking import SelfSupervisedStacker
from ._average import average_of
from ._gaps import LEFT, DenoisedFill, SmoothFill
from ._members import COSTLY, Members, cheap_for_all, members
from ._scale import Scale
from ._settings import Settings, Sides

__all__ = ["Race"]

#: The race is run on all of the data up to so many entries, and on a part of that many of more;
#: the weights do not become better with more.
_SMALL, _RACE = 2**16, 2**15

#: The middle is raced on if more than this share of it was measured.
_ENOUGH = 0.4

#: Up to so many entries, the error is estimated for all of them, which takes as long as denoising;
#: and so many of a volume, which takes longer for each.
_PROBED, _PROBED_OF_VOLUMES = 2**23, 2**19


#: Where time counts, a costly denoiser that lowers the error by less than this share is dropped.
_LEAST_GAIN = 0.04

#: So many of the entries are left out to see what stands in gaps; it errs by this share of the
#: variance of the noise at least.
_LEFT_OUT, _LEAST_OF_FILL = 0.1, 0.2

#: Where more than this share is missing, or holes are wide, gaps are filled with more effort.
_MANY_GAPS = 0.02


class _Shown(NamedTuple):
    """What denoisers see of the data.

    Attributes
    ----------
    X : ndarray of float
        The data, stabilised where that is needed.
    noise : NoiseModel
        The noise of these, by which denoisers are scored.
    members : dict of str to partial
        The denoisers, which are told of that noise.
    fill : Fill or None
        What stands for missing entries, and outside; None where all were measured.
    """

    X: np.ndarray
    noise: NoiseModel
    members: Members
    fill: SmoothFill | None


class Race:
    """Denoisers race, each scored by Stein's unbiased risk estimate; the best are averaged.

    Parameters
    ----------
    settings : Settings
        What was asked for.
    noise : NoiseModel
        The noise of the data.
    stabilizer : object or None
        What makes it white.

    Attributes
    ----------
    weights, scores : dict of str to float
        The shares of those chosen, and the estimated errors of all that raced.
    error_estimate : ErrorEstimate
        That of the average.
    """

    weights: dict[str, float]
    scores: dict[str, float]
    error_estimate: ErrorEstimate
    _sides: Sides

    def __init__(self, settings: Settings, noise: NoiseModel, stabilizer: Any) -> None:
        self._settings, self._noise, self.stabilizer = settings, noise, stabilizer

    def fit(self, X: np.ndarray, progress: Task, outside: np.ndarray | None = None) -> np.ndarray:
        """Run the race, and return the denoised data."""
        axes = self._settings.axes(X.ndim)
        self._sides = Sides.of(X, axes, self._settings.spacing)
        is_small = X.size <= _SMALL
        part = middle(X.shape, _SMALL if is_small else _RACE, axes.channel, axes.batch)
        part = _most_measured(X, part)
        shown = self._shown(X, outside)
        stacker = self._stacker(shown, shown.members, part)
        frugal = None if is_small else partial(self._not_worth_it, shown, part)
        output, divergence = stacker.fit_with_divergence(shown.X[part], progress, frugal)
        scores = stacker.scores_
        if output.shape != X.shape and self._is_probed(X):
            # What is worth its weight runs on all of the data anyway, and is weighed by them.
            part = (slice(None),) * X.ndim
            chosen = {name for name, weight in stacker.weights_.items() if weight}
            chosen |= cheap_for_all(shown.members, self._sides)
            stacker = self._stacker(shown, [n for n in shown.members if n in chosen], part)
            output, divergence = stacker.fit_with_divergence(shown.X, progress)
            scores = {**scores, **stacker.scores_}
        self.weights = {name: w for name, w in stacker.weights_.items() if w}
        of_part = self.stabilizer.within(part) if self._is_scaled else self.stabilizer
        restored = self._restored(output, of_part)
        if self.stabilizer is not None:
            variance = shown.noise.within(part).variance(shown.X[part])
            derivative = divergence / (2 * variance)
            divergence = _unstabilised(
                X[part], restored, derivative, self._noise.within(part), of_part
            )
        whole = restored.shape == X.shape
        denoised = restored if whole else self._average(shown)
        self.error_estimate = self._estimate(X, denoised, X[part], restored, divergence, part)
        mean = float(np.nanmean(shown.noise.variance(shown.X)))
        self.scores = {name: -s - mean for name, s in scores.items()}
        return denoised

    def denoise(self, X: np.ndarray, outside: np.ndarray | None = None) -> np.ndarray:
        """Return what other data come to."""
        return self._average(self._shown(X, outside))

    def told(self, settings: Settings, noise: NoiseModel, stabilizer: Any) -> Race:
        """Return the same choice of denoisers, for data of other axes and noise."""
        other = copy(self)
        other._settings, other._noise, other.stabilizer = settings, noise, stabilizer
        return other

    # Steps ------------------------------------------------------------------------------

    @property
    def _is_scaled(self) -> bool:
        return isinstance(self.stabilizer, Scale)

    def _is_probed(self, X: np.ndarray) -> bool:
        """Return whether the error is estimated for all of the data."""
        n_axes, effort = self._sides.n_long, self._settings.effort
        if n_axes == 1 or effort == "best":
            return X.size <= _PROBED
        return effort != "fast" and X.size <= (_PROBED if n_axes == 2 else _PROBED_OF_VOLUMES)

    def _not_worth_it(
        self, shown: _Shown, part: tuple[slice, ...], stacker: SelfSupervisedStacker
    ) -> set[str]:
        """Return the costly denoisers that gain little, where time counts."""
        n_axes, many, effort = self._sides.n_long, self._sides.are_many, self._settings.effort
        out: set[str] = set()
        if effort == "best" or (effort == "balanced" and not (n_axes > 2 and many)):
            return out
        variance = float(np.nanmean(shown.noise.within(part).variance(shown.X[part])))
        weights = stacker.best_weights()
        costly = [name for name in weights if shown.members[name].func in COSTLY and weights[name]]
        for name in sorted(costly, key=weights.__getitem__):
            before, after = stacker.loss_without(out), stacker.loss_without({name, *out})
            if after - before < _LEAST_GAIN * max(before - variance, 0.0):
                out.add(name)
        return out

    def _stacker(
        self, shown: _Shown, names: Iterable[str], part: tuple[slice, ...]
    ) -> SelfSupervisedStacker:
        """Return what finds the weights of members on a part of the data."""
        fill = None if shown.fill is None else shown.fill.within(part)  # one for all
        return SelfSupervisedStacker(
            [(name, self._wrapped(shown.members[name], part, fill)) for name in names],
            noise=shown.noise.within(part),
            n_jobs=self._settings.n_jobs,
        )

    def _shown(self, X: np.ndarray, outside: np.ndarray | None) -> _Shown:
        """Return what denoisers see of the data, and the denoisers."""
        axes, noise = self._settings.axes(X.ndim), self._noise
        fill = SmoothFill(axes, outside) if has_nan(X) else None
        noise = check_noise(noise, X)  # a map of it is that of the data of the fit
        shown = X if self.stabilizer is None else self.stabilizer.transform(X)
        if self._is_scaled:
            noise = noise.replace(level=noise.level / self.stabilizer.scale)
        elif self.stabilizer is not None:
            level: float | np.ndarray = 1.0
            if axes.batch is None:
                # For few counts the variance is less than 1, by how much a first look tells.
                look = self._wrapped(partial(lichi, sigma=1.0, n_steps=2, step=6), None, fill)
                signal = self.stabilizer.inverse_transform(look.fit(shown).transform(shown))
                level = np.sqrt(self.stabilizer.variance(signal))
            noise = NoiseModel(level, correlation=noise.correlation)
        variance = np.broadcast_to(noise.variance(shown), X.shape)
        mean = float(np.mean(variance))
        told: float | np.ndarray = float(np.sqrt(mean))
        gaps = np.isnan(shown)
        if outside is not None:
            gaps &= ~outside
        if axes.batch is None and (gaps.any() or not noise.is_uniform):
            # What is filled in errs by more than the noise.
            of_fill = self._variance_of_fill(shown, mean) if gaps.any() else 0.0
            is_much = np.mean(gaps) > _MANY_GAPS or wide_holes(~gaps, axes.neighbours).any()
            if not noise.is_correlated and gaps.any() and is_much:
                fill = DenoisedFill(np.sqrt(variance), of_fill, axes, outside)
                of_fill *= LEFT
            told = np.sqrt(np.where(gaps, of_fill, variance))
        found = members(self._settings.effort, noise, told, axes, self._sides)
        return _Shown(shown, noise, found, fill)

    def _variance_of_fill(self, X: np.ndarray, variance: float) -> float:
        """Return the mean squared error of what stands for missing entries."""
        if np.count_nonzero(~np.isnan(X)) == 1:
            raise NothingVisible(
                "X holds a single measurement, and NaN: there is no other to predict it from."
            )
        left_out = (np.random.default_rng(0).random(X.shape) < _LEFT_OUT) & ~np.isnan(X)
        if not left_out.any():
            return variance
        shown = np.isnan(X) | left_out
        filled = stretched(X, ~shown, self._settings.axes(X.ndim).neighbours)
        error = squared_error(filled[left_out], X[left_out])
        return max(float(np.mean(error, dtype=np.float64)) - variance, _LEAST_OF_FILL * variance)

    def _restored(self, X: np.ndarray, stabilizer: Any) -> np.ndarray:
        return X if stabilizer is None else stabilizer.inverse_transform(X)

    def _wrapped(
        self, denoiser: partial, part: tuple[slice, ...] | None, fill: SmoothFill | None = None
    ) -> JInvariantWrapper:
        """Return a member of the race on a part of the data."""
        sigma = denoiser.keywords.get("sigma")
        if part is not None and isinstance(sigma, np.ndarray):
            denoiser = partial(denoiser.func, **{**denoiser.keywords, "sigma": sigma[part]})
        return JInvariantWrapper(
            denoiser,
            output="plain",
            fill="mean" if fill is None else fill,
            **self._settings.lone,
        )

    def _average(self, shown: _Shown) -> np.ndarray:
        """Return the average of those denoisers that have a weight."""
        members = {
            name: self._wrapped(shown.members[name], None, shown.fill) for name in self.weights
        }
        average = average_of(members, self.weights, shown.X, self._settings.n_jobs)
        return self._restored(average, self.stabilizer)

    def _estimate(
        self,
        X: np.ndarray,
        output: np.ndarray,
        raced: np.ndarray,
        restored: np.ndarray,
        divergence: np.ndarray,
        part: tuple[slice, ...],
    ) -> ErrorEstimate:
        """Return the estimated error of the whole, of which a part was probed."""
        variance = np.broadcast_to(self._noise.variance(X), X.shape)
        residual = squared_error(raced, restored)
        if raced.shape == X.shape:
            return summarise(residual + divergence, X, output, self._noise)
        # What is probed is how much smaller the squared residuals are than the noise: the ratio
        # of 1 − ∂hᵢ/∂xᵢ to (x − h)²/σ², which is much the same all over the data.
        free = variance[part] - divergence / 2
        ratio, error = ratio_of_means(free, residual, self._settings.axes(X.ndim).channel)
        residual = squared_error(X, output)
        losses = 2 * variance + (1 - 2 * ratio) * residual
        return summarise(losses, X, output, self._noise, float(np.nanmean(2 * error * residual)))


def _most_measured(X: np.ndarray, part: tuple[slice, ...]) -> tuple[slice, ...]:
    """Return a part of the data, or one as large of which more was measured."""
    best, most = part, np.count_nonzero(~np.isnan(X[part]))
    lengths = [s.stop - s.start for s in part]
    if most > _ENOUGH * np.prod(lengths):
        return part
    free = [range(0, n - k + 1, max(1, k // 2)) for n, k in zip(X.shape, lengths, strict=True)]
    for starts in product(*free):
        other = tuple(slice(s, s + k) for s, k in zip(starts, lengths, strict=True))
        measured = np.count_nonzero(~np.isnan(X[other]))
        if measured > most:
            best, most = other, measured
    return best


def _unstabilised(
    X: np.ndarray, output: np.ndarray, derivative: np.ndarray, noise: NoiseModel, stabilizer: Any
) -> np.ndarray:
    """Return the divergence term on the data's own scale, by the chain rule."""
    # From x to the stabilised data, through the average, and back.
    shown, step = stabilizer.transform(output), 1e-3
    back = stabilizer.inverse_transform(shown + step)
    back = (back - stabilizer.inverse_transform(shown - step)) / (2 * step)
    gain = 0.0 if noise.curve is None or noise.curve.relative else noise.curve.gain
    slope = stabilizer.slope(X)
    if gain > 0:
        # What one count less changes is the right answer (Luisier, Blu & Unser 2011, theorem
        # 1), and the derivative that of a small change, which denoisers follow more.
        step = (stabilizer.transform(X) - stabilizer.transform(X - gain)) / gain
        slope = (slope + step) / 2
    return 2 * noise.variance(X) * back * derivative * slope
