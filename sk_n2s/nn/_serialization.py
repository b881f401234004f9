"""Networks on disk: tensors as safetensors, all else as JSON in the header of the same file.

Nothing is pickled, so that a file from somebody else cannot run code; and a file is written
under another name first, so that there is never half of one.
"""

from __future__ import annotations

import json
import os
from copy import deepcopy
from dataclasses import fields, is_dataclass
from inspect import signature
from numbers import Integral
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ..masking import fills, partitions
from ..masking.fills import Fill
from ..masking.partitions import Partition
from ..noise import NoiseCurve, NoiseModel
from . import networks
from ._inference import TrainedNetwork
from ._validation import check_device
from .masking import Masker

__all__ = [
    "SavedNetwork",
    "above",
    "below",
    "decode",
    "encode",
    "flatten",
    "read",
    "restore",
    "write",
]

#: The key of the JSON in the header, and the version of what it holds.
_KEY, _VERSION = "sk_n2s", 1

#: Where classes may come from that are named in a file.
_PLACES: dict[str, Any] = {
    "fills": fills,
    "partitions": partitions,
    "networks": networks,
    "torch.optim": torch.optim,
}

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


class SavedNetwork(TrainedNetwork):
    """The part of a `NetworkDenoiser` that is stored and read again."""

    module: Any
    device: str | torch.device
    random_state: Any
    _rng: np.random.Generator

    def save(self, path: str | Path) -> None:
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
        learnt = {name: value for name, value in vars(self).items() if name in _LEARNT}
        write(path, below("module", self.module_.state_dict()), self._facts(self.module_, learnt))

    def _facts(self, module: torch.nn.Module, learnt: dict) -> dict:
        """Return what has to be known beside the weights, for JSON."""
        params = self.get_params(deep=False)
        params |= {"checkpoint": None, "callbacks": None, "device": str(self.device)}
        if not isinstance(self.random_state, Integral):
            params["random_state"] = None
        config = _config_of(module)
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
    def load(cls, path: str | Path, module: torch.nn.Module | None = None) -> Self:
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


def write(path: str | Path, tensors: dict[str, Tensor], facts: dict) -> None:
    """Write a file, at once or not at all."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {str(path.parent)!r} to write a file into.")
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    header = {_KEY: json.dumps({"version": _VERSION, **facts}, default=_plain)}
    try:
        kept = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
        save_file(kept, part, metadata=header)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """Read what `write` wrote."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError):
        raise ValueError(
            f"{str(path)!r} was not written by NetworkDenoiser.save, or is damaged: give the path "
            "of a file that was."
        ) from None
    if facts.get("version") != _VERSION:
        raise ValueError(
            f"{str(path)!r} has the format {facts.get('version')}, and this release reads "
            f"{_VERSION}: load it with the release that wrote it."
        )
    return tensors, facts


def _plain(value: Any) -> Any:
    """Return a number of NumPy's, of which a user's callback may leave some, as JSON knows it."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} in the history of the training cannot be stored as JSON.")


def below(name: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors with a name put before theirs."""
    return {f"{name}/{key}": tensor for key, tensor in tensors.items()}


def above(name: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors that have a name before theirs, without it."""
    return {k.removeprefix(f"{name}/"): t for k, t in tensors.items() if k.startswith(f"{name}/")}


def encode(value: Any, name: str) -> Any:
    """Return a parameter as JSON can hold it."""
    if isinstance(value, np.ndarray):
        return {"array": encode(value.tolist(), name), "dtype": str(value.dtype)}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return {"float": str(value)}  # of which JSON knows nothing
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, NoiseModel):
        curve = None if value.curve is None else list(value.curve)
        return {"noise": encode(value.level, name), "curve": curve}
    if isinstance(value, list | tuple):
        parts = [encode(part, name) for part in value]
        return parts if isinstance(value, list) else {"tuple": parts}
    return _encode_named(value, name)


def _encode_named(value: Any, name: str) -> dict:
    """Return a class or an object of this package by its name, as JSON can hold it."""
    if isinstance(value, type):
        place = next((p for p, m in _PLACES.items() if getattr(m, value.__name__, 0) is value), 0)
        if place:
            return {"class": f"{place}.{value.__name__}"}
    elif type(value) is Masker:
        kept = {key: encode(v, key) for key, v in value.get_params(deep=False).items()}
        return {"masker": kept}
    elif is_dataclass(value) and isinstance(encode(type(value), name), dict):
        kept = {f.name: encode(getattr(value, f.name), name) for f in fields(value)}
        return {**encode(type(value), name), "of": kept}
    raise TypeError(
        f"{name}={value!r} cannot be stored without pickle, which would let a file run code: leave "
        "it at something of this package, or pickle the estimator."
    )


def decode(value: Any) -> Any:
    """Return what `encode` made JSON of."""
    if isinstance(value, list):
        return list(map(decode, value))
    if not isinstance(value, dict):
        return value
    if "tuple" in value:
        return tuple(map(decode, value["tuple"]))
    if "float" in value:
        return float(value["float"])
    if "array" in value:
        return np.array(decode(value["array"]), dtype=value["dtype"])
    if "noise" in value:
        curve = None if value["curve"] is None else NoiseCurve(*value["curve"])
        return NoiseModel(decode(value["noise"]), curve)
    if "masker" in value:
        return Masker(**{key: decode(v) for key, v in value["masker"].items()})
    place, _, name = value["class"].rpartition(".")
    found = getattr(_PLACES[place], name)
    kinds = (Fill, Partition, networks.Network, torch.optim.Optimizer)
    if not (isinstance(found, type) and issubclass(found, kinds)):
        raise ValueError(f"The file names {value['class']!r}, which is nothing that it may name.")
    if "of" not in value:
        return found
    return found(**{key: decode(v) for key, v in value["of"].items()})


def flatten(prefix: str, state: dict) -> tuple[dict[str, Tensor], dict]:
    """Take the tensors out of the state of an optimizer."""
    tensors: dict[str, Tensor] = {}

    def without(value: Any, name: str) -> Any:
        if isinstance(value, Tensor):
            tensors[name] = value
            return {"tensor": name}
        if isinstance(value, dict):
            return {"items": [[k, without(v, f"{name}.{k}")] for k, v in value.items()]}
        if isinstance(value, list | tuple):
            return [without(v, f"{name}.{k}") for k, v in enumerate(value)]
        return value

    return tensors, without(state, prefix)


def restore(tensors: dict[str, Tensor], rest: Any) -> Any:
    """Return what `flatten` took apart."""
    if isinstance(rest, list):
        return [restore(tensors, part) for part in rest]
    if not isinstance(rest, dict):
        return rest
    if "tensor" in rest:
        return tensors[rest["tensor"]]
    return {key: restore(tensors, part) for key, part in rest["items"]}


def _config_of(module: torch.nn.Module) -> dict | None:
    """Return what one of the package's networks was made with."""
    kind = type(module)
    if getattr(networks, kind.__name__, None) is not kind:
        return None
    return {name: getattr(module, name) for name in signature(kind).parameters}
