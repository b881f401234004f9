"""How arrays of two, three or four axes become batches of images, and back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._utils.arrays import check_axis

__all__ = ["Layout"]


class Layout(NamedTuple):
    """Which axis of an array counts what.

    Attributes
    ----------
    channel_axis, batch_axis : int or None
        The axes of channels and of items, not negative; the two others are rows and columns.
    """

    channel_axis: int | None
    batch_axis: int | None

    @classmethod
    def of(cls, shape: tuple[int, ...], channel_axis: int | None) -> Layout:
        """Return the layout of an array."""
        ndim = len(shape)
        if channel_axis is not None:
            channel_axis = check_axis(channel_axis, ndim, name="channel_axis")
        elif ndim == 4:
            channel_axis = 1
        others = [axis for axis in range(ndim) if axis != channel_axis]
        if len(others) not in (2, 3):
            raise ValueError(
                f"X of shape {shape} with channel_axis={channel_axis} is neither an image nor a "
                "stack of images: Expected 2D array of shape (height, width), or one of shape "
                "(n_items, height, width) or (n_items, n_channels, height, width). Reshape your "
                "data."
            )
        return cls(channel_axis, others[0] if len(others) == 3 else None)

    def to_batch(self, X: np.ndarray) -> np.ndarray:
        """Return a view of an array as (n_items, n_channels, height, width)."""
        if self.batch_axis is None:
            X, channel = X[np.newaxis], self.channel_axis
            channel = None if channel is None else channel + 1
        else:
            channel = self.channel_axis
            X = np.moveaxis(X, self.batch_axis, 0)
            if channel is not None and channel < self.batch_axis:
                channel += 1
        return X[:, np.newaxis] if channel is None else np.moveaxis(X, channel, 1)

    def from_batch(self, batch: np.ndarray) -> np.ndarray:
        """Return what `to_batch` made a view of."""
        if self.channel_axis is None:
            batch = batch[:, 0]
        if self.batch_axis is None:
            batch = batch[0]
            return batch if self.channel_axis is None else np.moveaxis(batch, 0, self.channel_axis)
        sources = [0] if self.channel_axis is None else [0, 1]
        places = [a for a in (self.batch_axis, self.channel_axis) if a is not None]
        return np.moveaxis(batch, sources, places)
