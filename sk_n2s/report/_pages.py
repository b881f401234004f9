"""Which parts of the data are shown: a limited number of pages, each a signal or an image."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np

from ._residual import Residual
from ._shown import Shown

__all__ = ["Page", "pages_of"]

#: So many pages, and of each kind so many places.
_MOST = 8
_PLACES = 5


class Page(NamedTuple):
    """A part of the data with one axis or two, and one of colours.

    Attributes
    ----------
    name : str
        What it is called.
    where : tuple of int and slice
        Where it is.
    axes : tuple of int
        The axes of the data that it keeps, down and across.
    colour : int or None
        The axis of colours, of which there are three.
    """

    name: str
    where: tuple
    axes: tuple[int, ...]
    colour: int | None = None

    def of(self, X: np.ndarray) -> np.ndarray:
        """Return this part of the data, or of data of that shape."""
        return self._with_colours_last(X[self.where])

    def of_residual(self, residual: Residual) -> np.ndarray:
        """Return the same of the residual."""
        return self._with_colours_last(residual.within(self.where))

    def _with_colours_last(self, part: np.ndarray) -> np.ndarray:
        if self.colour is None:
            return part
        return np.moveaxis(part, sum(a < self.colour for a in self.axes), -1)


def pages_of(shown: Shown) -> list[Page]:
    """Return the pages of data, the most telling first."""
    shape, axes = shown.before.shape, shown.axes
    if axes.is_table:
        return [Page("the table", (slice(None), slice(None)), (0, 1))]
    long = shown.long_axes or axes.neighbours[-1:]
    across = [long[-2:]]
    if len(long) == 3:
        across += [(long[0], long[2]), (long[0], long[1])]
    found: list[Page] = []
    colours = axes.channel if axes.channel is not None and shape[axes.channel] == 3 else None
    if colours is not None and len(long) > 1:
        found += _cuts(shape, across[:1], axes.batch, None, colours)
    found += _cuts(shape, across, axes.batch, axes.channel, None)
    return found[:_MOST]


def _cuts(
    shape: tuple[int, ...],
    across: list[tuple[int, ...]],
    batch: int | None,
    channel: int | None,
    colour: int | None,
) -> list[Page]:
    """Return the parts along some pairs of axes, at several places along the others."""
    found = []
    for k, kept in enumerate(across):
        free = [a for a in range(len(shape)) if a not in (*kept, colour) and shape[a] > 1]
        counts = {a: min(shape[a], _PLACES if k == 0 else 1) for a in free}
        while np.prod([*counts.values(), 1]) > _MOST - (len(across) - 1):
            widest = max(free, key=lambda a: (counts[a], a not in (batch, channel)))
            counts[widest] -= 1
        for place in product(*(_spread(shape[a], counts[a]) for a in free)):
            at = dict(zip(free, place, strict=True))
            where = tuple(
                slice(None) if a in (*kept, colour) else at.get(a, 0) for a in range(len(shape))
            )
            kinds = {batch: "item", channel: "channel"}
            name = ", ".join(
                f"{kinds[a]} {i}" if a in kinds else f"axis {a} at {i}" for a, i in at.items()
            )
            name = f"{name}, colours" if colour is not None and name else name
            name = name or ("colours" if colour is not None else "all")
            found.append(Page(name, where, kept, colour))
    if len(across) > 1 and found:  # a volume opens in its middle
        first = found.pop(len([f for f in found if f.axes == across[0]]) // 2)
        found.insert(0, first)
    return found


def _spread(n: int, count: int) -> list[int]:
    """Return places spread over an axis, the middle one if it is a single one."""
    return [int((k + 0.5) * n / count) for k in range(count)]
