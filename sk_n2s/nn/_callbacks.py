"""What happens between the epochs of a training: rates, the best state, a file to go on from."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import hash as digest
from skorch import NeuralNet
from skorch.callbacks import Callback
from skorch.history import History

from ._batches import TrainingBatches
from ._net import MaskedNet
from ._serialization import above, below, decode, encode, flatten, read, restore, write

__all__ = ["BestState", "Checkpoint", "CosineRate", "identity_of"]

#: Parameters with which a training may go on that began with others.
_NOT_OF_THE_TRAINING = (
    "callbacks",
    "checkpoint",
    "device",
    "output",
    "max_epochs",
    "noise",
    "random_state",
    "self_ensemble",
    "verbose",
    "warm_start",
)

#: In which part of the training the learning rate rises, and the lowest that it sinks to.
_RISE, _LOWEST = 0.02, 1e-3


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

    def on_epoch_begin(self, net: NeuralNet, dataset_train: Any = None, **kwargs: Any) -> None:
        """Look for what counts the steps."""
        self.batches_ = dataset_train

    def on_batch_begin(
        self, net: NeuralNet, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        """Set the rate."""
        if training:
            done = min(1.0, self.batches_.step / self.steps)
            rate = min(1.0, (done + 1 / self.steps) / _RISE) * (1 + np.cos(np.pi * done)) / 2
            for group in net.optimizer_.param_groups:
                full = group.setdefault("initial_lr", group["lr"])
                group["lr"] = full * max(float(rate), _LOWEST)

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Let go of the data."""
        self.batches_ = None


class BestState(Callback):
    """Keeps the weights that had the smallest validation loss, in memory."""

    def initialize(self) -> BestState:
        """Begin anew."""
        self.loss_ = float("inf")
        self.epoch_ = 0
        self.state_: dict[str, torch.Tensor] | None = None
        return self

    def on_epoch_end(self, net: MaskedNet, **kwargs: Any) -> None:
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

    def course(self, net: MaskedNet, scale: float) -> dict[str, Any]:
        """Return the fitted attributes of a denoiser that tell of the course of the training."""
        unit = scale * scale  # which may be beyond what numbers can be
        validation = [float(row.get("valid_loss", np.nan)) * unit for row in net.history]
        return {
            "loss_curve_": [float(row["train_loss"]) * unit for row in net.history],
            "validation_curve_": validation,
            "n_iter_": len(net.history),
            "best_epoch_": self.epoch_,
        }

    def restore(self, net: MaskedNet) -> None:
        """Give the network these weights, so that it goes on from them."""
        assert self.state_ is not None  # it was asked before
        for module in (net.module_, *(averaged.module for averaged in net.averaging or ())):
            module.load_state_dict(self.state_)


class Checkpoint(Callback):
    """Writes the state of a training after each epoch, and goes on from it.

    skorch's callback of that name pickles optimizers, and writes several files, of which a
    kill may leave some old and some new; this one writes one file, at once.

    Parameters
    ----------
    path : str or path
        The file.
    describe : callable
        Returns, for a network, what is stored beside its weights, so that the file is one
        that `NetworkDenoiser.load` reads.
    identity : str
        What tells this training from others: a digest of the data and the parameters.
    batches : TrainingBatches
        What the network is trained on.
    best : BestState
        What keeps the best weights.
    """

    def __init__(
        self,
        path: str | Path,
        describe: Callable[[MaskedNet], dict],
        identity: str,
        batches: TrainingBatches,
        best: BestState,
    ):
        self.path = path
        self.describe = describe
        self.identity = identity
        self.batches = batches
        self.best = best

    def on_epoch_end(self, net: MaskedNet, **kwargs: Any) -> None:
        """Write."""
        assert self.best.state_ is not None  # it was asked before
        tensors = below("module", self.best.state_) | below("last", net.module_.state_dict())
        for averaged in net.averaging or ():
            tensors |= below("averaged", averaged.state_dict())
        more, optimizer = flatten("optimizer", net.optimizer_.state_dict())
        tensors |= more
        tensors["generator"] = torch.get_rng_state()
        facts = {
            "identity": self.identity,
            "optimizer": optimizer,
            "best": encode([self.best.loss_, self.best.epoch_], "best"),
            "step": self.batches.step,
            "rng": self.batches.rng.bit_generator.state,
            "history": [{k: v for k, v in row.items() if k != "batches"} for row in net.history],
        }
        write(self.path, tensors, {**self.describe(net), "training": facts})

    def resume(self, net: MaskedNet) -> int:
        """Go on where a training was interrupted."""
        if not Path(self.path).parent.is_dir():
            raise FileNotFoundError(
                f"checkpoint={str(self.path)!r} is in a folder that is not there."
            )
        if not Path(self.path).exists():
            return 0
        tensors, facts = read(self.path)
        facts = facts.get("training", {})
        if facts.get("identity") != self.identity:
            raise ValueError(
                f"checkpoint={str(self.path)!r} was written by a training on other data, or with "
                "other parameters: give another path, or delete the file."
            )
        net.module_.load_state_dict(above("last", tensors))
        for averaged in net.averaging or ():
            averaged.load_state_dict(above("averaged", tensors))
        net.optimizer_.load_state_dict(restore(tensors, facts["optimizer"]))
        torch.set_rng_state(tensors["generator"])
        self.best.loss_, self.best.epoch_ = decode(facts["best"])
        self.best.state_ = above("module", tensors)
        self.batches.step = facts["step"]
        self.batches.rng.bit_generator.state = facts["rng"]
        net.history = History(facts["history"])
        return len(net.history)


def identity_of(array: np.ndarray, params: dict[str, Any]) -> str:
    """Return a digest of the data and of those parameters that decide about the training."""
    params = {name: v for name, v in params.items() if name not in _NOT_OF_THE_TRAINING}
    module = params["module"]
    if isinstance(module, torch.nn.Module):
        state = module.state_dict().items()
        params["weights"] = [(name, weights.cpu().numpy()) for name, weights in state]
        params["module"] = type(module)
    for name in ("module", "optimizer"):
        kind = params[name]
        params[name] = f"{kind.__module__}.{getattr(kind, '__qualname__', kind)}"
    params["masker"] = repr(params["masker"])
    return digest([array, sorted(params.items(), key=lambda item: item[0])])
