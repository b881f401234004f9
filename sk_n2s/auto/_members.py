"""Which denoisers race, for which noise."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from .._utils.base import Axes
from ..denoisers import dct, declare, gaussian, lichi, median, nl_means, nl_ridge, tv, wavelet
from ..denoisers._steps import WINDOW
from ..denoisers.chained import PATCH_SIZE
from ..noise.model import NoiseModel
from ._settings import Sides

__all__ = ["COSTLY", "Members", "cheap_for_all", "members"]

Members = dict[str, partial]

#: Denoisers that take much longer than others.
COSTLY = (dct, lichi, nl_means, nl_ridge)

#: What `lichi` is told, by effort, for signals, images and volumes: in how many steps, and the
#: distance of reference patches.
_STEPS = {
    "fast": ((4, 30), (4, 7), (4, 4)),
    "balanced": ((4, 24), (7, 6), (5, 4)),
    "best": ((6, 16), (8, 3), (6, 3)),
}

#: Colours, which take longer, gain little by more steps.
_OF_COLOURS = 6

#: What `lichi` is told for volumes where time counts: half of it, and 0.1 to 0.2 dB less.
_OF_VOLUMES = {"group_size": (16, 32), "n_scales": 1}
_OF_VOLUMES_SIDES = (4, 4)

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


@declare(releases_gil=True)
def as_it_is(X: np.ndarray) -> np.ndarray:
    """Return the data: what is best where the noise is not told from the signal."""
    return X


def members(
    effort: str, noise: NoiseModel, deviation: float | np.ndarray, axes: Axes, sides: Sides
) -> Members:
    """Return the denoisers that race, by name.

    `deviation` is the standard deviation of the noise that the members are told, at each
    entry or for all; `noise` is what they are scored by.
    """
    level = float(np.sqrt(np.mean(np.square(deviation))))
    found = {"as it is": partial(as_it_is), **_gaussians(sides, 1.2)}
    # Weak total variation only merges equal counts, which the score takes for less noise.
    for strength in (1.0, 2.0):
        found[f"tv, weight {strength} noise"] = partial(tv, weight=strength * level)
    if noise.is_correlated:
        return found | _correlated(effort, noise, deviation, axes, sides)
    found |= _cheap(effort, level, sides)
    return found | _costly(effort, deviation, axes, sides)


def cheap_for_all(found: Members, sides: Sides) -> set[str]:
    """Return those that run on all of the data, whatever a part of them says.

    A signal is seldom the same all along, and what suits it takes little time.
    """
    if sides.n_long > 1:
        return set()
    return {name for name, member in found.items() if member.func not in (lichi, nl_ridge)}


def _gaussians(sides: Sides, *widths: float) -> Members:
    """Return Gaussian filters, which are as wide along all axes in the unit of the spacing."""
    return {f"gaussian, sigma {w}": partial(gaussian, sigma=sides.deviation(w)) for w in widths}


def _cheap(effort: str, level: float, sides: Sides) -> Members:
    """Return those that take little time, for independent noise."""
    found = {
        "median, radius 1": partial(median, radius=1),
        **_gaussians(sides, 0.6),
        "wavelet": partial(wavelet, sigma=level, max_shifts=1),
    }
    if sides.n_long == 1:
        found |= _of_signals(level, sides)
    elif sides.n_long == len(sides.spacing) == 2 and effort != "fast":
        # Where the data are smooth, large patches add to what few similar ones tell.
        found["dct"] = partial(dct, sigma=level, patch_size=16, step=2)
        found["nl_means"] = partial(nl_means, h=0.9 * level)
    elif sides.n_long == len(sides.spacing) == 3 and effort != "fast":
        found["dct"] = partial(dct, sigma=level, patch_size=4)
    return found


def _of_signals(level: float, sides: Sides) -> Members:
    """Return what signals ask for, which are longer than images are wide."""
    found = _gaussians(sides, 3, 10, 40)
    for basis in ("haar", "sym8"):
        shrink = partial(
            wavelet, wavelet=basis, wavelet_levels=_LEVELS, max_shifts=_SHIFTS, shift_step=_APART
        )
        universal = partial(shrink, shrinkage="universal")
        found[f"wavelet, {basis}"] = partial(shrink, sigma=level)
        found[f"wavelet, {basis}, hard"] = partial(universal, sigma=level, mode="hard")
        found[f"wavelet, {basis}, garrote"] = partial(universal, sigma=0.7 * level, mode="garrote")
    return found


def _costly(effort: str, deviation: float | np.ndarray, axes: Axes, sides: Sides) -> Members:
    """Return those that combine similar patches, for independent noise."""
    ndim = min(sides.n_long, 3)
    n_steps, step = _STEPS[effort][ndim - 1]
    if axes.channel is not None:
        n_steps = min(n_steps, _OF_COLOURS)
    chained, usual = partial(lichi, sigma=deviation, n_steps=n_steps), PATCH_SIZE[ndim]
    if ndim == 3 and effort != "best":
        usual = _OF_VOLUMES_SIDES
        if effort == "fast" or sides.are_many:
            chained = partial(chained, **_OF_VOLUMES)
    found = {"lichi": partial(chained, **_shape(sides, usual, step))}
    if sides.coarsest is not None:
        # Slices far apart, or the frames of a film.
        found["lichi, flat patches"] = partial(chained, **_shape(sides.flatter(), usual, step))
    return found


def _shape(sides: Sides, patches: tuple[int, int], step: int) -> dict[str, Any]:
    """Return what denoisers by patches are told of sizes, of about so many entries."""
    if sides.are_equal:
        return {"patch_size": patches, "step": step}
    first, second = map(sides.patch, patches)
    window = sides.window(WINDOW[min(sides.n_long, 3)])
    return {"patch_size": (first, second), "step": sides.patch(step), "window": window}


def _correlated(
    effort: str, noise: NoiseModel, deviation: float | np.ndarray, axes: Axes, sides: Sides
) -> Members:
    """Return those for noise that depends on that of neighbours."""
    found = _gaussians(sides, 2.5)
    lone = [axis for axis in (axes.channel, axes.batch) if axis is not None]
    assert noise.correlation is not None
    correlation = np.squeeze(noise.correlation, tuple(lone))  # along these it has one entry
    sizes: Iterator[dict[str, Any]] = (
        {**_shape(sides, patches, step=5), "group_size": groups}
        for patches, groups in _CORRELATED[min(sides.n_long, 3)]
    )
    short, middle, far = sizes
    told: dict[str, Any] = {"sigma": deviation, "correlation": correlation}
    found["lichi, middle patches"] = partial(lichi, **told, **middle)
    if effort != "fast":
        found["lichi, small patches"] = partial(lichi, **told, **short)
        found["nl_ridge, large patches"] = partial(nl_ridge, **told, **far)
    return found
