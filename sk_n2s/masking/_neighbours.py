"""What surrounds entries: the neighbours within a kernel, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from math import ceil

import numpy as np

from .base import Index

__all__ = ["Neighbours", "neighbours_of"]

#: Up to this share of an array, its entries are gathered one by one rather than all looked at.
_FEW = 0.15

#: For each neighbour its weight, which entries have it, its values, and whether they are seen.
Neighbours = Iterable[tuple[float, tuple[slice, ...], np.ndarray, np.ndarray]]


def neighbours_of(
    X: np.ndarray,
    visible: np.ndarray,
    where: Index,
    axes: tuple[int, ...],
    kernel: np.ndarray,
    border: str,
) -> tuple[Neighbours, tuple[int, ...], bool]:
    """Return the neighbours of entries, their shape, and whether they are those of all entries."""
    shape = X.shape
    margin = [0] * X.ndim
    if border == "mirror":
        for axis, length in zip(axes, kernel.shape, strict=True):
            margin[axis] = length // 2
        pad = [(m, m) for m in margin]
        X, visible = np.pad(X, pad, mode="reflect"), np.pad(visible, pad, mode="reflect")
    steps = list(_steps(X.ndim, axes, kernel))
    if not _is_slices(where, X.ndim) and isinstance(where, np.ndarray) and where.dtype == bool:
        places = np.nonzero(where)
        if len(places[0]) <= _FEW * X.size:
            places = tuple(p + m for p, m in zip(places, margin, strict=True))
            return _gathered(X, visible, places, steps), (len(places[0]),), False
    slices = where if _is_slices(where, X.ndim) else (slice(None),) * X.ndim
    grid = []
    for part, length, m in zip(slices, shape, margin, strict=True):
        places_along = range(length)[part]
        grid.append(range(places_along.start + m, places_along.stop + m, places_along.step))
    return _sliced(X, visible, grid, steps), tuple(map(len, grid)), slices is not where


def _is_slices(where: Index, ndim: int) -> bool:
    """Return whether an index is a slice for each axis."""
    whole = isinstance(where, tuple) and len(where) == ndim
    return whole and all(isinstance(part, slice) for part in where)


def _steps(
    ndim: int, axes: tuple[int, ...], kernel: np.ndarray
) -> Iterator[tuple[float, list[int]]]:
    """Yield the weight of each neighbour, and how far it lies away along each axis."""
    for place in product(*map(range, kernel.shape)):
        if kernel[place]:
            offsets = [0] * ndim
            for axis, p, length in zip(axes, place, kernel.shape, strict=True):
                offsets[axis] = p - length // 2
            yield kernel[place], offsets


def _sliced(
    X: np.ndarray, visible: np.ndarray, grid: list[range], steps: list[tuple[float, list[int]]]
) -> Neighbours:
    """Yield the neighbours of the entries of a grid."""
    for weight, offsets in steps:
        destination, source = [], []
        for places, offset, length in zip(grid, offsets, X.shape, strict=True):
            start, step, count = places.start, places.step, len(places)
            first = max(0, ceil(-(start + offset) / step))
            last = max(first, min(count, ceil((length - start - offset) / step)))
            begin = start + offset + first * step
            destination.append(slice(first, last))
            source.append(slice(begin, begin + (last - first) * step, step))
        yield weight, tuple(destination), X[tuple(source)], visible[tuple(source)]


def _gathered(
    X: np.ndarray,
    visible: np.ndarray,
    places: tuple[np.ndarray, ...],
    steps: list[tuple[float, list[int]]],
) -> Neighbours:
    """Yield the neighbours of single entries; what lies beyond the border is not seen."""
    values, seen = X.ravel(), visible.ravel()
    flat = np.ravel_multi_index(places, X.shape)
    strides = np.cumprod((1, *X.shape[:0:-1]))[::-1]
    for weight, offsets in steps:
        inside = np.ones(len(flat), dtype=bool)
        for along, offset, length in zip(places, offsets, X.shape, strict=True):
            if offset:
                inside &= along < length - offset if offset > 0 else along >= -offset
        there = np.where(inside, flat + int(np.dot(offsets, strides)), 0)
        yield weight, (slice(None),), values[there], seen[there] & inside
