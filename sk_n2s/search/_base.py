"""What the searches share: candidates are evaluated by the self-supervised loss."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._utils.arrays import unmasked
from .._utils.base import Axes, BaseDenoiser
from .._utils.callbacks import Task, with_callbacks
from .._utils.lazy import as_float_data, is_lazy
from ..losses import check_scoring, scores_output, squared_error
from ..noise.model import NoiseModel
from ..risk.adapters import as_denoiser
from ._candidates import Group, Grouping, NotWrapped
from ._error_estimate import ErrorEstimateMixin
from ._evaluation import Answer, answer, best_index, failed, tabulate, warn_of_failures
from ._memory import Remembered, check_memory, key_of
from ._parallel import portable, run, task
from ._resources import Course, PiecesRound, Round, WholeRound

__all__ = ["BaseSelfSupervisedSearch"]

#: How many sets a candidate that needs masks is scored on, unless the user says otherwise;
#: and how many pieces of data that are not in memory.
_AUTO_SPLITS = 4
_AUTO_PIECES = 32


def _refit_done(search) -> bool:
    if not search.refit:
        raise AttributeError(
            f"This {type(search).__name__} was made with refit=False, so that it has parameters "
            "and scores, but no estimator. Set refit=True, or fit one with best_params_."
        )
    return True


def _best_has_names(search: BaseSelfSupervisedSearch) -> bool:
    """Return whether the columns have names, or whether that is not known yet."""
    best = search.__dict__.get("best_estimator_")
    return best is None or hasattr(best, "get_feature_names_out")


class BaseSelfSupervisedSearch(ErrorEstimateMixin, MetaEstimatorMixin, BaseDenoiser, ABC):
    """Base class of the searches: a subclass says which candidates are evaluated.

    See `SelfSupervisedSearchCV` for the parameters. What it shows the candidates, and which,
    is said by a `Round` and by `_run_search`.
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
        "memory": "no_validation",  # by check_memory
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
        memory=None,
    ):
        self.estimator = estimator
        self.scoring = scoring
        self.n_splits = n_splits
        self.n_jobs = n_jobs
        self.refit = refit
        self.verbose = verbose
        self.pre_dispatch = pre_dispatch
        self.error_score = error_score
        self.memory = memory

    @abstractmethod
    def _run_search(self, evaluate: Callable) -> None:
        """Call `evaluate` with lists of candidates."""

    @with_callbacks
    def fit(self, X, y=None):
        """Evaluate the candidates on the noisy data, and fit the best.

        Parameters
        ----------
        X : array-like or dask array of one or more axes
            The noisy data. NaN marks missing entries, which are neither shown to a
            denoiser nor scored. Of a dask array, pieces are loaded that are spread over it.
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
        loss, memory = check_scoring(self.scoring), check_memory(self.memory)
        array, X = as_float_data(X), unmasked(X)
        answers: list[list[Answer]] = []
        candidates: list[dict] = []
        results: dict = {}
        grouping = Grouping(X, array, scores_output(self.scoring))

        def evaluate(
            new: list[dict], plan=None, earlier=None, more_results=None
        ) -> tuple[dict, list[list[Answer]]]:
            if not new:
                raise ValueError("The grid is empty: there is no candidate to evaluate.")
            found, n_columns = self._evaluate(
                grouping, new, loss, plan or self._round, memory, progress
            )
            if earlier is not None:
                found = [answers[row] + more for row, more in zip(earlier, found, strict=True)]
            answers.extend(found)
            candidates.extend(new)
            table = tabulate(candidates, answers, self.error_score, n_columns, more_results)
            results.clear()
            results.update(table)
            return results, found

        with Task.of_fit(self, None) as progress:
            self._run_search(evaluate)
            warn_of_failures(candidates, answers, self.error_score)
            index = self._checked_index(results)
            best, refit_time = None, 0.0
            if self.refit:
                params = clone(candidates[index], safe=False)
                best = clone(clone(self.estimator).set_params(**params))
                start = time.perf_counter()
                refitting = progress.part("refit-with-best-params")
                with refitting.shared_with(best), refitting:
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
        wrapper = _last_step(self.estimator)
        # The loss of a pipeline is that of the data which its last step sees.
        chosen_by_loss = loss is squared_error and self.best_index_ == self._best_index(results)
        if chosen_by_loss and wrapper is self.estimator:
            params = clone(self.best_params_, safe=False)
            self._warn_if_useless(clone(wrapper).set_params(**params))
        return self

    def _checked_index(self, results: dict) -> int:
        """Return the row of the candidate that `refit` chooses."""
        n_candidates = len(results["params"])
        index = self.refit(results) if callable(self.refit) else self._best_index(results)
        if not isinstance(index, Integral) or int(index) not in range(n_candidates):
            raise ValueError(
                f"refit={self.refit!r} returned {index!r}, which is not the index of one of the "
                f"{n_candidates} candidates."
            )
        if np.isnan(results["mean_test_score"]).all():
            raise ValueError(
                f"n_splits={self.n_splits!r}: none of the entries that were scored holds a "
                "measurement, only NaN. Set n_splits=None to score all."
            )
        return int(index)

    # Evaluation -----------------------------------------------------------------------

    def _not_wrapped(self):
        return TypeError(
            f"estimator={self.estimator!r} cannot be scored without clean data: pass "
            f"{type(self).__name__}(JInvariantWrapper(...), ...), or a Pipeline that ends in a "
            "JInvariantWrapper."
        )

    def _best_index(self, results: dict) -> int:
        return best_index(results)

    def _evaluate(
        self, grouping: Grouping, candidates: list[dict], loss, plan, memory, progress: Task
    ) -> tuple[list[list[Answer]], int | None]:
        """Return the answers of each candidate, and the columns of the table for them."""
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
        groups = grouping.groups
        this: Round = plan(groups)
        n_calls = sum(len(group.members) * this.n_views(group) for group in groups)
        members = [estimator for group in groups for _, estimator in group.members]
        unseen: list[Answer] = []
        with progress.part("candidates", n_calls) as evaluating:
            # Made before any of them travels, since each of them holds them all.
            parts = iter([evaluating.part("evaluation") for _ in range(n_calls)])
            found = run(
                self._calls(groups, loss, this, memory, parts, unseen),
                threads=all(estimator.releases_gil for estimator in members),
                n_jobs=self.n_jobs,
                verbose=self.verbose,
                pre_dispatch=self.pre_dispatch,
            )
        for one in (*found, *unseen):
            answers[one.candidate].append(one)
        return answers, this.n_columns

    def _round(self, groups: list[Group]) -> Round:
        """Return what all candidates are shown."""
        n_splits = self.n_splits
        if any(is_lazy(group.X) for group in groups):
            places = _AUTO_PIECES if n_splits == "auto" else n_splits
            course = Course(groups, margin="auto", random_state=0, max_places=places)
            return PiecesRound(course, 0, course.length)
        if n_splits == "auto":
            # An exact form answers for all sets at once, and scores them at no cost.
            n_splits = None if all(g.plan.is_single for g in groups) else _AUTO_SPLITS
        return WholeRound(n_splits)

    def _calls(
        self, groups, loss, this: Round, memory, parts: Iterator[Task], unseen: list[Answer]
    ) -> Iterator:
        """Yield the tasks of joblib; a view is made once, when its first task is due."""
        for group in groups:
            asks = []
            for i, estimator in group.members:
                ask: Callable = partial(answer, i, estimator, loss, self.error_score)
                if memory is not None:
                    ask = Remembered(memory, key_of(estimator, loss), i, ask)
                asks.append(portable(ask))
            views = this.views(group)
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
                args = (view,) if memory is None else (view, key_of(view))
                for ask in asks:
                    yield task(ask, next(parts, Task(None)), *args)

    # scikit-learn's interface ----------------------------------------------------------

    @available_if(_refit_done)
    def transform(self, X: Any) -> Any:
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
    def predict(self, X: Any) -> Any:
        """Denoise with the best candidate: the same as `transform`.

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

    @available_if(_best_has_names)
    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns of a table: those that it came with.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Ignored, present for scikit-learn's interface.

        Returns
        -------
        ndarray of str
            The names.
        """
        check_is_fitted(self)
        return self.best_estimator_.get_feature_names_out()

    @property
    def n_features_in_(self) -> int:
        """The length of the second axis of the data, if there are two."""
        return self._of_best("n_features_in_")

    @property
    def feature_names_in_(self) -> np.ndarray:
        """The names of the columns, if the data are a table with names."""
        return self._of_best("feature_names_in_")

    def _of_best(self, name: str) -> Any:
        if not hasattr(self, "best_estimator_"):
            raise AttributeError(f"This {type(self).__name__} has no fitted estimator.")
        return getattr(self.best_estimator_, name)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "best_index_")

    # The contract: a search answers for its best estimator -----------------------------

    @property
    def _denoiser(self) -> BaseDenoiser:
        """What answers: the best estimator, or before `fit` the one that is searched over."""
        return as_denoiser(self.__dict__.get("best_estimator_", self.estimator))

    @property
    def is_j_invariant(self) -> bool:
        """Whether no entry of the output of `transform` depends on that entry of the data."""
        return self._denoiser.is_j_invariant

    def axes(self, ndim: int) -> Axes:  # noqa: D102
        return self._denoiser.axes(ndim)

    def reach(self, ndim: int) -> Any:  # noqa: D102
        return self._denoiser.reach(ndim)

    def _denoise(self, X: np.ndarray) -> np.ndarray:
        return self._denoiser._denoise(X)

    def output_and_divergence(  # noqa: D102
        self, X: np.ndarray, noise: NoiseModel
    ) -> tuple[np.ndarray, np.ndarray]:
        check_is_fitted(self)
        return self._denoiser.output_and_divergence(X, noise)

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
