"""Which denoisers race, for which noise."""

from __future__ import annotations

from functools import partial

import numpy as np

from .._utils.base import Axes
from ..denoisers import gaussian, median, nl_means, nl_ridge, tv, wavelet
from ..noise.model import NoiseModel

__all__ = ["Members", "as_it_is", "members"]

Members = dict[str, partial]

#: Sides of patches, small and large, beside the default of `nl_ridge`: for signals, images
#: and volumes, and for those with channels, whose patches hold more in the same space.
_SIDES = {1: ((31, 21), (61, 51)), 2: ((7, 5), (11, 10)), 3: ((4, 3), (6, 5))}
_SIDES_OF_CHANNELS = {1: ((15, 11), (31, 21)), 2: ((5, 3), (8, 6)), 3: ((3, 2), (4, 4))}

#: Sides of patches, and sizes of groups, for noise of which neighbours have a part in common: from
#: such that reaches an entry or two to such that goes through the data.
_CORRELATED = {
    1: (((61, 41), (24, 90)), ((101, 81), (30, 90)), ((151, 121), (36, 120))),
    2: (((11, 9), (24, 90)), ((17, 13), (30, 90)), ((23, 19), (36, 120))),
    3: (((5, 4), (24, 90)), ((7, 5), (30, 90)), ((8, 7), (36, 120))),
}


def as_it_is(X: np.ndarray) -> np.ndarray:
    """Return the data: what is best where the noise is not told from the signal."""
    return X


def one_by_one(X: np.ndarray, *, sigma: float, step: int) -> np.ndarray:
    """Return what `nl_ridge` makes of a channel on its own."""
    return nl_ridge(X, sigma=sigma, step=step)


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
    if axes.channel is not None:
        found["nl_ridge, each channel"] = partial(one_by_one, sigma=level, step=4)
    more = _correlated if noise.is_correlated else _independent
    return found | more(effort, noise, level, deviation, axes)


def _independent(
    effort: str, noise: NoiseModel, level: float, deviation: float | np.ndarray, axes: Axes
) -> Members:
    """Return those for noise that is independent between entries."""
    ndim = len(axes.neighbours)
    ridge = partial(nl_ridge, sigma=deviation)
    small, large = (_SIDES if axes.channel is None else _SIDES_OF_CHANNELS)[min(ndim, 3)]
    found = {
        "median, radius 1": partial(median, radius=1),
        "gaussian, sigma 0.6": partial(gaussian, sigma=0.6),
        "wavelet": partial(wavelet, sigma=level, max_shifts=1),
    }
    if effort == "fast":
        found["nl_ridge"] = partial(ridge, step=5)
        return found
    if ndim < 4:
        found["nl_means"] = partial(nl_means, h=0.9 * level)
    step = 4 if effort == "balanced" else 3
    if ndim > 2:
        step -= 1
    found["nl_ridge, refined"] = partial(ridge, step=step, n_refinements=2)
    found["nl_ridge, small patches"] = partial(ridge, step=step, patch_size=small)
    big = partial(ridge, step=step, patch_size=large, group_size=(24, 90))
    found["nl_ridge, large patches"] = big
    if effort == "best":
        found["nl_ridge, small patches, refined"] = partial(
            ridge, step=step, patch_size=small, n_refinements=2
        )
        for factor in (0.96, 1.05):
            found[f"nl_ridge, {factor} noise"] = partial(
                nl_ridge, sigma=factor * deviation, step=step, n_refinements=2
            )
    return found


def _correlated(
    effort: str, noise: NoiseModel, level: float, deviation: float | np.ndarray, axes: Axes
) -> Members:
    """Return those for noise that depends on that of neighbours."""
    ndim = len(axes.neighbours)
    found = {"gaussian, sigma 2.5": partial(gaussian, sigma=2.5)}
    lone = [axis for axis in (axes.channel, axes.batch) if axis is not None]
    assert noise.correlation is not None
    correlation = np.squeeze(noise.correlation, tuple(lone))  # along these it has one entry
    sizes = _CORRELATED[min(ndim, 3)]
    for sides, groups in sizes[:1] if effort == "fast" else sizes:
        if axes.channel is not None:  # a patch holds more in the same space
            sides = (max(2, round(0.7 * sides[0])), max(2, round(0.7 * sides[1])))
        found[f"nl_ridge, patches of {sides[0]}"] = partial(
            nl_ridge,
            sigma=deviation,
            correlation=correlation,
            patch_size=sides,
            group_size=groups,
            step=5 if effort == "fast" else 4,
            n_refinements=1 if effort == "fast" else 2,
        )
    return found
