"""skorch's training loop, over batches in which a mask is hidden."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from ._batches import Batch, TrainingBatches, ValidationWindows
from .masking import Masker, checked_answer

__all__ = ["MaskedNet", "ask", "train"]


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

    def __init__(
        self,
        module: torch.nn.Module,
        *,
        masker: Masker,
        mixed_precision: bool,
        ema_decay: float | None,
        has_gaps: bool = True,
        **kwargs: Any,
    ):
        super().__init__(module, criterion=torch.nn.MSELoss, **kwargs)
        self.masker = masker
        self.has_gaps = has_gaps
        self.mixed_precision = mixed_precision
        self.ema_decay = ema_decay

    def initialize_module(self) -> MaskedNet:
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

    def get_split_datasets(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Return the batches for training and for validation, which `X` is a pair of."""
        return X

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Return the batches themselves."""
        return dataset

    def train_step_single(self, batch: Batch, **fit_params: Any) -> dict[str, Tensor]:
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

    def train_step(self, batch: Batch, **fit_params: Any) -> dict[str, Tensor]:
        """Take one step, and average the weights."""
        found = super().train_step(batch, **fit_params)
        for averaged in self.averaging or ():
            averaged.update_parameters(self.module_)
        return found

    def validation_step(self, batch: Batch, **fit_params: Any) -> dict[str, Tensor]:
        """Compare the answer of the module that would be kept."""
        self._set_training(False)
        module = self.answering_module.eval()
        with torch.no_grad():
            return self._compare(module, batch)

    def _compare(self, module: torch.nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the loss where pixels were hidden, and the answer."""
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


def _average(averaged: Tensor, current: Tensor, n_averaged: Tensor, *, decay: float) -> Tensor:
    """Return the average after one more step: torch's own function for it cannot be pickled."""
    kept = ((1 + n_averaged) / (10 + n_averaged)).clamp(max=decay)
    return averaged + (1 - kept) * (current - averaged)


def train(
    net: MaskedNet,
    batches: TrainingBatches,
    validation: ValidationWindows | None,
    epochs: int,
    done: int = 0,
) -> None:
    """Train up to an epoch, of which some are done already."""
    net.notify("on_train_begin", X=None, y=None)
    stopping = [cb for _, cb in net.callbacks_ if isinstance(cb, EarlyStopping)]
    losses = [row.get("valid_loss", np.inf) for row in net.history[:done]]
    for callback in stopping:
        if losses and callback.monitor == "valid_loss":
            callback.dynamic_threshold_ = min(losses)
            callback.misses_ = len(losses) - 1 - losses.index(min(losses))

    def stopped() -> bool:
        return any(callback.misses_ >= callback.patience for callback in stopping)

    try:
        if not stopped():
            net.fit_loop((batches, validation), epochs=max(0, epochs - done))
    except KeyboardInterrupt:
        if not stopped():
            raise
    net.notify("on_train_end", X=None, y=None)


def ask(
    module: Callable[[Tensor], Tensor],
    shown: Tensor,
    turns: Sequence[int] = (0,),
    mixed: bool = False,
) -> Tensor:
    """Return a network's answer: the mean over positions that it is shown the images in."""
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
