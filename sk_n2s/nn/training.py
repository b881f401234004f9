"""Training a network on hidden pixels: skorch's loop, over batches in which a mask is hidden."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from .masking import Masker, checked_answer

__all__ = [
    "Batch",
    "BestState",
    "CosineRate",
    "MaskedNet",
    "TrainingBatches",
    "ValidationWindows",
    "ask",
    "train",
]

#: The longest side of a window in which pixels are withheld for validation, and how many
#: pixels the windows have in all, if one of them has no more.
_WINDOW = 512
_VALIDATED = 2**18

#: In which part of the training the learning rate rises, and the lowest that it sinks to.
_RISE, _LOWEST = 0.02, 1e-3


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

    def __init__(self, images: Tensor, masker: Masker, masks, batch_size: int):
        self.images = images
        self.masker = masker
        self.masks = masks
        self.batch_size = batch_size
        n_items, _, *sides = images.shape
        self.sides = [min(side, _WINDOW) for side in sides]
        rows, columns = (range(0, n - w + 1, w) for n, w in zip(sides, self.sides))
        n_windows = n_items * len(rows) * len(columns)
        n_chosen = min(n_windows, max(1, _VALIDATED // (self.sides[0] * self.sides[1])))
        chosen = (np.arange(n_chosen) + 0.5) * n_windows / n_chosen
        items, places = np.divmod(chosen.astype(int), len(rows) * len(columns))
        self.places = [
            (item, rows[place // len(columns)], columns[place % len(columns)])
            for item, place in zip(items.tolist(), places.tolist())
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

    def _window(self, values: Tensor, place) -> Tensor:
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

    def __init__(self, images, counts, *, masks, batch_size, patch_size, steps, rng):
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
        order = self._whole() if self.patch_size is None else self._squares()
        for _ in range(self.steps):
            images, counts = next(order)
            turn = int(self.rng.integers(8)) if self.patch_size else 0
            yield Batch(images, counts, self.masks[self.step % len(self.masks)], turn)
            self.step += 1

    def _whole(self):
        n_items, size = len(self.images), min(self.batch_size, len(self.images))
        while True:
            order = self.rng.permutation(n_items)
            for start in range(0, n_items - size + 1, size):
                chosen = torch.from_numpy(order[start : start + size]).to(self.images.device)
                yield self.images[chosen], self.counts[chosen]

    def _squares(self):
        n_items, _, height, width = self.images.shape
        side, size = self.patch_size, self.batch_size
        while True:
            places = zip(
                self.rng.integers(n_items, size=size).tolist(),
                self.rng.integers(height - side + 1, size=size).tolist(),
                self.rng.integers(width - side + 1, size=size).tolist(),
            )
            cuts = [(i, ..., slice(y, y + side), slice(x, x + side)) for i, y, x in places]
            yield tuple(torch.stack([t[cut] for cut in cuts]) for t in (self.images, self.counts))


class MaskedNet(NeuralNet):
    """skorch's network, trained to predict what a mask hides.

    Parameters
    ----------
    module : Module
        The network, ready for use.
    masker : Masker
        What hides pixels.
    mixed_precision : bool
        Whether the network computes with bfloat16.
    ema_decay : float or None
        How much of the average of the weights is kept at each step; None does not average.
    has_gaps : bool, default=True
        Whether pixels may be missing.
    **kwargs : dict
        Parameters of `skorch.NeuralNet`.
    """

    def __init__(self, module, *, masker, mixed_precision, ema_decay, has_gaps=True, **kwargs):
        super().__init__(module, criterion=torch.nn.MSELoss, **kwargs)
        self.masker = masker
        self.has_gaps = has_gaps
        self.mixed_precision = mixed_precision
        self.ema_decay = ema_decay

    def initialize_module(self):
        """Take the module as it is, and begin to average its weights."""
        self.module_ = self.module.to(self.device, memory_format=torch.channels_last)
        self.averaging = None
        if self.ema_decay is not None:
            average = partial(_average, decay=self.ema_decay)
            averaged = AveragedModel(self.module_, avg_fn=average, use_buffers=True)
            self.averaging = [averaged]  # in a list, as skorch would train a module
        return self

    @property
    def answering_module(self) -> torch.nn.Module:
        """The module that answers: that of the averaged weights, if there are any."""
        if not self.averaging or not int(self.averaging[0].n_averaged):
            return self.module_
        return self.averaging[0].module

    def get_split_datasets(self, X, y=None, **fit_params):
        """Return the batches for training and for validation, which `X` is a pair of."""
        return X

    def get_iterator(self, dataset, training=False):
        """Return the batches themselves."""
        return dataset

    def train_step_single(self, batch, **fit_params):
        """Take the gradients of one batch."""
        if not self.module_.training:
            self._set_training(True)
        found = self._compare(self.module_, batch)
        if not found["loss"].requires_grad:
            raise ValueError(
                f"module={type(self.module_).__name__} returned an answer without gradients, from "
                "which nothing can be learnt: it must not detach what it returns."
            )
        found["loss"].backward()
        return found

    def train_step(self, batch, **fit_params):
        """Take one step, and average the weights."""
        found = super().train_step(batch, **fit_params)
        for averaged in self.averaging or ():
            averaged.update_parameters(self.module_)
        return found

    def validation_step(self, batch, **fit_params):
        """Compare the answer of the module that would be kept."""
        self._set_training(False)
        module = self.answering_module.eval()
        with torch.no_grad():
            return self._compare(module, batch)

    def _compare(self, module, batch):
        images, counts, mask, turn = batch
        shown, index = self.masker.hide(images, mask, has_gaps=self.has_gaps)
        answer = ask(module, shown, (turn,), self.mixed_precision)
        if answer.shape != images.shape:
            raise ValueError(
                f"module={type(self.module_).__name__} returned shape {tuple(answer.shape)} for "
                f"images of shape {tuple(images.shape)}: a network must return as many channels "
                f"as the data have, {images.shape[1]}, and keep the sides."
            )
        asked = counts[index]
        target = torch.where(asked, images[index], 0)
        loss = self.criterion_(torch.where(asked, answer[index], 0), target)
        # The mean over those that were asked for, of whom there may be none.
        return {"loss": loss * (asked.numel() / asked.sum().clamp(min=1)), "y_pred": answer}


def _average(averaged, current, n_averaged, *, decay):
    """Return the average after one more step: torch's own function for it cannot be pickled."""
    kept = ((1 + n_averaged) / (10 + n_averaged)).clamp(max=decay)
    return averaged + (1 - kept) * (current - averaged)


class BestState(Callback):
    """Keeps the weights that had the smallest validation loss, in memory."""

    def initialize(self):
        """Begin anew."""
        self.loss_ = float("inf")
        self.epoch_ = 0
        self.state_ = None
        return self

    def on_epoch_end(self, net, **kwargs):
        """Look at the validation loss."""
        row = net.history[-1]
        loss = row.get("valid_loss", row["train_loss"])
        if not np.isfinite(loss):
            raise ValueError(
                f"The loss of epoch {row['epoch']} is {loss}: the training diverged. Set a smaller "
                f"lr than {net.lr:g}, and standardize=True."
            )
        if "valid_loss" not in row or loss < self.loss_:
            self.loss_, self.epoch_ = loss, row["epoch"]
            self.state_ = deepcopy(net.answering_module.state_dict())

    def restore(self, net: MaskedNet) -> None:
        """Give the network these weights, so that it goes on from them."""
        assert self.state_ is not None  # it was asked before
        for module in (net.module_, *(averaged.module for averaged in net.averaging or ())):
            module.load_state_dict(self.state_)


def train(net: MaskedNet, batches: TrainingBatches, validation, epochs: int, done: int = 0) -> None:
    """Train."""
    net.notify("on_train_begin", X=None, y=None)
    stopping = [cb for _, cb in net.callbacks_ if isinstance(cb, EarlyStopping)]
    losses = [row.get("valid_loss", np.inf) for row in net.history[:done]]
    for callback in stopping:
        if losses and callback.monitor == "valid_loss":
            callback.dynamic_threshold_ = min(losses)
            callback.misses_ = len(losses) - 1 - losses.index(min(losses))

    def stopped():
        return any(callback.misses_ >= callback.patience for callback in stopping)

    try:
        if not stopped():
            net.fit_loop((batches, validation), epochs=max(0, epochs - done))
    except KeyboardInterrupt:
        if not stopped():
            raise
    net.notify("on_train_end", X=None, y=None)


class CosineRate(Callback):
    """A learning rate that rises within the first steps, and sinks along half a cosine.

    It follows from the number of the step alone, so that a training that was interrupted
    goes on as it would have.

    Parameters
    ----------
    steps : int
        The number of steps of the training.
    """

    def __init__(self, steps: int):
        self.steps = steps

    def on_epoch_begin(self, net, dataset_train=None, **kwargs):
        """Look for what counts the steps."""
        self.batches_ = dataset_train

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        """Set the rate."""
        if training:
            done = min(1.0, self.batches_.step / self.steps)
            rate = min(1.0, (done + 1 / self.steps) / _RISE) * (1 + np.cos(np.pi * done)) / 2
            for group in net.optimizer_.param_groups:
                full = group.setdefault("initial_lr", group["lr"])
                group["lr"] = full * max(float(rate), _LOWEST)

    def on_train_end(self, net, **kwargs):
        """Let go of the data."""
        self.batches_ = None


def ask(module: Callable[[Tensor], Tensor], shown: Tensor, turns=(0,), mixed=False) -> Tensor:
    """Return a network's answer."""
    total = None
    for turn in turns:
        turned = _turned(shown, turn).contiguous(memory_format=torch.channels_last)
        if turned is shown and len(turns) > 1:
            turned = shown.clone()  # a network may write into its input
        with torch.autocast(shown.device.type, torch.bfloat16, enabled=mixed):
            answer = _turned_back(checked_answer(module, turned).float(), turn)
        total = answer if total is None else total + answer
    assert total is not None  # there is a turn
    return total if len(turns) == 1 else total / len(turns)


def _turned(X: Tensor, turn: int) -> Tensor:
    """Return images in one of eight positions."""
    X = torch.rot90(X, turn % 4, (2, 3)) if turn % 4 else X
    return X.flip(3) if turn >= 4 else X


def _turned_back(X: Tensor, turn: int) -> Tensor:
    X = X.flip(3) if turn >= 4 else X
    return torch.rot90(X, -(turn % 4), (2, 3)) if turn % 4 else X
