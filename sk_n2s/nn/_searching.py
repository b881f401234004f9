"""What a search asks of a network: predictions of what nothing in it has seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..masking.fills import Fill
from ..masking.partitions import Index, Partition
from ..masking.views import View, ViewPlan
from ._inference import TrainedNetwork
from ._layout import Layout
from ._process import one_torch_thread

__all__ = ["SearchedNetwork"]


class _LeaveMissing(Fill):
    """What is hidden from a network is missing for it: it is neither shown nor asked for."""

    def values(
        self, X: np.ndarray, visible: Any, where: Index, axes: tuple[int, ...]
    ) -> np.ndarray:
        return np.full_like(X[where], np.nan)


_LEAVE_MISSING = _LeaveMissing()


@dataclass(frozen=True)
class _OfBatch(Partition):
    """A partition of images, as one of the array that they came in.

    Parameters
    ----------
    partition : Partition
        Of batches of shape (n_items, n_channels, height, width).
    layout : Layout
        How the array becomes such a batch.
    """

    partition: Partition
    layout: Layout

    def get_n_splits(self, X: np.ndarray, axes: tuple[int, ...] | None = None) -> int:
        return self.partition.get_n_splits(self._batch(X), (2, 3))

    def split(
        self, X: np.ndarray, axes: tuple[int, ...] | None = None
    ) -> Iterator[tuple[Index, Index]]:
        batch = self._batch(X)
        for hidden, scored in self.partition.split(batch, (2, 3)):
            yield self._index(hidden, batch.shape), self._index(scored, batch.shape)

    def _index(self, hidden: Index, shape: tuple[int, ...]) -> Index:
        """Return an index of the batch as one of the array."""
        if not isinstance(hidden, tuple):
            return self.layout.from_batch(np.broadcast_to(hidden, shape))
        n_axes = 2 + sum(axis is not None for axis in self.layout)
        inside = iter(hidden[2:])
        return tuple(slice(None) if a in self.layout else next(inside) for a in range(n_axes))

    def order(self, X: np.ndarray, axes: tuple[int, ...] | None = None) -> list[int]:
        return self.partition.order(self._batch(X), (2, 3))

    def period(self, ndim: int, axes: tuple[int, ...] | None = None) -> tuple[int | None, ...]:
        inside = iter(self.partition.period(4, (2, 3))[2:])
        return tuple(1 if axis in self.layout else next(inside) for axis in range(ndim))

    def _batch(self, X: np.ndarray) -> np.ndarray:
        """Return a batch of the shape of the data that takes no memory."""
        return self.layout.to_batch(np.broadcast_to(np.float32(0), X.shape))


class SearchedNetwork(TrainedNetwork):
    """The part of a `NetworkDenoiser` that searches use."""

    validation_masks: int

    def view_plan(self, X: np.ndarray) -> ViewPlan:
        """Return how a search hides entries; validates all parameters."""
        self._validate_params()
        array = self._as_data(X)
        layout = Layout.of(array.shape, self.channel_axis)
        masker = self._masker
        masker.index(layout.to_batch(array).shape, 0)
        least = max(3, 2 + self.validation_masks)
        if len(masker) < least:
            raise ValueError(
                f"masker={masker!r} has {len(masker)} masks, and a search withholds one of them "
                f"from each training: give it at least {least}, for instance by a larger width."
            )
        partition = _OfBatch(masker.get_partition(), layout)
        return ViewPlan(partition, _LEAVE_MISSING, self.axes(array.ndim).neighbours, exact=False)

    def predict_view(self, view: View) -> np.ndarray:
        """Train a copy on all that is visible, and return its answer where pixels are hidden."""
        with one_torch_thread():
            return self._trained_copy(view.input)._ask(view.input, False)[view.where]
