"""Borders as the filters see them: which entry stands at a place outside the array."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from .._arrays import per_axis

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


def check_radius(radius, ndim: int) -> tuple[int, ...]:
    """Return a radius for each axis, at least one of which is not 0."""
    radii = per_axis(radius, ndim, name="radius")
    if not any(radii):
        raise ValueError(f"radius={radius!r} must be at least 1 along one axis.")
    return radii


def border_index(length: int, margin: int, mode: str) -> np.ndarray:
    """Return which entry of an axis stands at each place from ``-margin`` on.

    Parameters
    ----------
    length : int
        The length of the axis.
    margin : int
        How many places to add on either side.
    mode : {"reflect", "nearest", "mirror", "wrap"}
        The border mode.

    Returns
    -------
    ndarray of int, shape (length + 2 * margin,)
        The entry's position within the axis.
    """
    return np.pad(np.arange(length), margin, mode=_MODES[mode])


def reach_within(radii: tuple[int, ...], mode: str) -> tuple[float, ...]:
    """Return how far a filter looks, given what lies beyond the border.

    Parameters
    ----------
    radii : tuple of int
        The radius along each axis.
    mode : str
        The border mode.

    Returns
    -------
    tuple of float
        The radii, or infinities where the border is joined to the opposite one.
    """
    return (inf,) * len(radii) if mode == "wrap" else radii
