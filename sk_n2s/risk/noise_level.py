"""The noise that scores and blends rest upon: as it is given, or estimated."""

from __future__ import annotations

from typing import Any

from .._utils.tiling import sample
from ..noise.model import NoiseModel, check_noise, estimate_noise_model

__all__ = ["noise_of"]

#: Entries that the variance is read from, at most.
_READ = 2**22


def noise_of(
    value: Any, X: Any, channel_axis: int | None = None, batch_axis: int | None = None
) -> NoiseModel:
    """Return the noise in `X`, estimated where `value` is None.

    The estimate is read from up to 4 million entries.
    """
    if value is not None:
        return check_noise(value, X)
    X, channel_axis, batch_axis = sample(X, channel_axis, batch_axis, _READ)
    return estimate_noise_model(X, channel_axis=channel_axis, batch_axis=batch_axis)
