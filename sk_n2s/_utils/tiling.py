"""Pieces of an array: what large data are looked at through."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import ceil, prod
from typing import Any, NamedTuple

import numpy as np

from .arrays import split_axes
from .lazy import in_memory, is_lazy

__all__ = ["Piece", "divide", "middle", "sample"]

#: Pieces that the data are divided into, at least, if margins allow.
_FEWEST_PIECES = 16

#: Pieces that a sample is made of, at most, and all their entries.
_SAMPLED_PIECES = 16
_SAMPLE = 2**20


class Piece(NamedTuple):
    """A piece of an array, with a margin.

    Attributes
    ----------
    outer : tuple of slice
        Where it lies in the array, with the margin.
    core : tuple of slice
        Where its inside lies in it.
    n_blocks : int
        Into how many blocks the inside is divided along each axis, at most.
    """

    outer: tuple[slice, ...]
    core: tuple[slice, ...]
    n_blocks: int = 1


def divide(
    shape: tuple[int, ...], axes: tuple[int, ...], items: int | None, margin: int, inside: int
) -> Iterator[Piece]:
    """Divide an array into pieces of about the same size, with margins."""
    lengths = {a: shape[a] for a in axes}
    side = max(1, round(inside ** (1 / max(1, sum(n > 1 for n in lengths.values())))))
    parts = {a: max(1, round(n / side)) for a, n in lengths.items()}
    while prod(parts.values()) * (1 if items is None else shape[items]) < _FEWEST_PIECES:
        widths = {a: n // parts[a] for a, n in lengths.items()}
        axis = max(widths, key=lambda a: widths[a])
        if widths[axis] < 2 * max(2 * margin, 8):
            break
        parts[axis] *= 2
    if items is not None:
        size = prod(n // parts[a] for a, n in lengths.items())
        parts[items] = max(1, ceil(shape[items] * size / inside))
        parts[items] = min(shape[items], max(parts[items], _FEWEST_PIECES))
    edges = [np.linspace(0, n, parts.get(a, 1) + 1).astype(int) for a, n in enumerate(shape)]
    for place in product(*(range(len(e) - 1) for e in edges)):
        outer, core = [], []
        for axis, k in enumerate(place):
            start, stop = int(edges[axis][k]), int(edges[axis][k + 1])
            wide = margin if axis in axes else 0
            first = max(0, start - wide)
            outer.append(slice(first, min(shape[axis], stop + wide)))
            core.append(slice(start - first, stop - first))
        yield Piece(tuple(outer), tuple(core))


def middle(
    shape: tuple[int, ...], budget: int, channel: int | None = None, batch: int | None = None
) -> tuple[slice, ...]:
    """Return the middle of the data, of no more entries than a budget allows."""
    lengths = {a: n for a, n in enumerate(shape) if a not in (channel, batch)}
    if prod(lengths.values()) > budget:
        left = budget
        axes = sorted(lengths, key=lambda a: shape[a])
        for k, axis in enumerate(axes):
            side = max(1, int(round(left ** (1 / (len(axes) - k)))))
            lengths[axis] = min(shape[axis], side)
            left //= lengths[axis]
    inside = max(1, prod(lengths.values()))
    lengths |= {} if batch is None else {batch: max(1, min(shape[batch], budget // inside))}
    lengths |= {} if channel is None else {channel: shape[channel]}
    starts = {a: (shape[a] - n) // 2 for a, n in lengths.items()}
    return tuple(slice(starts[a], starts[a] + lengths[a]) for a in range(len(shape)))


def sample(
    X: Any, channel_axis: int | None = None, batch_axis: int | None = None, budget: int = _SAMPLE
) -> tuple[np.ndarray, int | None, int | None]:
    """Return pieces of large data, spread over them, as the items of a smaller array."""
    channel, batch, axes = split_axes(X.ndim, channel_axis, batch_axis)
    if prod(n for a, n in enumerate(X.shape) if a != channel) <= budget:
        return in_memory([X])[0], channel_axis, batch_axis
    parts = dict.fromkeys(range(X.ndim), 1)
    if batch is not None:
        parts[batch] = min(X.shape[batch], _SAMPLED_PIECES)
    while 2 * prod(parts.values()) <= _SAMPLED_PIECES:
        widest = max(axes, key=lambda a: X.shape[a] // parts[a])
        if X.shape[widest] < 2 * parts[widest]:
            break
        parts[widest] *= 2
    cell = [n // parts[a] for a, n in enumerate(X.shape)]
    if batch is not None:
        cell[batch] = 1
    inside = middle(tuple(cell), budget // prod(parts.values()), channel, batch)
    items = in_memory([
        X[
            tuple(
                slice(k * X.shape[a] // parts[a] + s.start, k * X.shape[a] // parts[a] + s.stop)
                for a, (k, s) in enumerate(zip(place, inside, strict=True))
            )
        ]
        for place in product(*(range(parts[a]) for a in range(X.ndim)))
    ])  # fmt: skip
    if not is_lazy(X) and all(np.isnan(item).all() for item in items):
        return X, channel_axis, batch_axis  # what was measured lies elsewhere
    if batch is not None:
        return np.concatenate(items, axis=batch), channel, batch
    return np.stack(items), None if channel is None else channel + 1, 0
