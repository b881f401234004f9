"""Groups of similar patches: where they are, how they are found, how estimates are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy import sparse

__all__ = ["Average", "Grid", "Tile", "most_similar"]

#: Reference patches that are worked on together, which bounds the memory.
_TILE = 256

#: References that are further apart than this are far apart.
_FAR = 4


class Tile(NamedTuple):
    """Neighbouring reference patches, and what they see.

    Positions are those of the patches' first entries; they count within `box`, the block of
    all positions that the tile's windows cover.
    """

    box: tuple[slice, ...]
    reference: np.ndarray  # (n_references,)
    first: np.ndarray  # (n_references,): the first position of the window of each
    window: np.ndarray  # (n_candidates,): the others of a window, counted from the first

    @property
    def extent(self) -> tuple[int, ...]:
        """The shape of the box."""
        return tuple(b.stop - b.start for b in self.box)


class Grid:
    """Where patches are, over the axes of space."""

    def __init__(
        self,
        shape: tuple[int, ...],
        patch: tuple[int, ...],
        window: tuple[int, ...],
        step: tuple[int, ...],
    ) -> None:
        self.shape = shape
        self.patch = tuple(min(p, n) for p, n in zip(patch, shape, strict=True))
        self.size = int(np.prod(self.patch))
        self.positions = tuple(n - p + 1 for n, p in zip(shape, self.patch, strict=True))
        self._window = tuple(min(w, q) for w, q in zip(window, self.positions, strict=True))
        # No entry may be left out.
        self._steps = tuple(min(s, p) for s, p in zip(step, self.patch, strict=True))

    def slabs(self) -> list[list[Tile]]:
        """Return the tiles of all reference patches, by their place along the first axis.

        References are every `step`-th position, and the last.
        """
        # Windows of references far apart overlap less, and fewer of them share a product.
        apart = max(self._steps) > _FAR
        side = max(1, round((_TILE // (1 + apart)) ** (1 / len(self.shape))))
        axes = []
        for q, step in zip(self.positions, self._steps, strict=True):
            places = np.unique(np.append(np.arange(0, q, step), q - 1))
            axes.append([places[k : k + side] for k in range(0, len(places), side)])
        return [[self._tile((first, *rest)) for rest in product(*axes[1:])] for first in axes[0]]

    def _tile(self, places: tuple[np.ndarray, ...]) -> Tile:
        """Return the tile of reference patches at a grid of places."""
        # A window that would reach over the border is moved inwards.
        starts = [
            np.clip(p - w // 2, 0, q - w)
            for p, w, q in zip(places, self._window, self.positions, strict=True)
        ]
        low = [s[0] for s in starts]
        box = tuple(slice(s[0], s[-1] + w) for s, w in zip(starts, self._window, strict=True))
        extent = tuple(b.stop - b.start for b in box)
        reference = _flat([p - o for p, o in zip(places, low, strict=True)], extent)
        first = _flat([s - o for s, o in zip(starts, low, strict=True)], extent)
        return Tile(box, reference, first, _flat([np.arange(w) for w in self._window], extent))

    def patches(self, values: np.ndarray, box: tuple[slice, ...]) -> np.ndarray:
        """Return the patches that start within a box, a row for each."""
        view = np.lib.stride_tricks.sliding_window_view(values, self.patch)[box]
        return view.reshape(-1, self.size)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return the sum over each patch, by its position."""
        for axis, side in enumerate(self.patch):
            total = np.cumsum(values, axis=axis, dtype=np.float64)
            total = np.insert(total, 0, 0.0, axis=axis)
            n = total.shape[axis]
            upper, lower = (np.arange(k, n - side + k) for k in (side, 0))
            values = np.take(total, upper, axis) - np.take(total, lower, axis)
        return values


def _flat(places: list[np.ndarray], extent: tuple[int, ...]) -> np.ndarray:
    """Return the positions of a grid of places, counted within a block."""
    return np.ravel_multi_index(np.meshgrid(*places, indexing="ij"), extent).ravel()


def most_similar(
    guide: np.ndarray, tile: Tile, group_size: int, alike: np.ndarray | int = 0
) -> np.ndarray:
    """Return the positions of the patches nearest to each reference, itself among them.

    `alike` is by how much less patches differ that share noise, for each reference and candidate.
    """
    distance = guide[tile.reference] @ guide.T  # ‖a‖² is the same for all candidates b
    distance *= -2
    distance += np.einsum("ij,ij->i", guide, guide)
    # Itself, even among many that are the same: no entry may be left without an estimate.
    distance[np.arange(len(distance)), tile.reference] = -np.inf
    candidates = tile.first[:, np.newaxis] + tile.window
    count = min(group_size, candidates.shape[1])
    inside = np.take_along_axis(distance, candidates, axis=1)
    inside += alike
    nearest = np.argpartition(inside, count - 1, axis=1)[:, :count]
    return np.take_along_axis(candidates, nearest, axis=1).astype(np.int32)


class Average:
    """Weighted averages of estimates of patches, which overlap, over the rows of a slab.

    The estimates of a group have a share in common, which is averaged as well.
    """

    def __init__(self, grid: Grid, slab: list[Tile], dtype: np.dtype) -> None:
        self._grid = grid
        first = slab[0].box[0]
        self.rows = slice(first.start, first.stop + grid.patch[0] - 1)
        n = first.stop - first.start
        self.total = np.zeros((n + grid.patch[0] - 1, *grid.shape[1:]), dtype)
        self.weights = np.zeros((2, n, *grid.positions[1:]), dtype)

    def add(
        self,
        tile: Tile,
        members: np.ndarray,
        estimates: np.ndarray,
        weight: np.ndarray,
        share: np.ndarray | None,
    ) -> None:
        """Add the estimates of groups of patches, (n_groups, n_members, size)."""
        # A patch takes part in many groups: one sparse product adds up all its estimates.
        place, n = members.ravel(), int(np.prod(tile.extent))
        terms = (weight.ravel(), (place, np.arange(place.size)))
        gather = sparse.csr_array(terms, shape=(n, place.size))
        rows = gather @ estimates.reshape(place.size, -1)
        planes = np.ascontiguousarray(rows.T).reshape(*self._grid.patch, *tile.extent)
        first, *rest = tile.box
        box = (slice(first.start - self.rows.start, first.stop - self.rows.start), *rest)
        for offset in product(*(range(p) for p in self._grid.patch)):
            covered = (slice(b.start + o, b.stop + o) for b, o in zip(box, offset, strict=True))
            self.total[tuple(covered)] += planes[offset]
        sums = [weight] if share is None else [weight, weight * share]
        for total, terms_of_it in zip(self.weights, sums, strict=False):
            total[box] += np.bincount(place, terms_of_it.ravel(), minlength=n).reshape(tile.extent)

    @staticmethod
    def of_all(grid: Grid, slabs: Sequence[Average]) -> tuple[np.ndarray, np.ndarray]:
        """Return the averages of estimates and of shares, from those of all slabs."""
        dtype = slabs[0].total.dtype
        total = np.zeros(grid.shape, dtype)
        weights = np.zeros((2, *grid.positions), dtype)
        for slab in slabs:
            total[slab.rows] += slab.total
            weights[:, slab.rows.start : slab.rows.start + slab.weights.shape[1]] += slab.weights
        count, share = np.zeros((2, *grid.shape), dtype)
        for offset in product(*(range(p) for p in grid.patch)):
            place = tuple(slice(o, o + q) for o, q in zip(offset, grid.positions, strict=True))
            count[place] += weights[0]
            share[place] += weights[1]
        return total / count, share / count
