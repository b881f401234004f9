"""Areas of exactly one value, which noise never makes: no data, but what lies around them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .._utils.arrays import links_along
from .._utils.base import Axes

__all__ = ["constant_background"]

#: Sides of a box all of whose entries have one value, somewhere in each area: for signals, images,
#: and volumes. Noise that was cut off makes no such box where it still tells of the signal.
_SIDES = {1: 48, 2: 7, 3: 5}

#: Such boxes hold at least this share of the data, and as many entries as this; the rest as many.
_SHARE, _LEAST = 0.005, 100

#: Pairs of neighbours that are equal have to be this share of all; values that are tried at most.
_EQUAL_PAIRS, _VALUES = 0.004, 4

#: Single entries of another value, as a share of an area, show that noise comes through: clipped
#: noise, or counts. They are islands of so many entries at most.
_SPECKLE, _ISLAND = 1e-3, 4

#: Where noise was cut off, the same value is as frequent right beside an area; so far is looked.
_SAME_AROUND, _AROUND = 0.4, 2

#: Where more than this share of the rest is constant around an entry, data are free of noise.
_FLAT_REST = 0.03

#: So many different values, at least, are in data that are worth a look.
_FEWEST_VALUES = 12


def constant_background(X: np.ndarray, axes: Axes) -> tuple[np.ndarray, list[float]] | None:
    """Return where data are a constant background, and its values; None where there is none."""
    axis = max(axes.neighbours, key=lambda a: X.shape[a])
    if np.mean(np.diff(X, axis=axis) == 0) < _EQUAL_PAIRS:
        return None
    size = _box(X.ndim, axes, 3)
    high, low = (
        f(X, size, mode="nearest") for f in (ndimage.maximum_filter, ndimage.minimum_filter)
    )
    is_flat = high == low  # NaN is equal to nothing
    found = np.zeros(X.shape, bool)
    values = []
    for value in _candidates(X, is_flat, axes):
        area = _area(X == value, axes)
        if area is not None:
            found |= area
            values.append(value)
    if not values or _is_without_noise(X, is_flat, found, axes):
        return None
    return found, values


def _box(ndim: int, axes: Axes, side: int) -> tuple[int, ...]:
    """Return the lengths of a box along axes of neighbours."""
    return tuple(side if a in axes.neighbours else 1 for a in range(ndim))


def _side(shape: tuple[int, ...], axes: Axes) -> int:
    n_long = max(1, sum(shape[a] > 1 for a in axes.neighbours))
    return _SIDES[min(n_long, max(_SIDES))]


def _eroded(mask: np.ndarray, axes: Axes, side: int) -> np.ndarray:
    """Return where a box around an entry lies in a mask, which goes on beyond the border."""
    size = tuple(min(b, n) for b, n in zip(_box(mask.ndim, axes, side), mask.shape, strict=True))
    return ndimage.minimum_filter(mask, size, mode="nearest")


def _dilated(mask: np.ndarray, axes: Axes, side: int) -> np.ndarray:
    return ndimage.maximum_filter(mask, _box(mask.ndim, axes, side), mode="constant", cval=False)


def _candidates(X: np.ndarray, is_flat: np.ndarray, axes: Axes) -> list[float]:
    """Return the values of which there are whole boxes, the most frequent first."""
    step = tuple(
        slice(None, None, 2) if a in axes.neighbours else slice(None) for a in range(X.ndim)
    )
    flat = X[step][is_flat[step]]
    values, counts = np.unique(flat[~np.isnan(flat)], return_counts=True)
    often = np.argsort(-counts, kind="stable")[:_VALUES]
    enough = _SHARE * X[step].size
    return [float(values[k]) for k in often if counts[k] >= enough]


def _area(same: np.ndarray, axes: Axes) -> np.ndarray | None:
    """Return the large areas of one value, or None if noise may have made them."""
    if axes.channel is not None:
        same = np.broadcast_to(same.all(axis=axes.channel, keepdims=True), same.shape)
    side = _side(same.shape, axes)
    core = _dilated(_eroded(same, axes, side), axes, side) & same
    if np.count_nonzero(core) < max(_LEAST, _SHARE * same.size):
        return None
    links = links_along(same.ndim, axes.neighbours)
    # Into corners that no box fits into; along thin lines, no further.
    area = ndimage.binary_dilation(core, links, iterations=side // 2, mask=same)
    around = _dilated(area, axes, 2 * _AROUND + 1) & ~area
    if around.any() and np.mean(same[around]) > _SAME_AROUND:
        return None
    labels, n = ndimage.label(~area, ndimage.maximum_filter(links, _box(same.ndim, axes, 3)))
    islands = np.bincount(labels.ravel(), minlength=n + 1) <= _ISLAND
    islands[0] = False
    speckle = islands[labels]
    if np.count_nonzero(speckle & ~same) > _SPECKLE * np.count_nonzero(area):
        return None
    return area | speckle


def _is_without_noise(
    X: np.ndarray, is_flat: np.ndarray, background: np.ndarray, axes: Axes
) -> bool:
    """Return whether the rest is no noisy data: too little, or constant here and there as well."""
    rest = ~background
    if np.count_nonzero(rest) < _LEAST or not _eroded(rest, axes, 3).any():
        return True
    if len(np.unique(X[rest][:: max(1, np.count_nonzero(rest) // 4096)])) < _FEWEST_VALUES:
        return True
    return bool(np.mean(is_flat[rest]) > _FLAT_REST)
