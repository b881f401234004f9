"""Training that can be killed: all that is needed to go on, written after each epoch."""

from __future__ import annotations

from pathlib import Path

import torch
from skorch.callbacks import Callback
from skorch.history import History

from ._storage import above, below, decode, encode, flatten, read, restore, write
from .training import BestState, MaskedNet, TrainingBatches

__all__ = ["Checkpoint"]


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

    def __init__(self, path, describe, identity: str, batches: TrainingBatches, best: BestState):
        self.path = path
        self.describe = describe
        self.identity = identity
        self.batches = batches
        self.best = best

    def on_epoch_end(self, net, **kwargs):
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
