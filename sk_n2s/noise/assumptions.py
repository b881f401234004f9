"""Whether the noise is what a loss assumes, told from a small part of the data."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._utils.arrays import split_axes
from .._utils.lazy import in_memory
from .._utils.tiling import middle
from ._autocovariance import SCALES, products_at_lags
from ._blocks import items
from ._spectra import Spectra, block_sides, blocks_of, transformed, usable_blocks
from ._stripes import stripe_variance
from .outliers import find_outliers

__all__ = ["Finding", "NoiseAssumptionWarning", "check_assumptions"]

#: Entries that are looked at for correlation and for outliers; channels and items, at most.
_GLANCE, _OUTLIERS, _MOST = 2**15, 2**13, 4

#: Lags that are looked at; along a shorter axis, or in fewer blocks, there is nothing to tell.
_LAG, _SHORTEST, _FEWEST = 4, 17, 24

#: What so many pairs have in common beyond half of this distance is a pattern, and not noise.
_FAR, _PAIRS = 16, 2000

#: In so many standard errors chance is not believed; with less correlation nothing more would be
#: hidden.
_ERRORS, _DEPENDENT = 4.0, 0.2

#: What is constant along an axis counts from this share of the variance on.
_STRIPES = 0.05

#: From this share of the entries on, and this number, outliers weigh in a loss.
_SHARE, _FEW = 5e-4, 3

#: So many outliers are found, on average, in a part that has none.
_FALSE_POSITIVES = 0.005


#: Values of shape (1, *shape), and where they were measured.
_Part = tuple[np.ndarray, np.ndarray | None]


class NoiseAssumptionWarning(UserWarning):
    """The noise is not what a loss assumes, so that it may choose wrongly.

    The message names what was found, and the remedy.
    """


class Finding(NamedTuple):
    """What was found, and the remedy: a sentence each."""

    text: str
    remedy: str


def check_assumptions(
    X: Any,
    *,
    channel_axis: int | None = None,
    batch_axis: int | None = None,
    correlation: bool = True,
    outliers: bool = True,
) -> list[Finding]:
    """Return what makes a loss choose wrongly, as far as the middle of the data shows it.

    Parameters
    ----------
    X : ndarray or dask array of float
        The noisy data; NaN marks missing entries.
    channel_axis, batch_axis : int, default=None
        Axes along which entries are not neighbours.
    correlation, outliers : bool, default=True
        Whether noise that is correlated between neighbours is looked for, and outliers.

    Returns
    -------
    list of Finding
        None where all is well, or where the data do not tell.
    """
    channel, batch, _ = split_axes(X.ndim, channel_axis, batch_axis)
    part = in_memory([_glance(X, _GLANCE, channel, batch)])[0]
    largest = float(np.abs(part).max(initial=0, where=~np.isnan(part)))
    if not 0 < largest < np.inf:
        return []
    part = part / largest  # whose squares fit
    found = _correlated(part, channel, batch) if correlation else []
    return found + (_outlying(part, channel, batch) if outliers else [])


def _glance(X: Any, budget: int, channel: int | None, batch: int | None) -> Any:
    """Return the middle of the data, with few channels and items."""
    kept, most = [slice(None)] * X.ndim, _MOST
    for axis in (channel, batch):
        if axis is not None:
            n = min(X.shape[axis], most)
            first = (X.shape[axis] - n) // 2
            kept[axis] = slice(first, first + n)
            most //= n
    X = X[tuple(kept)]
    n_channels = 1 if channel is None else X.shape[channel]
    return X[middle(X.shape, budget // n_channels, channel, batch)]


def _outlying(part: np.ndarray, channel: int | None, batch: int | None) -> list[Finding]:
    """Return whether so many entries are outliers that they weigh in a loss."""
    part = _glance(part, _OUTLIERS, channel, batch)
    if np.isnan(part).all():
        return []
    where = find_outliers(
        part, false_positives=_FALSE_POSITIVES, channel_axis=channel, batch_axis=batch
    )
    if np.count_nonzero(where) < max(_FEW, _SHARE * where.size):
        return []
    return [
        Finding(
            f"About {100 * where.mean():.2g} % of the entries are outliers, whose squares outweigh "
            "what tells candidates apart.",
            "Take them for missing, by an OutlierMasker before the wrapper in a Pipeline, or set "
            'scoring="neg_mean_absolute_error".',
        )
    ]


def _correlated(part: np.ndarray, channel: int | None, batch: int | None) -> list[Finding]:
    """Return whether the noise is correlated, told as `estimate_noise_correlation` does."""
    axes = [a for a in split_axes(part.ndim, channel, batch)[2] if part.shape[a] > 1]
    if not axes or min(part.shape[a] for a in axes) < _SHORTEST:
        return []
    parts = [(values[np.newaxis], known) for values, known in items(part, channel, batch)]
    reach, striped = _reach(parts, len(axes))
    found = []
    for axis, lag, whole in zip(axes, reach, striped, strict=True):
        far = "whole lines" if whole else f"{lag} {'entry' if lag == 1 else 'entries'}"
        found += [f"along axis {axis} over {far}"] if lag or whole else []
    if not found:
        return []
    return [
        Finding(
            f"The noise is correlated {' and '.join(found)}: an entry that is hidden alone is "
            "predicted from neighbours that know its noise.",
            'Hide them with it, by partition="auto" or a BlindSpotPartition of JInvariantWrapper.',
        )
    ]


def _reach(parts: list[_Part], ndim: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest lag along each axis at which the noise of quiet blocks is correlated
    beyond doubt, and whether a part of it is constant along the whole axis.
    """
    reach, striped = np.zeros(ndim, dtype=int), np.zeros(ndim, dtype=bool)
    # No smaller ones, in which texture would pass for noise.
    sides = block_sides([values.shape[1:] for values, _ in parts], many=0)
    usable = [usable_blocks(values, known, sides) for values, known in parts]
    if sum(map(np.count_nonzero, usable)) < _FEWEST:
        return reach, striped
    blocks = [transformed(v, u, sides) for (v, _), u in zip(parts, usable, strict=True)]
    spectra = Spectra(np.concatenate(blocks), sides)
    constant = np.array([min(stripe_variance(v[0], a) for v, _ in parts) for a in range(ndim)])
    if not spectra.is_correlated and not constant.any():
        return reach, striped
    width = SCALES.get(ndim, ((5, 3),))[0][0]
    total, pairs = np.zeros(1), np.zeros(1)
    first = 0
    for (values, _), places in zip(parts, usable, strict=True):
        last = first + int(np.count_nonzero(places))
        places[places] = spectra.quiet[first:last]
        first = last
        quiet = np.zeros(values.shape, dtype=bool)
        blocks_of(quiet, sides)[places] = True
        sums = products_at_lags(values, quiet[0], width, _FAR)
        total, pairs = total + sums[0], pairs + sums[1]
    products = total / np.maximum(pairs, 1)
    variance = float(products.max())
    if not variance > 0:
        return reach, striped
    striped = constant > _STRIPES * variance
    steps = np.abs(np.indices(products.shape) - _FAR)
    lags = steps.max(axis=0)
    near = lags <= _LAG
    error = np.sqrt(np.sum(np.square(products[near])) / max(pairs[near].min(), 1.0))
    strong = np.abs(products) > max(_ERRORS * error, _DEPENDENT * variance)
    pattern = strong & (lags > _FAR // 2) & (pairs > _PAIRS)
    for axis in np.flatnonzero(striped):  # is strong along lines, however far
        pattern &= np.delete(steps, axis, axis=0).any(axis=0)
    if pattern.any():
        return reach, np.zeros_like(striped)
    if spectra.is_correlated:
        reach = np.abs(np.argwhere(strong & near) - _FAR).max(axis=0)
    return reach, striped
