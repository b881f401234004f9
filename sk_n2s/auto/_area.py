"""Where denoisers work: without what is outside a mask, and without a constant background."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from .._utils.base import Axes
from ..noise.model import NoiseModel
from ._background import constant_background

__all__ = ["Area", "area_of", "sources_of"]


class Area(NamedTuple):
    """Where denoisers work.

    Attributes
    ----------
    inside : ndarray of bool, of the shape of the data
        True for entries that are denoised.
    part : tuple of slice
        The smallest box that holds them.
    background : ndarray of bool or None
        Where the data are a constant background.
    values : list of float
        The values of that.
    """

    inside: np.ndarray
    part: tuple[slice, ...]
    background: np.ndarray | None
    values: list[float]

    def cut(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the box with what is outside missing, and where that is, if there is any."""
        outside = ~self.inside[self.part]
        X = X[self.part]
        if not outside.any():
            return X, None
        return np.where(outside, X.dtype.type(np.nan), X), outside

    def only(self, X: np.ndarray) -> np.ndarray:
        """Return the data with what is outside missing."""
        return np.where(self.inside, X, X.dtype.type(np.nan))

    def put_back(self, denoised: np.ndarray, X: np.ndarray) -> np.ndarray:
        """Return the data as they are outside, and as they were denoised inside."""
        result = X.copy()
        result[self.part] = np.where(self.inside[self.part], denoised, X[self.part])
        return result

    def noise_of_all(self, noise: NoiseModel) -> NoiseModel:
        """Return the noise of all of the data: a map of it goes on as it is at the box."""
        level = noise.level
        if not isinstance(level, np.ndarray):
            return noise
        ndim = len(self.part)
        level = level.reshape((1,) * (ndim - level.ndim) + level.shape)
        beyond = [
            (s.start, n - s.stop) if k > 1 else (0, 0)
            for s, n, k in zip(self.part, self.inside.shape, level.shape, strict=True)
        ]
        return noise.replace(level=np.pad(level, beyond, mode="edge"))

    def __str__(self) -> str:
        said = []
        if self.background is not None:
            share = 100 * np.mean(self.background)
            of = " and ".join(f"{value:.4g}" for value in self.values)
            said += [f"{share:.2g} % of the entries are a constant background of {of}"]
        beside = ~self.inside if self.background is None else ~self.inside & ~self.background
        if beside.any():
            said += [f"{100 * np.mean(beside):.2g} % of the entries are outside the mask"]
        return ", and ".join(said) + ", and were left alone.\n" if said else ""


def area_of(X: np.ndarray, mask: np.ndarray | None, axes: Axes) -> Area | None:
    """Return where to work, or None where that is everywhere."""
    inside = np.ones(X.shape, bool) if mask is None else np.broadcast_to(mask, X.shape)
    found = constant_background(X, axes)
    if found is not None and not (inside & ~found[0] & ~np.isnan(X)).any():
        found = None
    if found is not None:
        inside = inside & ~found[0]
    if inside.all():
        return None
    if np.isnan(X[inside]).all():
        raise ValueError("X holds nothing but NaN where mask is True: there is nothing to denoise.")
    part = ndimage.find_objects(inside.astype(np.int8))[0]
    return Area(inside, part, *((None, []) if found is None else found))


def sources_of(outside: np.ndarray, axes: Axes) -> np.ndarray:
    """Return, for each entry outside, the index of that inside which is mirrored to its place.

    It is mirrored about the nearest entry that is inside; where that leads outside again, the
    nearest one itself is taken.
    """
    lone = [a for a in range(outside.ndim) if a not in axes.neighbours]
    order = np.moveaxis(np.arange(outside.size).reshape(outside.shape), lone, range(len(lone)))
    items = np.moveaxis(outside, lone, range(len(lone)))
    order = order.reshape(-1, *order.shape[len(lone) :])
    items = items.reshape(order.shape)
    # An item all of which is outside gets what is first inside.
    source = np.full(order.shape, np.flatnonzero(~outside.ravel())[0])
    known: dict[bytes, tuple] = {}
    for k, item in enumerate(items):
        if item.all() or not item.any():
            continue
        key = np.packbits(item).tobytes()
        if key not in known:  # most often the same for all
            known = {key: _mirrored(item)}
        source[k][item] = order[k][known[key]]
    whole = np.empty(outside.size, np.intp)
    whole[order.ravel()] = source.ravel()
    return whole[outside.ravel()]


def _mirrored(outside: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the index of what is inside and mirrored to each place outside."""
    nearest = ndimage.distance_transform_edt(outside, return_distances=False, return_indices=True)[
        :, outside
    ]
    place = np.array(np.nonzero(outside))
    mirrored = 2 * nearest - place
    length = np.array(outside.shape)[:, np.newaxis]
    kept = np.clip(mirrored, 0, length - 1)
    fits = (kept == mirrored).all(axis=0) & ~outside[tuple(kept)]
    return tuple(np.where(fits, mirrored, nearest))
