"""The test that an estimator keeps its promise: no prediction depends on what it predicts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

from .._utils.arrays import as_float_array
from .._utils.base import BaseDenoiser
from ..masking.partitions import Partition
from ..masking.views import ViewPlan

__all__ = ["check_j_invariance"]


@dataclass(frozen=True, repr=False)
class _Drawn(Partition):
    """The sets of a partition that may draw others at its next call."""

    origin: Partition
    sets: tuple

    def __repr__(self) -> str:
        return repr(self.origin)  # which is what the user knows

    def get_n_splits(self, X: Any, axes: tuple[int, ...] | None = None) -> int:
        return len(self.sets)

    def split(self, X: Any, axes: tuple[int, ...] | None = None) -> Iterator[tuple[Any, Any]]:
        yield from self.sets

    def stand_in(self, X: Any, hidden: Any) -> Any:
        return self.origin.stand_in(X, hidden)


def check_j_invariance(
    estimator: Any, X: Any, random_state: Any = None, *, n_sets: int = 4
) -> None:
    """Check that no prediction depends on the entry that it predicts.

    Entries are hidden from the estimator's point of view by changing them: a set J of its
    partition, or a single entry for an exact form, gets new random values, and the
    J-invariant prediction at J must not move.

    Parameters
    ----------
    estimator : JInvariantWrapper or RegressionDenoiser
        The estimator, which need not be fitted.
    X : array-like
        The data to check it on.
    random_state : int, RandomState instance or None, default=None
        Chooses the sets and the new values.
    n_sets : int, default=4
        How many sets to try; for an exact form, four single entries for each: on
        the border, next to it, and inside.

    Raises
    ------
    AssertionError
        If a prediction moves by more than rounding explains: by more than 1e-8 of the
        largest value, in float64; or if predictions depend on what was shown before.
    TypeError
        If `estimator` does not hide entries.

    Notes
    -----
    Each set costs one call of `transform`, and three more are made: on other data first, which
    a denoiser with a memory would give away later, and on the unchanged data twice, which must
    agree: what is random in the estimator needs a seed.

    A denoiser gets a fresh copy of its own state for each view (see
    `sk_n2s.masking.isolation`). State that it keeps elsewhere, in a class, in a file, in
    compiled code, is found here if it shows in these calls, and is not seen otherwise.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s import JInvariantWrapper, check_j_invariance
    >>> from sk_n2s.denoisers import tv
    >>> X = np.random.default_rng(0).normal(size=(16, 16))
    >>> check_j_invariance(JInvariantWrapper(tv), X, random_state=0)
    """
    if not isinstance(estimator, BaseDenoiser):
        raise TypeError(f"estimator={estimator!r} must be a JInvariantWrapper.")
    if n_sets < 1:
        raise ValueError(f"n_sets={n_sets!r} must be at least 1.")
    rng = check_random_state(random_state)
    X = as_float_array(X).astype(np.float64)  # in which a small leak is no rounding
    plan = estimator.view_plan(X)
    blind = clone(estimator)
    if "output" in blind.get_params(deep=False):  # others have the invariant output only
        blind.set_params(output="invariant")
    sets = _sets_to_change(plan, blind, X, n_sets, rng)
    pools = _new_values(X)
    allowed = 1e-8 * float(np.abs(pools[0]).max())

    def predict(shown: np.ndarray) -> np.ndarray:
        return np.asarray(blind.fit(shown)._denoise(shown))

    def change(hidden: Any, pool: np.ndarray) -> np.ndarray:
        changed = X.copy()
        new = rng.choice(pool, size=X[hidden].shape)
        changed[hidden] = np.where(np.isnan(X[hidden]), np.nan, new)
        return changed

    # Mirrored: within the range of the data, and changed as much as can be.
    other = predict(pools[0].sum() - X)
    before = predict(X)
    if np.array_equal(other, before) and np.ptp(before) > allowed:
        raise AssertionError(
            f"{estimator!r} gives the same predictions for other data: it remembers what it was "
            "shown, and its loss cannot be trusted."
        )
    for k, (hidden, scored) in enumerate(sets):
        moved = _distance(predict(change(hidden, pools[k % 2]))[scored], before[scored])
        if not moved <= allowed:
            raise AssertionError(
                f"{estimator!r} is not J-invariant: when hidden entries were changed, their own "
                f"predictions moved by up to {moved:.3g}. Its fill, exact form or reach must use "
                "other entries only, and its denoiser must keep nothing from call to call."
            )
    moved = _distance(predict(X), before)
    if not moved <= allowed:
        raise AssertionError(
            f"{estimator!r} predicts the same data differently when it is asked again, by up to "
            f"{moved:.3g}: it has a memory, or is random and needs a seed."
        )


def _sets_to_change(
    plan: ViewPlan, blind: Any, X: np.ndarray, n_sets: int, rng: np.random.RandomState
) -> list[tuple[Any, Any]]:
    """Draw sets of the partition, or entries, as what is hidden and what must not move."""
    if plan.exact:
        return [(entry, entry) for entry in _single_entries(X.shape, 4 * n_sets, rng)]
    if "partition" not in blind.get_params(deep=False):
        raise TypeError(
            f"estimator={blind!r} hides sets that cannot be set from outside: check_j_invariance "
            "takes a JInvariantWrapper or a RegressionDenoiser."
        )
    drawn = _Drawn(plan.partition, tuple(plan.partition.split(X, plan.axes)))
    blind.set_params(partition=drawn)
    return [drawn.sets[i] for i in rng.permutation(len(drawn.sets))[:n_sets]]


def _new_values(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what new values are drawn from, in turn: the extremes of the data, and the data.

    Counts stay counts, and the extremes show what an outlier would hide.
    """
    known = X[~np.isnan(X)]
    extremes = np.array([known.min(), known.max()])
    if extremes[0] == extremes[1]:
        return (extremes + np.array([-1, 1]),) * 2
    return extremes, known


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.max(np.abs(a - b), initial=0))


def _single_entries(
    shape: tuple[int, ...], n_entries: int, rng: np.random.RandomState
) -> Iterator[tuple[slice, ...]]:
    """Draw single entries, most of them in the corners and near them: leaks live at borders."""
    for k in range(n_entries):
        depth = k // 2 % 3
        if k % 4 == 3:
            entry = [int(rng.randint(n)) for n in shape]
        elif k % 2:
            entry = [min(depth, n - 1) for n in shape]
        else:
            entry = [max(n - 1 - depth, 0) for n in shape]
        yield tuple(slice(i, i + 1) for i in entry)
