"""All that can be told of the noise of an array, in one `NoiseModel`."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._utils.arrays import split_axes
from .._utils.lazy import as_float_data, is_lazy
from .._utils.tiling import sample
from .correlation import NoiseCorrelation, estimate_noise_correlation
from .curve import estimate_noise_curve
from .level import estimate_noise
from .map import estimate_noise_map
from .model import NoiseModel
from .outliers import estimate_tails, find_outliers

__all__ = ["estimate_noise_model"]

#: Entries that are looked at, at most.
_READ = 2**20

#: How far correlations are looked for, in entries: as far as patches of a denoiser are apart.
_MAX_LAG = 40

#: The standard error of a level that is estimated, as a share of it.
_LEVEL_ERROR = 0.01


def estimate_noise_model(
    X: Any, *, channel_axis: int | None = None, batch_axis: int | None = None
) -> NoiseModel:
    """Estimate what the noise is like.

    Parameters
    ----------
    X : array-like of one or more axes
        The noisy data; NaN marks missing entries.
    channel_axis, batch_axis : int, default=None
        Axes along which entries are not neighbours.

    Returns
    -------
    NoiseModel
        Outliers are looked for first, and left out. What differs beyond doubt from noise that is
        normal, of one level, and independent between entries is part of the model, or stands in
        its notes; what cannot be told stands in its doubts. Of more than a million entries pieces
        are looked at that are spread over the data.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.noise import estimate_noise_model
    >>> ramp = np.broadcast_to(np.linspace(5, 50, 256), (256, 256))
    >>> counts = np.random.default_rng(0).poisson(ramp)
    >>> print(estimate_noise_model(counts))
    variance 1 · signal
    """
    X = as_float_data(X)
    part, channel, batch = sample(X, channel_axis, batch_axis, _READ)
    axes: dict[str, Any] = {"channel_axis": channel, "batch_axis": batch}
    outliers = find_outliers(part, **axes)
    if outliers.any():
        part = np.where(outliers, np.nan, part)
    found: dict[str, Any] = {
        "outliers": float(np.mean(outliers)),
        "level_error": _LEVEL_ERROR,
    }
    correlation = _correlation(part, channel, batch)
    curve = estimate_noise_curve(part, **axes)
    if correlation is not None and any(correlation.reach):
        of_part, of_all = (
            split_axes(v.ndim, *lone)[2]
            for v, lone in ((part, (channel, batch)), (X, (channel_axis, batch_axis)))
        )
        found["correlation"] = _expanded(correlation, of_part, of_all, X.ndim)
        return NoiseModel(float(np.sqrt(correlation.variance)), **found)
    if curve.is_signal_dependent or max(curve.clipped_low, curve.clipped_high) > 0:
        return NoiseModel(curve=curve, **found)
    tails = estimate_tails(part, **axes)
    if tails.is_heavy:
        found["notes"] = [str(tails)]
    if not is_lazy(X):
        axes = {"channel_axis": channel_axis, "batch_axis": batch_axis}
        uneven = estimate_noise_map(part if part.shape == X.shape else X, **axes)
        if not uneven.is_uniform:
            return NoiseModel(uneven.map, **found)
    return NoiseModel(estimate_noise(part, channel_axis=channel, batch_axis=batch), **found)


def _correlation(X: np.ndarray, channel: int | None, batch: int | None) -> NoiseCorrelation | None:
    """Return the correlation as far as the data allow; None if they are too small to tell any."""
    shortest = min((X.shape[a] for a in split_axes(X.ndim, channel, batch)[2]), default=1)
    try:
        return estimate_noise_correlation(
            X,
            max_lag=max(1, min(_MAX_LAG, (shortest - 1) // 4)),
            channel_axis=channel,
            batch_axis=batch,
        )
    except ValueError:
        return None


def _expanded(
    found: NoiseCorrelation, of_part: tuple[int, ...], axes: tuple[int, ...], ndim: int
) -> np.ndarray:
    """Return the map of a correlation with an axis for each of the data."""
    shape = [1] * ndim
    for axis, length in zip(found.axes, found.map.shape, strict=True):
        shape[axes[of_part.index(axis)]] = length
    # An estimate may exceed 1 by the rounding of its quotients.
    return np.clip(found.map / found.map.max(), -1, 1).reshape(shape)
