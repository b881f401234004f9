"""The search by successive halving: candidates race on pieces of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from math import ceil, inf, prod
from numbers import Integral, Real

import numpy as np
from scipy import stats
from sklearn.model_selection import ParameterGrid
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from ._evaluation import Answer, losses_of
from ._grouping import Group
from .search import BaseSelfSupervisedSearch
from .views import Piece, View

__all__ = ["SelfSupervisedHalvingSearchCV"]

#: Entries of the inside of a piece, if the data allow.
_INSIDE = 2**14

#: Pieces that the data are divided into, at least, if margins allow.
_FEWEST_PIECES = 16

#: Pieces that are shown in the first iteration, and at most, unless the user says otherwise.
_FIRST, _LAST = 8, 128

#: The margin for a denoiser that does not say how far it looks.
_MARGIN = 32

#: A candidate is out if it is worse than the best with this confidence.
_CONFIDENCE = 0.99

#: Blocks along each axis, as units of comparison, where a view is of the whole array.
_BLOCKS = 4

#: Columns of the table of results that the pieces are gathered in.
_COLUMNS = 4


class _Course:
    """The pieces of the data, in the order in which candidates are shown them.

    Parameters
    ----------
    groups : list of Group
        The candidates, by the views that they see.
    margin : int, "auto" or None
        The margin around the pieces; None shows the whole array, with one set hidden.
    random_state : int, RandomState or None
        Decides on the order.

    Attributes
    ----------
    n_entries : float
        How many entries are scored at each place of the course, on average.
    length : int
        How many places there are.
    margin : int or None
        The margin that was taken.
    """

    def __init__(self, groups: list[Group], margin, random_state):
        plan, X = groups[0].plan, groups[0].X
        if any(group.X.shape != X.shape for group in groups):
            raise ValueError(
                "The candidates see data of different shapes, on which they cannot race: use "
                "SelfSupervisedSearchCV."
            )
        self.is_masked = not all(group.plan.is_single for group in groups)
        self.margin = _common_margin(groups, X.ndim) if margin == "auto" else margin
        if self.is_masked and not all(group.plan.partition.divides_pieces for group in groups):
            self.margin = None
        rng = check_random_state(random_state)
        if self.margin is None:
            whole = (slice(None),) * X.ndim
            core = tuple(slice(0, n) for n in X.shape)
            pieces = [Piece(whole, core, _BLOCKS)]
        else:
            items = getattr(groups[0].members[0][1], "batch_axis", None)
            items = None if items is None else items % X.ndim
            pieces = list(_pieces(X.shape, plan.axes, items, self.margin))
            rng.shuffle(pieces)
            pieces = [p for p in pieces if not np.isnan(X[p.outer][p.core]).all()]
        self._pieces = pieces
        self._n_sets = 1
        if self.is_masked:
            self._n_sets = min(group.plan.get_n_splits(X) for group in groups)
        self._offset = rng.randint(self._n_sets, size=len(pieces))
        inside = np.mean([prod(s.stop - s.start for s in p.core) for p in pieces])
        self.n_entries = float(inside) / self._n_sets
        self.length = len(pieces) * self._n_sets

    def views(self, group: Group, start: int, stop: int) -> Iterator[View]:
        """Make the views of a group at some places of the course.

        Parameters
        ----------
        group : Group
            The candidates.
        start, stop : int
            The first place, and the one after the last.

        Yields
        ------
        View
            The views.
        """
        blocks = _BLOCKS**group.X.ndim
        for place in range(start, stop):
            turn, k = divmod(place, len(self._pieces))
            piece, index = self._pieces[k], None
            if self.is_masked:
                n_sets = group.plan.get_n_splits(group.X[piece.outer])
                index = (turn + int(self._offset[k])) % min(n_sets, self._n_sets)
            yield group.plan.view_of_piece(group.X, piece, index, place * blocks)


def _common_margin(groups: list[Group], ndim: int) -> int | None:
    """Return how far the candidates look, or None if one of them looks at everything."""
    margin = 0.0
    for group in groups:
        for _, estimator in group.members:
            reach = estimator.reach(ndim)
            margin = max(margin, *((_MARGIN,) if reach is None else reach.distance))
    return None if margin == inf else ceil(margin)


def _pieces(shape, axes, items, margin: int) -> Iterator[Piece]:
    """Divide an array into pieces of about the same size, with margins."""
    lengths = {a: shape[a] for a in axes}
    side = max(1, round(_INSIDE ** (1 / max(1, sum(n > 1 for n in lengths.values())))))
    parts = {a: max(1, round(n / side)) for a, n in lengths.items()}
    while prod(parts.values()) * (1 if items is None else shape[items]) < _FEWEST_PIECES:
        widths = {a: n // parts[a] for a, n in lengths.items()}
        axis = max(widths, key=lambda a: widths[a])
        if widths[axis] < 2 * max(2 * margin, 8):
            break
        parts[axis] *= 2
    if items is not None:
        inside = prod(n // parts[a] for a, n in lengths.items())
        parts[items] = max(1, ceil(shape[items] * inside / _INSIDE))
        parts[items] = min(shape[items], max(parts[items], _FEWEST_PIECES))
    edges = [np.linspace(0, n, parts.get(a, 1) + 1).astype(int) for a, n in enumerate(shape)]
    for place in product(*(range(len(e) - 1) for e in edges)):
        outer, core = [], []
        for axis, k in enumerate(place):
            start, stop = int(edges[axis][k]), int(edges[axis][k + 1])
            wide = margin if axis in axes else 0
            first = max(0, start - wide)
            outer.append(slice(first, min(shape[axis], stop + wide)))
            core.append(slice(start - first, stop - first))
        yield Piece(tuple(outer), tuple(core))


class SelfSupervisedHalvingSearchCV(BaseSelfSupervisedSearch):
    """Search by the self-supervised loss that soon drops what is clearly worse.

    All candidates are compared on a few small pieces of the data, spread over them; the
    better ones on more pieces, and so on, until one is left or the resources are used up.
    The candidates see the same entries hidden, so that their losses differ by little else
    than their quality: a candidate is dropped when its loss exceeds that of the best with a
    confidence of 99 %, by the differences on all pieces so far; what is tied goes on.

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
        pieces: the price of the search does not grow with the data beyond that.
    aggressive_elimination : bool, default=False
        Whether no more than one in `factor` candidates goes on, whether tied or not.
    margin : int, "auto" or None, default="auto"
        How many entries around a piece are shown to the denoisers, which answer for the
        piece. "auto" is as far as the candidates look (`sk_n2s.denoisers.reach_of`), and 32
        for functions that do not say it. None shows the whole data, with a different set
        of the partition hidden each time; so does "auto" if one of the candidates looks at
        everything, or if the partition does not divide pieces.
    scoring, n_jobs, refit, verbose, pre_dispatch, error_score
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
        )
        self.param_grid = param_grid
        self.factor = factor
        self.min_resources = min_resources
        self.max_resources = max_resources
        self.aggressive_elimination = aggressive_elimination
        self.margin = margin
        self.random_state = random_state

    def _run_search(self, evaluate):
        course: _Course | None = None
        seen, target, most = 0, 0, 0

        def plan(groups: list[Group]) -> Callable[[Group], Iterator[View]]:
            nonlocal course, target, most
            if course is None and groups:
                course = _Course(groups, self.margin, self.random_state)
                most = self._places(self.max_resources, _LAST, course)
                target = min(most, self._places(self.min_resources, _FIRST, course))
            n_resources.append(0 if course is None else round(target * course.n_entries))
            more["n_resources"] += [n_resources[-1]] * len(candidates)
            here, start, stop = course, seen, target
            return lambda group: iter(()) if here is None else here.views(group, start, stop)

        candidates = list(ParameterGrid(self.param_grid))
        rows: list[int] | None = None
        more: dict[str, list] = {"iter": [], "n_resources": []}
        n_candidates: list[int] = []
        n_resources: list[int] = []
        while True:
            first = len(more["iter"])
            more["iter"] += [len(n_candidates)] * len(candidates)
            n_candidates.append(len(candidates))
            _, answers = evaluate(candidates, plan, rows, _COLUMNS, more)
            kept = _tied_with_the_best(answers)
            if self.aggressive_elimination:
                kept = kept[: max(1, ceil(len(candidates) / self.factor))]
            if course is None or len(kept) < 2 or target >= most:
                break
            kept.sort()
            rows = [first + k for k in kept]
            candidates = [candidates[k] for k in kept]
            seen, target = target, min(most, ceil(target * self.factor))
        self._outcome = {
            "n_resources_": n_resources,
            "n_candidates_": n_candidates,
            "n_remaining_candidates_": len(kept),
            "n_iterations_": len(n_candidates),
            "min_resources_": n_resources[0],
            "max_resources_": 0 if course is None else round(most * course.n_entries),
            "margin_": None if course is None else course.margin,
        }

    @staticmethod
    def _places(resources, places: int, course: _Course) -> int:
        """Return resources as a number of places of the course."""
        if resources != "auto":
            places = max(1, round(resources / course.n_entries))
        return min(places, course.length)

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


def _tied_with_the_best(answers: list[list[Answer]]) -> list[int]:
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
    best, *others = order
    return [best, *(i for i in others if not _is_worse(found[i], found[best]))]


def _is_worse(losses: dict, best: dict) -> bool:
    """Return whether losses are larger, by the differences of what both have scored."""
    common = [unit for unit, (_, n) in losses.items() if n and best.get(unit, (0, 0))[1]]
    if len(common) < 2:
        return False
    own, other = (np.array([side[u] for u in common]) for side in (losses, best))
    weight = own[:, 1] / own[:, 1].sum()
    difference = own[:, 0] / own[:, 1] - other[:, 0] / other[:, 1]
    mean = float(weight @ difference)
    scatter = np.sum((weight * (difference - mean)) ** 2)
    error = float(np.sqrt(scatter * len(common) / (len(common) - 1)))
    return mean > stats.t.ppf(_CONFIDENCE, len(common) - 1) * error
