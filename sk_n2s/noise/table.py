"""The noise of a table, whose entries have no neighbours: from its singular values."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._utils.arrays import as_float_array, check_table_axes, has_nan, mean_of_measured
from .curve import NoiseCurve
from .model import NoiseModel

__all__ = ["estimate_table_noise", "estimate_table_noise_model", "feature_levels"]

#: Features, and entries, that are looked at, at most.
_FEATURES, _READ = 1024, 2**22

#: How often missing entries are predicted anew; and by how much wider noise may be than if all
#: features were alike, in each round in which they are brought to one level.
_ROUNDS_OF_GAPS, _SLACKS = 20, (8.0, 4.0, 2.0, 1.5, 1.0, 1.0)

#: Features have levels of their own if nine tenths of them deviate by more than this factor from
#: the least noisy tenth, beyond what so few samples leave uncertain.
_UNEVEN = 2.5

#: Tables with so many times more samples than features tell what each feature has of its own; how
#: much is added to the diagonal of correlations, so that copies of features can be told; features
#: less than this share of which is their own, that of all stands for; and the least scale.
_TALL, _RIDGE, _LEAST_OWN, _LEAST_SCALE = 1.5, 1e-9, 0.3, 1e-6

#: Integers are counts if the variance of their noise is this near to their mean.
_OF_COUNTS = (0.9, 1.12)

#: The standard error of the level, as a share of it, at least; where entries are missing, times
#: the share of those; and times the difference of two estimates of it.
_LEAST_ERROR, _OF_GAPS, _OF_DIFFERENCE = 0.002, 0.5, 2.0

#: What is not more than this share of the values of a feature was made by rounding.
_ROUNDING = 1e-12

#: Steps of integrals over the law of Marchenko and Pastur.
_STEPS = 4096

_NO_TAIL = "structure is in all directions of the table, so that noise cannot be told from it"


class Spectrum(NamedTuple):
    """What of a table stands out of the noise.

    Attributes
    ----------
    variance : float
        The variance of the noise.
    error : float
        The standard error of its root, as a share of that.
    rank : int
        How many directions stand out.
    is_told : bool
        Whether there are others, in which there is but noise.
    rest : ndarray of the shape of the table
        What does not stand out.
    of_features : ndarray of shape (n_features,)
        The variance of the noise of each feature.
    """

    variance: float
    error: float
    rank: int
    is_told: bool
    rest: np.ndarray
    of_features: np.ndarray


def estimate_table_noise(X: Any) -> float:
    """Estimate the standard deviation of the noise of a table.

    What a table of samples by features has in common lies in a few directions; the noise is in
    all of them, and the singular values of noise alone follow the law of Marchenko and Pastur: the
    largest part of the smallest ones that is no wider than that law allows is noise [1]_, [2]_.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        The table; NaN marks missing entries. Up to 1024 features and four million entries, spread
        over the table, are looked at.

    Returns
    -------
    float
        The standard deviation, in the unit of `X`; of features that differ in it, the root of the
        mean of their variances.

    Raises
    ------
    ValueError
        If `X` does not have two axes.

    References
    ----------
    .. [1] J. Veraart et al., "Denoising of diffusion MRI using random matrix theory", NeuroImage
       142:394-406, 2016. :doi:`10.1016/j.neuroimage.2016.08.016`
    .. [2] M. Gavish and D. L. Donoho, "The optimal hard threshold for singular values is 4/√3",
       IEEE Trans. Inf. Theory 60(8):5040-5053, 2014. :doi:`10.1109/TIT.2014.2323359`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.noise import estimate_table_noise
    >>> rng = np.random.default_rng(0)
    >>> clean = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 80))
    >>> round(estimate_table_noise(clean + 0.5 * rng.normal(size=clean.shape)), 2)
    0.5
    """
    X = as_float_array(X)
    model = estimate_table_noise_model(X)
    return float(np.sqrt(np.nanmean(np.broadcast_to(model.variance(X), X.shape))))


def estimate_table_noise_model(X: Any) -> NoiseModel:
    """Estimate what the noise of a table is like: of one level, one for each feature, or of counts.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        The table; NaN marks missing entries.

    Returns
    -------
    NoiseModel
        Of integers whose noise is as large as that of counts it is that of counts.

    Raises
    ------
    ValueError
        If `X` does not have two axes.
    """
    X = as_float_array(X)
    check_table_axes(X.ndim)
    if min(X.shape) < 2:
        return NoiseModel(0.0, doubts=[_NO_TAIL])
    part = _part(X).astype(np.float64)
    missing = np.isnan(part) if has_nan(part) else None
    counts = _as_counts(part, missing)
    if counts is not None:
        return counts
    found = spectrum_of(part, missing)
    known = part.size if missing is None else np.count_nonzero(~missing)
    error = max(found.error, _LEAST_ERROR, _OF_GAPS * (1 - known / part.size))
    told: dict[str, Any] = {"level_error": error}
    if not found.is_told:
        told["doubts"] = [_NO_TAIL]
    if missing is None and part.shape[1] == X.shape[1]:  # which gaps would blur
        variances = _of_features(part)
        if _differ(variances, len(part)):
            levels = np.sqrt(variances)[np.newaxis]
            alike = _spectrum(part / np.where(levels > 0, levels, 1))
            told["level_error"] = max(alike.error, _LEAST_ERROR)
            told["doubts"] = [] if alike.is_told else [_NO_TAIL]
            return NoiseModel(levels, **told)
    return NoiseModel(float(np.sqrt(found.variance)), **told)


def feature_levels(X: np.ndarray) -> np.ndarray:
    """Return the standard deviation of the noise of each feature of a table."""
    model = estimate_table_noise_model(X)
    variance = np.asarray(model.variance(np.where(np.isnan(X), 0, X)))
    return np.sqrt(np.broadcast_to(variance, X.shape).mean(axis=0, dtype=np.float64))


def spectrum_of(X: np.ndarray, missing: np.ndarray | None = None) -> Spectrum:
    """Return what of a table stands out of the noise.

    Missing entries are predicted by that, with as much noise as the others have, again and again.
    """
    if missing is None:
        return _spectrum(X)
    shown = np.broadcast_to(mean_of_measured(X, 0), X.shape)
    drawn = np.random.default_rng(0).standard_normal(X.shape)
    deviation = np.sqrt(np.mean(np.square(X - shown)[~missing]))
    for _ in range(_ROUNDS_OF_GAPS):
        filled = np.where(missing, shown + deviation * drawn, X)
        found = _spectrum(filled)
        shown, deviation = filled - found.rest, np.sqrt(found.variance)
    return found


def _spectrum(X: np.ndarray, slack: float = 1.0) -> Spectrum:
    """Return what stands out of noise, which may be wider by a slack than if all were alike."""
    X = _centred(X)
    varies = np.asarray(X.any(axis=0))
    if not varies.all():  # what is constant has no noise, and tells nothing of that of others
        return _with_constants(X, varies, slack)
    n, m = len(X) - 1, X.shape[1]  # the means take one sample
    is_wide = m > n
    short, long = min(n, m), max(n, m)
    values, vectors = np.linalg.eigh(X @ X.T if is_wide else X.T @ X)
    values, vectors = np.maximum(values[::-1][:short], 0), vectors[:, ::-1]
    # Of the values after the first p, the mean gives one variance, and their width another.
    p = np.arange(short)
    by_mean = np.cumsum(values[::-1])[::-1] / ((long - p) * (short - p))
    by_width = (values - values[-1]) / (4 * np.sqrt((long - p) * (short - p)))
    is_noise = (by_width <= slack * by_mean)[:-1]
    is_told = bool(is_noise.any())
    rank = int(np.argmax(is_noise)) if is_told else short - 1
    kept = vectors[:, :rank]
    rest = X - (kept @ (kept.T @ X) if is_wide else (X @ kept) @ kept.T)
    own = np.ones(m) if is_wide else 1 - np.square(kept).sum(axis=1)
    squares = np.square(rest).sum(axis=0) / max(n - rank, 1)
    # Weak structure is above the middle of what is called noise: the lower half tells more, and the
    # difference how much structure there may be.
    n_low = max(1, (short - rank) // 2)
    low = float(np.mean(values[short - n_low :])) / (long - rank)
    low /= _mean_of_smallest((short - rank) / (long - rank), n_low / (short - rank))
    mean = float(by_mean[rank])
    error = np.sqrt(1 / (n_low * long))
    if mean > 0:
        error = max(error, _OF_DIFFERENCE * abs(np.sqrt(low / mean) - 1))
    variance = min(low, mean)
    of_features = np.divide(squares, own, out=np.full(m, variance), where=own > _LEAST_OWN)
    return Spectrum(variance, error, rank, is_told, rest, of_features)


def _centred(X: np.ndarray) -> np.ndarray:
    """Return deviations from the mean of each feature, exactly 0 of those that are constant."""
    centred = X - X.mean(axis=0)
    centred[:, np.abs(centred).max(axis=0) <= _ROUNDING * np.abs(X).max(axis=0)] = 0
    return centred


def _with_constants(X: np.ndarray, varies: np.ndarray, slack: float) -> Spectrum:
    """Return what stands out of the features that vary, for all of them."""
    if np.count_nonzero(varies) < 2:
        return Spectrum(0.0, 0.0, 0, False, np.zeros_like(X), np.zeros(X.shape[1]))
    found = _spectrum(X[:, varies], slack)
    rest, of_features = np.zeros_like(X), np.zeros(X.shape[1])
    rest[:, varies], of_features[varies] = found.rest, found.of_features
    return found._replace(rest=rest, of_features=of_features)


def _mean_of_smallest(ratio: float, share: float) -> float:
    """Return the mean of the smallest share of what the law of Marchenko and Pastur gives."""
    low, high = (1 - np.sqrt(ratio)) ** 2, (1 + np.sqrt(ratio)) ** 2
    angle = (np.arange(_STEPS) + 0.5) / _STEPS * np.pi
    values = (low + high) / 2 - (high - low) / 2 * np.cos(angle)
    density = np.square(np.sin(angle)) / np.maximum(values, np.finfo(float).tiny)
    seen = np.cumsum(density) <= share * density.sum()
    return float((values * density)[seen].sum() / density[seen].sum()) if seen.any() else low


def _of_features(X: np.ndarray) -> np.ndarray:
    """Return the variance of the noise of each feature."""
    scale = np.sqrt(_unexplained(X))
    for slack in _SLACKS:
        if not scale.any():
            break
        scale = np.maximum(scale, _LEAST_SCALE * scale.max())
        scale = scale * np.sqrt(_spectrum(X / scale, slack).of_features)
    return np.square(scale)


def _unexplained(X: np.ndarray) -> np.ndarray:
    """Return what the other features leave of the variance of each; all of it of few samples."""
    X = _centred(X)
    n, m = X.shape
    variances = np.square(X).mean(axis=0)
    seen = variances > 0
    if n < _TALL * m:
        return variances
    scaled = X[:, seen] / np.sqrt(variances[seen])
    correlation = scaled.T @ scaled / n
    correlation[np.diag_indices_from(correlation)] += _RIDGE
    left = np.zeros(m)
    left[seen] = variances[seen] / np.diag(np.linalg.inv(correlation)) * n / (n - seen.sum())
    return left


def _differ(variances: np.ndarray, n: int) -> bool:
    """Return whether features differ in their noise, beyond doubt."""
    variances = variances[variances > 0]
    if not variances.size:
        return False
    low, high = np.quantile(variances, (0.1, 0.9))
    return bool(high > _UNEVEN * (1 + 4 / np.sqrt(n)) * low)


def _as_counts(X: np.ndarray, missing: np.ndarray | None) -> NoiseModel | None:
    """Return the noise of counts, if the table holds such."""
    known = X if missing is None else X[~missing]
    if known.min() < 0 or not np.array_equal(known, np.round(known)) or not known.any():
        return None
    shown = np.nan_to_num(X)
    rows, columns = shown.sum(axis=1), shown.sum(axis=0)
    expected = np.outer(rows, columns) / rows.sum()
    seen = expected > 0
    scaled = np.divide(X, np.sqrt(expected), out=np.zeros_like(X), where=seen)
    kept = scaled[rows > 0][:, columns > 0]
    gaps = None if missing is None else missing[rows > 0][:, columns > 0]
    if min(kept.shape) < 2:
        return None
    variance = spectrum_of(kept, gaps).variance
    if not _OF_COUNTS[0] < variance < _OF_COUNTS[1]:
        return None
    error = max(_LEAST_ERROR, abs(np.sqrt(variance) - 1))
    return NoiseModel(curve=NoiseCurve(gain=1.0, intercept=0.0), level_error=error)


def _part(X: np.ndarray) -> np.ndarray:
    """Return samples and features that are spread over a table."""
    features = -(-X.shape[1] // _FEATURES)
    X = X[:, ::features]
    measured = X if not has_nan(X) else X[:, ~np.isnan(X).all(axis=0)]
    return measured[:: -(-measured.size // _READ)]
