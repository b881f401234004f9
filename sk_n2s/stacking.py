"""The best combination of several denoisers."""

from __future__ import annotations

import numpy as np
from joblib import hash as digest
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, MetaEstimatorMixin, TransformerMixin, clone
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from ._arrays import as_float_array, unmasked
from .levels import axes_of, check_noise_variance
from .losses import squared_error, true_score
from .noise import variance_at
from .risk import LEVEL_ERROR, ErrorEstimate, output_and_penalty, summarise

__all__ = ["SelfSupervisedStacker", "simplex_weights"]

#: Members of less weight are left out: they would cost a call each, and change nothing.
_LEAST = 0.01


def simplex_weights(products: np.ndarray, penalties: np.ndarray) -> np.ndarray:
    """Return the w that minimises wᵀQw + bᵀw with w ≥ 0 and sum 1.

    Parameters
    ----------
    products : ndarray of shape (n, n)
        Q, the mean products of the members' residuals.
    penalties : ndarray of shape (n,)
        b, the members' mean penalties.

    Returns
    -------
    ndarray of shape (n,)
        The weights.
    """
    n = len(penalties)
    # Only differences count on the simplex: without the common part the problem is well scaled.
    base = products.min()
    scale = max(float(np.abs(products - base).max()), float(np.abs(penalties).max()))
    if n == 1 or not scale > 0:
        return np.full(n, 1 / n)
    Q, b = (products - base) / scale, penalties / scale
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


class SelfSupervisedStacker(MetaEstimatorMixin, TransformerMixin, BaseEstimator):
    """Average several denoisers, with the weights that the noisy data ask for.

    The weights are not negative, sum to one, and minimise the estimated error of the
    average: for J-invariant outputs the least squares of its difference from the noisy
    data, which needs no noise level; for plain and blended outputs with the penalty of
    Stein's unbiased risk estimate (see `sk_n2s.risk`). Up to the noise of that estimate,
    the average is never worse than its best member.

    Parameters
    ----------
    estimators : list of (str, estimator)
        The members, with names: `JInvariantWrapper` of any outputs, or other J-invariant
        estimators with `transform`.
    noise_variance : float, array-like or NoiseCurve, default=None
        The variance of the noise, which plain and blended outputs need. None estimates it.
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
    noise_variance_ : float, ndarray or NoiseCurve
        The variance used; only if a member's output is not J-invariant.
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

    def __init__(self, estimators, *, noise_variance=None, n_jobs=None):
        self.estimators = estimators
        self.noise_variance = noise_variance
        self.n_jobs = n_jobs

    def fit(self, X, y=None):
        """Find the weights.

        Parameters
        ----------
        X : array-like of one or more axes
            The noisy data; NaN marks missing entries.
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
        self.fit_with_penalty(X)
        return self

    def fit_transform(self, X, y=None, **_):
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
        return self.fit_with_penalty(X)[0]

    def fit_with_penalty(self, X) -> tuple[np.ndarray, np.ndarray]:
        """Find the weights, and return the average and its penalty.

        Parameters
        ----------
        X : array-like
            The noisy data.

        Returns
        -------
        output : ndarray of the shape of `X`
            The denoised data.
        penalty : ndarray that broadcasts to that shape
            What the squared difference from `X` has to be corrected by (see `sk_n2s.risk`).
        """
        names, members = self._members()
        array = as_float_array(X)
        needs = any(getattr(m, "output", "invariant") != "invariant" for m in members)
        noise = self._noise_variance(array, members)
        variance = noise if needs else 0.0
        parallel = Parallel(n_jobs=self.n_jobs)
        found = parallel(
            delayed(_fit_member)(clone(m), unmasked(X), array, variance) for m in members
        )
        known = ~np.isnan(array)
        residuals = [np.where(known, array - output, 0) for _, output, _ in found]
        count = np.count_nonzero(known)
        products = np.array([[np.vdot(r, s) for s in residuals] for r in residuals]) / count
        penalties = np.array(
            [np.mean(np.broadcast_to(p, array.shape), where=known) for _, _, p in found]
        )
        weights = simplex_weights(products.astype(np.float64), penalties)
        output, penalty = np.zeros_like(array), np.zeros(())
        for weight, (_, each, p) in zip(weights, found, strict=True):
            if weight:
                output += array.dtype.type(weight) * each
                penalty = penalty + weight * p
        losses = squared_error(array, output) + penalty
        self.__dict__.pop("noise_variance_", None)
        if needs:  # the weights, and not the error alone
            self.noise_variance_ = noise
        level = variance_at(noise, array)
        self.estimators_ = [member for member, _, _ in found]
        self.weights_ = dict(zip(names, weights.tolist(), strict=True))
        self.scores_ = dict(zip(names, (-np.diag(products) - penalties).tolist(), strict=True))
        doubt = LEVEL_ERROR * float(np.nanmean(level)) if self.noise_variance is None else 0.0
        self.error_estimate_: ErrorEstimate = summarise(losses, level, output, doubt)
        self._score = -float(np.nanmean(losses))
        self._digest = digest(array)
        self.n_axes_ = array.ndim
        if array.ndim == 2:
            self.n_features_in_ = array.shape[1]
        return output, penalty

    def _noise_variance(self, X, members):
        """Return the variance of the noise, for the axes that the members agree on."""
        named = map(set, zip(*(axes_of(member, X.ndim) for member in members)))
        axes = [found.pop() if len(found) == 1 else None for found in named]
        return check_noise_variance(self.noise_variance, X, *axes)

    def _members(self):
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
            if not (hasattr(member, "fit") and hasattr(member, "transform")):
                raise TypeError(
                    f"estimators: {name!r} is {member!r}, which has no fit and transform: wrap a "
                    "denoiser in a JInvariantWrapper."
                )
        return names, members

    def transform(self, X):
        """Denoise, and average with the weights found.

        Parameters
        ----------
        X : array-like
            The noisy data.

        Returns
        -------
        ndarray of the shape of `X`
            The denoised data.
        """
        check_is_fitted(self, "weights_")
        X = as_float_array(X)
        output = np.zeros_like(X)
        for member, weight in zip(self.estimators_, self.weights_.values(), strict=True):
            if weight:
                output += X.dtype.type(weight) * member.transform(X)
        return output

    def predict(self, X):
        """Denoise: the same as `transform`.

        Parameters
        ----------
        X : array-like
            The noisy data.

        Returns
        -------
        ndarray of the shape of `X`
            The denoised data.
        """
        return self.transform(X)

    def score(self, X, y=None):
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
        check_is_fitted(self, "weights_")
        X = as_float_array(X)
        if y is not None:
            return true_score(y, X, self.transform)
        if digest(X) == self._digest:
            return self._score
        variance = self._noise_variance(X, self.estimators_)
        output, penalty = np.zeros_like(X), np.zeros(())
        for member, weight in zip(self.estimators_, self.weights_.values(), strict=True):
            if weight:
                each, p = output_and_penalty(member, X, variance)
                output += X.dtype.type(weight) * each
                penalty = penalty + weight * p
        return -float(np.nanmean(squared_error(X, output) + penalty, dtype=np.float64))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _fit_member(member, X, array, noise_variance):
    member = member.fit(X)
    return member, *output_and_penalty(member, array, noise_variance)
