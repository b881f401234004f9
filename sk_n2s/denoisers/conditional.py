"""Each feature of a table from all others, by one inverse."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.covariance import ledoit_wolf
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval

from .._utils.arrays import (
    as_float_array,
    check_features_measured,
    check_table_axes,
    has_nan,
    mean_of_measured,
)
from .._utils.once import Once
from ..noise.table import feature_levels
from ._tables import TableDenoiser
from ._traits import Traits

__all__ = [
    "ConditionalGaussianDenoiser",
    "Normal",
    "blind_prediction",
    "conditional",
    "fitted_normal",
    "prediction_from_others",
]

#: How often what is missing is predicted anew before the covariance is taken.
_ROUNDS = 3

#: The least share of a feature that is its own: copies of features predict each other.
_RIDGE = 1e-9


class Normal(NamedTuple):
    """A normal distribution of samples.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
        The mean.
    covariance : ndarray of shape (n_features, n_features)
        The covariance, which has an inverse.
    precision : ndarray of that shape
        The inverse.
    """

    mean: np.ndarray
    covariance: np.ndarray
    precision: np.ndarray


class ConditionalGaussianDenoiser(TableDenoiser):
    """Predict each feature of a table from the others, or estimate it with its own value as well.

    Samples are taken for draws from a normal distribution, with noise. Of the precision P, the
    inverse of the covariance S of the noisy samples, x_j − (P(x − μ))_j / P_jj is the best linear
    prediction of feature j from all others: all regressions at once. With the level σ of the
    noise, μ + (S − σ²) P (x − μ) is the best linear estimate from all of a sample, the feature's
    own value included: the Wiener filter, which is what `transform` returns.

    In a `JInvariantWrapper` the prediction is the exact J-invariant form: samples are divided into
    folds, and those of a fold are predicted by what was learnt from the others, so that no entry
    has a part in its own prediction.

    Parameters
    ----------
    shrinkage : float, default=None
        How much correlations are shrunk, from 0, not at all, to 1, where there are none; None
        chooses it by the formula of Ledoit and Wolf [1]_.
    noise : float or array-like of shape (n_features,), default=None
        The standard deviation of the noise, in the unit of the data, of all features or of each.
        None takes it from the singular values (`sk_n2s.noise.estimate_table_noise`).
    n_folds : int, default=5
        Into how many folds samples are divided for the J-invariant form: sample i is in fold
        i mod `n_folds`.

    Attributes
    ----------
    mean_ : ndarray of shape (n_features,)
        The mean of each feature.
    covariance_ : ndarray of shape (n_features, n_features)
        The covariance of the noisy samples, shrunk.
    gain_ : ndarray of shape (n_features, n_features)
        What `transform` multiplies deviations from the mean by: (S − σ²) P, where negative
        eigenvalues of S − σ² count as 0.
    noise_ : ndarray of shape (n_features,)
        The level of the noise.
    n_features_in_ : int
        The number of features.

    Notes
    -----
    Missing entries are left out of account: each is predicted by those of its sample that were
    measured.

    References
    ----------
    .. [1] O. Ledoit and M. Wolf, "A well-conditioned estimator for large-dimensional covariance
       matrices", J. Multivar. Anal. 88(2):365-411, 2004. :doi:`10.1016/S0047-259X(03)00096-4`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s import JInvariantWrapper
    >>> from sk_n2s.denoisers import ConditionalGaussianDenoiser
    >>> rng = np.random.default_rng(0)
    >>> clean = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 20))
    >>> noisy = clean + rng.normal(size=clean.shape)
    >>> denoiser = ConditionalGaussianDenoiser()
    >>> round(float(np.mean((denoiser.fit_transform(noisy) - clean) ** 2)), 1)
    0.2
    >>> wrapper = JInvariantWrapper(denoiser, kind="table").fit(noisy)
    >>> round(float(np.mean((wrapper.transform(noisy) - clean) ** 2)), 1)
    0.2
    """

    _parameter_constraints: dict = {
        "shrinkage": [Interval(Real, 0, 1, closed="both"), None],
        "noise": [Interval(Real, 0, None, closed="left"), "array-like", None],
        "n_folds": [Interval(Integral, 2, None, closed="left")],
    }

    def __init__(
        self,
        shrinkage: float | None = None,
        *,
        noise: Any = None,
        n_folds: int = 5,
    ):
        self.shrinkage = shrinkage
        self.noise = noise
        self.n_folds = n_folds

    @property
    def _sk_n2s_traits(self) -> tuple[Any, Traits]:
        """What the denoiser says of itself."""
        return self, Traits(exact=self._blind, handles_missing=True, releases_gil=True)

    def _learn(self, X: np.ndarray, known: Once) -> dict[str, Any]:
        check_features_measured(X)
        found = self._normal(X, known)
        level = self._level(X, known)
        # In units of the noise, which has then no direction of its own.
        unit = np.outer(np.where(level > 0, level, 1), np.where(level > 0, level, 1))
        values, vectors = np.linalg.eigh(found.covariance / unit - np.diag(1.0 * (level > 0)))
        signal = unit * ((vectors * np.maximum(values, 0)) @ vectors.T)
        gain = np.linalg.solve(signal + np.diag(np.square(level) + _tiny(signal)), signal)
        return {
            "mean_": found.mean,
            "covariance_": found.covariance,
            "gain_": gain,
            "noise_": level,
        }

    def _normal(self, X: np.ndarray, known: Once) -> Normal:
        """Return the distribution that samples come from."""
        return known.get(("normal", self.shrinkage), lambda: fitted_normal(X, self.shrinkage))

    def _level(self, X: np.ndarray, known: Once) -> np.ndarray:
        """Return the level of the noise of each feature."""
        if self.noise is None:
            return known.get("levels", lambda: feature_levels(X))
        level = np.asarray(self.noise, dtype=np.float64)
        if level.ndim and level.shape != (X.shape[1],):
            raise ValueError(
                f"noise of ConditionalGaussianDenoiser has shape {level.shape}: give one number, "
                f"or one for each of the {X.shape[1]} features."
            )
        if not (np.isfinite(level).all() and (level >= 0).all()):
            raise ValueError(f"noise={self.noise!r} must hold standard deviations, 0 or more.")
        return np.broadcast_to(level, X.shape[1:]).copy()

    def _denoise(self, X: np.ndarray) -> np.ndarray:
        centred = X.astype(np.float64) - self.mean_
        if has_nan(X):
            # What is missing has a noise without end, which leaves it out of account.
            centred = conditional(centred, np.linalg.inv(self.covariance_))[0]
        return (centred @ self.gain_ + self.mean_).astype(X.dtype, copy=False)

    def _blind(self, X: Any) -> np.ndarray:
        """Return the J-invariant prediction of each entry of a table."""
        self._validate_params()
        X = as_float_array(X)
        check_table_axes(X.ndim)
        if len(X) < 2:
            raise ValueError(
                f"X has {len(X)} sample: there is no other to learn from how features are related."
            )
        check_features_measured(X)
        return blind_prediction(X, self.n_folds, self.shrinkage)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        return tags


class _Moments(NamedTuple):
    """The number of samples, their mean, and the sums of products of deviations from it."""

    n_samples: int
    mean: np.ndarray
    products: np.ndarray


def blind_prediction(X: np.ndarray, n_folds: int, shrinkage: float | None) -> np.ndarray:
    """Return a prediction of each entry of a table that is blind to it, by folds of samples."""
    n_folds = min(n_folds, len(X))
    folds = [X[k::n_folds] for k in range(n_folds)]
    moments = None if shrinkage is None or has_nan(X) else [_moments(fold) for fold in folds]
    answer = np.empty_like(X)
    for k, fold in enumerate(folds):
        if moments is None or shrinkage is None:
            others = np.arange(len(X)) % n_folds != k
            found = fitted_normal(X[others], shrinkage)
        else:
            found = _of_moments(_pooled(moments[:k] + moments[k + 1 :]), shrinkage)
        answer[k::n_folds] = prediction_from_others(fold, found)
    return answer


def prediction_from_others(X: np.ndarray, found: Normal) -> np.ndarray:
    """Return the prediction of each entry of samples from the others of the sample."""
    complete, own = conditional(X.astype(np.float64) - found.mean, found.precision)
    if own.ndim > 1:
        return complete - complete @ found.precision / own + found.mean
    weights = -found.precision / own
    weights[np.diag_indices_from(weights)] = 0  # exactly, so that nothing of it is rounded in
    return complete @ weights + found.mean


def _moments(X: np.ndarray) -> _Moments:
    """Return the moments of samples."""
    X = X.astype(np.float64)
    mean = X.mean(axis=0)
    X -= mean
    return _Moments(len(X), mean, X.T @ X)


def _pooled(parts: list[_Moments]) -> _Moments:
    """Return the moments of the samples of all parts."""
    count = sum(part.n_samples for part in parts)
    mean = np.sum([part.n_samples * part.mean for part in parts], axis=0) / count
    products = np.sum([part.products for part in parts], axis=0)
    for part in parts:
        products += part.n_samples * np.outer(part.mean - mean, part.mean - mean)
    return _Moments(count, mean, products)


def _of_moments(moments: _Moments, shrinkage: float) -> Normal:
    """Return the normal distribution of samples with these moments."""
    covariance = moments.products / moments.n_samples
    scale = np.sqrt(np.diag(covariance))
    scale[scale == 0] = 1.0
    correlation = (1 - shrinkage) * covariance / np.outer(scale, scale)
    correlation[np.diag_indices_from(correlation)] += shrinkage
    return _of_correlation(moments.mean, scale, correlation)


def fitted_normal(X: np.ndarray, shrinkage: float | None) -> Normal:
    """Return the normal distribution of samples; what is missing is predicted by it."""
    X = X.astype(np.float64)
    if not has_nan(X):
        return _of_complete(X, shrinkage)
    missing = np.isnan(X)
    # Of a feature that only samples elsewhere tell of, the others tell at least the scale.
    mean = np.where(missing.all(axis=0), np.nanmean(X), mean_of_measured(X, 0))
    found = _of_complete(np.where(missing, mean, X), shrinkage)
    for _ in range(_ROUNDS):
        complete = conditional(X - found.mean, found.precision)[0] + found.mean
        found = _of_complete(complete, shrinkage)
    return found


def _of_complete(X: np.ndarray, shrinkage: float | None) -> Normal:
    """Return the normal distribution of samples in which nothing is missing."""
    if shrinkage is not None:
        return _of_moments(_moments(X), shrinkage)
    mean = X.mean(axis=0)
    X = X - mean
    scale = np.sqrt(np.square(X).mean(axis=0))
    scale[scale == 0] = 1.0
    X /= scale
    return _of_correlation(mean, scale, ledoit_wolf(X, assume_centered=True)[0])


def _of_correlation(mean: np.ndarray, scale: np.ndarray, correlation: np.ndarray) -> Normal:
    """Return a normal distribution with deviations and correlations."""
    correlation[np.diag_indices_from(correlation)] += _RIDGE
    covariance = correlation * np.outer(scale, scale)
    return Normal(mean, covariance, np.linalg.inv(correlation) / np.outer(scale, scale))


def conditional(centred: np.ndarray, precision: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return samples with the conditional mean of what is missing, and the own precision of each.

    The latter is that of the entries that were measured alone, which what is missing leaves.
    """
    diagonal = np.diag(precision)
    missing = np.isnan(centred)
    if not missing.any():
        return centred, diagonal
    complete = np.where(missing, 0, centred)
    own = np.repeat(diagonal[np.newaxis], len(centred), axis=0)
    patterns, rows = np.unique(missing, axis=0, return_inverse=True)
    order = np.argsort(rows.ravel(), kind="stable")
    edges = np.searchsorted(rows.ravel()[order], np.arange(len(patterns) + 1))
    for pattern, start, stop in zip(patterns, edges[:-1], edges[1:], strict=True):
        gaps = np.flatnonzero(pattern)
        if not gaps.size:
            continue
        same = order[start:stop]
        across = precision[gaps]
        solved = np.linalg.solve(across[:, gaps], across)
        complete[np.ix_(same, gaps)] = -complete[same] @ solved.T
        own[same] = np.maximum(diagonal - np.einsum("ij,ij->j", across, solved), 0)
        own[np.ix_(same, gaps)] = diagonal[gaps]
    return complete, own


def _tiny(signal: np.ndarray) -> float:
    """Return what keeps an inverse where nothing varies."""
    return _RIDGE * float(np.trace(signal)) / len(signal) + np.finfo(float).tiny
