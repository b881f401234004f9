"""Counts, and magnitudes, by the shape of the distribution of blocks without structure.

That tells them even where all such blocks are equally bright, so that no curve can be seen.
"""

from __future__ import annotations

import numpy as np

from ._levels import Blocks

__all__ = ["doubt_of_counts", "sigma_of_air"]

#: Between these shares variance and third cumulant have to be of what they should be, beyond their
#: errors: structure takes from the latter, and adds nothing. It differs from 0, that of normal
#: noise, by so many errors.
_VARIANCE, _THIRD, _SKEWED = (0.95, 1.05), (0.75, 1.12), 4.0

#: That is asked of so many blocks at least, which have less structure than this, 1 for white noise:
#: of counts, and around a head.
_FEWEST, _QUIET, _CALM = 60, 2.0, 3.0

#: Mean, variance and third cumulant of magnitudes without signal, in units of their sigma.
_RAYLEIGH = (np.sqrt(np.pi / 2), 2 - np.pi / 2, (np.pi - 3) * np.sqrt(np.pi / 2))

#: The darkest blocks begin at this quantile of their levels, which differ by this factor.
_DARKEST, _ALIKE = 0.02, 1.3


def doubt_of_counts(blocks: Blocks, gain: float) -> float | None:
    """Return the relative error of the variance of counts, or None if quiet blocks hold none."""
    structure = blocks.slope / np.maximum(gain * blocks.level, 1e-300)
    quiet = np.argsort(structure, kind="stable")
    quiet = quiet[: max(_FEWEST, np.count_nonzero(structure < _QUIET))]
    power, third, level = (v[quiet] for v in (blocks.power, blocks.third, blocks.level))
    variance, doubt = _ratio(power, gain * level)
    agrees = _agrees(variance, doubt, _VARIANCE)
    return doubt if agrees and _agrees(*_ratio(third, gain**2 * level), _THIRD) else None


def sigma_of_air(blocks: Blocks) -> float | None:
    """Return the sigma of magnitudes, or None if the darkest blocks are not those of no signal.

    The air around a head tells the noise where all else has structure.
    """
    expected = _RAYLEIGH[1] * np.square(blocks.level / _RAYLEIGH[0])
    quiet = blocks.where(blocks.slope < _CALM * expected)
    if len(quiet.level) < _FEWEST:
        return None
    darkest = quiet.where(quiet.level < _ALIKE * np.quantile(quiet.level, _DARKEST))
    if len(darkest.level) < _FEWEST:
        return None
    sigma = float(darkest.level.mean() / _RAYLEIGH[0])
    flat = np.ones(len(darkest.level))
    is_air = _agrees(*_ratio(darkest.power, _RAYLEIGH[1] * sigma**2 * flat), _VARIANCE)
    is_air &= _agrees(*_ratio(darkest.third, _RAYLEIGH[2] * sigma**3 * flat), _THIRD)
    return sigma if is_air else None


def _agrees(ratio: float, error: float, within: tuple[float, float]) -> bool:
    """Return whether a ratio to what is expected lies within bounds, and is not 0."""
    low, high = within[0] - 2.5 * error, within[1] + 2.5 * error
    return low < ratio < high and ratio > _SKEWED * error


def _ratio(found: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """Return the ratio of the means of two values of blocks, with its standard error."""
    total = float(expected.sum())
    ratio = float(found.sum()) / total
    return ratio, float(np.std(found - ratio * expected)) * float(np.sqrt(len(found))) / total
