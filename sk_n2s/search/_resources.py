"""What candidates are shown in one round of a search: all of the data, or pieces of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from math import ceil, inf, prod
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from .._utils.lazy import in_memory, is_lazy
from .._utils.tiling import Piece, divide
from ..denoisers.traits import Reach
from ..masking.views import View
from ._candidates import Group

__all__ = ["Course", "PiecesRound", "Round", "WholeRound"]

#: Entries of the inside of a piece, if the data allow.
_INSIDE = 2**14

#: Pieces of an array in memory that are looked at, to choose from.
_LOOKED_AT = 1024

#: The margin for a denoiser that does not say how far it looks.
_MARGIN = 32

#: Blocks along each axis, as units of comparison, where a view is of the whole array.
_BLOCKS = 4


class Round(ABC):
    """What candidates are shown in one round of a search."""

    #: Columns of the table that the scores are gathered in; None gives each set its own.
    n_columns: int | None = None

    @abstractmethod
    def n_views(self, group: Group) -> int:
        """Return how many views a group sees."""

    @abstractmethod
    def views(self, group: Group) -> Iterator[View]:
        """Make them, one at a time."""


class WholeRound(Round):
    """Sets of the partition, in all of the data.

    Parameters
    ----------
    n_splits : int or None
        How many; None means all.
    """

    def __init__(self, n_splits: int | None):
        self._n_splits = n_splits

    def n_views(self, group):  # noqa: D102
        if group.plan.is_single:
            return 1
        total = group.plan.get_n_splits(group.X)
        return total if self._n_splits is None else min(self._n_splits, total)

    def views(self, group):  # noqa: D102
        return group.plan.views(group.X, self._n_splits)


class Course:
    """Pieces of the data, spread over them, on which candidates are compared.

    Every beginning of the course has about the contents of the whole: pieces of large and of
    small variance take turns. At each *place* of the course, one piece is shown with a
    margin around it, and one set of the partition is hidden in it; a candidate that needs no
    masks is scored on the same entries. Each piece has its turn before the first one comes
    again, with another set.

    Parameters
    ----------
    groups : list of Group
        The candidates, by the views that they see.
    margin : int, "auto" or None
        The margin around the pieces; None shows the whole array, with one set hidden.
    random_state : int, RandomState or None
        Decides on the order.
    max_places : int or None
        How many places there are at most; None means all pieces, and all sets in each.
    max_resources : int or "auto", default="auto"
        How many entries are scored at most, if it is not to be left to `max_places`.

    Attributes
    ----------
    n_entries : float
        How many entries are scored at each place of the course, on average.
    length : int
        How many places there are.
    margin : int or None
        The margin that was taken.
    is_lazy : bool
        Whether the data are not in memory.
    is_trusted : bool
        Whether all candidates said how far they look, so that they answer on a piece about
        as on the whole of the data.

    Raises
    ------
    ValueError
        If the candidates see data of different shapes, or if they look at the whole of data
        that are not in memory.
    """

    def __init__(self, groups: list[Group], margin, random_state, max_places, max_resources="auto"):
        plan, X = groups[0].plan, groups[0].X
        if any(group.X.shape != X.shape for group in groups):
            raise ValueError(
                "The candidates see data of different shapes, on which they cannot race: use "
                "SelfSupervisedSearchCV."
            )
        self.is_masked = not all(group.plan.is_single for group in groups)
        reaches = [e.reach(X.ndim) for group in groups for _, e in group.members]
        self.margin = _common_margin(reaches) if margin == "auto" else margin
        plans = [group.plan for group in groups]
        if self.is_masked and any(0 in p.partition.period(X.ndim, p.axes) for p in plans):
            self.margin = None  # the partition divides nothing but the whole
        rng = check_random_state(random_state)
        self.is_lazy = is_lazy(X)
        self.is_trusted = self.margin is None or None not in reaches
        if self.margin is None and self.is_lazy:
            raise ValueError(
                "A candidate looks at the whole array, which is not in memory: set its halo, how "
                "many entries around a piece it is to be shown, or compute the array first."
            )
        if self.margin is None:
            whole = (slice(None),) * X.ndim
            core = tuple(slice(0, n) for n in X.shape)
            pieces = [Piece(whole, core, _BLOCKS)]
        else:
            items = groups[0].members[0][1].axes(X.ndim).batch
            pieces = list(divide(X.shape, plan.axes, items, self.margin, _INSIDE))
            rng.shuffle(pieces)
        self._n_sets = 1
        if self.is_masked:
            self._n_sets = min(group.plan.get_n_splits(X) for group in groups)
        self._offset = rng.randint(self._n_sets, size=len(pieces))
        inside = np.mean([prod(s.stop - s.start for s in p.core) for p in pieces])
        self.n_entries = float(inside) / self._n_sets
        self.length = len(pieces) * self._n_sets
        self.length = self.places(max_resources, max_places)
        most = min(self.length, len(pieces))
        known = _measured(pieces, X, most if self.is_lazy else _LOOKED_AT)
        if len(known) > 1:
            known = _by_variance(known)
        self._ranks = _spread_out(len(known))[:most]
        kept = [known[rank] for rank in self._ranks]
        self._pieces = [piece for piece, _ in kept]
        self._parts: list[tuple[Any, list[np.ndarray]]] = [(X, [part for _, part in kept])]
        self.length = min(self.length, len(kept) * self._n_sets)

    @property
    def max_entries(self) -> int:
        """How many entries are scored on the whole course, about."""
        return round(self.length * self.n_entries)

    def places(self, resources, otherwise: int | None) -> int:
        """Return how many places there are for resources."""
        wanted = self.length if otherwise is None else otherwise
        if resources != "auto":
            wanted = max(1, round(resources / self.n_entries))
        return min(wanted, self.length)

    def views(self, group: Group, start: int, stop: int) -> Iterator[View]:
        """Make the views of a group at some places of the course."""
        for place in range(start, stop):
            turn, k = divmod(place, len(self._pieces))
            piece, index = self._pieces[k], None
            part = self._parts_of(group.X)[k]
            if self.is_masked:
                n_sets = group.plan.get_n_splits(part)
                index = (turn + int(self._offset[k])) % min(n_sets, self._n_sets)
            # Numbered by rank: units that lie next to each other are of like contents.
            number = turn * _LOOKED_AT + self._ranks[k]
            first = number * piece.n_blocks**group.X.ndim
            yield group.plan.view_of_piece(part, piece, index, first)

    def _parts_of(self, X) -> list[np.ndarray]:
        """Return the pieces of an array, with margins; of a lazy one, they are kept."""
        for known, parts in self._parts:
            if known is X:
                return parts
        self._parts.append((X, in_memory([X[piece.outer] for piece in self._pieces])))
        return self._parts[-1][1]


class PiecesRound(Round):
    """Some places of a course.

    Parameters
    ----------
    course : Course or None
        The pieces; None where no candidate can be shown any.
    start, stop : int
        The first place, and the one after the last.
    """

    #: Few columns, in which the pieces are gathered.
    n_columns = 4

    def __init__(self, course: Course | None, start: int, stop: int):
        self._course, self._start, self._stop = course, start, stop

    @property
    def n_entries(self) -> int:
        """How many entries are scored up to the last place, about."""
        return 0 if self._course is None else round(self._stop * self._course.n_entries)

    def n_views(self, group):  # noqa: D102
        return self._stop - self._start

    def views(self, group):  # noqa: D102
        if self._course is None:
            return iter(())
        return self._course.views(group, self._start, self._stop)


def _common_margin(reaches: list[Reach | None]) -> int | None:
    """Return how far the candidates look, or None if one of them looks at everything."""
    distances = [(_MARGIN,) if reach is None else reach.distance for reach in reaches]
    margin = max(max(distance) for distance in distances)
    return None if margin == inf else ceil(margin)


def _measured(pieces: list[Piece], X, limit: int) -> list[tuple[Piece, np.ndarray]]:
    """Return the first pieces in which something was measured."""
    kept: list[tuple[Piece, np.ndarray]] = []
    for first in range(0, len(pieces), max(1, limit)):
        batch = pieces[first : first + max(1, limit)]
        parts = in_memory([X[piece.outer] for piece in batch])
        if is_lazy(X) and any(np.isinf(part).any() for part in parts):
            raise ValueError("X contains infinity: mark what was not measured by NaN.")
        kept += [
            (piece, part)
            for piece, part in zip(batch, parts, strict=True)
            if not np.isnan(part[piece.core]).all()
        ]
        if len(kept) >= limit:
            break
    return kept[:limit]


def _by_variance(pieces: list[tuple[Piece, np.ndarray]]) -> list[tuple[Piece, np.ndarray]]:
    """Return pieces in the order of their variance, the largest first."""
    variance = [float(np.nanvar(part[piece.core], dtype=np.float64)) for piece, part in pieces]
    return [pieces[k] for k in np.argsort(variance, kind="stable")[::-1]]


def _spread_out(n: int) -> list[int]:
    """Return the numbers below n in an order of which every beginning is spread over them."""
    bits = max(1, (n - 1).bit_length())
    order = [int(f"{k:0{bits}b}"[::-1], 2) for k in range(2**bits)]
    return [k for k in order if k < n]
