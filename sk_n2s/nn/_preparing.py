"""What a training needs: data as tensors, a device, masks to withhold, a network."""

from __future__ import annotations

from copy import deepcopy
from inspect import signature
from typing import Any

import numpy as np
import torch

from .._arrays import as_float_array
from ..distributed import is_lazy
from .masking import Masker

__all__ = [
    "as_array",
    "as_tensor",
    "check_device",
    "check_patch",
    "check_trainable",
    "measured_masks",
    "new_module",
    "withheld_masks",
]

#: Images with longer sides than this are shown in squares of the next size.
_LARGE, _PATCH = 96, 64


def as_array(X) -> np.ndarray:
    """Return data as an array of floats in memory.

    Parameters
    ----------
    X : array-like
        The data.

    Returns
    -------
    ndarray of float
        The same, NaN where masked.

    Raises
    ------
    TypeError, ValueError
        If they are not valid, or not in memory.
    """
    if is_lazy(X):
        raise TypeError(
            "X is a dask array, and a network is trained on data in memory: pass X.compute(), or a "
            "part of it."
        )
    return as_float_array(X)


def as_tensor(batch: np.ndarray, offset: float, scale: float, device) -> torch.Tensor:
    """Return images as the network sees them.

    Parameters
    ----------
    batch : ndarray of shape (n_items, n_channels, height, width)
        The images.
    offset, scale : float
        What is subtracted from them, and what they are then divided by.
    device : torch.device
        Where they are wanted.

    Returns
    -------
    Tensor of that shape, of float32
        The images.
    """
    standard = (batch - offset) / scale
    return torch.from_numpy(np.ascontiguousarray(standard, dtype=np.float32)).to(device)


def check_device(device) -> torch.device:
    """Return the device that a parameter stands for.

    Parameters
    ----------
    device : str or torch.device
        Its name, or "auto" for a GPU by CUDA, if there is one.

    Returns
    -------
    torch.device
        The device.

    Raises
    ------
    ValueError
        If it is not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.zeros(1, device=found).item()
    except (RuntimeError, AssertionError, NotImplementedError):
        raise ValueError(
            f'device={str(device)!r} is not there: give "cpu", "cuda" on a machine with a GPU that '
            'torch can use, or "auto".'
        ) from None
    return found


def withheld_masks(masker: Masker, known: torch.Tensor, n_withheld: int) -> tuple[int, ...]:
    """Return the masks for validation, spread over those in which something was measured.

    Parameters
    ----------
    masker : Masker
        What hides pixels.
    known : Tensor of bool, of shape (n_items, n_channels, height, width)
        Where something was measured.
    n_withheld : int
        How many are wanted.

    Returns
    -------
    tuple of int
        Their numbers.

    Raises
    ------
    TypeError, ValueError
        If the masks do not fit the images, or if there are too few.
    """
    measured = measured_masks(masker, known)
    if n_withheld >= len(measured):
        raise ValueError(
            f"validation_masks={n_withheld} leaves none of the {len(measured)} masks to train with "
            f"in which there are measurements: give fewer than {len(measured)}."
        )
    places = (np.arange(n_withheld) + 0.5) * len(measured) / max(1, n_withheld)
    return tuple(measured[place] for place in places.astype(int).tolist())


def measured_masks(masker: Masker, counts: torch.Tensor) -> list[int]:
    """Return the masks in which there are pixels that may be asked for.

    Parameters
    ----------
    masker : Masker
        What hides pixels.
    counts : Tensor of bool, of shape (n_items, n_channels, height, width)
        Where these pixels are.

    Returns
    -------
    list of int
        Their numbers.
    """
    return [
        i
        for i in range(len(masker))
        if bool(counts[masker.index(counts.shape, i, counts.device)].any())
    ]


def check_patch(patch_size, sides, masker: Masker) -> int | None:
    """Return the side of the squares that images are shown in.

    Parameters
    ----------
    patch_size : int, "auto" or None
        As the user gave it.
    sides : tuple of int
        Those of the images.
    masker : Masker
        What hides pixels.

    Returns
    -------
    int or None
        The side; None for whole images.

    Raises
    ------
    ValueError
        If it is larger than the images, or too small for the masks.
    """
    if patch_size == "auto":
        patch_size = min(_PATCH, *sides) if max(sides) > _LARGE else None
    if patch_size is not None and patch_size > min(sides):
        raise ValueError(
            f"patch_size={patch_size} is larger than a side of the images, which are "
            f"{sides[0]} × {sides[1]}: give a smaller one, or None."
        )
    if patch_size is not None:
        try:
            masker.index((1, 1, patch_size, patch_size), 0)
        except ValueError as error:
            raise ValueError(
                f"patch_size={patch_size} is too small for the masks ({error}): give a larger one, "
                "or None."
            ) from None
    return patch_size


def new_module(module, kwargs: dict[str, Any], n_channels: int, masker: Masker) -> torch.nn.Module:
    """Return a new network.

    Parameters
    ----------
    module : Module class or instance
        What the user gave; an instance is copied.
    kwargs : dict
        The arguments for a class.
    n_channels : int
        The number of channels of the data, for parameters `in_channels` and `out_channels`.
    masker : Masker
        What the network gets its input from.

    Returns
    -------
    Module
        The network.

    Raises
    ------
    TypeError, ValueError
        If it is neither a module nor makes one.
    """
    if isinstance(module, torch.nn.Module):
        if kwargs:
            raise ValueError(
                f"module__{next(iter(kwargs))} goes with a class, and module is an instance of "
                f"{type(module).__name__}: pass module={type(module).__name__}."
            )
        return deepcopy(module)
    if not callable(module):
        raise TypeError(f"module={module!r} must be a torch.nn.Module, or a class of such.")
    channels = {
        "in_channels": n_channels + bool(masker.include_mask_as_input),
        "out_channels": n_channels,
    }
    try:
        known = set(signature(module).parameters)
    except ValueError:  # some do not tell
        known = set()
    made = module(**{**{name: n for name, n in channels.items() if name in known}, **kwargs})
    if not isinstance(made, torch.nn.Module):
        raise TypeError(
            f"module={module!r} made a {type(made).__name__}, and not a torch.nn.Module."
        )
    return made


def check_trainable(module: torch.nn.Module) -> None:
    """Refuse a network without weights.

    Parameters
    ----------
    module : Module
        The network.

    Raises
    ------
    ValueError
        If there is nothing to train.
    """
    if not any(weights.requires_grad for weights in module.parameters()):
        raise ValueError(
            f"module={type(module).__name__} has no weights that can be trained: give another one."
        )
