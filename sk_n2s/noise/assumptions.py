"""Whether the noise is what a loss assumes, told from a small part of the data."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._utils.arrays import split_axes
from .._utils.lazy import in_memory
from .._utils.tiling import middle
from ._autocovariance import SCALES, products_at_lags
from ._blocks import items
from ._spectra import NEGLIGIBLE, Spectra, block_sides, blocks_of, transformed, usable_blocks
from ._stripes import stripe_variance
from .outliers import find_outliers

__all__ = ["Finding", "NoiseAssumptionWarning", "check_assumptions"]

#: Entries that are looked at, and channels and items, at most.
_GLANCE, _MOST = 2**13, 4

#: Lags that are looked at; along a shorter axis there is nothing to tell, nor from fewer blocks.
_LAG, _SHORTEST, _FEWEST = 4, 17, 24

#: In so many standard errors chance is not believed.
_ERRORS = 4.0

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
    part = _glance(X, channel, batch)
    largest = float(np.abs(part).max(initial=0, where=~np.isnan(part)))
    if not 0 < largest < np.inf:
        return []
    part = part / largest  # whose squares fit
    where = find_outliers(
        part, false_positives=_FALSE_POSITIVES, channel_axis=channel, batch_axis=batch
    )
    found = []
    if correlation:
        # Outliers would hide it.
        found += _correlated(np.where(where, np.nan, part), channel, batch)
    if outliers and np.count_nonzero(where) >= max(_FEW, _SHARE * where.size):
        found.append(
            Finding(
                f"About {where.mean():.2g} of the entries are outliers, whose squares outweigh "
                "what tells candidates apart.",
                "Take them for missing, by an OutlierMasker before the wrapper in a Pipeline, or "
                'set scoring="neg_mean_absolute_error".',
            )
        )
    return found


def _glance(X: Any, channel: int | None, batch: int | None) -> np.ndarray:
    """Return the middle of the data, with few channels and items."""
    kept, most = [slice(None)] * X.ndim, _MOST
    for axis in (channel, batch):
        if axis is not None:
            n = min(X.shape[axis], most)
            first = (X.shape[axis] - n) // 2
            kept[axis] = slice(first, first + n)
            most = max(1, most // n)
    X = X[tuple(kept)]
    n_channels = 1 if channel is None else X.shape[channel]
    return in_memory([X[middle(X.shape, _GLANCE // n_channels, channel, batch)]])[0]


def _correlated(part: np.ndarray, channel: int | None, batch: int | None) -> list[Finding]:
    """Return whether the noise is correlated, told as `estimate_noise_correlation` does."""
    axes = [a for a in split_axes(part.ndim, channel, batch)[2] if part.shape[a] > 1]
    if not axes or min(part.shape[a] for a in axes) < _SHORTEST:
        return []
    parts = [(values[np.newaxis], known) for values, known in items(part, channel, batch)]
    found = [
        f"along axis {axis} over {lag} {'entry' if lag == 1 else 'entries'}"
        for axis, lag in zip(axes, _reach(parts, len(axes)), strict=True)
        if lag
    ]
    if not found:
        return []
    return [
        Finding(
            f"The noise is correlated {' and '.join(found)}: an entry that is hidden alone is "
            "predicted from neighbours that know its noise.",
            'Hide them with it, by partition="auto" or a BlindSpotPartition of JInvariantWrapper.',
        )
    ]


def _reach(parts: list[_Part], ndim: int) -> tuple[int, ...]:
    """Return the largest lag along each axis at which quiet blocks are correlated beyond doubt."""
    sides = block_sides([values.shape[1:] for values, _ in parts])
    usable = [usable_blocks(values, known, sides) for values, known in parts]
    none = (0,) * ndim
    if sum(map(np.count_nonzero, usable)) < _FEWEST:
        return none
    blocks = [transformed(v, u, sides) for (v, _), u in zip(parts, usable, strict=True)]
    spectra = Spectra(np.concatenate(blocks), sides)
    striped = [min(stripe_variance(v[0], axis) for v, _ in parts) > 0 for axis in range(ndim)]
    if not spectra.is_correlated and not any(striped):
        return none
    width = SCALES.get(ndim, ((5, 3),))[0][0]
    total, pairs, first = 0.0, 0.0, 0
    for (values, _), places in zip(parts, usable, strict=True):
        last = first + np.count_nonzero(places)
        places[places] = spectra.quiet[first:last]
        first = last
        quiet = np.zeros(values.shape, dtype=bool)
        blocks_of(quiet, sides)[places] = True
        sums = products_at_lags(values, quiet[0], width, _LAG)
        total, pairs = total + sums[0], pairs + sums[1]
    near = total / np.maximum(pairs, 1)
    near /= max(near.max(), np.finfo(float).tiny)
    error = np.sqrt(np.sum(np.square(near)) / max(pairs.min(), 1.0))
    places = np.argwhere(np.abs(near) > max(_ERRORS * error, NEGLIGIBLE)) - _LAG
    return tuple(np.abs(places).max(axis=0, initial=0).tolist())
