"""Trained networks on disk."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from ._preparing import check_device
from ._storage import above, below, config_of, decode, encode, read, write

__all__ = ["SavedNetwork"]

#: Fitted attributes that are stored with the weights.
_LEARNT = (
    "offset_",
    "scale_",
    "n_channels_",
    "n_axes_",
    "n_features_in_",
    "noise_",
    "feature_names_in_",
    "masker_",
    "validation_masks_",
    "loss_curve_",
    "validation_curve_",
    "best_epoch_",
    "n_iter_",
)


class SavedNetwork:
    """The part of a `NetworkDenoiser` that is stored and read again."""

    # What the estimator has.
    module: Any
    module_: torch.nn.Module
    _rng: np.random.Generator
    random_state: Any
    device: Any
    get_params: Callable

    def save(self, path) -> None:
        """Write the trained network to a file: safetensors, with all else as JSON in its header.

        Parameters
        ----------
        path : str or path
            Where.

        Raises
        ------
        TypeError
            If a parameter is a function, which would have to be pickled.
        """
        check_is_fitted(self, "module_")
        learnt = {name: getattr(self, name) for name in _LEARNT if hasattr(self, name)}
        write(path, below("module", self.module_.state_dict()), self._facts(self.module_, learnt))

    def _facts(self, module, learnt: dict) -> dict:
        """Return what has to be known beside the weights, for JSON."""
        params = self.get_params(deep=False)
        params |= {"checkpoint": None, "callbacks": None, "device": str(self.device)}
        if not isinstance(self.random_state, Integral):
            params["random_state"] = None
        config = config_of(module)
        inner = {n: v for n, v in params.items() if n.partition("__")[0] == "module"}
        for name in inner:
            del params[name]
        if config is not None:
            params["module"] = type(module)
            given = inner if isinstance(self.module, type) else {}
            for name, value in config.items():
                # The channels are those of the data, unless the user said otherwise.
                if f"module__{name}" in given or name not in ("in_channels", "out_channels"):
                    params[f"module__{name}"] = value
        return {
            "params": {name: encode(value, name) for name, value in params.items()},
            "network": type(module).__name__,
            "config": encode(list((config or {}).items()), "module"),
            "learnt": {name: encode(value, name) for name, value in learnt.items()},
        }

    @classmethod
    def load(cls, path, module=None):
        """Read a trained network from a file that `save` wrote.

        Parameters
        ----------
        path : str or path
            Where.
        module : Module, default=None
            An instance of the network that was saved, for its weights to be put in: needed
            if it is none of this package's.

        Returns
        -------
        NetworkDenoiser
            The fitted estimator; `partial_fit` goes on with a new optimizer.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is another kind of file, or its weights are those of another network.
        """
        tensors, facts = read(path)
        params = {name: decode(value) for name, value in facts["params"].items()}
        if module is None and "module" not in params:
            raise ValueError(
                f"{str(path)!r} holds the weights of {facts['network']}, which is none of this "
                "package's networks: pass an instance of it as module."
            )
        if module is None:
            made = params["module"](**dict(map(tuple, decode(facts["config"]))))
        elif isinstance(module, torch.nn.Module):
            params = {n: v for n, v in params.items() if n.partition("__")[0] != "module"}
            params["module"], made = module, deepcopy(module)
        else:
            raise TypeError(f"module={module!r} must be an instance of the network that was saved.")
        loaded = cls(**params)
        try:
            made.load_state_dict(above("module", tensors))
        except RuntimeError:
            raise ValueError(
                f"{str(path)!r} holds the weights of {facts['network']}, which are not those of "
                f"module={type(made).__name__}: pass one that was made with the same parameters."
            ) from None
        for name, value in facts["learnt"].items():
            setattr(loaded, name, decode(value))
        device = check_device(loaded.device)
        loaded.module_ = made.to(device, memory_format=torch.channels_last).eval()
        loaded._rng = np.random.default_rng(0)
        return loaded
