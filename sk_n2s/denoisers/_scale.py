"""Defaults on the data's own scale."""

from __future__ import annotations

from numbers import Real

import numpy as np

from ..noise.level import estimate_noise

__all__ = ["binary_unit", "noise_relative", "non_negative"]


def binary_unit(X: np.ndarray) -> float:
    """Return the power of two next to the standard deviation of `X`, or 1 if that is 0."""
    deviation = float(np.std(X, dtype=np.float64))
    return 2.0 ** round(np.log2(deviation)) if deviation > 0 else 1.0


def noise_relative(
    value: float | None, factor: float, X: np.ndarray, channel_axis: int | None, *, name: str
) -> float:
    """Return a strength in the unit of the data."""
    if value is None:
        return factor * estimate_noise(X, channel_axis=channel_axis)
    return non_negative(value, name=name)


def non_negative(value: float, *, name: str) -> float:
    """Return `value` as a float."""
    strength = float(value) if isinstance(value, Real) else np.nan
    if not (np.isfinite(strength) and strength >= 0):
        raise ValueError(f"{name}={value!r} must be a finite number that is not negative.")
    return strength
