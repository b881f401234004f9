"""Partitions: which entries of an array are hidden together.

A partition 𝒥 = {J₁, J₂, …} is a set of disjoint sets of entries that together cover the
array. Each J in turn is hidden and predicted from the entries outside it
(Batson & Royer, "Noise2Self", ICML 2019, arXiv 1901.11365, section 2).

A new partition is a subclass of `Partition` with two methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from math import prod
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from scipy.stats import qmc
from sklearn.utils import check_random_state

from .._utils.arrays import along, check_axis, per_axis
from .base import AxesToCut, Index, Partition, Period, Sets, seeded

__all__ = [
    "Partition",
    "GridPartition",
    "CheckerboardPartition",
    "RandomPartition",
    "ColumnPartition",
    "PairPartition",
    "STRIDE",
    "Lengths",
    "cut_shape",
    "folded",
    "spread_over_grid",
]


#: Stride of the default grid.
STRIDE = 4

#: Axes, and a length along each of them.
Lengths = tuple[tuple[int, ...], tuple[int, ...]]


def _all_axes(X: np.ndarray, axes: AxesToCut) -> tuple[int, ...]:
    return tuple(range(np.ndim(X))) if axes is None else tuple(axes)


def cut_shape(X: np.ndarray, axes: AxesToCut) -> Lengths:
    """Return the axes that may be cut, and their lengths."""
    axes = _all_axes(X, axes)
    return axes, tuple(np.shape(X)[a] for a in axes)


def _check_n_splits(partition: RandomPartition | ColumnPartition, most: int, what: str) -> None:
    """Raise where an array cannot be divided into so many sets."""
    n_splits = partition.n_splits
    if not isinstance(n_splits, Integral) or int(n_splits) not in range(2, most + 1):
        raise ValueError(
            f"n_splits={n_splits!r} of {type(partition).__name__} must be an integer "
            f"from 2 to {most}, the {what}."
        )


def _index(ndim: int, slices: dict[int, slice]) -> tuple[slice, ...]:
    return tuple(slices.get(axis, slice(None)) for axis in range(ndim))


def folded(values: np.ndarray, axis: int, period: int) -> np.ndarray:
    """Return the sums of all entries that lie a multiple of a period apart along an axis."""
    before, n, after = values.shape[:axis], values.shape[axis], values.shape[axis + 1 :]
    rest = n % period
    cut = values[_index(values.ndim, {axis: slice(n - rest)})]
    cut = cut.reshape(*before, n // period, period, *after)
    sums = np.add.reduce(cut, axis=axis, dtype=np.float64)
    if rest:
        end = _index(values.ndim, {axis: slice(n - rest, None)})
        sums[_index(values.ndim, {axis: slice(rest)})] += values[end]
    return sums


@cache
def spread_over_grid(strides: tuple[int, ...]) -> np.ndarray:
    """Return all places of a grid, of which every beginning is spread over it.

    The first places, as many as the longest axis has, are in each of its rows once, evenly
    spread along the other axes, and on no diagonal: Halton's sequence, with each coordinate
    replaced by its rank. The same places follow, shifted along the other axes: a Latin square.
    """
    longest = int(np.argmax(strides))
    # Without its first point, the origin: with it, the first four would be on a diagonal.
    points = qmc.Halton(len(strides), scramble=False).random(max(strides) + 1)[1:]
    first = points.argsort(axis=0).argsort(axis=0) * strides // max(strides)
    others = strides[:longest] + strides[longest + 1 :]
    shifts = spread_over_grid(others) if others else np.zeros((1, 0), dtype=int)
    shifts = np.insert(shifts, longest, 0, axis=1)
    return ((first + shifts[:, np.newaxis]) % strides).reshape(-1, len(strides))


@dataclass(frozen=True)
class GridPartition(Partition):
    """Every `stride`-th entry along each axis: ``prod(stride)`` interleaved grids.

    Parameters
    ----------
    stride : int or tuple of int, default=4
        Distance, in entries, between the entries that are hidden together: one for all
        axes, or one for each. A stride of 1 hides whole lines along that axis.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s import GridPartition
    >>> X = np.zeros((2, 4), dtype=int)
    >>> for j, (hidden, scored) in enumerate(GridPartition(stride=2).split(X)):
    ...     X[hidden] = j
    >>> X
    array([[0, 1, 0, 1],
           [2, 3, 2, 3]])
    """

    hides_singly: ClassVar[bool] = True

    stride: int | tuple[int, ...] = STRIDE

    def _strides(self, X: np.ndarray, axes: AxesToCut) -> Lengths:
        """Return the axes that are cut, and the stride along each of them."""
        axes = _all_axes(X, axes)
        strides = per_axis(self.stride, len(axes), name="stride", minimum=1)
        for axis, stride in zip(axes, strides, strict=True):
            if stride > np.shape(X)[axis]:
                fitting = tuple(min(s, np.shape(X)[a]) for a, s in zip(axes, strides, strict=True))
                raise ValueError(
                    f"stride={self.stride!r} of GridPartition is larger than axis {axis} of the "
                    f"data, which has shape {np.shape(X)}: give one stride for each axis, such "
                    f"as stride={fitting}."
                )
        if prod(strides) < 2:
            raise ValueError(
                f"stride={self.stride!r} of GridPartition hides all entries at once and leaves "
                "none to predict them from: give at least one stride of 2 or more."
            )
        return axes, strides

    def get_n_splits(self, X: np.ndarray, axes: AxesToCut = None) -> int:  # noqa: D102
        return prod(self._strides(X, axes)[1])

    def period(self, ndim: int, axes: AxesToCut = None) -> Period:  # noqa: D102
        cut = tuple(range(ndim)) if axes is None else axes
        strides = per_axis(self.stride, len(cut), name="stride", minimum=1)
        return tuple(dict(zip(cut, strides, strict=True)).get(axis, 1) for axis in range(ndim))

    def split(self, X: np.ndarray, axes: AxesToCut = None) -> Sets:  # noqa: D102
        axes, strides = self._strides(X, axes)
        for offsets in product(*map(range, strides)):
            hidden = _index(
                np.ndim(X),
                {a: slice(o, None, s) for a, o, s in zip(axes, offsets, strides, strict=True)},
            )
            yield hidden, hidden

    def totals(  # noqa: D102
        self, values: np.ndarray, axes: tuple[int, ...] | None = None
    ) -> np.ndarray:
        # Axis by axis, which is faster than to visit the array once for each set.
        axes, strides = self._strides(values, axes)
        others = tuple(axis for axis in range(values.ndim) if axis not in axes)
        for axis, stride in zip((*axes, *others), (*strides, *(1 for _ in others)), strict=True):
            values = folded(values, axis, stride)
        return values.transpose(*axes, *others).ravel()

    def order(self, X: np.ndarray, axes: AxesToCut = None) -> list[int]:  # noqa: D102
        strides = self._strides(X, axes)[1]
        return np.ravel_multi_index(tuple(spread_over_grid(strides).T), strides).tolist()


@dataclass(frozen=True)
class CheckerboardPartition(Partition):
    """The two colours of a checkerboard.

    Half of the entries are hidden at once, so that two calls of the denoiser predict all
    of them; every direct neighbour of a hidden entry is visible.
    """

    def _shape(self, X: np.ndarray, axes: AxesToCut) -> Lengths:
        """Return the axes that are cut, and their lengths."""
        axes, shape = cut_shape(X, axes)
        if prod(shape) < 2:
            raise ValueError(
                f"CheckerboardPartition needs at least two entries along the axes {axes}, "
                f"and the data have shape {np.shape(X)}."
            )
        return axes, shape

    def get_n_splits(self, X: np.ndarray, axes: AxesToCut = None) -> int:  # noqa: D102
        self._shape(X, axes)
        return 2

    def period(self, ndim: int, axes: AxesToCut = None) -> Period:  # noqa: D102
        return tuple(2 if axes is None or axis in axes else 1 for axis in range(ndim))

    def split(self, X: np.ndarray, axes: AxesToCut = None) -> Sets:  # noqa: D102
        axes, shape = self._shape(X, axes)
        odd = np.zeros((1,) * len(shape), dtype=bool)
        for grid in np.ogrid[tuple(map(slice, shape))]:
            odd = odd ^ (grid % 2 == 1)
        odd = np.broadcast_to(along(odd, axes, np.ndim(X)), np.shape(X))
        for hidden in (~odd, odd):
            yield hidden, hidden


@dataclass(frozen=True)
class RandomPartition(Partition):
    """Sets of equal size, drawn at random.

    Parameters
    ----------
    n_splits : int, default=4
        The number of sets; each hides ``1 / n_splits`` of the entries.
    random_state : int, RandomState instance or None, default=None
        Pass an int for the same sets at every call.

    Notes
    -----
    A dask array is divided block by block. A search draws the sets once for all of its
    candidates, also where no seed is given.
    """

    n_splits: int = 4
    random_state: Any = None

    def _shape(self, X: np.ndarray, axes: AxesToCut) -> Lengths:
        """Return the axes that are cut, and their lengths."""
        axes, shape = cut_shape(X, axes)
        what = f"number of entries that can be hidden in data of shape {np.shape(X)}"
        _check_n_splits(self, prod(shape), what)
        return axes, shape

    def get_n_splits(self, X: np.ndarray, axes: AxesToCut = None) -> int:  # noqa: D102
        self._shape(X, axes)
        return int(self.n_splits)

    def period(self, ndim: int, axes: AxesToCut = None) -> Period:  # noqa: D102
        return (None,) * ndim

    def split(self, X: np.ndarray, axes: AxesToCut = None) -> Sets:  # noqa: D102
        axes, shape = self._shape(X, axes)
        dtype = np.min_scalar_type(self.n_splits - 1)
        labels = np.resize(np.arange(self.n_splits, dtype=dtype), prod(shape))
        check_random_state(self.random_state).shuffle(labels)
        labels = along(labels.reshape(shape), axes, np.ndim(X))
        for j in range(self.n_splits):
            hidden = np.broadcast_to(labels == j, np.shape(X))
            yield hidden, hidden

    def drawn(self) -> Partition:  # noqa: D102
        return seeded(self)


@dataclass(frozen=True)
class ColumnPartition(Partition):
    """Every `n_splits`-th column, hidden whole: lines of a scan.

    A feature of a table that is hidden whole cannot be learnt from its other samples: hide
    blocks of it (`BlockPartition`).

    Parameters
    ----------
    n_splits : int, default=5
        The number of sets; set j holds the columns j, j + n_splits, j + 2 n_splits, …
    axis : int, default=-1
        The axis that counts the columns.
    """

    n_splits: int = 5
    axis: int = -1

    def _axis(self, X: np.ndarray, axes: AxesToCut) -> int:
        """Return the axis of the columns."""
        axis = check_axis(self.axis, np.ndim(X), name="axis")
        if axis not in _all_axes(X, axes):
            raise ValueError(
                f"axis={self.axis} of ColumnPartition is an axis of channels or of independent "
                f"items, which is not cut: give one of {axes}."
            )
        _check_n_splits(self, np.shape(X)[axis], f"length of axis {axis} of the data")
        return axis

    def get_n_splits(self, X: np.ndarray, axes: AxesToCut = None) -> int:  # noqa: D102
        self._axis(X, axes)
        return int(self.n_splits)

    def period(self, ndim: int, axes: AxesToCut = None) -> Period:  # noqa: D102
        return tuple(int(self.n_splits) if a == self.axis % ndim else 1 for a in range(ndim))

    def split(self, X: np.ndarray, axes: AxesToCut = None) -> Sets:  # noqa: D102
        axis = self._axis(X, axes)
        for j in range(self.n_splits):
            hidden = _index(np.ndim(X), {axis: slice(j, None, self.n_splits)})
            yield hidden, hidden


@dataclass(frozen=True)
class PairPartition(Partition):
    """Two measurements of the same thing, which predict each other: Noise2Noise.

    The first and the second half of an axis are copies of one signal with independent
    noise. While one half is hidden, the other stands in for it. With `batch_axis` set to
    the same axis, the denoiser sees one copy at a time (Lehtinen et al., "Noise2Noise",
    ICML 2018, arXiv 1803.04189).

    Parameters
    ----------
    axis : int, default=0
        The axis whose halves are the two copies; its length must be even.
    """

    axis: int = 0

    def _half(self, X: np.ndarray) -> tuple[int, int]:
        """Return the axis of the copies, and the length of one of them."""
        axis = check_axis(self.axis, np.ndim(X), name="axis")
        length = np.shape(X)[axis]
        if length % 2:
            raise ValueError(
                f"axis={self.axis} of PairPartition must have an even length, half for each of "
                f"the two copies, and has {length} entries."
            )
        return axis, length // 2

    def get_n_splits(self, X: np.ndarray, axes: AxesToCut = None) -> int:  # noqa: D102
        self._half(X)
        return 2

    def split(self, X: np.ndarray, axes: AxesToCut = None) -> Sets:  # noqa: D102
        axis, half = self._half(X)
        for part in (slice(0, half), slice(half, 2 * half)):
            hidden = _index(np.ndim(X), {axis: part})
            yield hidden, hidden

    def period(self, ndim: int, axes: AxesToCut = None) -> Period:  # noqa: D102
        return tuple(0 if axis == self.axis % ndim else 1 for axis in range(ndim))

    def stand_in(self, X: np.ndarray, hidden: Index) -> np.ndarray:  # noqa: D102
        axis, half = self._half(X)
        other = slice(half, 2 * half) if hidden[axis].start == 0 else slice(0, half)
        return X[_index(np.ndim(X), {axis: other})]
