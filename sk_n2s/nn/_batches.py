"""What each step of a training, or of a validation, looks at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .masking import Masker

__all__ = ["Batch", "TrainingBatches", "ValidationWindows"]

#: The longest side of a window in which pixels are withheld for validation, and how many
#: pixels the windows have in all, if one of them has no more.
_WINDOW = 512
_VALIDATED = 2**18


class Batch(NamedTuple):
    """What one step of the training, or of the validation, looks at.

    Attributes
    ----------
    images : Tensor of shape (n_items, n_channels, height, width)
        The noisy images; NaN marks missing pixels.
    counts : Tensor of bool, same shape
        Which of its pixels may be asked for.
    mask : int
        The number of the mask that is hidden.
    turn : int
        In which of its eight positions the network is shown the square.
    """

    images: Tensor
    counts: Tensor
    mask: int
    turn: int = 0


class ValidationWindows:
    """Windows of the images, and the masks that are withheld in them: batches for validation.

    They are spread over the data, and depend on nothing but its shape, so that what is
    scored after the training is what was withheld from it.

    Parameters
    ----------
    images : Tensor of shape (n_items, n_channels, height, width)
        The noisy images.
    masker : Masker
        What hides pixels.
    masks : sequence of int
        The numbers of the masks that are withheld.
    batch_size : int
        How many windows are looked at together.
    """

    def __init__(self, images: Tensor, masker: Masker, masks: Sequence[int], batch_size: int):
        self.images = images
        self.masker = masker
        self.masks = masks
        self.batch_size = batch_size
        n_items, _, *sides = images.shape
        self.sides = [min(side, _WINDOW) for side in sides]
        rows, columns = (range(0, n - w + 1, w) for n, w in zip(sides, self.sides, strict=True))
        n_windows = n_items * len(rows) * len(columns)
        n_chosen = min(n_windows, max(1, _VALIDATED // (self.sides[0] * self.sides[1])))
        chosen = (np.arange(n_chosen) + 0.5) * n_windows / n_chosen
        items, places = np.divmod(chosen.astype(int), len(rows) * len(columns))
        self.places = [
            (item, rows[place // len(columns)], columns[place % len(columns)])
            for item, place in zip(items.tolist(), places.tolist(), strict=True)
        ]

    def __len__(self) -> int:
        """Return the number of batches, those without a measurement included."""
        return len(self.masks) * -(-len(self.places) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches."""
        for start in range(0, len(self.places), self.batch_size):
            part = self.places[start : start + self.batch_size]
            images = torch.stack([self._window(self.images, place) for place in part])
            known = ~torch.isnan(images)
            for mask in self.masks:
                if known[self.masker.index(known.shape, mask, known.device)].any():
                    yield Batch(images, known, mask)

    def withhold(self, counts: Tensor) -> None:
        """Mark what is withheld as nothing that may be asked for in the training."""
        for place in self.places:
            window = self._window(counts, place)[np.newaxis]
            for mask in self.masks:
                window[self.masker.index(window.shape, mask, window.device)] = False

    def _window(self, values: Tensor, place: tuple[int, int, int]) -> Tensor:
        item, row, column = place
        return values[item, :, row : row + self.sides[0], column : column + self.sides[1]]


class TrainingBatches:
    """Batches for training: whole images in random order, or random squares, turned and mirrored.

    One mask after the other is hidden. An epoch shows about as many pixels as there are,
    and hides each mask at least once.

    Parameters
    ----------
    images : Tensor of shape (n_items, n_channels, height, width)
        The noisy images.
    counts : Tensor of bool, same shape
        Which pixels may be asked for.
    masks : sequence of int
        The numbers of the masks that are hidden.
    batch_size : int
        How many images or squares are looked at together.
    patch_size : int or None
        The side of the squares; None takes whole images.
    steps : int or None
        How many batches an epoch has, if it is not to be left to the data.
    rng : numpy.random.Generator
        Decides on the order and the squares.
    """

    def __init__(
        self,
        images: Tensor,
        counts: Tensor,
        *,
        masks: Sequence[int],
        batch_size: int,
        patch_size: int | None,
        steps: int | None,
        rng: np.random.Generator,
    ):
        self.images = images
        self.counts = counts
        self.masks = masks
        self.batch_size = batch_size
        self.patch_size = patch_size
        self.rng = rng
        self.step = 0
        n_items, _, *sides = images.shape
        if steps is None:
            area = sides[0] * sides[1] if patch_size is None else patch_size**2
            steps = max(len(masks), -(-n_items * sides[0] * sides[1] // (area * batch_size)))
        self.steps = steps

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of an epoch."""
        side = self.patch_size
        order = self._whole() if side is None else self._squares(side)
        for _ in range(self.steps):
            images, counts = next(order)
            turn = int(self.rng.integers(8)) if side else 0
            yield Batch(images, counts, self.masks[self.step % len(self.masks)], turn)
            self.step += 1

    def _whole(self) -> Iterator[tuple[Tensor, Tensor]]:
        n_items, size = len(self.images), min(self.batch_size, len(self.images))
        while True:
            order = self.rng.permutation(n_items)
            for start in range(0, n_items - size + 1, size):
                chosen = torch.from_numpy(order[start : start + size]).to(self.images.device)
                yield self.images[chosen], self.counts[chosen]

    def _squares(self, side: int) -> Iterator[tuple[Tensor, Tensor]]:
        n_items, _, height, width = self.images.shape
        size = self.batch_size
        while True:
            places = zip(
                self.rng.integers(n_items, size=size).tolist(),
                self.rng.integers(height - side + 1, size=size).tolist(),
                self.rng.integers(width - side + 1, size=size).tolist(),
                strict=True,
            )
            cuts = [(i, ..., slice(y, y + side), slice(x, x + side)) for i, y, x in places]
            images, counts = self.images, self.counts
            yield torch.stack([images[c] for c in cuts]), torch.stack([counts[c] for c in cuts])
