"""What a training needs: data as tensors, a device, masks to withhold, a network."""

from __future__ import annotations

from copy import deepcopy
from inspect import signature
from typing import Any

import numpy as np
import torch

from .masking import Masker

__all__ = [
    "as_tensor",
    "centre_and_scale",
    "check_device",
    "check_image",
    "check_patch",
    "check_trainable",
    "measured_masks",
    "new_module",
    "withheld_masks",
]

#: Images with longer sides than this are shown in squares of the next size.
_LARGE, _PATCH = 96, 64


def as_tensor(batch: np.ndarray, offset: float, scale: float, device: torch.device) -> torch.Tensor:
    """Return images as the network sees them."""
    standard = (batch - offset) / scale
    return torch.from_numpy(np.ascontiguousarray(standard, dtype=np.float32)).to(device)


def check_image(array: np.ndarray) -> None:
    """Refuse an image of a single line."""
    if array.ndim == 2 and 1 in array.shape:
        what = "n_samples = 1" if array.shape[0] == 1 else "n_features = 1"
        raise ValueError(
            f"X of shape {array.shape} has {what}: a network denoises images, and a single line is "
            "none. JInvariantWrapper denoises signals."
        )


def centre_and_scale(array: np.ndarray) -> tuple[float, float]:
    """Return the mean and the standard deviation of data, whose squares need not be numbers."""
    size = float(np.nanmax(np.abs(array)))
    if size == 0:
        return 0.0, 1.0
    array = array / size
    offset = float(np.nanmean(array, dtype=np.float64))
    scale = float(np.nanstd(array, dtype=np.float64))
    return offset * size, scale * size if scale > 0 else 1.0


def check_device(device: str | torch.device) -> torch.device:
    """Return the device that a parameter stands for."""
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
    """Return the masks for validation, spread over those in which something was measured."""
    measured = measured_masks(masker, known)
    if n_withheld >= len(measured):
        raise ValueError(
            f"validation_masks={n_withheld} leaves none of the {len(measured)} masks to train with "
            f"in which there are measurements: give fewer than {len(measured)}."
        )
    places = (np.arange(n_withheld) + 0.5) * len(measured) / max(1, n_withheld)
    return tuple(measured[place] for place in places.astype(int).tolist())


def measured_masks(masker: Masker, counts: torch.Tensor) -> list[int]:
    """Return the masks in which there are pixels that may be asked for."""
    return [
        i
        for i in range(len(masker))
        if bool(counts[masker.index(counts.shape, i, counts.device)].any())
    ]


def check_patch(patch_size: int | str | None, sides: tuple[int, ...], masker: Masker) -> int | None:
    """Return the side of the squares that images are shown in."""
    if isinstance(patch_size, str):  # "auto"
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


def new_module(
    module: Any, kwargs: dict[str, Any], n_channels: int, masker: Masker
) -> torch.nn.Module:
    """Return a new network."""
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
    """Refuse a network without weights."""
    if not any(weights.requires_grad for weights in module.parameters()):
        raise ValueError(
            f"module={type(module).__name__} has no weights that can be trained: give another one."
        )
