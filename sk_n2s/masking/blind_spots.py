"""Blind spots: all entries whose noise depends on a target are hidden together with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._utils.arrays import along, per_axis
from .base import AxesToCut, Partition, Period, Sets
from .partitions import GridPartition

__all__ = ["BlindSpotPartition"]

#: The least stride, and how many times its length a footprint is away from the next.
_LEAST, _APART = 4, 2


@dataclass(frozen=True)
class BlindSpotPartition(Partition):
    """Every `stride`-th entry along each axis, each hidden with a footprint around it.

    Where the noise of neighbours is correlated, an entry that is hidden alone is predicted
    from neighbours that know its noise. Here all entries of a footprint around it are hidden
    with it, and only its centre is scored (the blind spot of Broaddus et al., "Removing
    Structured Noise with Self-Supervised Blind-Spot Networks", ISBI 2020).

    Parameters
    ----------
    footprint : "auto", array-like of bool, int, or tuple, default="auto"
        What is hidden around an entry: an array with an odd length along each axis, True for
        what is hidden, or how many entries on both sides, for all axes or for each, where None
        hides the whole line along that axis. "auto" hides those whose noise depends on it,
        beyond doubt, by `sk_n2s.noise.estimate_noise_correlation`; who shows the data to a
        denoiser, such as `JInvariantWrapper`, finds them.
    stride : "auto", int or tuple of int, default="auto"
        Distance between the entries that are scored together. "auto" is twice the length of
        the footprint, and at least 4, or 1 along an axis whose lines are hidden whole.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.masking import BlindSpotPartition
    >>> hidden, scored = next(BlindSpotPartition(footprint=1, stride=4).split(np.zeros(8)))
    >>> hidden.astype(int)
    array([1, 1, 0, 1, 1, 1, 0, 1])
    >>> np.arange(8)[scored]
    array([0, 4])
    """

    footprint: Any = "auto"
    stride: Any = "auto"

    def __post_init__(self) -> None:
        if np.ndim(self.footprint) and np.asarray(self.footprint).dtype == bool:
            # As tuples, which can be compared and hashed.
            array = np.asarray(self.footprint)
            object.__setattr__(self, "footprint", _as_tuples(array.tolist()))

    @property
    def is_auto(self) -> bool:
        """Whether the footprint is to be found in the data."""
        return isinstance(self.footprint, str) and self.footprint == "auto"

    def footprint_for(self, ndim: int) -> tuple[np.ndarray, tuple[bool, ...]]:
        """Return what is hidden around an entry.

        Parameters
        ----------
        ndim : int
            The number of axes that are cut.

        Returns
        -------
        footprint : ndarray of bool with `ndim` axes
            The footprint, the entry in its centre.
        lines : tuple of bool
            Along which axes it is extended over whole lines.

        Raises
        ------
        ValueError
            If the footprint does not fit so many axes, or is not known yet.
        """
        if isinstance(self.footprint, str):
            what = "is found in the data by JInvariantWrapper" if self.is_auto else "is not known"
            raise ValueError(
                f"footprint={self.footprint!r} of BlindSpotPartition {what}: give an array, or how "
                "many entries are hidden on both sides."
            )
        if np.ndim(self.footprint) and np.asarray(self.footprint).dtype == bool:
            array = np.array(self.footprint)
            if array.ndim != ndim or any(n % 2 == 0 for n in array.shape):
                raise ValueError(
                    f"footprint of BlindSpotPartition has shape {array.shape}, and must have an "
                    f"odd length along each of the {ndim} axes that are cut."
                )
            array[tuple(n // 2 for n in array.shape)] = True
            return array, (False,) * ndim
        widths = self.footprint if isinstance(self.footprint, tuple) else (self.footprint,) * ndim
        whole = tuple(width is None for width in widths)
        sides = per_axis(
            tuple(0 if width is None else width for width in widths), ndim, name="footprint"
        )
        return np.ones([2 * side + 1 for side in sides], dtype=bool), whole

    def _strides(self, ndim: int) -> tuple[int, ...]:
        """Return the stride along each axis that is cut."""
        if isinstance(self.stride, str) and self.stride == "auto":
            footprint, whole = self.footprint_for(ndim)
            return tuple(
                1 if line else max(_LEAST, _APART * n if n > 1 else 0)
                for n, line in zip(footprint.shape, whole, strict=True)
            )
        return per_axis(self.stride, ndim, name="stride", minimum=1)

    def _grid(self, X: np.ndarray, axes: AxesToCut) -> tuple[GridPartition, np.ndarray]:
        """Return the grids that are scored, and what is hidden in a cell around an entry at 0."""
        cut = tuple(range(np.ndim(X))) if axes is None else axes
        strides = self._strides(len(cut))
        if isinstance(self.stride, str):
            strides = tuple(min(s, np.shape(X)[a]) for s, a in zip(strides, cut, strict=True))
        footprint, whole = self.footprint_for(len(cut))
        cell = np.zeros(strides, dtype=bool)
        places = np.argwhere(footprint) - np.array(footprint.shape) // 2
        cell[tuple((places % strides).T)] = True
        for axis, line in enumerate(whole):
            if line:
                cell |= cell.any(axis=axis, keepdims=True)
        if cell.all():
            raise ValueError(
                f"stride={self.stride!r} of BlindSpotPartition, for data of shape {np.shape(X)}, "
                f"leaves nothing to predict from with a footprint of shape {footprint.shape}: give "
                "a stride that is larger along some axis."
            )
        return GridPartition(strides), cell

    def get_n_splits(self, X: np.ndarray, axes: AxesToCut = None) -> int:  # noqa: D102
        return self._grid(X, axes)[0].get_n_splits(X, axes)

    def period(self, ndim: int, axes: AxesToCut = None) -> Period:  # noqa: D102
        cut = tuple(range(ndim)) if axes is None else axes
        strides = dict(zip(cut, self._strides(len(cut)), strict=True))
        _, whole = self.footprint_for(len(cut))
        lines = [axis for axis, line in zip(cut, whole, strict=True) if line]
        return tuple(0 if axis in lines else strides.get(axis, 1) for axis in range(ndim))

    def split(self, X: np.ndarray, axes: AxesToCut = None) -> Sets:  # noqa: D102
        grid, cell = self._grid(X, axes)
        cut = tuple(range(np.ndim(X))) if axes is None else axes
        for _, scored in grid.split(X, axes):
            # As if the grid went on beyond the array, so that pieces are divided as the whole.
            places = [
                (np.arange(np.shape(X)[a]) - (scored[a].start or 0)) % n
                for a, n in zip(cut, cell.shape, strict=True)
            ]
            hidden = along(cell[np.ix_(*places)], cut, np.ndim(X))
            yield np.broadcast_to(hidden, np.shape(X)), scored

    def totals(self, values: np.ndarray, axes: AxesToCut = None) -> np.ndarray:  # noqa: D102
        return self._grid(values, axes)[0].totals(values, axes)

    def order(self, X: np.ndarray, axes: AxesToCut = None) -> list[int]:  # noqa: D102
        return self._grid(X, axes)[0].order(X, axes)


def _as_tuples(values: Any) -> Any:
    """Return nested lists as nested tuples."""
    return tuple(map(_as_tuples, values)) if isinstance(values, list) else values
