"""What the samples of a table have in common, in few directions."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import validate_data

from .._utils.arrays import check_features_measured, check_table_axes, has_nan
from .._utils.lazy import as_float_data, in_memory, is_lazy
from .._utils.once import Once
from ..noise.table import estimate_table_noise
from ._tables import TableDenoiser

__all__ = ["LowRankDenoiser", "optimal_shares"]

#: Tables whose shorter side is at most this long are decomposed whole; of others that many
#: directions are found, unless more are asked for.
_SMALL, _MOST = 512, 64

#: How often missing entries are predicted anew, at most, and the change in standard deviations
#: of the table at which they have settled.
_ROUNDS, _SETTLED = 100, 1e-3

#: Entries of a sparse table that are looked at for its noise.
_READ = 2**22


class Decomposition(NamedTuple):
    """Singular values and directions of a table.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
        What was taken away before.
    values : ndarray of shape (k,)
        The singular values, the largest first.
    directions : ndarray of shape (k, n_features)
        The right singular vectors.
    """

    mean: np.ndarray
    values: np.ndarray
    directions: np.ndarray


class LowRankDenoiser(TableDenoiser):
    """Keep the directions in which a table of samples by features stands out of its noise.

    Parameters
    ----------
    rank : int, default=None
        How many directions are kept at most. None keeps all that stand out: those with a singular
        value that noise of that level alone does not have.
    shrinkage : {"optimal"} or None, default="optimal"
        "optimal" shrinks each singular value to what makes the mean squared error smallest for
        noise of that level [1]_; None keeps them as they are, which is truncated SVD, or PCA.
    center : bool, default=True
        Whether the mean of each feature is taken away before, and added after.
    noise : float, default=None
        The standard deviation of the noise, in the unit of the data; None takes it from the
        singular values (`sk_n2s.noise.estimate_table_noise`).

    Attributes
    ----------
    rank_ : int
        How many directions are kept.
    mean_ : ndarray of shape (n_features,)
        The mean of each feature; 0 without `center`.
    components_ : ndarray of shape (rank_, n_features)
        The directions.
    singular_values_, weights_ : ndarray of shape (rank_,)
        The singular values, and by what share of itself each is kept.
    noise_ : float
        The level of the noise; NaN if it was not needed.
    n_features_in_ : int
        The number of features.

    Notes
    -----
    Missing entries are predicted by what is kept, again and again until they settle. Tables that
    are longer than 512 along both sides are decomposed by random projections, up to rank 64; whole,
    if all of these stand out. Of a dask array some blocks of samples are in memory at a time;
    `transform` then returns a dask array.
    Candidates of a search that differ in `rank`, `shrinkage` and `noise` alone share one
    decomposition of each view.

    References
    ----------
    .. [1] M. Gavish and D. L. Donoho, "Optimal shrinkage of singular values", IEEE Trans. Inf.
       Theory 63(4):2137-2152, 2017. :doi:`10.1109/TIT.2017.2653801`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.denoisers import LowRankDenoiser
    >>> rng = np.random.default_rng(0)
    >>> clean = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 80))
    >>> noisy = clean + 0.5 * rng.normal(size=clean.shape)
    >>> denoiser = LowRankDenoiser().fit(noisy)
    >>> denoiser.rank_
    3
    >>> bool(np.mean((denoiser.transform(noisy) - clean) ** 2) < 0.06 * 0.5**2)
    True
    """

    _parameter_constraints: dict = {
        "rank": [Interval(Integral, 1, None, closed="left"), None],
        "shrinkage": [StrOptions({"optimal"}), None],
        "center": ["boolean"],
        "noise": [Interval(Real, 0, None, closed="left"), None],
    }

    def __init__(
        self,
        rank: int | None = None,
        *,
        shrinkage: str | None = "optimal",
        center: bool = True,
        noise: float | None = None,
    ):
        self.rank = rank
        self.shrinkage = shrinkage
        self.center = center
        self.noise = noise

    def _learn(self, X: Any, known: Once) -> dict[str, Any]:
        most = min(X.shape[0] - self.center, X.shape[1])
        if self.rank is not None and self.rank > most:
            raise ValueError(
                f"rank={self.rank!r} of LowRankDenoiser is more than a table of shape {X.shape} "
                f"has{' beside its means' if self.center else ''}: give at most {most}."
            )
        level = float("nan")
        if self.rank is None or self.shrinkage is not None:
            level = self.noise if self.noise is not None else known.get("noise", lambda: _level(X))
        if isinstance(X, np.ndarray) and has_nan(X):
            found, weights = self._completed(X, level)
        else:
            found = self._decomposed(X, known)
            weights = self._weights(found.values, X.shape, level)
            if self.rank is None and len(weights) == len(found.values) < most:  # there are more
                found = self._decomposed(X, known, most)
                weights = self._weights(found.values, X.shape, level)
        rank = len(weights)
        return {
            "mean_": found.mean,
            "components_": np.ascontiguousarray(found.directions[:rank]),
            "singular_values_": found.values[:rank].copy(),
            "weights_": weights,
            "rank_": rank,
            "noise_": level,
        }

    def _decomposed(self, X: Any, known: Once, fewest: int = 0) -> Decomposition:
        """Return as much of a decomposition as is asked for."""
        whole = min(X.shape) <= _SMALL or max(self.rank or 0, fewest) > _MOST
        k = min(X.shape[0] - self.center, X.shape[1]) if whole else _MOST
        decompose = _decompose_blocks if is_lazy(X) else _decompose
        return known.get((k, self.center), lambda: decompose(X, k, self.center))

    def _weights(self, values: np.ndarray, shape: tuple[int, int], level: float) -> np.ndarray:
        """Return by what share of itself each singular value that is kept is kept."""
        values = values if self.rank is None else values[: self.rank]
        values = values[values > 0]
        if np.isnan(level):
            return np.ones(len(values), values.dtype)
        weights = optimal_shares(values, (shape[0] - self.center, shape[1]), level)
        stands_out = weights > 0
        if self.shrinkage is None:
            weights = np.ones_like(weights)
        return weights[stands_out] if self.rank is None or self.shrinkage else weights

    def _completed(self, X: np.ndarray, level: float) -> tuple[Decomposition, np.ndarray]:
        """Return what a table with gaps comes to, which are predicted by that."""
        missing = np.isnan(X)
        check_features_measured(X)
        mean = np.nanmean(X, axis=0, dtype=np.float64).astype(X.dtype)
        for shown in _filled(X, mean):
            found = self._decomposed(shown, Once())
            weights = self._weights(found.values, X.shape, level)
            predicted = _projected(shown, found.mean, found.directions[: len(weights)], weights)
            np.copyto(shown, predicted, where=missing)
        return found, weights

    def _table(self, X: Any, reset: bool) -> Any:
        if not is_lazy(X):
            return super()._table(X, reset)
        validate_data(self, X, reset=reset, skip_check_array=True)
        table = as_float_data(X)
        check_table_axes(table.ndim)
        return table.rechunk({1: -1})

    def _denoise(self, X: Any) -> Any:
        told = self.mean_.astype(X.dtype), self.components_.astype(X.dtype), self.weights_
        if is_lazy(X):
            return X.map_blocks(_projected, *told, dtype=X.dtype)
        if sparse.issparse(X) or not has_nan(X):
            return _projected(X, *told)
        missing = np.isnan(X)
        for shown in _filled(X, told[0]):
            denoised = _projected(shown, *told)
            np.copyto(shown, denoised, where=missing)
        return denoised


def _filled(X: np.ndarray, mean: np.ndarray) -> Iterator[np.ndarray]:
    """Yield a table whose gaps are to be written into, again and again until they settle."""
    missing = np.isnan(X)
    least = _SETTLED * float(np.nanstd(X - mean))
    shown = np.where(missing, mean, X)
    for _ in range(_ROUNDS):
        before = shown[missing]
        yield shown
        if not np.sqrt(np.mean(np.square(shown[missing] - before))) > least:
            break


def _level(X: Any) -> float:
    """Return the level of the noise; of sparse and dask tables from rows spread over them."""
    if isinstance(X, np.ndarray):
        return estimate_table_noise(X)
    step = -(-X.shape[0] * X.shape[1] // _READ)
    if is_lazy(X):
        return estimate_table_noise(in_memory([X[::step]])[0])
    rows = X[::step].toarray()
    return estimate_table_noise(rows[:, rows.any(axis=0)])


def _decompose(X: Any, k: int, center: bool) -> Decomposition:
    """Return the first `k` singular values and directions of a table."""
    whole = k >= min(X.shape) - 1
    settings: dict[str, Any] = {"n_components": k, "random_state": 0}
    if center:
        # Products of single precision lose what a large mean leaves of the digits.
        mean = np.zeros(X.shape[1], X.dtype)
        if isinstance(X, np.ndarray) and X.dtype == np.float32:
            mean = X.mean(axis=0, dtype=np.float64).astype(np.float32)
            X = X - mean
        solver = "covariance_eigh" if whole else "arpack" if sparse.issparse(X) else "randomized"
        if whole and X.shape[1] > X.shape[0]:
            solver = "arpack" if sparse.issparse(X) else "full"
        with np.errstate(invalid="ignore"):  # shares of a variance that is 0, not used here
            found = PCA(svd_solver=solver, iterated_power=4, **settings).fit(X)
        return Decomposition(found.mean_ + mean, found.singular_values_, found.components_)
    if whole and not sparse.issparse(X):
        _, values, directions = np.linalg.svd(X, full_matrices=False)
        return Decomposition(np.zeros(X.shape[1], X.dtype), values, directions)
    settings["n_components"] = min(k, min(X.shape) - 1)
    found = TruncatedSVD(algorithm="arpack", **settings).fit(X)
    return Decomposition(np.zeros(X.shape[1], X.dtype), found.singular_values_, found.components_)


def _decompose_blocks(X: Any, k: int, center: bool) -> Decomposition:
    """Return the same of a dask array of blocks of samples, each of which is loaded once."""
    table = X.astype(np.float64)
    total, products = in_memory([table.sum(axis=0), table.T @ table])
    if not np.isfinite(products).all():
        raise ValueError(
            "X is a dask array with NaN or an infinity: missing entries of a table are predicted "
            "where it is in memory, give X.compute()."
        )
    mean = total / X.shape[0] if center else np.zeros(X.shape[1])
    values, vectors = np.linalg.eigh(products - X.shape[0] * np.outer(mean, mean))
    values = np.sqrt(np.maximum(values[::-1][:k], 0))
    directions = vectors[:, ::-1][:, :k].T
    return Decomposition(*(part.astype(X.dtype) for part in (mean, values, directions)))


def optimal_shares(values: np.ndarray, shape: tuple[int, int], level: float) -> np.ndarray:
    """Return the shares of singular values that minimise the mean squared error ([1]_, eq. 7)."""
    if not level > 0:
        return np.ones_like(values)
    short, long = sorted(shape)
    ratio = short / long
    squares = np.square(values / (level * np.sqrt(long)))
    edge = (1 + np.sqrt(ratio)) ** 2
    gap = np.maximum(np.square(squares - ratio - 1) - 4 * ratio, 0)
    return np.where(squares > edge, np.sqrt(gap) / np.maximum(squares, edge), 0).astype(
        values.dtype
    )


def _projected(X: Any, mean: np.ndarray, directions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return samples on the directions that are kept, by their shares."""
    kept = directions.astype(X.dtype, copy=False)
    along = X @ kept.T - mean @ kept.T
    along *= weights.astype(X.dtype, copy=False)
    result = along @ kept
    result += mean.astype(X.dtype, copy=False)
    return result
