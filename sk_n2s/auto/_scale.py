"""Items and channels of different noise, in units of their own."""

from __future__ import annotations

from copy import copy

import numpy as np

from .._utils.base import Axes

__all__ = ["Scale"]


class Scale:
    """Divides each item and channel by the level of its noise: a stabiliser like any other.

    Parameters
    ----------
    level : ndarray that broadcasts to the shape of the data
        The standard deviation of the noise.
    axes : Axes
        What lies along the axes of the data.

    Attributes
    ----------
    scale : ndarray with as many axes as the data
        The level of each item and channel; where there is none, that of the others.
    """

    def __init__(self, level: np.ndarray, axes: Axes):
        ndim = len(axes.neighbours) + (axes.channel is not None) + (axes.batch is not None)
        level = level.reshape((1,) * (ndim - level.ndim) + level.shape)
        scale = np.sqrt(np.mean(np.square(level), axis=axes.neighbours, keepdims=True))
        self.scale = np.where(scale > 0, scale, scale.max() or 1.0)

    def within(self, part: tuple[slice, ...]) -> Scale:
        """Return the same for a part of the data."""
        found = copy(self)
        cut = zip(part, self.scale.shape, strict=True)
        found.scale = self.scale[tuple(s if n > 1 else slice(None) for s, n in cut)]
        return found

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return data in units of their noise."""
        return X / self.scale.astype(X.dtype)

    def inverse_transform(self, X: np.ndarray) -> np.ndarray:
        """Return data in their own unit."""
        return X * self.scale.astype(X.dtype)

    def slope(self, X: np.ndarray) -> np.ndarray:
        """Return the derivative of `transform`."""
        return np.broadcast_to(1 / self.scale, X.shape)
