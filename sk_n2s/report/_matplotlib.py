"""Matplotlib, which is imported only when something is drawn."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

__all__ = ["matplotlib_module", "places"]


def matplotlib_module(module: str) -> Any:
    """Return a module of matplotlib, or name the extra that it comes with."""
    try:
        return importlib.import_module(f"matplotlib.{module}")
    except ImportError:
        raise ImportError(
            "Plots need matplotlib, which is not installed: pip install 'sk_n2s[plot]'."
        ) from None


def places(ax: Any, n: int) -> np.ndarray:
    """Return so many axes: of a new figure, those that are given, or parts of a single one."""
    if ax is None:
        figure = matplotlib_module("pyplot").figure(figsize=(4 * n, 3.6), layout="constrained")
        return figure.subplots(1, n, squeeze=False)[0]
    if n == 1 and not isinstance(ax, list | tuple | np.ndarray):
        return np.array([ax])
    if isinstance(ax, list | tuple | np.ndarray):
        given = np.ravel(np.asarray(ax, dtype=object))
        if len(given) != n:
            raise ValueError(f"ax holds {len(given)} axes, and {n} are drawn: give {n}, or one.")
        return given
    ax.set_axis_off()
    grid = ax.get_subplotspec().subgridspec(1, n)
    return np.array([ax.figure.add_subplot(grid[k]) for k in range(n)])
