"""Ways in which other denoisers, fitted to other data, do the work of an `AutoDenoiser`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from .._utils.base import Axes
from ..noise.binning import bin_means, unbin
from ..noise.model import NoiseModel
from ..risk.noise_level import noise_of

__all__ = ["Binned", "Indirect", "Levelled", "side_of_bins"]

#: Where counts are fewer than this, bins of so many are denoised; the largest side of bins, and how
#: many there have to be along each axis.
_COUNTS, _MOST_BINNED, _LEAST_BINS = 1.5, 4, 24

#: How often the offsets of lines are told from what was denoised without them.
_LEVELLED = 2


class Indirect(Protocol):
    """What does the work.

    Attributes
    ----------
    last : AutoDenoiser
        The denoiser whose choice is told.
    denoised : ndarray
        The result for the data of the fit.
    doubt : str
        Why the error of `last` is not that of the result.
    """

    last: Any
    denoised: np.ndarray
    doubt: str

    def denoise(self, X: np.ndarray) -> np.ndarray:
        """Return what other data come to."""


class Binned:
    """The means of bins are denoised, since there are too few counts for each entry.

    Parameters
    ----------
    make : callable
        ``make(noise)`` returns a denoiser that is told the noise.
    X : ndarray
        The data.
    noise : NoiseModel
        Their noise, which has a curve.
    factor : int
        The side of the bins.
    axes : tuple of int
        The axes of neighbours.
    """

    def __init__(
        self, make: Callable, X: np.ndarray, noise: NoiseModel, factor: int, axes: tuple[int, ...]
    ) -> None:
        self._factor, self._axes = factor, axes
        assert noise.curve is not None
        self.last = make(noise.replace(curve=noise.curve.scaled(factor ** -len(axes))))
        means = self.last.fit_transform(bin_means(X, factor, axes))
        self.denoised = unbin(means, factor, X.shape)
        self.doubt = (
            f"counts are so few that bins of side {factor} were denoised, which hide details"
        )

    def denoise(self, X: np.ndarray) -> np.ndarray:
        """Return what other data come to."""
        means = self.last._denoise(bin_means(X, self._factor, self._axes))
        return unbin(means, self._factor, X.shape)


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


class Levelled:
    """Lines are freed from their offsets, which what is denoised so far tells, step by step.

    Parameters
    ----------
    make : callable
        ``make(noise)`` returns a denoiser that is told the noise, and levels no lines.
    X : ndarray
        The data.
    noise : NoiseModel
        Their noise, in which lines share offsets.
    axes : Axes
        What lies along the axes.
    """

    doubt = "lines were freed from offsets, of which it does not tell what was left"

    def __init__(self, make: Callable, X: np.ndarray, noise: NoiseModel, axes: Axes) -> None:
        self._lines = noise.lines
        self._steps = [make(noise)]
        self.denoised = self._steps[0].fit_transform(X)
        for _ in range(_LEVELLED):
            level = X - _offsets(X, self.denoised, self._lines)
            rest = noise_of(None, level, axes.channel, axes.batch)
            # What is left of the lines is less than what is there beside it.
            self._steps.append(make(rest.replace(correlation=None) if rest.lines else rest))
            self.denoised = self._steps[-1].fit_transform(level)
        self.last = self._steps[-1]

    def denoise(self, X: np.ndarray) -> np.ndarray:
        """Return what other data come to."""
        first, *others = self._steps
        result = first._denoise(X)
        for step in others:
            result = step._denoise(X - _offsets(X, result, self._lines))
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
