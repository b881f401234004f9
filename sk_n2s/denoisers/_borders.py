"""Borders as the filters see them: which entry stands at a place outside the array."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

import numpy as np

from .._utils.arrays import per_axis

__all__ = ["border_index", "check_mode", "check_radius", "reach_within"]

#: SciPy's names of the border modes that repeat entries of the array, and NumPy's for them.
_MODES: dict[str, Any] = {
    "reflect": "symmetric",
    "nearest": "edge",
    "mirror": "reflect",
    "wrap": "wrap",
}


def check_mode(mode: str) -> str:
    """Return `mode`, one of SciPy's border modes."""
    if mode not in _MODES:
        raise ValueError(f"mode={mode!r} must be one of {sorted(_MODES)}.")
    return mode


def check_radius(radius: int | Sequence[int], ndim: int) -> tuple[int, ...]:
    """Return a radius for each axis, at least one of which is not 0."""
    radii = per_axis(radius, ndim, name="radius")
    if not any(radii):
        raise ValueError(f"radius={radius!r} must be at least 1 along one axis.")
    return radii


def border_index(length: int, margin: int, mode: str) -> np.ndarray:
    """Return which entry of an axis stands at each place from ``-margin`` on."""
    return np.pad(np.arange(length), margin, mode=_MODES[mode])


def reach_within(radii: tuple[int, ...], mode: str) -> tuple[float, ...]:
    """Return how far a filter looks, given what lies beyond the border."""
    return (inf,) * len(radii) if mode == "wrap" else radii
