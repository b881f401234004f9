"""What is looked for in the data before denoisers see them: outliers, rare values, noise."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..noise.model import NoiseModel, check_noise
from ..noise.outliers import find_outliers
from ..noise.rare import find_rare_values
from ..noise.stabilizers import stabilizer_for
from ..risk.noise_level import noise_of
from ._scale import Scale
from ._settings import Settings

__all__ = ["look_at_noise", "without_outliers", "without_rare_values"]

#: Of fewer outliers than this share of the entries, those within the range of the rest are kept.
_SHARE_OF_DETAILS = 1e-4

#: Where more than this share of the entries is rare, which details are not, noise is heavy-tailed.
_SHARE_OF_RARE = 0.0015


def without_outliers(X: np.ndarray, settings: Settings) -> tuple[np.ndarray, int]:
    """Return the data with outliers missing, and how many there were."""
    found = find_outliers(X, **settings.lone)
    n_outliers = int(np.count_nonzero(found))
    if 0 < n_outliers <= max(2, _SHARE_OF_DETAILS * X.size) < np.count_nonzero(~np.isnan(X)):
        # So few may be details of the scene, and weigh little within the range of the rest.
        rest = np.where(found, np.nan, X)
        found &= (X < np.nanmin(rest)) | (X > np.nanmax(rest))
    return _without(X, found)


def without_rare_values(X: np.ndarray, settings: Settings) -> tuple[np.ndarray, int]:
    """Return the data with the rare values of heavy-tailed noise missing, and how many."""
    rare = find_rare_values(X, **settings.lone)
    return _without(X, rare & (np.count_nonzero(rare) > _SHARE_OF_RARE * X.size))


def look_at_noise(given: Any, X: np.ndarray, settings: Settings) -> tuple[NoiseModel, Any]:
    """Return the noise, and what makes it white where that is needed."""
    noise = noise_of(given, X, settings.axes(X.ndim))
    curve = noise.curve
    if curve is None:
        axes = settings.axes(X.ndim)
        if noise.is_uniform or (axes.batch is None and axes.channel is None):
            return noise, None
        return noise, Scale(np.asarray(check_noise(noise, X).level), axes)
    stabilizer = stabilizer_for(curve, X)
    if stabilizer is None:
        level = np.sqrt(np.nanmean(noise.variance(X)))
        return noise.replace(curve=None, level=level), None
    return noise, stabilizer


def _without(X: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the data with what was found missing, and how many entries that are."""
    n = int(np.count_nonzero(found))
    return (np.where(found, X.dtype.type(np.nan), X) if n else X), n
