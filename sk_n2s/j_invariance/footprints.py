"""What has to be hidden with an entry, told from the data."""

from __future__ import annotations

from typing import Any

import numpy as np
from joblib import hash as digest

from .._utils.arrays import split_axes
from .._utils.tiling import sample
from ..noise.correlation import estimate_noise_correlation

__all__ = ["footprint_of"]

#: How far away correlated noise is looked for, in at most so many entries.
_FAR, _SEEN = 12, 2**18

#: Each candidate of a search asks about the same data: so many answers are remembered, by what
#: the data hold.
_REMEMBERED = 16
_known: dict[tuple, Any] = {}


def footprint_of(X: Any, channel: int | None, batch: int | None) -> Any:
    """Return which neighbours of an entry have noise that depends on its own."""
    part, channel, batch = sample(X, channel, batch, _SEEN)
    key = digest(part), channel, batch
    found = _known.get(key)
    if found is None:
        found = _estimated(part, channel, batch)
        while len(_known) >= _REMEMBERED:
            _known.pop(next(iter(_known), key), None)
        _known[key] = found
    return found


def _estimated(part: np.ndarray, channel: int | None, batch: int | None) -> Any:
    """Return a footprint, or 0 where noise is independent or the data are too small to tell."""
    inner = split_axes(part.ndim, channel, batch)[2]
    longest = min((part.shape[a] - 1) // 4 for a in inner if part.shape[a] > 1)
    if not longest:
        return 0
    return estimate_noise_correlation(
        part, max_lag=min(_FAR, longest), channel_axis=channel, batch_axis=batch
    ).blind_spot(inner)
