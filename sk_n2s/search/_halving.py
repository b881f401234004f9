"""The search by successive halving: candidates race on pieces of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import ceil
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy import stats
from sklearn.model_selection import ParameterGrid
from sklearn.utils._param_validation import Interval, StrOptions

from ._base import BaseSelfSupervisedSearch
from ._evaluator import Batch, Evaluator
from ._resources import Course, PiecesRound
from ._results import Answers, losses_of

__all__ = ["SelfSupervisedHalvingSearchCV"]

#: Pieces that are shown in the first iteration, and at most, unless the user says otherwise.
_FIRST, _LAST = 8, 128

#: Candidates that are compared on all of the data, where pieces may mislead.
_FINALISTS = 4

#: A candidate is out if it is worse than the best with this confidence.
_CONFIDENCE = 0.975


class SelfSupervisedHalvingSearchCV(BaseSelfSupervisedSearch):
    """Search by the self-supervised loss that soon drops what is clearly worse.

    All candidates are compared on a few small pieces of the data, spread over them; the
    better ones on more pieces, and so on, until one is left or the resources are used up.
    The candidates see the same entries hidden, so that their losses differ by little else
    than their quality: a candidate is dropped when its loss exceeds that of the best with a
    confidence of 97.5 %, by the differences on all pieces so far; what is tied goes on.

    Pieces may mislead where a candidate does not say how far it looks. The best four are
    then compared in one last iteration on all of the data, with one set of the partition
    hidden.

    Parameters
    ----------
    estimator : JInvariantWrapper or Pipeline
        What is calibrated, as for `SelfSupervisedSearchCV`.
    param_grid : dict or list of dict
        Parameter names and the values to try.
    factor : float, default=3
        By how much the resources grow from one iteration to the next; with
        `aggressive_elimination`, also the share of candidates that is dropped.
    min_resources : int or "auto", default="auto"
        How many entries are scored in the first iteration. "auto" means those of 8 pieces.
    max_resources : int or "auto", default="auto"
        How many entries are scored of a candidate at most. "auto" means those of 128
        pieces, and a last iteration on all of the data where pieces may mislead: without it,
        the price of the search does not grow with the data. A number leaves that out, and
        so does a dask array.
    aggressive_elimination : bool, default=False
        Whether no more than one in `factor` candidates goes on, whether tied or not.
    margin : int, "auto" or None, default="auto"
        How many entries around a piece are shown to the denoisers, which answer for the
        piece. "auto" is as far as the candidates look (`sk_n2s.denoisers.reach_of`), and 32
        for functions that do not say it. None shows the whole data, with a different set
        of the partition hidden each time; so does "auto" if one of the candidates looks at
        everything, or if the partition does not divide pieces.
    scoring, n_jobs, refit, verbose, pre_dispatch, error_score, memory
        As for `SelfSupervisedSearchCV`.
    random_state : int, RandomState instance or None, default=0
        Decides which pieces come first.

    Attributes
    ----------
    n_resources_ : list of int
        How many entries were scored of each candidate, up to each iteration.
    n_candidates_ : list of int
        How many candidates took part in each iteration.
    n_remaining_candidates_ : int
        How many are left after the last one.
    n_iterations_ : int
        The number of iterations.
    min_resources_, max_resources_ : int
        The resources, in entries.
    margin_ : int or None
        The margin that was taken.
    cv_results_ : dict of arrays
        As for `SelfSupervisedSearchCV`, with a row for each candidate of each iteration,
        and the columns ``iter`` and ``n_resources``. The pieces are gathered in four
        splits; the scores of a row are of all pieces up to its iteration.
    best_index_, best_params_, best_score_, best_estimator_
        The best of the last iteration. The other attributes are those of
        `SelfSupervisedSearchCV`.

    References
    ----------
    .. [1] K. Jamieson and A. Talwalkar, "Non-stochastic best arm identification and
       hyperparameter optimization", AISTATS 2016, PMLR 51:240-248. :arxiv:`1502.07943`
    .. [2] J. Batson and L. Royer, "Noise2Self: Blind Denoising by Self-Supervision",
       ICML 2019, PMLR 97:524-533. :arxiv:`1901.11365`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s import JInvariantWrapper, SelfSupervisedHalvingSearchCV
    >>> from sk_n2s.denoisers import gaussian
    >>> rng = np.random.default_rng(0)
    >>> clean = np.sin(np.linspace(0, 2000, 200_000))
    >>> noisy = clean + 0.3 * rng.normal(size=clean.shape)
    >>> grid = {"sigma": [0.5, 2.0, 8.0, 32.0, 128.0]}
    >>> search = SelfSupervisedHalvingSearchCV(JInvariantWrapper(gaussian), grid).fit(noisy)
    >>> search.best_params_
    {'sigma': 32.0}
    """

    _parameter_constraints: dict = {
        **BaseSelfSupervisedSearch._parameter_constraints,
        "param_grid": [dict, list, tuple],
        "factor": [Interval(Real, 1, None, closed="neither")],
        "min_resources": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "max_resources": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "aggressive_elimination": ["boolean"],
        "margin": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"}), None],
        "random_state": ["random_state"],
    }
    _parameter_constraints.pop("n_splits")

    def __init__(
        self,
        estimator: Any,
        param_grid: Any,
        *,
        factor: float = 3,
        min_resources: int | str = "auto",
        max_resources: int | str = "auto",
        aggressive_elimination: bool = False,
        margin: int | str | None = "auto",
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: bool | Callable = True,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        error_score: float | str = np.nan,
        memory: Any = None,
        random_state: Any = 0,
    ):
        super().__init__(
            estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            memory=memory,
        )
        self.param_grid = param_grid
        self.factor = factor
        self.min_resources = min_resources
        self.max_resources = max_resources
        self.aggressive_elimination = aggressive_elimination
        self.margin = margin
        self.random_state = random_state

    def _candidates(self) -> Iterable[dict]:
        return ParameterGrid(self.param_grid)

    def _run_search(self, evaluator: Evaluator) -> dict[str, Any]:
        batch = evaluator.gather(self._listed())
        course = Course(batch.groups, self.margin, self.random_state, _LAST, self.max_resources)
        fewest = _FINALISTS if self._has_final(course) else 1
        seen, target = 0, course.places(self.min_resources, _FIRST)
        earlier: Answers | None = None
        race = _Race(evaluator)
        while True:
            answers = race.run(batch, PiecesRound(course, seen, target), earlier)
            kept = _tied_with_the_best(answers, fewest)
            if self.aggressive_elimination:
                kept = kept[: max(fewest, ceil(len(answers) / self.factor))]
            if len(kept) <= fewest or target >= course.length:
                break
            kept.sort()
            earlier = [answers[k] for k in kept]
            batch = evaluator.gather([batch.candidates[k] for k in kept])
            seen, target = target, min(course.length, ceil(target * self.factor))
        if fewest > 1 and len(kept) > 1:
            batch = evaluator.gather([batch.candidates[k] for k in sorted(kept[:fewest])])
            whole = Course(batch.groups, None, self.random_state, max_places=1)
            kept = _tied_with_the_best(race.run(batch, PiecesRound(whole, 0, 1)), 1)
        return {
            "n_resources_": race.n_resources,
            "n_candidates_": race.n_candidates,
            "n_remaining_candidates_": len(kept),
            "n_iterations_": len(race.n_candidates),
            "min_resources_": race.n_resources[0],
            "max_resources_": max(race.n_resources[-1], course.max_entries),
            "margin_": course.margin,
        }

    def _has_final(self, course: Course) -> bool:
        """Return whether the best are compared on all of the data in the end."""
        return self.max_resources == "auto" and not (course.is_trusted or course.is_lazy)

    def _best_index(self, results: dict) -> int:
        last = np.flatnonzero(results["iter"] == results["iter"].max())
        return int(last[np.argmin(results["rank_test_score"][last])])


class _Race:
    """The iterations of a race, and what is told of them."""

    def __init__(self, evaluator: Evaluator):
        self._evaluator = evaluator
        self.n_candidates: list[int] = []
        self.n_resources: list[int] = []

    def run(self, batch: Batch, shown: PiecesRound, earlier: Answers | None = None) -> Answers:
        """Evaluate candidates, in an iteration of their own."""
        about = {"iter": len(self.n_candidates), "n_resources": shown.n_entries}
        self.n_candidates.append(len(batch.candidates))
        self.n_resources.append(shown.n_entries)
        return self._evaluator.evaluate(batch, shown, earlier, **about)


def _tied_with_the_best(answers: Answers, fewest: int) -> list[int]:
    """Return the candidates that are not worse than the best beyond doubt, the best first."""
    found = {i: losses_of(per) for i, per in enumerate(answers) if not any(a.failure for a in per)}
    means = {}
    for i, losses in found.items():
        count = sum(n for _, n in losses.values())
        if count:
            means[i] = sum(total for total, _ in losses.values()) / count
    order = sorted(means, key=lambda i: means[i])
    if not order:
        return []
    best = order[0]
    return [i for k, i in enumerate(order) if k < fewest or not _is_worse(found[i], found[best])]


def _is_worse(losses: dict, best: dict) -> bool:
    """Return whether losses are larger, by the differences of what both have scored.

    The units are a systematic sample of pieces in the order of their contents; the error of
    its mean is taken from the differences of successive ones [1]_.

    References
    ----------
    .. [1] K. M. Wolter, "Introduction to Variance Estimation", 2nd ed., Springer, 2007,
       section 8.2, estimator v2.
    """
    common = [u for u, (_, n) in sorted(losses.items()) if n and best.get(u, (0, 0))[1]]
    count = len(common)
    if count < 2:
        return False
    own, other = (np.array([side[u] for u in common]) for side in (losses, best))
    weight = own[:, 1] / own[:, 1].sum()
    difference = own[:, 0] / own[:, 1] - other[:, 0] / other[:, 1]
    mean = float(weight @ difference)
    steps = np.diff(weight * count * (difference - mean))
    error = float(np.sqrt(np.sum(steps**2) / (2 * count * (count - 1))))
    return mean > stats.t.ppf(_CONFIDENCE, count - 1) * error
