"""The search by successive halving: candidates race on pieces of the data."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from numbers import Integral, Real

import numpy as np
from scipy import stats
from sklearn.model_selection import ParameterGrid
from sklearn.utils._param_validation import Interval, StrOptions

from ._base import BaseSelfSupervisedSearch
from ._candidates import Group
from ._evaluation import Answer, losses_of
from ._resources import Course, PiecesRound

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
        estimator,
        param_grid,
        *,
        factor=3,
        min_resources="auto",
        max_resources="auto",
        aggressive_elimination=False,
        margin="auto",
        scoring=None,
        n_jobs=None,
        refit=True,
        verbose=0,
        pre_dispatch="2*n_jobs",
        error_score=np.nan,
        memory=None,
        random_state=0,
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

    def _run_search(self, evaluate):
        more: dict[str, list] = {"iter": [], "n_resources": []}
        n_candidates: list[int] = []
        n_resources: list[int] = []

        def compare(candidates: list[dict], make: Callable, rows: list[int] | None = None):
            """Evaluate candidates, in an iteration of their own."""

            def plan(groups: list[Group]) -> PiecesRound:
                this = make(groups)
                n_resources.append(this.n_entries)
                more["n_resources"] += [this.n_entries] * len(candidates)
                return this

            more["iter"] += [len(n_candidates)] * len(candidates)
            n_candidates.append(len(candidates))
            return evaluate(candidates, plan, rows, more)[1]

        course: Course | None = None
        seen, target = 0, 0

        def next_pieces(groups: list[Group]) -> PiecesRound:
            nonlocal course, target
            if course is None and groups:
                limits = {"max_places": _LAST, "max_resources": self.max_resources}
                course = Course(groups, self.margin, self.random_state, **limits)
                target = course.places(self.min_resources, _FIRST)
            return PiecesRound(course, seen, target)

        def all_data(groups: list[Group]) -> PiecesRound:
            return PiecesRound(Course(groups, None, self.random_state, max_places=1), 0, 1)

        candidates = list(ParameterGrid(self.param_grid))
        rows, fewest = None, 1
        while True:
            first = len(more["iter"])
            answers = compare(candidates, next_pieces, rows)
            if course is not None and self._has_final(course):
                fewest = _FINALISTS
            kept = _tied_with_the_best(answers, fewest)
            if self.aggressive_elimination:
                kept = kept[: max(fewest, ceil(len(candidates) / self.factor))]
            if course is None or len(kept) <= fewest or target >= course.length:
                break
            kept.sort()
            rows = [first + k for k in kept]
            candidates = [candidates[k] for k in kept]
            seen, target = target, min(course.length, ceil(target * self.factor))
        if fewest > 1 and len(kept) > 1:
            finalists = [candidates[k] for k in sorted(kept[:fewest])]
            kept = _tied_with_the_best(compare(finalists, all_data), 1)
        self._outcome = {
            "n_resources_": n_resources,
            "n_candidates_": n_candidates,
            "n_remaining_candidates_": len(kept),
            "n_iterations_": len(n_candidates),
            "min_resources_": n_resources[0],
            "max_resources_": max(n_resources[-1], 0 if course is None else course.max_entries),
            "margin_": None if course is None else course.margin,
        }

    def _has_final(self, course: Course) -> bool:
        """Return whether the best are compared on all of the data in the end."""
        return self.max_resources == "auto" and not (course.is_trusted or course.is_lazy)

    def _best_index(self, results):
        last = np.flatnonzero(results["iter"] == results["iter"].max())
        return int(last[np.argmin(results["rank_test_score"][last])])

    def fit(self, X, y=None):  # noqa: D102
        try:
            super().fit(X, y)
            self.__dict__.update(self._outcome)
        finally:
            self.__dict__.pop("_outcome", None)
        return self


def _tied_with_the_best(answers: list[list[Answer]], fewest: int) -> list[int]:
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
