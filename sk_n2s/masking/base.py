"""`Partition`: what every division of an array into sets answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.utils import check_random_state

__all__ = ["AxesToCut", "Index", "Partition", "Period", "Sets", "seeded", "spread_out"]

#: What selects entries of an array: a tuple of slices, or a boolean array of its shape.
Index = Any

#: The axes along which to cut; None means all.
AxesToCut = tuple[int, ...] | None

#: For each J, what is hidden and what is scored.
Sets = Iterator[tuple[Index, Index]]

#: After how many entries along each axis sets repeat themselves.
Period = tuple[int | None, ...]


class Partition(ABC):
    """Base class of the partitions.

    `axes` are the axes along which the partition may cut, all of them by default: an axis
    of channels is left whole (a pixel is hidden in all channels together), and so is an
    axis of independent items.
    """

    #: Whether entries are hidden without those whose noise may depend on theirs.
    hides_singly: ClassVar[bool] = False

    @abstractmethod
    def get_n_splits(self, X: np.ndarray, axes: AxesToCut = None) -> int:
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
    def split(self, X: np.ndarray, axes: AxesToCut = None) -> Sets:
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

    def order(self, X: np.ndarray, axes: AxesToCut = None) -> list[int]:
        """Return the numbers of the sets in an order of which every beginning is spread out.

        Where not all sets are scored, the first ones of this order are.

        Parameters
        ----------
        X : ndarray
            The array to be divided; only its shape matters.
        axes : tuple of int, default=None
            The axes along which to cut; None means all.

        Returns
        -------
        list of int
            Each number below `get_n_splits` once.
        """
        return spread_out(self.get_n_splits(X, axes))

    def enough_splits(self, X: np.ndarray, axes: AxesToCut = None) -> int:
        """Return how many sets a search scores where the user does not say.

        Parameters
        ----------
        X : ndarray
            The array to be divided; only its shape matters.
        axes : tuple of int, default=None
            The axes along which to cut; None means all.

        Returns
        -------
        int
            The number; all are scored if there are fewer.
        """
        return 4

    def drawn(self) -> Partition:
        """Return a partition whose sets are the same at every call.

        Returns
        -------
        Partition
            The partition itself, or one of its kind with what is random in it drawn.
        """
        return self

    def period(self, ndim: int, axes: AxesToCut = None) -> Period:
        """Return after how many entries along each axis the sets repeat themselves.

        A piece of the array that begins at multiples of the period is divided as it is in
        the whole.

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

    def totals(self, values: np.ndarray, axes: AxesToCut = None) -> np.ndarray:
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

    def __deepcopy__(self, memo: dict) -> Partition:
        # A partition does not change: clones of an estimator share it, and views made with it.
        return self

    def stand_in(self, X: np.ndarray, hidden: Index) -> np.ndarray | None:
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


def spread_out(n: int) -> list[int]:
    """Return the numbers below n in an order of which every beginning is spread over them."""
    bits = max(1, (n - 1).bit_length())
    order = (int(f"{k:0{bits}b}"[::-1], 2) for k in range(2**bits))
    return [k for k in order if k < n]


def seeded(drawing: Any) -> Any:
    """Return a frozen dataclass with a `random_state`, the same at every call."""
    if isinstance(drawing.random_state, Integral):
        return drawing
    seed = check_random_state(drawing.random_state).randint(2**31)
    return replace(drawing, random_state=int(seed))
