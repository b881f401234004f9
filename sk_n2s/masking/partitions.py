"""Partitions: which entries of an array are hidden together.

A partition 𝒥 = {J₁, J₂, …} is a set of disjoint sets of entries that together cover the
array. Each J in turn is hidden and predicted from the entries outside it
(Batson & Royer, "Noise2Self", ICML 2019, arXiv 1901.11365, section 2).

A new partition is a subclass of `Partition` with two methods.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from .._utils.arrays import along, check_axis, fold, per_axis

__all__ = [
    "Partition",
    "GridPartition",
    "CheckerboardPartition",
    "RandomPartition",
    "ColumnPartition",
    "PairPartition",
]

#: What selects entries of an array: a tuple of slices, or a boolean array of its shape.
Index = Any


class Partition(ABC):
    """Base class of the partitions.

    `axes` are the axes along which the partition may cut, all of them by default: an axis
    of channels is left whole (a pixel is hidden in all channels together), and so is an
    axis of independent items.
    """

    @abstractmethod
    def get_n_splits(self, X, axes: tuple[int, ...] | None = None) -> int:
        """Return the number of sets J.

        Parameters
        ----------
        X : ndarray
            The array to be divided; only its shape matters.
        axes : tuple of int, default=None
            The axes along which to cut; None means all.

        Returns
        -------
        int
            The number of sets.
        """

    @abstractmethod
    def split(self, X, axes: tuple[int, ...] | None = None) -> Iterator[tuple[Index, Index]]:
        """Yield, for each J, what is hidden and what is scored.

        Parameters
        ----------
        X : ndarray
            The array to be divided; only its shape matters.
        axes : tuple of int, default=None
            The axes along which to cut; None means all.

        Yields
        ------
        hidden, scored : index
            Tuples of slices where the geometry allows, otherwise boolean arrays of the
            shape of `X`. The scored sets are disjoint and cover the array; each lies
            within what is hidden with it.

        Raises
        ------
        ValueError
            If the partition does not fit the shape of `X`.
        """

    def period(self, ndim: int, axes: tuple[int, ...] | None = None) -> tuple[int | None, ...]:
        """Return after how many entries along each axis the sets repeat themselves.

        A piece of the array that begins at multiples of the period is divided as it is in
        the whole; and what lies a multiple of it apart is in the same set, so that it may
        be added up before `totals` sees it.

        Parameters
        ----------
        ndim : int
            The number of axes of the array.
        axes : tuple of int, default=None
            The axes along which to cut; None means all.

        Returns
        -------
        tuple of int or None
            The period along each of the `ndim` axes; 0 along an axis that must stay whole,
            None if the sets of a piece are its own, wherever it begins.
        """
        whole = range(ndim) if axes is None else axes
        return tuple(0 if axis in whole else 1 for axis in range(ndim))

    def totals(self, values: np.ndarray, axes: tuple[int, ...] | None = None) -> np.ndarray:
        """Return the sum of `values` over each scored set.

        Parameters
        ----------
        values : ndarray of the shape of the data
            What is added up.
        axes : tuple of int, default=None
            The axes along which to cut; None means all.

        Returns
        -------
        ndarray of shape (n_splits,)
            The sums, as float64.
        """
        sets = (scored for _, scored in self.split(values, axes))
        return np.array([values[scored].sum(dtype=np.float64) for scored in sets])

    def __deepcopy__(self, memo):
        # A partition does not change: clones of an estimator share it, and views made with it.
        return self

    def stand_in(self, X, hidden: Index):
        """Return what takes the place of hidden entries, or None to leave it to the fill.

        Parameters
        ----------
        X : ndarray
            The array.
        hidden : index
            One of the sets of `split`.

        Returns
        -------
        ndarray of the shape of ``X[hidden]``, or None
            Entries from outside the set that measure the same thing.
        """
        return None


def _all_axes(X, axes) -> tuple[int, ...]:
    return tuple(range(np.ndim(X))) if axes is None else tuple(axes)


def _cut_shape(X, axes) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the axes that may be cut, and their lengths."""
    axes = _all_axes(X, axes)
    return axes, tuple(np.shape(X)[a] for a in axes)


def _check_n_splits(partition, most: int, what: str) -> None:
    n_splits = partition.n_splits
    if not isinstance(n_splits, Integral) or int(n_splits) not in range(2, most + 1):
        raise ValueError(
            f"n_splits={n_splits!r} of {type(partition).__name__} must be an integer "
            f"from 2 to {most}, the {what}."
        )


def _index(ndim: int, slices: dict[int, slice]) -> tuple[slice, ...]:
    return tuple(slices.get(axis, slice(None)) for axis in range(ndim))


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

    stride: int | tuple[int, ...] = 4

    def _strides(self, X, axes):
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

    def get_n_splits(self, X, axes=None):  # noqa: D102
        return prod(self._strides(X, axes)[1])

    def period(self, ndim, axes=None):  # noqa: D102
        axes = tuple(range(ndim)) if axes is None else tuple(axes)
        strides = per_axis(self.stride, len(axes), name="stride", minimum=1)
        return tuple(dict(zip(axes, strides)).get(axis, 1) for axis in range(ndim))

    def split(self, X, axes=None):  # noqa: D102
        axes, strides = self._strides(X, axes)
        for offsets in product(*map(range, strides)):
            hidden = _index(
                np.ndim(X),
                {a: slice(o, None, s) for a, o, s in zip(axes, offsets, strides, strict=True)},
            )
            yield hidden, hidden

    def totals(self, values, axes=None):  # noqa: D102
        # Axis by axis, which is faster than to visit the array once for each set.
        axes, strides = self._strides(values, axes)
        kept = dict(zip(axes, strides, strict=True))
        for axis in range(values.ndim):
            sums = fold(np.moveaxis(values, axis, 0), kept.get(axis, 1))
            values = np.moveaxis(sums, 0, axis)
        others = [a for a in range(values.ndim) if a not in kept]
        return values.transpose(*axes, *others).ravel()


@dataclass(frozen=True)
class CheckerboardPartition(Partition):
    """The two colours of a checkerboard.

    Half of the entries are hidden at once, so that two calls of the denoiser predict all
    of them; every direct neighbour of a hidden entry is visible.
    """

    def _shape(self, X, axes):
        axes, shape = _cut_shape(X, axes)
        if prod(shape) < 2:
            raise ValueError(
                f"CheckerboardPartition needs at least two entries along the axes {axes}, "
                f"and the data have shape {np.shape(X)}."
            )
        return axes, shape

    def get_n_splits(self, X, axes=None):  # noqa: D102
        self._shape(X, axes)
        return 2

    def period(self, ndim, axes=None):  # noqa: D102
        return tuple(2 if axes is None or axis in axes else 1 for axis in range(ndim))

    def split(self, X, axes=None):  # noqa: D102
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
    A dask array is divided block by block.
    """

    n_splits: int = 4
    random_state: Any = None

    def _shape(self, X, axes):
        axes, shape = _cut_shape(X, axes)
        what = f"number of entries that can be hidden in data of shape {np.shape(X)}"
        _check_n_splits(self, prod(shape), what)
        return axes, shape

    def get_n_splits(self, X, axes=None):  # noqa: D102
        self._shape(X, axes)
        return int(self.n_splits)

    def period(self, ndim, axes=None):  # noqa: D102
        return (None,) * ndim

    def split(self, X, axes=None):  # noqa: D102
        axes, shape = self._shape(X, axes)
        dtype = np.min_scalar_type(self.n_splits - 1)
        labels = np.resize(np.arange(self.n_splits, dtype=dtype), prod(shape))
        check_random_state(self.random_state).shuffle(labels)
        labels = along(labels.reshape(shape), axes, np.ndim(X))
        for j in range(self.n_splits):
            hidden = np.broadcast_to(labels == j, np.shape(X))
            yield hidden, hidden


@dataclass(frozen=True)
class ColumnPartition(Partition):
    """Every `n_splits`-th column, hidden whole: genes of a matrix, lines of a scan.

    Parameters
    ----------
    n_splits : int, default=5
        The number of sets; set j holds the columns j, j + n_splits, j + 2 n_splits, …
    axis : int, default=-1
        The axis that counts the columns.
    """

    n_splits: int = 5
    axis: int = -1

    def _axis(self, X, axes):
        axis = check_axis(self.axis, np.ndim(X), name="axis")
        if axis not in _all_axes(X, axes):
            raise ValueError(
                f"axis={self.axis} of ColumnPartition is an axis of channels or of independent "
                f"items, which is not cut: give one of {tuple(axes)}."
            )
        _check_n_splits(self, np.shape(X)[axis], f"length of axis {axis} of the data")
        return axis

    def get_n_splits(self, X, axes=None):  # noqa: D102
        self._axis(X, axes)
        return int(self.n_splits)

    def period(self, ndim, axes=None):  # noqa: D102
        return tuple(int(self.n_splits) if a == self.axis % ndim else 1 for a in range(ndim))

    def split(self, X, axes=None):  # noqa: D102
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

    def _half(self, X):
        axis = check_axis(self.axis, np.ndim(X), name="axis")
        length = np.shape(X)[axis]
        if length % 2:
            raise ValueError(
                f"axis={self.axis} of PairPartition must have an even length, half for each of "
                f"the two copies, and has {length} entries."
            )
        return axis, length // 2

    def get_n_splits(self, X, axes=None):  # noqa: D102
        self._half(X)
        return 2

    def split(self, X, axes=None):  # noqa: D102
        axis, half = self._half(X)
        for part in (slice(0, half), slice(half, 2 * half)):
            hidden = _index(np.ndim(X), {axis: part})
            yield hidden, hidden

    def period(self, ndim, axes=None):  # noqa: D102
        return tuple(0 if axis == self.axis % ndim else 1 for axis in range(ndim))

    def stand_in(self, X, hidden):  # noqa: D102
        axis, half = self._half(X)
        other = slice(half, 2 * half) if hidden[axis].start == 0 else slice(0, half)
        return X[_index(np.ndim(X), {axis: other})]
