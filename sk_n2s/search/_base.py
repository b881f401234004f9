"""What the searches share: candidates are evaluated by the self-supervised loss."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.utils import Tags, get_tags
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._utils.arrays import unmasked
from .._utils.base import Axes, BaseDenoiser, columns_of
from .._utils.callbacks import Task, with_callbacks
from .._utils.lazy import as_float_data, is_lazy
from .._utils.reporting import ReportMixin
from .._utils.state import LightPickle
from ..losses import squared_error
from ..noise.model import NoiseModel
from ..risk.adapters import as_denoiser
from ._candidates import Group, NotSearchable
from ._error_estimate import ErrorEstimateMixin, kept
from ._evaluator import Evaluator
from ._resources import Course, PiecesRound, Round, WholeRound
from ._results import best_index

__all__ = ["BaseSelfSupervisedSearch"]

#: How many pieces of data that are not in memory candidates are scored on, unless the user says
#: otherwise.
_AUTO_PIECES = 32


def _refit_done(search: BaseSelfSupervisedSearch) -> bool:
    """Return True, or say that there is no estimator to ask."""
    if not search.refit:
        raise AttributeError(
            f"This {type(search).__name__} was made with refit=False, so that it has parameters "
            "and scores, but no estimator. Set refit=True, or fit one with best_params_."
        )
    return True


def _has_names(search: BaseSelfSupervisedSearch) -> bool:
    """Return whether the columns of the output have names, or whether that is not known yet."""
    best = search.__dict__.get("best_estimator_")
    return best is None or hasattr(_last_step(best), "get_feature_names_out")


class BaseSelfSupervisedSearch(
    ErrorEstimateMixin,
    ReportMixin,
    LightPickle,
    MetaEstimatorMixin,
    BaseDenoiser,
    ABC,
    auto_wrap_output_keys=None,  # the best estimator does what set_output says
):  # type: ignore[call-arg]
    """Base class of the searches: a subclass says which candidates are evaluated, and on what.

    See `SelfSupervisedSearchCV` for the parameters.
    """

    _parameter_constraints: dict = {
        "estimator": "no_validation",  # by fit
        "scoring": [str, callable, None],
        "n_splits": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"}), None],
        "n_jobs": [Integral, None],
        "refit": ["boolean", callable],
        "verbose": ["verbose"],
        "pre_dispatch": [Integral, str],
        "error_score": [StrOptions({"raise"}), Real],
        "memory": "no_validation",  # by check_memory
    }

    # The data, which only plots and the estimated error ask for.
    _left_behind = ("_noisy",)

    #: The parameter that holds the candidates.
    _space = "param_grid"

    @abstractmethod
    def __init__(
        self,
        estimator: Any,
        *,
        scoring: Any = None,
        n_splits: int | str | None = "auto",
        n_jobs: int | None = None,
        refit: bool | Callable = True,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        error_score: float | str = np.nan,
        memory: Any = None,
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
    def _candidates(self) -> Iterable[dict]:
        """Return the candidates' parameters."""

    def _run_search(self, evaluator: Evaluator) -> dict[str, Any]:
        """Evaluate candidates, and return what a fitted search of this kind knows besides."""
        batch = evaluator.gather(self._listed())
        evaluator.evaluate(batch, self._round(batch.groups))
        return {}

    @with_callbacks
    def fit(self, X: Any, y: Any = None) -> Self:
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

        Warns
        -----
        NoiseAssumptionWarning
            If the noise of neighbours is correlated, or if there are outliers: the loss would
            choose wrongly. The message names the remedy.

        Raises
        ------
        TypeError, ValueError
            If the data or a parameter are not valid, or if all candidates fail.
        """
        if not isinstance(self.estimator, BaseDenoiser | Pipeline):
            raise NotSearchable.of(self.estimator)
        self._validate_params()
        with Task.of_fit(self, None) as progress:
            evaluator = Evaluator(self, X, progress)
            more = self._run_search(evaluator)
            results = evaluator.results
            results.warn_of_failures()
            table = results.table()
            index = self._checked_index(table)
            if self.refit:
                more |= self._refitted(results.candidates[index], unmasked(X), progress)
        # Nothing was kept up to here, so that a search that fails leaves nothing behind.
        for name in ("best_estimator_", "refit_time_", "_estimate"):
            self.__dict__.pop(name, None)  # of an earlier fit
        self.__dict__.update(more)
        self.cv_results_ = table
        self.best_index_ = index
        self.best_params_ = results.candidates[index]
        self.best_score_ = float(table["mean_test_score"][index])
        self.n_splits_ = sum(name.startswith("split") for name in table)
        self.multimetric_ = False
        is_alone = not isinstance(self.estimator, Pipeline)
        self._noisy = kept(X, evaluator.array if is_alone else unmasked(X))
        # The loss of a pipeline is that of the data which its last step sees.
        chosen_by_loss = evaluator.loss is squared_error and index == self._best_index(table)
        if chosen_by_loss and is_alone:
            params = clone(self.best_params_, safe=False)
            self._warn_if_useless(clone(self.estimator).set_params(**params))
        return self

    def _listed(self) -> list[dict]:
        """Return the candidates, of which there has to be one."""
        candidates = list(self._candidates())
        if not candidates:
            raise ValueError(
                f"{self._space}={self.get_params(deep=False)[self._space]!r} is empty: give at "
                "least one candidate."
            )
        return candidates

    def _round(self, groups: list[Group]) -> Round:
        """Return what all candidates are shown."""
        n_splits = self.n_splits
        if any(is_lazy(group.X) for group in groups):
            places = _AUTO_PIECES if isinstance(n_splits, str) else n_splits
            course = Course(groups, margin="auto", random_state=0, max_places=places)
            return PiecesRound(course, 0, course.length)
        if isinstance(n_splits, str):
            # An exact form answers for all sets at once, and scores them at no cost.
            enough = (g.plan.partition.enough_splits(g.X, g.plan.axes) for g in groups)
            n_splits = None if all(g.plan.is_single for g in groups) else max(enough)
        return WholeRound(n_splits)

    def _best_index(self, results: dict) -> int:
        """Return the row of the candidate with the best score."""
        return best_index(results)

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

    def _refitted(self, params: dict, X: Any, progress: Task) -> dict[str, Any]:
        """Return a candidate fitted to the data, and the seconds that this took."""
        best = clone(clone(self.estimator).set_params(**clone(params, safe=False)))
        start = time.perf_counter()
        refitting = progress.part("refit-with-best-params")
        with refitting.shared_with(best), refitting:
            best.fit(X)
        if isinstance(best, Pipeline):
            _name_columns(best, X)
        return {"best_estimator_": best, "refit_time_": time.perf_counter() - start}

    # scikit-learn's interface ----------------------------------------------------------

    def _as_data(self, X: Any) -> Any:
        return as_float_data(X, accept_sparse=True)

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

    predict = available_if(_refit_done)(BaseDenoiser.predict)

    @available_if(_refit_done)
    def score(self, X: Any, y: Any = None) -> float:
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

    def set_output(self, *, transform: str | None = None) -> Self:
        """Set the container of the output, of the estimator that is searched over.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, default=None
            The container, for data whose columns have names; None changes nothing.

        Returns
        -------
        object
            The search itself.
        """
        self.estimator.set_output(transform=transform)
        if "best_estimator_" in self.__dict__ and _has_names(self):
            self.best_estimator_.set_output(transform=transform)
        return self

    @available_if(_has_names)
    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns of the output.

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
        return _last_step(self._best).get_feature_names_out()

    @property
    def n_features_in_(self) -> int:
        """The length of the second axis of the data, if there are two."""
        return self._best.n_features_in_

    @property
    def feature_names_in_(self) -> np.ndarray:
        """The names of the columns, if the data are a table with names."""
        return self._best.feature_names_in_

    @property
    def _best(self) -> Any:
        """The best estimator, or an AttributeError."""
        if "best_estimator_" not in self.__dict__:
            raise AttributeError(f"This {type(self).__name__} has no fitted estimator.")
        return self.best_estimator_

    def __sklearn_is_fitted__(self) -> bool:
        return "best_index_" in self.__dict__

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

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator).input_tags
        tags.transformer_tags = get_tags(self.estimator).transformer_tags
        return tags


def _name_columns(estimator: Pipeline, X: Any) -> None:
    """Tell the last step of a fitted pipeline the names of its columns: it was shown an array."""
    last: Any = estimator
    try:
        names = columns_of(X)["feature_names_in_"]
        while isinstance(last, Pipeline):
            names = last[:-1].get_feature_names_out(names) if len(last) > 1 else names
            last = last[-1]
    except Exception:  # there are no names, or a step has none for what it makes
        return
    if getattr(last, "n_features_in_", None) == len(names):
        last.feature_names_in_ = names


def _last_step(estimator: Any) -> Any:
    """Return the last step of a pipeline, and of pipelines in it."""
    while isinstance(estimator, Pipeline):
        estimator = estimator[-1]
    return estimator
