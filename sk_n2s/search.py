"""The search for the best parameters, by the self-supervised loss."""

from __future__ import annotations

import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from numbers import Integral, Real

import numpy as np
from joblib import wrap_non_picklable_objects
from sklearn.base import BaseEstimator, MetaEstimatorMixin, TransformerMixin, clone
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from ._arrays import as_float_array, has_nan, split_axes, unmasked
from ._evaluation import Answer, answer, best_index, failed, tabulate, warn_of_failures
from ._grouping import Group, Grouping, NotWrapped
from .levels import check_noise_variance, middle
from .losses import check_scoring, scores_output, squared_error
from .noise import estimate_noise, variance_at
from .risk import LEVEL_ERROR, ErrorEstimate, output_and_penalty, summarise
from .views import View

__all__ = ["BaseSelfSupervisedSearch", "SelfSupervisedSearchCV"]

#: How many sets a candidate that needs masks is scored on, unless the user says otherwise.
_AUTO_SPLITS = 4

#: Entries from which the level of the noise is read where only a warning rests upon it.
_GLANCE = 2**14


def _refit_done(search) -> bool:
    if not search.refit:
        raise AttributeError(
            f"This {type(search).__name__} was made with refit=False, so that it has parameters "
            "and scores, but no estimator. Set refit=True, or fit one with best_params_."
        )
    return True


def _noise_variance(estimator, X):
    """Return the variance of the noise, and whether the estimator was given it."""
    given = getattr(estimator, "noise_variance", None)
    axes = (getattr(estimator, "channel_axis", None), getattr(estimator, "batch_axis", None))
    return check_noise_variance(given, X, *axes), given is not None


def _quick_level(estimator, X) -> float:
    """Return the standard deviation of the noise, with no more effort than a warning is worth."""
    if getattr(estimator, "noise_variance", None) is not None:
        return float(np.sqrt(np.nanmean(variance_at(_noise_variance(estimator, X)[0], X))))
    given = (getattr(estimator, name, None) for name in ("channel_axis", "batch_axis"))
    channel, batch, _ = split_axes(X.ndim, *given)
    part = X[middle(X.shape, _GLANCE, channel, batch)]
    if has_nan(part):
        part = X  # which holds more of what was measured
    return estimate_noise(part, channel_axis=channel, batch_axis=batch)


class BaseSelfSupervisedSearch(  # type: ignore[call-arg]
    MetaEstimatorMixin, TransformerMixin, BaseEstimator, ABC, auto_wrap_output_keys=None
):
    """Base class of the searches: a subclass says which candidates are evaluated.

    See `SelfSupervisedSearchCV` for the parameters.
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "get_params", "set_params"])],
        "scoring": [str, callable, None],
        "n_splits": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"}), None],
        "n_jobs": [Integral, None],
        "refit": ["boolean", callable],
        "verbose": ["verbose"],
        "pre_dispatch": [Integral, str],
        "error_score": [StrOptions({"raise"}), Real],
    }

    @abstractmethod
    def __init__(
        self,
        estimator,
        *,
        scoring=None,
        n_splits="auto",
        n_jobs=None,
        refit=True,
        verbose=0,
        pre_dispatch="2*n_jobs",
        error_score=np.nan,
    ):
        self.estimator = estimator
        self.scoring = scoring
        self.n_splits = n_splits
        self.n_jobs = n_jobs
        self.refit = refit
        self.verbose = verbose
        self.pre_dispatch = pre_dispatch
        self.error_score = error_score

    @abstractmethod
    def _run_search(self, evaluate: Callable) -> None:
        """Call `evaluate` with lists of candidates.

        It returns the results so far, and the answers of these candidates. Optionally it
        takes what makes the views (see `_all_views`), the rows whose answers are continued,
        the number of columns for the splits, and further columns.
        """

    def fit(self, X, y=None):
        """Evaluate the candidates on the noisy data, and fit the best.

        Parameters
        ----------
        X : array-like of one or more axes
            The noisy data. NaN marks missing entries, which are neither shown to a
            denoiser nor scored.
        y : object
            Ignored, present for scikit-learn's interface.

        Returns
        -------
        self : object
            The fitted search.

        Raises
        ------
        TypeError, ValueError
            If the data or a parameter are not valid, or if all candidates fail.
        """
        if callable(self.estimator) and not hasattr(self.estimator, "fit"):
            raise self._not_wrapped()
        self._validate_params()
        loss = check_scoring(self.scoring)
        array, X = as_float_array(X), unmasked(X)
        answers: list[list[Answer]] = []
        candidates: list[dict] = []
        results: dict = {}
        grouping = Grouping(X, scores_output(self.scoring))

        def evaluate(
            new: list[dict], plan=None, earlier=None, n_columns=None, more_results=None
        ) -> tuple[dict, list[list[Answer]]]:
            if not new:
                raise ValueError("The grid is empty: there is no candidate to evaluate.")
            found = self._evaluate(grouping, new, loss, plan or self._all_views)
            if earlier is not None:
                found = [answers[row] + more for row, more in zip(earlier, found, strict=True)]
            answers.extend(found)
            candidates.extend(new)
            table = tabulate(candidates, answers, self.error_score, n_columns, more_results)
            results.clear()
            results.update(table)
            return results, found

        self._run_search(evaluate)
        warn_of_failures(candidates, answers, self.error_score)
        index = self.refit(results) if callable(self.refit) else self._best_index(results)
        if not isinstance(index, Integral) or int(index) not in range(len(candidates)):
            raise ValueError(
                f"refit={self.refit!r} returned {index!r}, which is not the index of one of the "
                f"{len(candidates)} candidates."
            )
        if np.isnan(results["mean_test_score"]).all():
            raise ValueError(
                f"n_splits={self.n_splits!r}: none of the entries that were scored holds a "
                "measurement, only NaN. Set n_splits=None to score all."
            )
        best, refit_time = None, 0.0
        if self.refit:
            best = clone(clone(self.estimator).set_params(**clone(candidates[index], safe=False)))
            start = time.perf_counter()
            best.fit(X)
            refit_time = time.perf_counter() - start
        # Nothing was kept up to here, so that a search that fails leaves nothing behind.
        for name in ("best_estimator_", "refit_time_", "_estimate"):
            self.__dict__.pop(name, None)  # of an earlier fit
        if best is not None:
            self.best_estimator_ = best
            self.refit_time_ = refit_time
        self.cv_results_ = results
        self.best_index_ = int(index)
        self.best_params_ = candidates[index]
        self.best_score_ = float(results["mean_test_score"][index])
        self.n_splits_ = sum(name.startswith("split") for name in results)
        self.multimetric_ = False
        self._noisy = array
        self._warn_if_useless(loss)
        return self

    def _warn_if_useless(self, loss) -> None:
        """Say so if the noisy data are nearer to the truth than the best candidate."""
        if loss is not squared_error or self.best_index_ != self._best_index(self.cv_results_):
            return
        wrapper = _last_step(self.estimator)
        if wrapper is not self.estimator:
            return  # the loss is that of the data which the last step sees
        wrapper = clone(wrapper).set_params(**clone(self.best_params_, safe=False))
        level = _quick_level(wrapper, self._noisy)
        error = -self.best_score_ - level**2
        if error >= level**2 > 0:
            warnings.warn(
                "No candidate is better than the noisy data themselves: the best, "
                f"{self.best_params_}, has an estimated mean squared error of {error:.3g}, and the "
                f"variance of the noise is estimated as {level**2:.3g}. Try weaker parameters, "
                "other denoisers, or leave the data as they are.",
                UserWarning,
                stacklevel=3,
            )

    # How good the best is -----------------------------------------------------------------

    @property
    def error_estimate_(self) -> ErrorEstimate:
        """The estimated error of the best estimator's output on the data; see `sk_n2s.risk`."""
        return self._estimated()[0]

    @property
    def noise_variance_(self):
        """The variance of the noise that the estimated error rests upon."""
        return self._estimated()[1]

    @property
    def estimated_mse_(self) -> float:
        """The estimated mean squared error of the output."""
        return self.error_estimate_.mse

    @property
    def estimated_psnr_(self) -> float:
        """The estimated peak signal-to-noise ratio in dB; the peak is the output's range."""
        return self.error_estimate_.psnr

    @property
    def estimated_psnr_interval_(self) -> tuple[float, float]:
        """Its confidence interval of 95 %."""
        return self.error_estimate_.psnr_interval

    def _estimated(self):
        """Estimate the error, at the first use: plain and blended outputs need more calls."""
        known = self.__dict__.get("_estimate")
        if known is not None:
            return known
        if not hasattr(self, "best_estimator_"):
            raise AttributeError(
                f"This {type(self).__name__} has no fitted estimator to estimate the error of."
            )
        if not hasattr(self, "_noisy"):
            raise AttributeError(
                "The error was not estimated before this search was pickled, which leaves the data "
                "behind: use error_estimate_ first."
            )
        X, wrapper = self._noisy, self.best_estimator_
        while isinstance(wrapper, Pipeline):
            X, wrapper = as_float_array(wrapper[:-1].transform(X)), wrapper[-1]
        variance, is_given = _noise_variance(wrapper, X)
        output, penalty = output_and_penalty(wrapper, X, variance)
        losses = squared_error(X, output) + penalty
        level = variance_at(variance, X)
        doubt = 0.0 if is_given else LEVEL_ERROR * float(np.mean(level))
        self.__dict__["_estimate"] = summarise(losses, level, output, doubt), variance
        return self.__dict__["_estimate"]

    # Evaluation -----------------------------------------------------------------------

    def _not_wrapped(self):
        return TypeError(
            f"estimator={self.estimator!r} cannot be scored without clean data: pass "
            f"{type(self).__name__}(JInvariantWrapper(...), ...), or a Pipeline that ends in a "
            "JInvariantWrapper."
        )

    def _best_index(self, results: dict) -> int:
        return best_index(results)

    def _evaluate(self, grouping, candidates: list[dict], loss, plan) -> list[list[Answer]]:
        """Return the answers of each candidate to its views, which `plan` makes."""
        answers: list[list[Answer]] = [[] for _ in candidates]
        grouping.clear()
        for i, params in enumerate(candidates):
            estimator = clone(self.estimator).set_params(**clone(params, safe=False))
            try:
                grouping.add(i, estimator, params)
            except NotWrapped:
                raise self._not_wrapped() from None
            except Exception as error:
                if self.error_score == "raise":
                    raise
                answers[i].append(failed(i, error))
        if self.verbose:
            print(f"Evaluating {len(candidates)} candidates on the noisy data alone")
        parallel = Parallel(
            n_jobs=self.n_jobs, verbose=self.verbose, pre_dispatch=self.pre_dispatch
        )
        unseen: list[Answer] = []
        calls = self._calls(grouping.groups, loss, plan(grouping.groups), unseen)
        for found in (*parallel(calls), *unseen):
            answers[found.candidate].append(found)
        return answers

    def _all_views(self, groups: list[Group]) -> Callable[[Group], Iterator[View]]:
        """Return what makes the views of a group."""
        n_splits = self.n_splits
        if n_splits == "auto":
            # An exact form answers for all sets at once, and scores them at no cost.
            n_splits = None if all(g.plan.is_single for g in groups) else _AUTO_SPLITS
        return lambda group: group.plan.views(group.X, n_splits)

    def _calls(self, groups: list[Group], loss, make, unseen: list[Answer]) -> Iterator:
        """Yield the tasks of joblib; a view is made once, when its first task is due.

        Where making it fails, so have all who were to see it, and `unseen` says so.
        """
        for group in groups:
            # Any backend can then carry lambdas, and functions defined in a notebook.
            asks = [
                wrap_non_picklable_objects(partial(answer, i, estimator, loss, self.error_score))
                for i, estimator in group.members
            ]
            views = make(group)
            while True:
                try:
                    view = next(views, None)
                except Exception as error:
                    if self.error_score == "raise":
                        raise
                    unseen.extend(failed(i, error) for i, _ in group.members)
                    break
                if view is None:
                    break
                for ask in asks:
                    yield delayed(_call)(ask, view)

    # scikit-learn's interface ----------------------------------------------------------

    @available_if(_refit_done)
    def transform(self, X):
        """Denoise with the best candidate.

        Parameters
        ----------
        X : array-like
            The noisy data.

        Returns
        -------
        ndarray of the shape of `X`
            What the best estimator's `transform` returns.
        """
        check_is_fitted(self)
        return self.best_estimator_.transform(unmasked(X))

    @available_if(_refit_done)
    def predict(self, X):
        """Denoise with the best candidate: what its `predict` returns.

        Parameters
        ----------
        X : array-like
            The noisy data.

        Returns
        -------
        ndarray of the shape of `X`
            What the best estimator's `predict` returns.
        """
        check_is_fitted(self)
        return self.best_estimator_.predict(unmasked(X))

    @available_if(_refit_done)
    def score(self, X, y=None):
        """Return the score of the best candidate.

        Parameters
        ----------
        X : array-like
            The noisy data.
        y : array-like of the same shape, default=None
            The clean data, if they are known.

        Returns
        -------
        float
            What the best estimator's `score` returns: minus the self-supervised loss, or
            minus the true error.
        """
        check_is_fitted(self)
        return self.best_estimator_.score(unmasked(X), y)

    @property
    def n_features_in_(self):
        """The length of the second axis of the data, if there are two."""
        return self._of_best("n_features_in_")

    @property
    def feature_names_in_(self):
        """The names of the columns, if the data are a table with names."""
        return self._of_best("feature_names_in_")

    def _of_best(self, name):
        if not hasattr(self, "best_estimator_"):
            raise AttributeError(f"This {type(self).__name__} has no fitted estimator.")
        return getattr(self.best_estimator_, name)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        tags.transformer_tags = get_tags(self.estimator).transformer_tags
        return tags

    def __getstate__(self):
        # The data are kept for plots only, and would make a pickle as large as they are.
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_noisy"}


def _last_step(estimator):
    while isinstance(estimator, Pipeline):
        estimator = estimator[-1]
    return estimator


def _call(ask, view):
    # scikit-learn's `delayed` copies what it wraps, and would unwrap what has to be wrapped.
    return ask(view)


class SelfSupervisedSearchCV(BaseSelfSupervisedSearch):
    """Grid search by the self-supervised loss: no clean data, no noise level.

    Entries are hidden, predicted from the others by each candidate, and compared with what
    was measured there. For a J-invariant denoiser this loss is the true error plus the
    variance of the noise, so that the candidate with the smallest loss has the smallest
    error [1]_.

    Parameters
    ----------
    estimator : JInvariantWrapper or Pipeline
        What is calibrated. A Pipeline ends in a `JInvariantWrapper`; its loss is that of
        the data which its last step sees. To keep the loss on the scale of `X`, wrap the
        pipeline instead.
    param_grid : dict or list of dict
        Parameter names and the values to try, as for `GridSearchCV`; a list of grids to
        try several denoisers.
    scoring : str or callable, default=None
        None is the squared error of the J-invariant prediction; for candidates with
        ``output="plain"`` and no `partition` it is Stein's unbiased risk estimate of that
        output, which is on the same scale: minus (true error + variance of the noise).
        "sure" takes that estimate of blends as well, and of any candidate's output,
        partition or not. "neg_mean_squared_error", "neg_mean_absolute_error" and
        "neg_mean_poisson_deviance" are of the prediction, whatever the output is, and so
        is a function ``loss(target, prediction)`` that returns one loss for each entry;
        scores are minus its mean.
    n_splits : int, "auto" or None, default="auto"
        How many sets of the partition are scored, evenly spread over them; None scores
        all. A candidate that needs masks is called once for each. "auto" means 4, and all
        if every candidate has an exact form, which scores all sets in one call.
    n_jobs : int, default=None
        How many tasks run in parallel; -1 uses all cores. The results do not depend on it.
    refit : bool or callable, default=True
        Whether to fit the best candidate to the data, for `transform`. A callable gets
        `cv_results_` and returns the index of the candidate to choose.
    verbose : int, default=0
        How much to print.
    pre_dispatch : int or str, default="2*n_jobs"
        How many tasks joblib prepares at a time; it bounds the memory.
    error_score : "raise" or float, default=np.nan
        The score of a candidate that fails, or whose answer is not finite or has another
        shape. It is ranked last, whatever this score is. "raise" raises the error instead.

    Attributes
    ----------
    cv_results_ : dict of arrays
        A table as `GridSearchCV` makes it: ``params``, ``param_<name>``,
        ``split<j>_test_score`` for each scored set, ``mean_test_score`` (over all scored
        entries, so that sets count by their size), ``std_test_score`` (between the sets),
        ``rank_test_score``, and the seconds that one call of the denoiser and one
        comparison took.
    best_estimator_ : estimator
        The best candidate, fitted to the data; only with `refit`.
    best_params_ : dict
        Its parameters.
    best_score_ : float
        Its mean score.
    best_index_ : int
        Its row of `cv_results_`; among equals, the first.
    n_splits_ : int
        The number of sets that were scored.
    refit_time_ : float
        Seconds that the fit of the best candidate took.
    estimated_mse_, estimated_psnr_ : float
        How far the output of the best estimator is from the truth. Like the following
        attributes, it is computed at the first use, and takes a call of `transform`, and
        for a plain output another call of the denoiser.
    estimated_psnr_interval_ : tuple of float
        A confidence interval of 95 %; the units are blocks of the array, since neighbours
        are dependent. Where the noise level is estimated, a standard error of 1 % of it is
        allowed for; in heavily textured data, the noise level may be further off.
    error_estimate_ : ErrorEstimate
        All of this together.
    noise_variance_ : float, ndarray or NoiseCurve
        The variance of the noise that it rests upon: the estimator's `noise_variance`, or
        an estimate.

    References
    ----------
    .. [1] J. Batson and L. Royer, "Noise2Self: Blind Denoising by Self-Supervision",
       ICML 2019, PMLR 97:524-533. :arxiv:`1901.11365`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s import JInvariantWrapper, SelfSupervisedSearchCV
    >>> from sk_n2s.denoisers import median
    >>> rng = np.random.default_rng(0)
    >>> clean = np.sin(np.linspace(0, 20, 2000))
    >>> noisy = clean + 0.3 * rng.normal(size=clean.shape)
    >>> search = SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": [1, 4, 16, 64, 256]})
    >>> search.fit(noisy).best_params_
    {'radius': 64}
    >>> bool(np.mean((search.transform(noisy) - clean) ** 2) < 0.1 * 0.3**2)
    True
    """

    _parameter_constraints: dict = {
        **BaseSelfSupervisedSearch._parameter_constraints,
        "param_grid": [dict, list, tuple],
    }

    def __init__(
        self,
        estimator,
        param_grid,
        *,
        scoring=None,
        n_splits="auto",
        n_jobs=None,
        refit=True,
        verbose=0,
        pre_dispatch="2*n_jobs",
        error_score=np.nan,
    ):
        super().__init__(
            estimator,
            scoring=scoring,
            n_splits=n_splits,
            n_jobs=n_jobs,
            refit=refit,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
        )
        self.param_grid = param_grid

    def _run_search(self, evaluate):
        evaluate(list(ParameterGrid(self.param_grid)))
