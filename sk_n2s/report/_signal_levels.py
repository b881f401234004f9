"""How large the noise is where the signal is dark or bright: as seen, and as the model says."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._utils.tiling import middle
from ._shown import Shown

__all__ = ["SignalLevels", "levels_of"]

#: Bins of as many entries each, and the fewest entries of one.
_BINS, _FEWEST = 24, 50

#: Entries that are looked at.
_LOOKED_AT = 2**20


class SignalLevels(NamedTuple):
    """The standard deviation of the noise over the signal.

    Attributes
    ----------
    signal : ndarray of shape (n_bins,)
        The mean of the denoised data in each bin.
    seen : ndarray of shape (n_bins,)
        The standard deviation of what was taken away there.
    model : ndarray of shape (n_bins,) or None
        That of the noise model, root mean square; None where the noise is not known.
    """

    signal: np.ndarray
    seen: np.ndarray
    model: np.ndarray | None


def levels_of(shown: Shown) -> SignalLevels:
    """Sort entries by the denoised signal into bins of the same size, and look at each."""
    batch = 0 if shown.axes.is_table else shown.axes.batch
    part = middle(shown.before.shape, _LOOKED_AT, shown.axes.channel, batch)
    signal = shown.after[part].astype(np.float64)
    residual = shown.before[part] - signal
    known = np.isfinite(residual)
    variance: np.ndarray | None = None
    if shown.noise is not None:
        found = shown.noise.within(part).variance(signal)
        variance = np.broadcast_to(found, signal.shape)[known]
    signal, residual = signal[known], residual[known]
    n_bins = max(1, min(_BINS, signal.size // _FEWEST))
    bins = np.array_split(np.argsort(signal, kind="stable"), n_bins)
    means = np.array([signal[b].mean() for b in bins])
    seen = np.array([residual[b].std() for b in bins])
    if variance is None:
        return SignalLevels(means, seen, None)
    return SignalLevels(means, seen, np.array([np.sqrt(variance[b].mean()) for b in bins]))
