"""What an `AutoDenoiser` was asked for, and how far entries of its data are apart."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._utils.arrays import split_axes
from .._utils.base import Axes
from .._utils.tiling import middle

__all__ = ["Sides", "Settings"]

#: How much flatter patches are that are flat, along the axis along which data differ the most.
_FLATTER = 4.0

#: Patches are stretched by no more than this.
_MOST = 16.0

#: More entries than this are many.
_MANY = 2**19

#: So many entries tell along which axis that is.
_LOOKED_AT = 2**18

#: Windows are stretched by this power of what patches are.
_OF_WINDOW = 0.5


class Settings(NamedTuple):
    """The parameters of an `AutoDenoiser`, but that for the noise."""

    effort: str
    channel_axis: int | None
    batch_axis: int | None
    spacing: tuple[float, ...] | None
    n_jobs: int | None
    is_table: bool = False

    def axes(self, ndim: int) -> Axes:
        """Return the axes of data by what lies along them."""
        if self.is_table:
            return Axes(None, None, (), True)
        return Axes(*split_axes(ndim, self.channel_axis, self.batch_axis))

    @property
    def lone(self) -> dict[str, Any]:
        """The axes along which entries are not neighbours, as functions take them."""
        return {"channel_axis": self.channel_axis, "batch_axis": self.batch_axis}


class Sides(NamedTuple):
    """Sides of patches and windows, where entries are not equally far apart.

    Attributes
    ----------
    spacing : tuple of float
        How far entries are apart along each axis; its geometric mean is 1.
    coarsest : int or None
        The axis of a volume along which neighbours differ the most; None for signals and images.
    n_long : int
        Along how many axes there is more than one entry; 1 at least.
    are_many : bool
        Whether there are so many entries that time counts more than the last 0.2 dB.
    """

    spacing: tuple[float, ...]
    coarsest: int | None
    n_long: int
    are_many: bool

    @classmethod
    def of(cls, X: np.ndarray, axes: Axes, spacing: tuple[float, ...] | None) -> Sides:
        """Return the sides that suit data."""
        n = len(axes.neighbours)
        known = np.ones(n) if spacing is None else np.asarray(spacing, dtype=float)
        known = np.clip(known / np.exp(np.mean(np.log(known))), 1 / _MOST, _MOST)
        coarsest = None
        n_long = max(1, sum(X.shape[a] > 1 for a in axes.neighbours))
        if n_long > 2:
            seen = X[middle(X.shape, _LOOKED_AT, axes.channel, axes.batch)]
            change = [_change(seen, axis) for axis in axes.neighbours]
            coarsest = int(np.argmax(change)) if max(change) > 0 else None
        return cls(tuple(known.tolist()), coarsest, n_long, X.size > _MANY)

    def flatter(self) -> Sides:
        """Return sides of patches that are flat along the coarsest axis."""
        assert self.coarsest is not None
        spacing = np.array(self.spacing)
        spacing[self.coarsest] *= _FLATTER
        return self._replace(spacing=tuple(spacing / np.exp(np.mean(np.log(spacing)))))

    @property
    def are_equal(self) -> bool:
        """Whether they are the same along all axes."""
        return bool(np.ptp(self.spacing) < 1e-9)

    def patch(self, side: int) -> Any:
        """Return sides of patches of about as many entries as those of one side have."""
        return side if self.are_equal else self._stretched(side, 1.0)

    def window(self, side: int) -> Any:
        """Return sides of a window of about as many entries."""
        return side if self.are_equal else self._stretched(side, _OF_WINDOW)

    def deviation(self, sigma: float) -> float | tuple[float, ...]:
        """Return the standard deviations of a Gaussian, in entries."""
        return sigma if self.are_equal else tuple(sigma / s for s in self.spacing)

    def _stretched(self, side: int, power: float) -> tuple[int, ...]:
        return tuple(max(1, round(side / s**power)) for s in self.spacing)


def _change(X: np.ndarray, axis: int) -> float:
    """Return the mean squared difference of neighbours, to which noise adds the same anywhere."""
    change = np.square(np.diff(X, axis=axis))
    return float(np.nanmean(change)) if np.isfinite(change).any() else 0.0
