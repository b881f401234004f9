"""What evaluates the candidates of a search, in one round or more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from sklearn.base import clone

from .._utils.arrays import unmasked
from .._utils.callbacks import Task
from .._utils.lazy import as_float_data
from ..losses import check_scoring, cross_validated_error, scores_output
from ._assumptions import warn_of_noise
from ._candidates import Group, Grouping, NotSearchable
from ._evaluation import Answer, answer, failed
from ._keys import key_of
from ._memory import Remembered, check_memory
from ._parallel import portable, run, task
from ._resources import Round
from ._results import Answers, Results

__all__ = ["Batch", "Evaluator"]


class Batch(NamedTuple):
    """Candidates of one round.

    Attributes
    ----------
    candidates : list of dict
        Their parameters.
    groups : list of Group
        Those that can be asked, by the views that they see.
    answers : list of list of Answer
        Why others cannot.
    """

    candidates: list[dict]
    groups: list[Group]
    answers: Answers


class Evaluator:
    """Evaluates the candidates of one fit, in one round or more, and keeps all answers.

    Parameters
    ----------
    search : BaseSelfSupervisedSearch
        The search.
    X : array-like
        The noisy data.
    progress : Task
        The fit, as callbacks are told of it.
    """

    def __init__(self, search: Any, X: Any, progress: Task):
        self._search = search
        self._progress = progress
        self.loss, self._memory = check_scoring(search.scoring), check_memory(search.memory)
        self.array = as_float_data(X, accept_sparse=True)
        self.results = Results(search.error_score)
        self._has_looked = False
        self._grouping = Grouping(unmasked(X), self.array, scores_output(search.scoring))

    def gather(self, candidates: list[dict]) -> Batch:
        """Sort candidates by the views that they see."""
        search, grouping = self._search, self._grouping
        answers: Answers = [[] for _ in candidates]
        grouping.clear()
        for i, params in enumerate(candidates):
            estimator = clone(search.estimator).set_params(**clone(params, safe=False))
            try:
                grouping.add(i, estimator, params)
            except Exception as error:
                if search.error_score == "raise" or isinstance(error, NotSearchable):
                    raise
                answers[i].append(failed(i, error))
        if self.loss is not cross_validated_error:  # which needs no level of the noise
            grouping.check_same_noise()
        if grouping.groups and not self._has_looked:  # in the first round of a race
            self._has_looked = True
            warn_of_noise(grouping.groups, self.loss)
        if not grouping.groups:
            self.results.add(candidates, answers, None)  # says that all have failed
        return Batch(candidates, grouping.groups, answers)

    def evaluate(
        self, batch: Batch, shown: Round, earlier: Answers | None = None, **more: Any
    ) -> Answers:
        """Return all answers of each candidate: those of earlier rounds, and of this one."""
        search, groups = self._search, batch.groups
        if search.verbose:
            print(f"Evaluating {len(batch.candidates)} candidates on the noisy data alone")
        n_calls = sum(len(group.members) * shown.n_views(group) for group in groups)
        unseen: list[Answer] = []
        with self._progress.part("candidates", n_calls) as evaluating:
            # Made before any of them travels, since each of them holds them all.
            parts = iter([evaluating.part("evaluation") for _ in range(n_calls)])
            found = run(
                self._calls(groups, shown, parts, unseen),
                threads=all(e.releases_gil for group in groups for _, e in group.members),
                n_jobs=search.n_jobs,
                verbose=search.verbose,
                pre_dispatch=search.pre_dispatch,
            )
        before = earlier or [[] for _ in batch.candidates]
        answers = [[*old, *new] for old, new in zip(before, batch.answers, strict=True)]
        for one in (*found, *unseen):
            answers[one.candidate].append(one)
        # A piece in which nothing can be predicted says nothing, if there are others.
        answers = [[a for a in per if not a.is_blind] or per for per in answers]
        self.results.add(batch.candidates, answers, shown.n_columns, **more)
        return answers

    def _calls(
        self, groups: list[Group], shown: Round, parts: Iterator[Task], unseen: list[Answer]
    ) -> Iterator:
        """Yield the tasks of joblib; a view is made once, when its first task is due."""
        error_score, memory = self._search.error_score, self._memory
        for group in groups:
            asks = []
            for i, estimator in group.members:
                ask: Callable = partial(answer, i, estimator, self.loss, error_score)
                if memory is not None:
                    ask = Remembered(memory, key_of(estimator, self.loss), i, ask)
                asks.append(portable(ask))
            views = shown.views(group)
            while True:
                try:
                    view = next(views, None)
                except Exception as error:
                    if error_score == "raise":
                        raise
                    unseen.extend(failed(i, error) for i, _ in group.members)
                    break
                if view is None:
                    break
                args = (view,) if memory is None else (view, key_of(view))
                for ask in asks:
                    yield task(ask, next(parts, Task(None)), *args)
