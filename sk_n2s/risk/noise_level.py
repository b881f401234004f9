"""The noise that scores and blends rest upon: as it is given, or estimated."""

from __future__ import annotations

from typing import Any

from ..noise.estimate import estimate_noise_model
from ..noise.model import NoiseModel, check_noise

__all__ = ["noise_of"]


def noise_of(
    value: Any, X: Any, channel_axis: int | None = None, batch_axis: int | None = None
) -> NoiseModel:
    """Return the noise in `X`, estimated where `value` is None."""
    if value is not None:
        return check_noise(value, X)
    return estimate_noise_model(X, channel_axis=channel_axis, batch_axis=batch_axis)
