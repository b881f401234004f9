"""Ways to denoise data by what denoises other data: means of bins, or data with level lines."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from .._utils.base import Axes
from .._utils.callbacks import Task
from ..noise.binning import bin_means, unbin
from ..noise.model import NoiseModel
from ..risk.error_estimate import ErrorEstimate
from ..risk.noise_level import noise_of

__all__ = ["Binned", "Levelled", "Way", "side_of_bins"]

#: Where counts are fewer than this, bins of so many are denoised; the largest side of bins, and how
#: many there have to be along each axis.
_COUNTS, _MOST_BINNED, _LEAST_BINS = 1.5, 4, 24

#: How often the offsets of lines are told from what was denoised without them.
_LEVELLED = 2


class Way(Protocol):
    """How data whose noise is known are denoised.

    Attributes
    ----------
    stabilizer : object or None
        What made the noise white.
    weights, scores : dict of str to float
        The denoisers chosen, and the estimated errors of all that raced.
    error_estimate : ErrorEstimate
        That of the result.
    """

    stabilizer: Any
    weights: dict[str, float]
    scores: dict[str, float]
    error_estimate: ErrorEstimate

    def fit(self, X: np.ndarray, progress: Task, outside: np.ndarray | None = None) -> np.ndarray:
        """Choose, and return the denoised data."""

    def denoise(self, X: np.ndarray, outside: np.ndarray | None = None) -> np.ndarray:
        """Return what other data come to."""


class _Indirect:
    """What another denoising does, of other data, whose choices are told."""

    _doubt: str

    def _chosen_by(self, last: Any) -> None:
        """Tell what another denoising has chosen; its error is not that of the result."""
        self.stabilizer = last.way.stabilizer
        self.weights, self.scores = last.way.weights, last.way.scores
        self.error_estimate = last.way.error_estimate.unknown(self._doubt)


class Binned(_Indirect):
    """The means of bins are denoised, since there are too few counts for each entry.

    Parameters
    ----------
    make : callable
        ``make(noise)`` returns a `Denoising` that is told the noise.
    noise : NoiseModel
        That of the data, which has a curve.
    factor : int
        The side of the bins.
    axes : tuple of int
        The axes of neighbours.
    """

    def __init__(
        self, make: Callable, noise: NoiseModel, factor: int, axes: tuple[int, ...]
    ) -> None:
        assert noise.curve is not None
        self._of_means = make(noise.replace(curve=noise.curve.scaled(factor ** -len(axes))))
        self.factor, self._axes = factor, axes
        self._doubt = (
            f"counts are so few that bins of side {factor} were denoised, which hide details"
        )

    def fit(self, X: np.ndarray, progress: Task, outside: np.ndarray | None = None) -> np.ndarray:
        """Choose, and return the denoised data."""
        means = self._of_means.fit(*self._binned(X, outside, progress))
        self._chosen_by(self._of_means)
        return unbin(means, self.factor, X.shape)

    def denoise(self, X: np.ndarray, outside: np.ndarray | None = None) -> np.ndarray:
        """Return what other data come to."""
        means = self._of_means.denoise(*self._binned(X, outside))
        return unbin(means, self.factor, X.shape)

    def _binned(self, X: np.ndarray, outside: np.ndarray | None, *between: Any) -> tuple:
        """Return the means of bins, and where no entry of a bin is inside."""
        means = bin_means(X, self.factor, self._axes)
        if outside is not None:
            outside = bin_means(outside.astype(float), self.factor, self._axes) == 1
        return means, *between, outside


def side_of_bins(X: np.ndarray, noise: NoiseModel, axes: tuple[int, ...]) -> int:
    """Return the side of bins in which counts are so many that they can be stabilised, or 1."""
    curve = noise.curve
    if curve is None or not curve.gain > 0 or curve.relative or curve.rician:
        return 1
    offset, read_noise = curve.offset_and_read_noise(X)
    counts = (float(np.nanmean(X)) - offset + read_noise**2 / curve.gain) / curve.gain
    factor = round((_COUNTS / max(counts, 1e-9)) ** (1 / len(axes)))
    # Bins hide what is smaller than they are.
    return max(1, min(factor, _MOST_BINNED, min(X.shape[a] for a in axes) // _LEAST_BINS))


class Levelled(_Indirect):
    """Lines are freed from their offsets, which what is denoised so far tells, step by step.

    Parameters
    ----------
    make : callable
        ``make(noise)`` returns a `Denoising` that is told the noise, and levels no lines.
    noise : NoiseModel
        That of the data, in which lines share offsets.
    axes : Axes
        What lies along the axes.
    """

    _doubt = "lines were freed from offsets, of which it does not tell what was left"

    def __init__(self, make: Callable, noise: NoiseModel, axes: Axes) -> None:
        self._make, self._lines, self._axes = make, noise.lines, axes
        self.steps = [make(noise)]

    def fit(self, X: np.ndarray, progress: Task, outside: np.ndarray | None = None) -> np.ndarray:
        """Choose, and return the denoised data."""
        denoised = self.steps[0].fit(X, progress, outside)
        for _ in range(_LEVELLED):
            level = X - _offsets(X, denoised, self._lines)
            rest = noise_of(None, level, self._axes)
            # What is left of the lines is less than what is there beside it.
            self.steps.append(self._make(rest.replace(correlation=None) if rest.lines else rest))
            denoised = self.steps[-1].fit(level, progress, outside)
        self._chosen_by(self.steps[-1])
        return denoised

    def denoise(self, X: np.ndarray, outside: np.ndarray | None = None) -> np.ndarray:
        """Return what other data come to."""
        first, *others = self.steps
        result = first.denoise(X, outside)
        for step in others:
            result = step.denoise(X - _offsets(X, result, self._lines), outside)
        return result


def _offsets(X: np.ndarray, denoised: np.ndarray, lines: tuple[int, ...]) -> np.ndarray:
    """Return the offsets of lines along some axes, one axis after the other."""
    left = X - denoised
    total = np.zeros_like(left)
    for axis in lines:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of lines that were not measured
            found = np.nan_to_num(np.nanmedian(left, axis=axis, keepdims=True))
        left, total = left - found, total + found
    return total
