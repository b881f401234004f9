"""The noise that scores and blends rest upon: as it is given, or estimated."""

from __future__ import annotations

from typing import Any

from .._utils.base import Axes
from ..noise.estimate import estimate_noise_model
from ..noise.model import NoiseModel, check_noise
from ..noise.table import estimate_table_noise_model

__all__ = ["noise_of"]


def noise_of(value: Any, X: Any, axes: Axes | None = None) -> NoiseModel:
    """Return the noise in `X`, estimated where `value` is None; no axes: all have neighbours."""
    axes = Axes(None, None, tuple(range(X.ndim))) if axes is None else axes
    if value is not None:
        return check_noise(value, X)
    if axes.is_table:
        return estimate_table_noise_model(X)
    return estimate_noise_model(X, channel_axis=axes.channel, batch_axis=axes.batch)
