"""Each feature of a table from all others, by one inverse."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.covariance import ledoit_wolf
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval

from .._utils.arrays import as_float_array, has_nan
from .._utils.once import Once
from ..noise.table import check_table, estimate_table_noise_model
from ._tables import TableDenoiser
from .traits import Traits

__all__ = ["ConditionalGaussianDenoiser"]

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
        return known.get(("normal", self.shrinkage), lambda: _fitted_normal(X, self.shrinkage))

    def _level(self, X: np.ndarray, known: Once) -> np.ndarray:
        """Return the level of the noise of each feature."""
        if self.noise is None:
            model = known.get("model", lambda: estimate_table_noise_model(X))
            variance = np.asarray(model.variance(np.where(np.isnan(X), 0, X)))
            mean = np.broadcast_to(variance, X.shape).mean(axis=0, dtype=np.float64)
            return np.sqrt(mean)
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
            found = Normal(self.mean_, self.covariance_, np.linalg.inv(self.covariance_))
            centred = _conditional(centred, found.precision)[0]
        return (centred @ self.gain_ + self.mean_).astype(X.dtype, copy=False)

    def _blind(self, X: Any) -> np.ndarray:
        """Return the J-invariant prediction of each entry of a table."""
        self._validate_params()
        X = as_float_array(X)
        check_table(X)
        if len(X) < 2:
            raise ValueError(
                f"X has {len(X)} sample: there is no other to learn from how features are related."
            )
        n_folds = min(self.n_folds, len(X))
        answer = np.empty_like(X)
        for fold in range(n_folds):
            inside = np.arange(len(X)) % n_folds == fold
            found = _fitted_normal(X[~inside], self.shrinkage)
            centred = X[inside].astype(np.float64) - found.mean
            complete, own = _conditional(centred, found.precision)
            answer[inside] = complete - complete @ found.precision / own + found.mean
        return answer

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        return tags


def _fitted_normal(X: np.ndarray, shrinkage: float | None) -> Normal:
    """Return the normal distribution of samples; what is missing is predicted by it."""
    X = X.astype(np.float64)
    if not has_nan(X):
        return _of_complete(X, shrinkage)
    missing = np.isnan(X)
    count = np.maximum(np.count_nonzero(~missing, axis=0), 1)
    mean = np.where(missing, 0, X).sum(axis=0) / count
    found = _of_complete(np.where(missing, mean, X), shrinkage)
    for _ in range(_ROUNDS):
        complete = _conditional(X - found.mean, found.precision)[0] + found.mean
        found = _of_complete(complete, shrinkage)
    return found


def _of_complete(X: np.ndarray, shrinkage: float | None) -> Normal:
    """Return the normal distribution of samples in which nothing is missing."""
    mean = X.mean(axis=0)
    X = X - mean
    scale = np.sqrt(np.square(X).mean(axis=0))
    scale[scale == 0] = 1.0
    X /= scale
    if shrinkage is None:
        correlation, _ = ledoit_wolf(X, assume_centered=True)
    else:
        correlation = (1 - shrinkage) * (X.T @ X / len(X))
        correlation[np.diag_indices_from(correlation)] += shrinkage
    correlation[np.diag_indices_from(correlation)] += _RIDGE
    covariance = correlation * np.outer(scale, scale)
    return Normal(mean, covariance, np.linalg.inv(correlation) / np.outer(scale, scale))


def _conditional(centred: np.ndarray, precision: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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
