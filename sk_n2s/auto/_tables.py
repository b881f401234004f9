"""The race of the denoisers of tables, whose entries have no neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._utils.arrays import has_nan
from .._utils.callbacks import Task
from ..denoisers import ConditionalGaussianDenoiser, DiffusionDenoiser, LowRankDenoiser
from ..denoisers._tables import TableDenoiser
from ..j_invariance.wrapper import JInvariantWrapper
from ..losses import squared_error
from ..noise.model import NoiseModel, check_noise
from ..risk.error_estimate import ErrorEstimate, summarise
from ..risk.noise_level import noise_of
from ..stacking import SelfSupervisedStacker
from ._average import average_of
from ._members import as_it_is
from ._settings import Settings

__all__ = ["TableDenoising"]

#: How many neighbours samples are averaged with, by effort.
_NEIGHBOURS = {"fast": (15,), "balanced": (8, 15, 30), "best": (5, 8, 15, 30, 60)}

#: Of more features than this all are not predicted from all others, which takes the cube of their
#: number; and of more samples no neighbours are looked for, which takes the square.
_MOST_FEATURES, _MOST_SAMPLES = 2048, 20_000

#: The race is run on this many samples, spread over the table; all are denoised then.
_RACED = 4096

_AS_IT_IS = "as it is"


class TableDenoising:
    """Looks at the noise of a table, and denoises it in units of that.

    Parameters
    ----------
    settings : Settings
        What was asked for.
    given : object, default=None
        The noise, if it is known.

    Attributes
    ----------
    noise : NoiseModel
        The noise, given or estimated.
    n_outliers : int
        0: none are looked for.
    way : TableDenoising
        Itself, for the attributes that follow.
    stabilizer : None
        None.
    weights, scores : dict of str to float
        The shares of those chosen, and the estimated errors of all that raced, in units of
        the noise.
    error_estimate : ErrorEstimate
        That of the average.
    """

    n_outliers = 0
    stabilizer = None
    noise: NoiseModel
    weights: dict[str, float]
    scores: dict[str, float]
    error_estimate: ErrorEstimate

    def __init__(self, settings: Settings, given: Any = None) -> None:
        self.settings, self._given = settings, given
        self.way = self

    def fit(self, X: np.ndarray, progress: Task) -> np.ndarray:
        """Choose, and return the denoised table."""
        self.noise = noise_of(self._given, X, self.settings.axes(X.ndim))
        unit = self._unit(X)
        shown = X / unit
        stacker = SelfSupervisedStacker(
            list(self._members(X.shape).items()),
            noise=NoiseModel(1.0),
            n_jobs=self.settings.n_jobs,
        )
        part = slice(None, None, -(-len(X) // _RACED))
        output, divergence = stacker.fit_with_divergence(shown[part], progress)
        self.weights = {name: w for name, w in stacker.weights_.items() if w}
        self.scores = {name: -s - 1.0 for name, s in stacker.scores_.items()}
        denoised = unit * (output if output.shape == X.shape else self._average(shown))
        # The divergence is that of data whose noise is 1: the gain of each entry by itself.
        unit = np.broadcast_to(unit, X.shape)[part]
        losses = squared_error(X[part], output * unit) + divergence * np.square(unit)
        noise = check_noise(self.noise, X).within((part, slice(None)))
        self.error_estimate = summarise(losses, X[part], denoised[part], noise)
        return denoised

    def denoise(self, X: np.ndarray) -> np.ndarray:
        """Return what another table comes to."""
        unit = self._unit(X)
        return self._average(X / unit) * unit

    def _unit(self, X: np.ndarray) -> np.ndarray:
        """Return the level of the noise, as far as it follows from samples and features."""
        noise = check_noise(self.noise, X)
        if noise.curve is None:
            level = np.atleast_2d(np.asarray(noise.level, dtype=X.dtype))
        else:
            # The variance of counts at the product of what their sample and feature suggest.
            shown = np.where(np.isnan(X), 0, X) if has_nan(X) else X
            rows, columns = (shown.mean(axis=a, keepdims=True, dtype=np.float64) for a in (1, 0))
            expected = rows * columns / max(float(shown.mean(dtype=np.float64)), 1e-300)
            level = np.sqrt(noise.variance(expected)).astype(X.dtype)
        return np.where(level > 0, level, level.max() or 1)

    def _members(self, shape: tuple[int, int]) -> dict[str, JInvariantWrapper]:
        """Return the denoisers that race, by name."""
        n, m = shape
        found: dict[str, Any] = {_AS_IT_IS: as_it_is, "low rank": LowRankDenoiser(noise=1.0)}
        if m <= _MOST_FEATURES:
            found["conditional Gaussian"] = ConditionalGaussianDenoiser(noise=1.0)
        for k in _NEIGHBOURS[self.settings.effort]:
            if 2 * k < n <= _MOST_SAMPLES:
                found[f"diffusion, {k} neighbours"] = DiffusionDenoiser(n_neighbors=k)
        return {name: _wrapped(member) for name, member in found.items()}

    def _average(self, shown: np.ndarray) -> np.ndarray:
        """Return the average of those denoisers that have a weight, for a table in its units."""
        found = self._members(shown.shape)
        # Of a table that is too small, or too large, for a member it leaves what is there.
        members = {name: found.get(name, found[_AS_IT_IS]) for name in self.weights}
        return average_of(members, self.weights, shown, self.settings.n_jobs)


def _wrapped(member: Any) -> JInvariantWrapper:
    """Return what a stacker takes."""
    fill = "missing" if isinstance(member, TableDenoiser) and _takes_gaps(member) else "mean"
    return JInvariantWrapper(member, kind="table", output="plain", fill=fill)


def _takes_gaps(member: TableDenoiser) -> bool:
    """Return whether a denoiser leaves out of account what is missing."""
    return bool(member.__sklearn_tags__().input_tags.allow_nan)
