"""Which denoisers race, for which noise."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from .._utils.base import Axes
from ..denoisers import dct, gaussian, lichi, median, nl_means, nl_ridge, tv, wavelet
from ..noise.model import NoiseModel

__all__ = ["Members", "as_it_is", "cheap_for_all", "members"]

Members = dict[str, partial]

#: What `lichi` is told, by effort, for signals, images and volumes: in how many steps, and the
#: distance of reference patches.
_STEPS = {
    "fast": ((4, 30), (4, 6), (4, 4)),
    "balanced": ((4, 24), (6, 6), (6, 4)),
    "best": ((6, 16), (6, 3), (6, 3)),
}

#: Sides of patches, small and large, beside its default.
_SIDES = {1: ((41, 21), (81, 51)), 2: ((9, 5), (11, 8)), 3: ((4, 3), (5, 4))}

#: Sides of patches and sizes of groups for noise of which neighbours have a part in common: of
#: `lichi` for such that reaches an entry or two and for such that reaches some more, and of
#: `nl_ridge` for such that goes through the data.
_CORRELATED = {
    1: (((61, 31), (16, 64)), ((101, 61), (24, 64)), ((151, 121), (36, 120))),
    2: (((11, 6), (16, 64)), ((15, 10), (24, 64)), ((23, 19), (36, 120))),
    3: (((5, 4), (16, 64)), ((6, 5), (24, 64)), ((8, 7), (36, 120))),
}

#: Shifts of signals, whose wavelets are long, how far these are apart, and more levels than fit.
_SHIFTS, _APART, _LEVELS = 8, 37, 32


def as_it_is(X: np.ndarray) -> np.ndarray:
    """Return the data: what is best where the noise is not told from the signal."""
    return X


def members(effort: str, noise: NoiseModel, deviation: float | np.ndarray, axes: Axes) -> Members:
    """Return the denoisers that race, by name.

    `deviation` is the standard deviation of the noise that the members are told, at each
    entry or for all; `noise` is what they are scored by.
    """
    level = float(np.sqrt(np.mean(np.square(deviation))))
    found = {"as it is": partial(as_it_is), "gaussian, sigma 1.2": partial(gaussian, sigma=1.2)}
    # Weak total variation only merges equal counts, which the score takes for less noise.
    for strength in (1.0, 2.0):
        found[f"tv, weight {strength} noise"] = partial(tv, weight=strength * level)
    if noise.is_correlated:
        return found | _correlated(effort, noise, deviation, axes)
    found |= _cheap(effort, level, axes)
    return found | _costly(effort, deviation, axes)


def cheap_for_all(found: Members, axes: Axes) -> set[str]:
    """Return those that run on all of the data, whatever a part of them says.

    A signal is seldom the same all along, and what suits it takes little time.
    """
    if len(axes.neighbours) > 1:
        return set()
    return {name for name, member in found.items() if member.func not in (lichi, nl_ridge)}


def _cheap(effort: str, level: float, axes: Axes) -> Members:
    """Return those that take little time, for independent noise."""
    found = {
        "median, radius 1": partial(median, radius=1),
        "gaussian, sigma 0.6": partial(gaussian, sigma=0.6),
        "wavelet": partial(wavelet, sigma=level, max_shifts=1),
    }
    ndim = len(axes.neighbours)
    if ndim == 1:
        found |= _of_signals(level)
    elif ndim < 4 and effort != "fast":
        # Where the data are smooth, large patches add to what few similar ones tell.
        sides = {"patch_size": 16, "step": 2} if ndim == 2 else {"patch_size": 4}
        found["dct"] = partial(dct, sigma=level, **sides)
        found["nl_means"] = partial(nl_means, h=0.9 * level)
    return found


def _of_signals(level: float) -> Members:
    """Return what signals ask for, which are longer than images are wide."""
    found = {f"gaussian, sigma {width}": partial(gaussian, sigma=width) for width in (3, 10, 40)}
    for basis in ("haar", "sym8"):
        shrink = partial(
            wavelet, wavelet=basis, wavelet_levels=_LEVELS, max_shifts=_SHIFTS, shift_step=_APART
        )
        universal = partial(shrink, shrinkage="universal")
        found[f"wavelet, {basis}"] = partial(shrink, sigma=level)
        found[f"wavelet, {basis}, hard"] = partial(universal, sigma=level, mode="hard")
        found[f"wavelet, {basis}, garrote"] = partial(universal, sigma=0.7 * level, mode="garrote")
    return found


def _costly(effort: str, deviation: float | np.ndarray, axes: Axes) -> Members:
    """Return those that combine similar patches, for independent noise."""
    ndim = min(len(axes.neighbours), 3)
    n_steps, step = _STEPS[effort][ndim - 1]
    chained = partial(lichi, sigma=deviation, n_steps=n_steps, step=step)
    found = {"lichi": chained}
    if effort == "best":
        small, large = _SIDES[ndim]
        found["lichi, small patches"] = partial(chained, patch_size=small)
        found["lichi, large patches"] = partial(chained, patch_size=large, group_size=(16, 90))
        found["nl_ridge, refined"] = partial(nl_ridge, sigma=deviation, step=step, n_refinements=2)
    return found


def _correlated(
    effort: str, noise: NoiseModel, deviation: float | np.ndarray, axes: Axes
) -> Members:
    """Return those for noise that depends on that of neighbours."""
    ndim = len(axes.neighbours)
    found: Members = {"gaussian, sigma 2.5": partial(gaussian, sigma=2.5)}
    lone = [axis for axis in (axes.channel, axes.batch) if axis is not None]
    assert noise.correlation is not None
    correlation = np.squeeze(noise.correlation, tuple(lone))  # along these it has one entry
    sizes: Iterator[dict[str, Any]] = (
        {"patch_size": sides, "group_size": groups} for sides, groups in _CORRELATED[min(ndim, 3)]
    )
    short, middle, far = sizes
    told: dict[str, Any] = {"sigma": deviation, "correlation": correlation}
    found["lichi, middle patches"] = partial(lichi, **told, **middle, step=5)
    if effort != "fast":
        found["lichi, small patches"] = partial(lichi, **told, **short, step=5)
        found["nl_ridge, large patches"] = partial(nl_ridge, **told, **far, step=5)
    return found
