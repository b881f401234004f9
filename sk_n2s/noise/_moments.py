"""Mean and variance of noise that was bent: magnitudes, and what was clipped."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import special

__all__ = ["clipped_moments", "rician_moments"]


@lru_cache(maxsize=1)
def rician_moments() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return signals, and mean and variance of magnitudes about them, in units of sigma."""
    signal = np.concatenate([np.linspace(0, 8, 1601), np.geomspace(8.1, 1e6, 200)])
    half = signal**2 / 4
    mean = (1 + 2 * half) * special.ive(0, half) + 2 * half * special.ive(1, half)
    mean *= np.sqrt(np.pi / 2)
    variance = np.where(signal > 50, 1.0, 2 + signal**2 - mean**2)
    return signal, mean, variance


@lru_cache(maxsize=8)
def clipped_moments(width: float = np.inf) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return signals, and mean and variance of noisy ones clipped to 0 … `width`, per sigma."""
    signal = np.linspace(-5, 8, 2601)
    if np.isfinite(width):
        signal = np.linspace(-5, width + 5, int(np.clip(200 * width, 2000, 100_000)))
    mean, square = np.zeros_like(signal), np.zeros_like(signal)
    # E[max(z, 0)] and E[max(z, 0)²] for a normal z, less what is beyond the width.
    for shifted, sign in ((signal, 1), (signal - width, -1)):
        if np.isneginf(shifted).any():
            continue
        density = np.exp(-(shifted**2) / 2) / np.sqrt(2 * np.pi)
        share = special.ndtr(shifted)
        excess = shifted * share + density
        mean += sign * excess
        square += sign * ((shifted**2 + 1) * share + shifted * density)
        if sign < 0:
            square -= 2 * width * excess
    return signal, mean, np.maximum(square - mean**2, 0)
