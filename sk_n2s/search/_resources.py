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
from ..masking.base import spread_out
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

    def n_views(self, group: Group) -> int:  # noqa: D102
        if group.plan.is_single:
            return 1
        total = group.plan.get_n_splits(group.X)
        return total if self._n_splits is None else min(self._n_splits, total)

    def views(self, group: Group) -> Iterator[View]:  # noqa: D102
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

    def __init__(
        self,
        groups: list[Group],
        margin: int | str | None,
        random_state: Any,
        max_places: int | None,
        max_resources: int | str = "auto",
    ):
        X = groups[0].X
        if any(group.X.shape != X.shape for group in groups):
            raise ValueError(
                "The candidates see data of different shapes, on which they cannot race: use "
                "SelfSupervisedSearchCV."
            )
        self.is_lazy = is_lazy(X)
        self._is_masked = not all(group.plan.is_single for group in groups)
        reaches = [e.reach(X.ndim) for group in groups for _, e in group.members]
        self.margin = _common_margin(reaches) if isinstance(margin, str) else margin
        if self._is_masked and not all(map(_divides_pieces, groups)):
            self.margin = None
        if self.margin is None and self.is_lazy:
            raise ValueError(
                "A candidate looks at the whole array, which is not in memory: set its halo, how "
                "many entries around a piece it is to be shown, or compute the array first."
            )
        self.is_trusted = self.margin is None or None not in reaches
        rng = check_random_state(random_state)
        pieces = _pieces(groups[0], self.margin, rng)
        self._n_sets = 1
        if self._is_masked:
            self._n_sets = min(group.plan.get_n_splits(X) for group in groups)
        self._offset = rng.randint(self._n_sets, size=len(pieces))
        inside = np.mean([prod(s.stop - s.start for s in p.core) for p in pieces])
        self.n_entries = float(inside) / self._n_sets
        self.length = len(pieces) * self._n_sets
        self.length = self.places(max_resources, max_places)
        self._choose(X, pieces)

    def _choose(self, X: Any, pieces: list[Piece]) -> None:
        """Choose pieces in which something was measured, those of like contents far apart."""
        most = min(self.length, len(pieces))
        known = _measured(pieces, X, most if self.is_lazy else _LOOKED_AT)
        if len(known) > 1:
            known = _by_variance(known)
        self._ranks = spread_out(len(known))[:most]
        kept = [known[rank] for rank in self._ranks]
        self._pieces = [piece for piece, _ in kept]
        self._parts: list[tuple[Any, list[np.ndarray]]] = [(X, [part for _, part in kept])]
        self.length = min(self.length, len(kept) * self._n_sets)

    @property
    def max_entries(self) -> int:
        """How many entries are scored on the whole course, about."""
        return round(self.length * self.n_entries)

    def places(self, resources: int | str, otherwise: int | None) -> int:
        """Return how many places there are for resources."""
        wanted = self.length if otherwise is None else otherwise
        if not isinstance(resources, str):
            wanted = max(1, round(resources / self.n_entries))
        return min(wanted, self.length)

    def views(self, group: Group, start: int, stop: int) -> Iterator[View]:
        """Make the views of a group at some places of the course."""
        for place in range(start, stop):
            turn, k = divmod(place, len(self._pieces))
            piece, index = self._pieces[k], None
            part = self._parts_of(group.X)[k]
            if self._is_masked:
                order = group.plan.partition.order(part, group.plan.axes)[: self._n_sets]
                index = order[(turn + int(self._offset[k])) % len(order)]
            # Numbered by rank: units that lie next to each other are of like contents.
            number = turn * _LOOKED_AT + self._ranks[k]
            first = number * piece.n_blocks**group.X.ndim
            yield group.plan.view_of_piece(part, piece, index, first)

    def _parts_of(self, X: Any) -> list[np.ndarray]:
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
    course : Course
        The pieces.
    start, stop : int
        The first place, and the one after the last.
    """

    #: Few columns, in which the pieces are gathered.
    n_columns = 4

    def __init__(self, course: Course, start: int, stop: int):
        self._course, self._start, self._stop = course, start, stop

    @property
    def n_entries(self) -> int:
        """How many entries are scored up to the last place, about."""
        return round(self._stop * self._course.n_entries)

    def n_views(self, group: Group) -> int:  # noqa: D102
        return self._stop - self._start

    def views(self, group: Group) -> Iterator[View]:  # noqa: D102
        return self._course.views(group, self._start, self._stop)


def _divides_pieces(group: Group) -> bool:
    """Return whether the partition of a group divides pieces as well, and not only the whole."""
    return 0 not in group.plan.partition.period(group.X.ndim, group.plan.axes)


def _pieces(group: Group, margin: int | None, rng: np.random.RandomState) -> list[Piece]:
    """Return the whole of the data, or pieces of them with a margin, in random order."""
    shape = group.X.shape
    if margin is None:
        whole = (slice(None),) * len(shape)
        return [Piece(whole, tuple(slice(0, n) for n in shape), _BLOCKS)]
    items = group.members[0][1].axes(len(shape)).batch
    pieces = list(divide(shape, group.plan.axes, items, margin, _INSIDE))
    rng.shuffle(pieces)  # type: ignore[arg-type]
    return pieces


def _common_margin(reaches: list[Reach | None]) -> int | None:
    """Return how far the candidates look, or None if one of them looks at everything."""
    distances = [(_MARGIN,) if reach is None else reach.distance for reach in reaches]
    margin = max(max(distance) for distance in distances)
    return None if margin == inf else ceil(margin)


def _measured(pieces: list[Piece], X: Any, limit: int) -> list[tuple[Piece, np.ndarray]]:
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
