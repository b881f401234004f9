"""Views: what a denoiser is shown, where its answer counts, what it is compared with.

Everything above the denoiser sees the data as a sequence of views. How entries are hidden
is decided here, and known nowhere else. Views do not depend on the denoiser's parameters,
so that one sequence serves all candidates of a search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from .._utils.arrays import block_sums, has_nan
from .._utils.once import Once
from .._utils.tiling import Piece
from .base import Index, Partition
from .fills import Fill, values_of

__all__ = ["NothingVisible", "View", "ViewPlan", "total_of_all"]


class NothingVisible(ValueError):
    """All measurements are hidden at once, so that nothing is left to predict them from."""


class View(NamedTuple):
    """One question to the denoiser.

    Attributes
    ----------
    input : ndarray or sparse array
        What the denoiser is shown: an array of the shape of the data.
    where : index
        Where its answer counts.
    target : ndarray
        What the answer is compared with, of the shape of ``input[where]``; NaN entries
        are not scored.
    splits : tuple of int
        The numbers of the scored sets that the answer covers.
    totals : callable
        Returns the sum of an array of the shape of `target` over each of these sets.
    counts : ndarray of int
        How many entries of each set were measured.
    exact : bool
        Whether the denoiser's exact form is asked, rather than the denoiser.
    noise : NoiseModel or None
        If given, the estimator's output is asked for, which may have seen the target, and
        is scored by Stein's unbiased risk estimate for such noise.
    has_gaps : bool
        Whether entries of `input` are missing, which only an exact form is shown.
    filled : index or None
        Which entries of `input` are a fill; None if there are none.
    factor : float
        What an answer is multiplied by before it is compared.
    known : Once or None
        What was learnt from `input`, for candidates that share it.
    period : int or None
        After how many rows of the target the sets repeat themselves, so that `totals` of
        blocks of as many rows add up; None if it is not known.
    """

    input: np.ndarray
    where: Index
    target: np.ndarray
    splits: tuple[int, ...]
    totals: Callable[[np.ndarray], np.ndarray]
    counts: np.ndarray
    exact: bool = False
    noise: Any = None
    has_gaps: bool = False
    filled: Index | None = None
    factor: float = 1.0
    known: Once | None = None
    period: int | None = None

    def blocks(self, n_entries: int = 2**20) -> Iterator[slice]:
        """Yield rows that are compared at a time, of about so many entries."""
        rows = max(1, n_entries * self.target.shape[0] // int(np.prod(self.target.shape)))
        for start in range(0, self.target.shape[0], rows):
            yield slice(start, start + rows)

    def compared(self, rows: slice) -> np.ndarray:
        """Return some rows of the target as an array; a sparse one is made dense."""
        part: Any = self.target[rows]
        return part.toarray() if sparse.issparse(part) else part


@dataclass(frozen=True)
class ViewPlan:
    """How the entries of an array are hidden; equal plans make equal views.

    Parameters
    ----------
    partition : Partition
        Which entries are hidden, or merely scored, together.
    fill : Fill
        What hidden and missing entries are replaced with.
    axes : tuple of int
        The axes along which entries are hidden and are neighbours.
    exact : bool
        True if the denoiser's exact form answers everywhere from a single view, with
        missing entries left as NaN; False if each set is hidden in turn.
    noise : NoiseModel or None, default=None
        If given, nothing is hidden: the estimator's output is scored as it is, by Stein's
        unbiased risk estimate for such noise.
    """

    partition: Partition
    fill: Fill
    axes: tuple[int, ...]
    exact: bool
    noise: Any = None

    @property
    def is_single(self) -> bool:
        """Whether one view answers for all sets."""
        return self.exact or self.noise is not None

    def get_n_splits(self, X: np.ndarray) -> int:
        """Return the number of sets that can be scored."""
        return self.partition.get_n_splits(X, self.axes)

    def views(self, X: np.ndarray, n_splits: int | None = None) -> Iterator[View]:
        """Make the views, one at a time."""
        total = self.get_n_splits(X)
        n_splits = total if n_splits is None else min(n_splits, total)
        chosen = sorted(self.partition.order(X, self.axes)[:n_splits])
        if self.is_single:
            totals = partial(_chosen_totals, self.partition, self.axes, chosen)
            splits = tuple(range(len(chosen)))
            gaps = has_nan(X)
            counts = _counts(X, totals, gaps)
            period = self.partition.period(X.ndim, self.axes)[0] or None
            yield View(
                X, ..., X, splits, totals, counts, self.exact, self.noise, gaps, period=period
            )
            return
        missing = _missing(X)
        sets = enumerate(self.partition.split(X, self.axes))
        for split, (hidden, scored) in enumerate(pair for j, pair in sets if j in chosen):
            if missing is not None and missing.sum() + np.sum(~missing[hidden]) == X.size:
                raise NothingVisible(
                    f"All measurements of X lie in one set of {self.partition}, so that nothing is "
                    "left to predict them from: give another partition, such as RandomPartition."
                )
            shown, target = self._conceal(X, hidden, missing), X[scored]
            counts = _counts(target, total_of_all, has_nan(target))
            filled = _filled(hidden, missing)
            yield View(
                *(shown, scored, target, (split,), total_of_all, counts),
                filled=filled,
                known=Once(),
            )

    def view_of_piece(
        self, part: np.ndarray, piece: Piece, index: int | None, first_split: int = 0
    ) -> View:
        """Make a view of a piece of the data."""
        noise = None if self.noise is None else self.noise.within(piece.outer)
        hidden: Index = ()
        where: Index = piece.core
        if index is not None:
            sets = self.partition.split(part, self.axes)
            hidden, scored = next(islice(sets, index, None))
            where = _within(scored, piece.core, part.shape)
        target, missing = part[where], _missing(part)
        if missing is not None and self.noise is None:
            n_hidden = 1 if self.exact else np.count_nonzero(~missing[hidden])
            if np.count_nonzero(~missing) <= n_hidden:  # nothing to predict from, nothing scored
                target = np.full_like(target, np.nan)
        filled = None
        if not self.is_single:
            part = self._conceal(part, hidden, missing)
            filled = _filled(hidden, missing)
        totals = partial(block_sums, parts=piece.n_blocks)
        counts = _counts(target, totals, has_nan(target))
        splits = tuple(range(first_split, first_split + len(counts)))
        gaps = self.exact and missing is not None
        return View(part, where, target, splits, totals, counts, self.exact, noise, gaps, filled)

    def complete(self, X: np.ndarray) -> np.ndarray:
        """Return the data with only their missing entries filled."""
        missing = _missing(X)
        return X if missing is None else self.fill(X, missing, self.axes)

    def conceal(self, X: np.ndarray, hidden: Index) -> np.ndarray:
        """Return what is shown while a set is hidden."""
        return self._conceal(X, hidden, _missing(X))

    def _conceal(self, X: np.ndarray, hidden: Index, missing: np.ndarray | None) -> np.ndarray:
        """Return what is shown while a set is hidden, if it is known what is missing."""
        visible = np.ones(X.shape, dtype=bool) if missing is None else ~missing
        visible[hidden] = False
        shown = X.copy()
        stand_in = self.partition.stand_in(X, hidden)
        if stand_in is None:
            shown[hidden] = values_of(self.fill, X, visible, hidden, self.axes)
        else:
            shown[hidden] = stand_in
            visible[hidden] = ~np.isnan(stand_in)
        if missing is not None:
            gaps = np.isnan(shown)
            shown[gaps] = values_of(self.fill, shown, visible, gaps, self.axes)
        return shown


def _filled(hidden: Index, missing: np.ndarray | None) -> Index:
    """Return which entries are a fill: those that are hidden, and those that are missing."""
    if missing is None:
        return hidden
    filled = missing.copy()
    filled[hidden] = True
    return filled


def total_of_all(values: np.ndarray) -> np.ndarray:
    """Return the sum of all values: a view of one set."""
    return np.array([np.sum(values, dtype=np.float64)])


def _within(index: Index, core: tuple[slice, ...], shape: tuple[int, ...]) -> Index:
    """Return the index of those entries that lie in the core as well."""
    if not isinstance(index, tuple):
        inside = np.zeros(shape, dtype=bool)
        inside[core] = index[core]
        return inside
    slices = []
    for own, kept, n in zip(index, core, shape, strict=True):
        places = range(n)[own]
        skipped = max(0, -(-(kept.start - places.start) // places.step))
        slices.append(slice(places.start + skipped * places.step, kept.stop, places.step))
    return tuple(slices)


def _counts(target: np.ndarray, totals: Callable, has_gaps: bool) -> np.ndarray:
    """Return how many entries of each set were measured."""
    known = ~np.isnan(target) if has_gaps else np.broadcast_to(True, target.shape)
    return totals(known).astype(int)


def _chosen_totals(
    partition: Partition, axes: tuple[int, ...], chosen: list[int], values: np.ndarray
) -> np.ndarray:
    """Return the sums over some of the sets."""
    return partition.totals(values, axes)[chosen]


def _missing(X: np.ndarray) -> np.ndarray | None:
    """Return where entries are missing, or None if none are."""
    return np.isnan(X) if has_nan(X) else None
