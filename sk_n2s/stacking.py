"""The best combination of several denoisers."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from joblib import hash as digest
from scipy.optimize import minimize
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.utils.parallel import Parallel, delayed

from ._utils.arrays import products_over, split_axes, unmasked
from ._utils.base import Axes, BaseDenoiser
from ._utils.callbacks import Task, with_callbacks
from ._utils.lazy import as_float_data, in_memory, is_lazy
from ._utils.state import left_behind, take_back
from ._utils.threads import with_threads
from ._utils.tiling import middle
from .losses import squared_error, true_score
from .noise.model import NoiseModel
from .risk.adapters import as_denoiser
from .risk.error_estimate import ErrorEstimate, summarise
from .risk.noise_level import noise_of
from .risk.sure import sure_score

__all__ = ["SelfSupervisedStacker", "simplex_weights"]

#: Members of less weight are left out: they would cost a call each, and change nothing.
_LEAST = 0.01

#: Entries of a dask array that are loaded, at most.
_LOADED = 2**20


def simplex_weights(products: np.ndarray, divergences: np.ndarray) -> np.ndarray:
    """Return the w that minimises wᵀQw + bᵀw with w ≥ 0 and sum 1."""
    n = len(divergences)
    # Only differences count on the simplex: without the common part the problem is well scaled.
    base = products.min()
    scale = max(float(np.abs(products - base).max()), float(np.abs(divergences).max()))
    if n == 1 or not scale > 0:
        return np.full(n, 1 / n)
    Q, b = (products - base) / scale, divergences / scale
    best = int(np.argmin(np.diag(Q) + b))
    found = minimize(
        lambda w: (w @ Q @ w + b @ w, 2 * Q @ w + b),
        np.full(n, 0.5 / n) + 0.5 * (np.arange(n) == best),
        jac=True,
        bounds=[(0, 1)] * n,
        constraints=[{"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like}],
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    ).x
    weights = np.where(found < _LEAST, 0, found)
    weights /= weights.sum()
    alone = (np.arange(n) == best).astype(float)
    return min((weights, alone), key=lambda w: w @ Q @ w + b @ w)


class SelfSupervisedStacker(MetaEstimatorMixin, BaseDenoiser):
    """Average several denoisers, with the weights that the noisy data ask for.

    The weights are not negative, sum to one, and minimise the estimated error of the
    average: for J-invariant outputs the least squares of its difference from the noisy
    data, which needs no noise level; for plain and blended outputs with the divergence
    term of Stein's unbiased risk estimate (see `sk_n2s.risk`). Up to the noise of that estimate,
    the average is never worse than its best member.

    Parameters
    ----------
    estimators : list of (str, estimator)
        The members, with names: denoisers of this package with any output, searches over
        such, or Pipelines that end in one. The divergence of a Pipeline is probed.
    noise : float, array-like or NoiseModel, default=None
        The noise, which outputs that are not J-invariant need: its standard deviation, a map
        of that, or a model. None estimates it.
    n_jobs : int, default=None
        How many members are fitted in parallel. The results do not depend on it.

    Attributes
    ----------
    estimators_ : list of estimator
        The fitted members.
    weights_ : dict of str to float
        Their weights.
    scores_ : dict of str to float
        The score of each member alone: minus (estimated error + variance of the noise).
    noise_ : NoiseModel
        The noise that the weights rest upon; only if a member's output is not J-invariant.
    error_estimate_ : ErrorEstimate
        The estimated error of the average.

    References
    ----------
    .. [1] D. H. Wolpert, "Stacked generalization", Neural Networks 5(2):241-259, 1992.
       :doi:`10.1016/S0893-6080(05)80023-1`
    .. [2] T. Blu and F. Luisier, "The SURE-LET approach to image denoising", IEEE Trans.
       Image Process. 16(11):2778-2786, 2007. :doi:`10.1109/TIP.2007.906002`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s import JInvariantWrapper, SelfSupervisedStacker
    >>> from sk_n2s.denoisers import gaussian, median
    >>> clean = np.repeat([0.0, 5.0, 1.0], 200) + np.sin(np.arange(600) / 20)
    >>> noisy = clean + np.random.default_rng(0).normal(size=600)
    >>> members = [
    ...     ("median", JInvariantWrapper(median, radius=6)),
    ...     ("gaussian", JInvariantWrapper(gaussian, sigma=3)),
    ... ]
    >>> stacker = SelfSupervisedStacker(members).fit(noisy)
    >>> sorted(stacker.weights_), round(sum(stacker.weights_.values()), 6)
    (['gaussian', 'median'], 1.0)
    >>> bool(stacker.score(noisy) >= max(stacker.scores_.values()))
    True
    """

    _parameter_constraints: dict = {
        "estimators": "no_validation",  # by _members
        "noise": "no_validation",  # needs the shape of the data
        "n_jobs": [Integral, None],
    }

    def __init__(
        self, estimators: list[tuple[str, Any]], *, noise: Any = None, n_jobs: int | None = None
    ):
        self.estimators = estimators
        self.noise = noise
        self.n_jobs = n_jobs

    @with_callbacks
    def fit(self, X: Any, y: Any = None) -> SelfSupervisedStacker:
        """Find the weights.

        Parameters
        ----------
        X : array-like or dask array of one or more axes
            The noisy data; NaN marks missing entries. Of a dask array the middle is loaded, to
            which the members are fitted; they denoise it block by block, if they can.
        y : object
            Ignored, present for scikit-learn's interface.

        Returns
        -------
        SelfSupervisedStacker
            The stacker itself.

        Raises
        ------
        TypeError, ValueError
            If the data or the members are not valid, or a member fails.
        """
        self._fit(X)
        return self

    @with_callbacks
    def fit_transform(self, X: Any, y: Any = None, **_: Any) -> Any:
        """Find the weights, and return the average: each member is called only once.

        Parameters
        ----------
        X : array-like
            The noisy data.
        y : object
            Ignored.

        Returns
        -------
        ndarray of the shape of `X`
            The denoised data.
        """
        output = self._fit(X)
        return self.transform(X) if is_lazy(X) else output

    def _fit(self, X: Any) -> np.ndarray:
        """Find the weights, and return the average of what was looked at."""
        with Task.of_fit(self, None) as progress:
            shown = self._as_data(X)
            if is_lazy(X):
                self._members()
                channel, batch, *_ = self.axes(X.ndim)
                part = in_memory([shown[middle(X.shape, _LOADED, channel, batch)]])[0]
                if np.isnan(part).all():
                    raise ValueError(
                        "X is a dask array, and NaN in all of its middle: fit to a part that was "
                        "measured."
                    )
                if isinstance(getattr(self.noise, "level", self.noise), np.ndarray):
                    raise ValueError(
                        "noise is a map, and X is a dask array, of which the middle is looked at: "
                        "give one standard deviation."
                    )
                output, _ = self.fit_with_divergence(part, progress)
                self._remember(X, shown)
                return output
            return self.fit_with_divergence(X, progress)[0]

    def _as_data(self, X: Any) -> Any:
        return as_float_data(X)

    def fit_with_divergence(
        self,
        X: Any,
        progress: Task | None = None,
        left_out: Callable[[SelfSupervisedStacker], Container[str]] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the weights, and return the average and its divergence term.

        Parameters
        ----------
        X : array-like
            The noisy data, in memory.
        progress : Task, default=None
            The task that this is a part of.
        left_out : callable, default=None
            ``left_out(self)`` returns the names of members that get no weight; it may ask
            `loss_without` and `best_weights`.

        Returns
        -------
        output, divergence : ndarray
            The average, and its divergence term, which broadcasts to its shape.
        """
        self._validate_params()
        names, members = self._members()
        array = self._as_data(X)
        progress = Task(None) if progress is None else progress
        noise = self._noise_of(array, [as_denoiser(member) for member in members])
        n_threads = effective_n_jobs(self.n_jobs)
        with progress.part("members", len(members)) as fitting:
            # Made before any of them travels, since each of them holds them all.
            parts = [fitting.part("member") for _ in members]
            share = all(as_denoiser(member).releases_gil for member in members)
            found = Parallel(n_jobs=self.n_jobs, prefer="threads" if share else None)(
                delayed(with_threads)(
                    n_threads, _fit_member, part, clone(member), unmasked(X), array, noise
                )
                for part, member in zip(parts, members, strict=True)
            )
        fitted, answers = [member for member, *_ in found], [answer for *_, answer in found]
        for member, left, _ in found:
            take_back(member, left)  # from another process
        known = ~np.isnan(array)
        residuals = [np.where(known, array - output, 0) for output, _ in answers]
        products = products_over(residuals) / np.count_nonzero(known)
        divergences = np.array(
            [np.mean(np.broadcast_to(d, array.shape), where=known, dtype=float) for _, d in answers]
        )
        self._terms = names, products, divergences
        weights, _ = self._best_average(() if left_out is None else left_out(self))
        output, divergence = _average(weights.tolist(), answers, array)
        losses = squared_error(array, output) + divergence
        estimate = summarise(losses, array, output, noise)
        self._remember(X, array)
        self.__dict__.pop("noise_", None)  # of an earlier fit
        if not all(as_denoiser(member).is_j_invariant for member in fitted):
            self.noise_ = noise  # which the weights rest upon, and not the error alone
        self.estimators_ = fitted
        self.weights_ = dict(zip(names, weights.tolist(), strict=True))
        self.scores_ = dict(zip(names, (-np.diag(products) - divergences).tolist(), strict=True))
        self.error_estimate_: ErrorEstimate = estimate
        self._score = -float(np.nanmean(losses, dtype=np.float64))
        self._digest = digest(array)
        return output, divergence

    def best_weights(self, left_out: Container[str] = ()) -> dict[str, float]:
        """Return the weights of the best average of the other members.

        Parameters
        ----------
        left_out : collection of str, default=()
            The names of those that are left out.

        Returns
        -------
        dict of str to float
            The weights of all members, 0 for those left out.
        """
        return dict(zip(self._terms[0], self._best_average(left_out)[0].tolist(), strict=True))

    def loss_without(self, left_out: Container[str]) -> float:
        """Return the loss of the best average of the other members.

        Parameters
        ----------
        left_out : collection of str
            The names of those that are left out.

        Returns
        -------
        float
            The estimated error of that average, plus the variance of the noise.
        """
        return self._best_average(left_out)[1]

    def _best_average(self, left_out: Container[str]) -> tuple[np.ndarray, float]:
        """Return the weights of the best average without some members, and its loss."""
        names, products, divergences = self._terms
        kept = [i for i, name in enumerate(names) if name not in left_out]
        weights = np.zeros(len(names))
        weights[kept] = simplex_weights(products[np.ix_(kept, kept)], divergences[kept])
        return weights, float(weights @ products @ weights + divergences @ weights)

    @property
    def is_j_invariant(self) -> bool:
        """Whether the outputs of all members are."""
        members = getattr(self, "estimators_", None) or [m for _, m in self.estimators]
        return all(as_denoiser(member).is_j_invariant for member in members)

    def axes(self, ndim: int) -> Axes:
        """Return the axes that the members agree on."""
        members = getattr(self, "estimators_", None) or [m for _, m in self.estimators]
        found = {as_denoiser(member).axes(ndim) for member in members}
        return found.pop() if len(found) == 1 else Axes(None, None, tuple(range(ndim)))

    def _noise_of(self, X: np.ndarray, denoisers: list[BaseDenoiser]) -> NoiseModel:
        """Return the noise, for the axes that the members agree on."""
        axes = list(zip(*(denoiser.axes(X.ndim)[:2] for denoiser in denoisers), strict=True))
        channel, batch = (found[0] if len(set(found)) == 1 else None for found in axes)
        shared = Axes(*split_axes(X.ndim, channel, batch))
        if all(denoiser.axes(X.ndim).is_table for denoiser in denoisers):
            shared = denoisers[0].axes(X.ndim)
        return noise_of(self.noise, X, shared)

    def _members(self) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        try:
            names, members = zip(*self.estimators, strict=True)
        except (TypeError, ValueError):
            raise ValueError(
                f"estimators={self.estimators!r} must be a list of pairs (name, estimator), with "
                "one pair at least."
            ) from None
        if len(set(names)) < len(names):
            raise ValueError(f"estimators: the names {list(names)} must differ from each other.")
        for name, member in self.estimators:
            as_denoiser(member, f"estimators: {name!r}")
        return names, members

    def _chosen(self) -> Iterator[tuple[float, BaseDenoiser]]:
        """Yield the members that have a weight, and those weights."""
        for member, weight in zip(self.estimators_, self.weights_.values(), strict=True):
            if weight:
                yield weight, as_denoiser(member)

    def _denoise(self, X: Any) -> Any:
        if is_lazy(X):  # a member that needs its data in memory says so
            return sum(w * d._denoise(d._as_data(X)) for w, d in self._chosen())
        output = np.zeros_like(X)
        for weight, denoiser in self._chosen():
            output += X.dtype.type(weight) * denoiser._denoise(X)
        return output

    def output_and_divergence(  # noqa: D102
        self, X: np.ndarray, noise: NoiseModel
    ) -> tuple[np.ndarray, np.ndarray]:
        weights, denoisers = zip(*self._chosen(), strict=True)
        return _average(weights, [d.output_and_divergence(X, noise) for d in denoisers], X)

    def score(self, X: Any, y: Any = None) -> float:
        """Return minus (estimated error + variance of the noise), or minus the true error.

        Parameters
        ----------
        X : array-like
            The noisy data.
        y : array-like of the same shape, default=None
            The clean data, if they are known.

        Returns
        -------
        float
            Without `y`, the score that the weights were chosen by; with `y`, minus the
            mean squared error of `transform`.
        """
        X = in_memory([self._checked(X)])[0]
        if y is not None:
            return true_score(y, X, self._denoise)
        if digest(X) == self._digest:
            return self._score
        noise = self._noise_of(X, [denoiser for _, denoiser in self._chosen()])
        return sure_score(X, *self.output_and_divergence(X, noise))


def _fit_member(
    progress: Task, member: Any, X: Any, array: np.ndarray, noise: NoiseModel
) -> tuple[Any, list[dict], tuple[np.ndarray, np.ndarray]]:
    """Return a fitted member, what it leaves behind in this process, and what it answers."""
    with progress:
        member = member.fit(X)
        answer = as_denoiser(member).output_and_divergence(array, noise)
    return member, left_behind(member), answer


def _average(
    weights: Sequence[float], answers: Sequence[tuple[np.ndarray, np.ndarray]], X: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted average of outputs, and of their divergence terms."""
    output, divergence = np.zeros_like(X), np.zeros(())
    for weight, (each, its_divergence) in zip(weights, answers, strict=True):
        if weight:
            output += X.dtype.type(weight) * each
            divergence = divergence + weight * its_divergence
    return output, divergence
