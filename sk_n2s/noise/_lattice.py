"""The grey levels that counts lie on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["Lattice", "grey_levels", "lattice_of"]

#: So many entries tell the grey levels, and so many of these are tried with so many steps.
_ENTRIES, _TRIED = 2**16, 2**20

#: A lattice is searched for within this factor of the gain expected.
_RANGE = 1.5

#: Above this share of what rounding leaves of the modulus, all entries lie on the lattice.
_PURE = 0.92


class Lattice(NamedTuple):
    """Grey levels offset + k · gain, with whole numbers k, up to rounding.

    Attributes
    ----------
    gain, offset : float
        The distance of the levels, and one of them.
    error : float
        The standard error of the gain.
    step : float
        The step of the data themselves, to multiples of which the levels are rounded, or 0.
        It is the gain itself where the levels are evenly spaced, as any rounded data are.
    """

    gain: float
    offset: float
    error: float
    step: float


def grey_levels(X: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return sorted values of the data, how often they occur, and the step between them."""
    values = X[~np.isnan(X)]
    values = values[:: max(1, values.size // _ENTRIES)].astype(np.float64)
    scale = float(np.abs(values).max()) or 1.0
    # Values that differ by rounding errors only are the same.
    values, counts = np.unique(np.round(values / scale, 6), return_counts=True)
    return values * scale, counts, _step(values) * scale


def _step(values: np.ndarray) -> float:
    """Return the step of sorted values that are all multiples of it apart, or 0."""
    gaps = np.diff(values)
    extent, parts = gaps.sum(), gaps
    while parts.size:  # Euclid's algorithm, up to rounding
        step = float(parts.min())
        if step < 1e-5 * extent:
            return 0.0
        rest = np.abs(parts - step * np.rint(parts / step))
        parts = np.append(rest[rest > 0.1 * step], step) if rest.max() > 0.1 * step else rest[:0]
    # The least gap is rounded; the whole range tells the step more exactly.
    return float(extent / np.rint(gaps / step).sum()) if gaps.size else 0.0


def lattice_of(
    values: np.ndarray, counts: np.ndarray, step: float, expected: float
) -> Lattice | None:
    """Return the lattice of about the gain `expected` on which grey levels lie, or None."""
    if not step or expected * _RANGE < step:  # continuous, or rounded to more than the gain
        return None
    if len(values) < 3 or expected / _RANGE < step < expected * _RANGE:
        return Lattice(step, float(values[0]), 0.0, step)
    # The characteristic function of the histogram, in which no grey level counts for most;
    # for rounded data it is symmetric about half of a period of the step.
    weights = np.sqrt(counts)
    lowest, highest = 1 / _RANGE / expected, _RANGE / expected
    if expected > 2 * step:
        highest = min(highest, 0.5 / step)
    else:
        lowest = max(lowest, 0.5 / step)
    n = int(6 * np.ptp(values) * (highest - lowest)) + 8
    if highest <= lowest or n * len(values) > _TRIED:
        return None
    rates = np.linspace(lowest, highest, n)
    moduli = np.exp(2j * np.pi * np.outer(rates, values)) @ weights / weights.sum()
    rate = float(rates[np.argmax(np.abs(moduli))])
    # A line through the values against their numbers.
    gain, offset = 1 / rate, float(np.angle(moduli[np.argmax(np.abs(moduli))])) / 2 / np.pi / rate
    for _ in range(3):
        k = np.rint((values - offset) / gain)
        if np.ptp(k) < 2:
            return None
        gain, offset = np.polyfit(k, values, 1, w=np.sqrt(weights))
    modulus = abs(np.exp(2j * np.pi * values / gain) @ weights) / weights.sum()
    if gain < step or modulus < _PURE * np.sinc(step / gain):
        return None
    spread = np.sum(weights * (k - np.average(k, weights=weights)) ** 2) / weights.mean()
    error = step / np.sqrt(12 * spread)
    return Lattice(float(gain), float(offset), float(error), step)
