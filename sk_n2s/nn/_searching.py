"""What a search asks of a network: predictions of what nothing in it has seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import clone

from .._utils.arrays import has_nan
from .._utils.base import Axes
from ..masking.fills import Fill
from ..masking.partitions import Partition
from ..masking.views import View, ViewPlan
from ..noise.model import NoiseModel, check_noise
from ..risk.blending import Blend
from ..risk.sure import divergence_of, probed_divergence
from ._layout import Layout
from ._preparing import as_array, as_tensor
from .masking import Masker

__all__ = ["SearchedNetwork"]


class _LeaveMissing(Fill):
    """What is hidden from a network is missing for it: it is neither shown nor asked for."""

    def values(self, X, visible, where, axes):
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

    def get_n_splits(self, X, axes=None):
        return self.partition.get_n_splits(self._batch(X), (2, 3))

    def split(self, X, axes=None):
        batch = self._batch(X)
        for hidden, _ in self.partition.split(batch, (2, 3)):
            index = self._index(hidden, batch.shape)
            yield index, index

    def _index(self, hidden, shape):
        """Return an index of the batch as one of the array."""
        if not isinstance(hidden, tuple):
            return self.layout.from_batch(np.broadcast_to(hidden, shape))
        n_axes = 2 + sum(axis is not None for axis in self.layout)
        inside = iter(hidden[2:])
        return tuple(slice(None) if a in self.layout else next(inside) for a in range(n_axes))

    def order(self, X, axes=None):
        return self.partition.order(self._batch(X), (2, 3))

    def period(self, ndim, axes=None):
        inside = iter(self.partition.period(4, (2, 3))[2:])
        return tuple(1 if axis in self.layout else next(inside) for axis in range(ndim))

    def _batch(self, X):
        return self.layout.to_batch(np.broadcast_to(np.float32(0), X.shape))


class SearchedNetwork:
    """The part of a `NetworkDenoiser` that searches use."""

    channel_axis: int | None
    output: str
    validation_masks: int

    # What the estimator has.
    _masker: Callable[[], Masker]
    _ask: Callable[[np.ndarray, bool], np.ndarray]
    _output: Callable[[np.ndarray, Any], np.ndarray]
    _blend: Callable[[np.ndarray, Any], Blend]
    _validate_params: Callable[[], None]

    def view_plan(self, X: np.ndarray) -> ViewPlan:
        """Return how a search hides entries; validates all parameters."""
        self._validate_params()
        array = as_array(X)
        layout = Layout.of(array.shape, self.channel_axis)
        masker = self._masker()
        masker.index(layout.to_batch(array).shape, 0)
        least = max(3, 2 + self.validation_masks)
        if len(masker) < least:
            raise ValueError(
                f"masker={masker!r} has {len(masker)} masks, and a search withholds one of them "
                f"from each training: give it at least {least}, for instance by a larger width."
            )
        axes = tuple(axis for axis in range(array.ndim) if axis not in layout)
        partition = _OfBatch(masker.get_partition(), layout)
        return ViewPlan(partition, _LEAVE_MISSING, axes, exact=False)

    @property
    def is_j_invariant(self) -> bool:
        """Whether no pixel of the output of `transform` depends on that pixel of the data."""
        return self.output == "invariant"

    def predict_view(self, view: View) -> np.ndarray:
        """Train a copy on all that is visible, and return its answer where pixels are hidden."""
        trained = clone(self).set_params(checkpoint=None, warm_start=False)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the last bits of a result depend on how many there are
        try:
            return trained.fit(view.input)._ask(view.input, False)[view.where]
        finally:
            torch.set_num_threads(threads)

    def output_and_divergence(  # noqa: D102
        self, X: np.ndarray, noise: NoiseModel
    ) -> tuple[np.ndarray, np.ndarray]:
        trained = self if hasattr(self, "module_") else clone(self).fit(X)
        if self.output == "blend":
            mixed = trained._blend(X, check_noise(noise, X))
            return mixed.output, divergence_of(mixed.own, mixed.variance)
        if self.output == "invariant":
            return trained._ask(X, True), np.zeros(())

        def denoise(shown: np.ndarray) -> np.ndarray:
            return trained._output(shown, None)

        output = denoise(X)
        if not has_nan(X):
            return output, probed_divergence(denoise, X, output, noise.variance(X))
        layout = Layout.of(X.shape, self.channel_axis)
        batch = as_tensor(layout.to_batch(X), 0.0, 1.0, torch.device("cpu"))
        whole = clone(self._masker()).set_params(include_mask_as_input=False).complete(batch)
        complete = layout.from_batch(whole.numpy()).astype(X.dtype)
        complete = np.where(np.isnan(X), complete, X)
        variance = noise.variance(complete)
        return output, probed_divergence(denoise, complete, denoise(complete), variance)

    def axes(self, ndim: int) -> Axes:
        """Return the axes of the data by what lies along them."""
        layout = Layout.of((1,) * ndim, self.channel_axis)
        return Axes(*layout, tuple(axis for axis in range(ndim) if axis not in layout))
