"""Blocks of an array, and which of them hold noise and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from .._utils.arrays import split_axes
from ..masking.fills import MeanFill

__all__ = [
    "SMOOTHING",
    "all_blocks",
    "block_means",
    "block_side",
    "items",
    "quiet_blocks",
]

#: Entries of a block, whatever the number of axes.
_BLOCK = 64

#: Blocks are added, quietest first, in this many portions, for as long as the noise in the
#: next portion agrees with that in the blocks so far, within this many standard errors.
_PORTIONS = 20
_AGREEMENT = 2.0

#: So many quiet blocks tell the level with an error of about 2 %. They are taken without
#: asking whether they agree; but no fewer than a tenth of all, and no more than two fifths.
_ENOUGH = 50

#: In a block there must be this share of the differences that are in the best one.
_ENOUGH_MEASURED = 0.25

#: With less than this share of all of them, there are too few along all axes together, and
#: along single axes.
_FEW, _FEWEST = 0.1, 0.005

#: Standard deviation, in entries, of the smoothing whose slope tells quiet blocks from others.
SMOOTHING = 1.5


class _Blocks(NamedTuple):
    """Blocks of an array: values of shape (n_blocks,)."""

    power: np.ndarray  # the variance of the noise, where there is no structure
    slope: np.ndarray  # how much structure there is
    level: np.ndarray  # the mean of the data


def items(
    X: np.ndarray, channel_axis: int | None, batch_axis: int | None
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Yield the arrays along whose axes entries are neighbours, and where they were measured."""
    channel, batch, axes = split_axes(X.ndim, channel_axis, batch_axis)
    missing = np.isnan(X)
    if missing.any():
        X = MeanFill()(X, missing, axes)
    lone = [a for a in (batch, channel) if a is not None]

    def separate(values: np.ndarray) -> Iterator[np.ndarray]:
        moved = np.moveaxis(values, lone, range(len(lone)))
        return map(np.squeeze, moved.reshape(-1, *moved.shape[len(lone) :]))

    for item, gaps in zip(separate(X), separate(missing), strict=True):
        if item.ndim:  # as float64, since squares of float32 may not fit in one
            yield item.astype(np.float64, copy=False), ~gaps if gaps.any() else None


def _finest(X: np.ndarray) -> np.ndarray:
    """Return second differences along all axes, whose variance is that of white noise."""
    for axis in range(X.ndim):
        if X.shape[axis] < 2:
            continue
        X = ndimage.correlate1d(X, [1, -2, 1], axis=axis, mode="mirror") / np.sqrt(6)
        # At the ends the difference is 2 · (neighbour − entry), of a variance 8, not 6.
        X[(slice(None),) * axis + (slice(None, None, X.shape[axis] - 1),)] *= np.sqrt(3) / 2
    return X


def block_side(ndim: int) -> int:
    """Return the side of the blocks of an array with `ndim` axes."""
    return max(2, round(_BLOCK ** (1 / ndim)))


def block_means(values: np.ndarray, side: int) -> np.ndarray:
    whole = tuple(slice(0, max(1, n // side) * side) for n in values.shape)
    values = values[whole]
    for axis, n in enumerate(values.shape):
        values = np.add.reduceat(values, np.arange(0, n, side), axis=axis) / min(side, n)
    return values.ravel()


def _squares(X: np.ndarray, measured: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the squares of second differences of noise, and which are of measured entries."""
    if measured is None:
        return np.square(_finest(X)), np.ones(X.shape)
    known = ndimage.binary_erosion(measured, np.ones((3,) * X.ndim), border_value=1)
    if known.mean() >= _FEW:
        return np.square(_finest(X)) * known, known.astype(np.float64)
    # Few boxes are complete, but there may be lines of three: differences along single axes.
    total, count = np.zeros(X.shape), np.zeros(X.shape)
    for axis in range(X.ndim):
        line = np.ones([3 if a == axis else 1 for a in range(X.ndim)])
        known = ndimage.binary_erosion(measured, line)
        total += known * ndimage.correlate1d(X, [1, -2, 1], axis=axis) ** 2 / 6
        count += known
    return total / X.ndim, count / X.ndim


def _blocks(X: np.ndarray, measured: np.ndarray | None = None) -> _Blocks:
    """Measure the blocks of an array, without those where a sensor has saturated."""
    if measured is not None and not measured.any():
        return _Blocks(*(np.empty(0) for _ in range(3)))
    squares, known = _squares(X, measured)
    if known.mean() < _FEWEST:  # take what was measured as one signal, in its order
        X = X[measured]
        squares, known = _squares(X, None)
    side = block_side(X.ndim)
    slope = ndimage.gaussian_gradient_magnitude(X, SMOOTHING)
    share = block_means(known, side)
    power = block_means(squares, side)
    power /= np.where(share == 0, 1, share)
    blocks = _Blocks(
        power,
        block_means(np.square(slope, dtype=np.float64), side),
        block_means(X, side),
    )
    ends = ((X == X.min()) | (X == X.max())).astype(np.float64)
    # Up to rounding, no noise at all: a constant area tells nothing of it elsewhere.
    rounding = (8 * np.finfo(X.dtype).eps * float(np.abs(X).max())) ** 2
    power[share < _ENOUGH_MEASURED * share.max()] = 0  # and so is not kept
    kept = (block_means(ends, side) <= 0.1) & (power > rounding)
    if not kept.any():
        kept = power > rounding
    return _Blocks(*(values[kept] for values in blocks))


def all_blocks(X: np.ndarray, channel_axis: int | None, batch_axis: int | None) -> _Blocks:
    """Measure the blocks of all items and channels."""
    found = [_blocks(*item) for item in items(X, channel_axis, batch_axis)]
    if not found:
        return _Blocks(*(np.empty(0) for _ in range(3)))
    return _Blocks(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def quiet_blocks(power: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Return which blocks hold noise and nothing else: the order of the quietest ones."""
    order = np.argsort(slope, kind="stable")
    if len(order) < 2 * _PORTIONS:
        return order
    portions = np.array_split(power[order], _PORTIONS)
    first = int(np.ceil(_PORTIONS * np.clip(_ENOUGH / len(order), 0.1, 0.4)))
    n = sum(map(len, portions[:first]))
    for portion in portions[first:]:
        so_far = power[order[:n]]
        error = np.var(portion, ddof=1) / len(portion) + np.var(so_far, ddof=1) / n
        if portion.mean() - so_far.mean() > _AGREEMENT * np.sqrt(error):
            break
        n += len(portion)
    return order[:n]
