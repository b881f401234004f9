"""Which candidates of a search share their views."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from sklearn.pipeline import Pipeline

from .._utils.base import BaseDenoiser
from .._utils.lazy import as_float_data
from .._utils.readable import readable
from ..masking.partitions import Partition
from ..masking.views import ViewPlan
from ..noise.model import NoiseModel, check_noise
from ..risk.noise_level import noise_of

__all__ = ["Group", "Grouping", "NotSearchable"]


class NotSearchable(TypeError):
    """The estimator hides no entries, so that it cannot be scored without clean data."""

    @classmethod
    def of(cls, estimator: Any) -> NotSearchable:
        """Return the error for an estimator that is none of the package's."""
        return cls(
            f"estimator={readable(estimator)} cannot be scored without clean data: search over "
            "JInvariantWrapper(...), or over a Pipeline that ends in one."
        )


class Group(NamedTuple):
    """Candidates that see the same views.

    Attributes
    ----------
    plan : ViewPlan
        How the entries are hidden.
    X : ndarray or dask array
        The data that the candidates see.
    members : list of (int, estimator)
        The candidates' numbers, and what answers for them.
    """

    plan: ViewPlan
    X: Any
    members: list[tuple[int, BaseDenoiser]]


class Grouping:
    """Candidates, sorted by the views that they see.

    Parameters
    ----------
    X : array-like
        The noisy data, as the user gave them.
    array : ndarray or dask array of float
        The same, as those see them who are in no pipeline.
    score_output : bool or None, default=False
        Whether the output of a candidate is scored, or its J-invariant prediction; None
        leaves it to the candidate.

    Attributes
    ----------
    groups : list of Group
        The groups, in the order of their first candidates.
    """

    def __init__(self, X: Any, array: Any, score_output: bool | None = False):
        self.X = X
        self.score_output = score_output
        self.groups: list[Group] = []
        self._heads: list[tuple[str, dict, Any]] = []
        self._arrays: list[tuple[Any, Any]] = [(X, array)]
        self._noises: list[tuple[Any, tuple, NoiseModel]] = []
        self._masked: list[tuple[Any, np.ndarray]] = []
        self._drawn: list[tuple[Partition, Partition]] = []

    def clear(self) -> None:
        """Forget the candidates; what was learnt from the data stays."""
        self.groups = []

    def add(self, number: int, estimator: Any, params: dict) -> None:
        """Add a candidate."""
        denoiser, X = self._behind_head(estimator, params)
        X = self._within_mask(denoiser, X)
        plan = denoiser.view_plan(X)
        plan = replace(plan, partition=self._drawn_once(plan.partition))
        if self._scores_output(denoiser):
            plan = replace(plan, noise=self._noise_of(denoiser, X))
        for group in self.groups:
            if group.X is X and _equal(group.plan, plan):
                break
        else:
            group = Group(plan, X, [])
            self.groups.append(group)
        group.members.append((number, denoiser))

    def check_same_noise(self) -> None:
        """Refuse candidates that assume different noise: their outputs are scored by it."""
        scored = [group for group in self.groups if group.plan.noise is not None]
        for group in scored:
            noise = group.plan.noise
            first = next(other.plan.noise for other in scored if other.X is group.X)
            if noise != first:
                raise ValueError(
                    f"Candidates whose outputs are scored assume different noise ({first}, and "
                    f"{noise}), and the one that assumes the least would win: set noise in the "
                    "estimator, to one value for all, and leave it out of the search."
                )

    def _drawn_once(self, partition: Partition) -> Partition:
        """Return the same sets for equal partitions, so that all candidates are scored alike."""
        for given, drawn in self._drawn:
            if given is partition or _equal(given, partition):
                return drawn
        self._drawn.append((partition, partition.drawn()))
        return self._drawn[-1][1]

    def _behind_head(self, estimator: Any, params: dict) -> tuple[BaseDenoiser, Any]:
        """Return what makes the views, and the data that it sees."""
        X, path = self.X, ""  # as the user gave it: a pipeline may want a table, or integers
        while isinstance(estimator, Pipeline):
            head, (name, last) = estimator[:-1], estimator.steps[-1]
            path += name
            inside = f"{path}__"
            settings = {k: v for k, v in params.items() if k != path and not k.startswith(inside)}
            fitted = (
                data
                for place, agreed, data in self._heads
                if place == path and _identical(agreed, settings)
            )
            data = next(fitted, None)
            if data is None:
                data = head.fit_transform(deepcopy(X)) if len(head) else X
                self._heads.append((path, settings, data))
            estimator, X, path = last, data, inside
        if not isinstance(estimator, BaseDenoiser):
            raise NotSearchable.of(estimator)
        if type(estimator).view_plan is BaseDenoiser.view_plan:  # which refuses
            raise NotSearchable(
                f"estimator={readable(estimator)} chooses by itself and hides no entries, so that "
                "it cannot be a candidate of a search: search over JInvariantWrapper(...)."
            )
        return estimator, self._as_array(X)

    def _scores_output(self, denoiser: BaseDenoiser) -> bool:
        """Return whether the output of a candidate is scored, rather than its prediction."""
        if self.score_output is None:
            return denoiser.scores_output
        # The score of an invariant output is that of the prediction, set by set.
        return self.score_output and not denoiser.is_j_invariant

    def _noise_of(self, denoiser: BaseDenoiser, X: Any) -> NoiseModel:
        """Return the noise, estimated once for the same data."""
        axes = denoiser.axes(X.ndim)
        if denoiser.noise is not None:
            return check_noise(denoiser.noise, X)
        for data, agreed, noise in self._noises:
            if data is X and agreed == axes:
                return noise
        self._noises.append((X, axes, noise_of(None, X, axes)))
        return self._noises[-1][2]

    def _within_mask(self, denoiser: BaseDenoiser, X: Any) -> Any:
        """Return what a candidate works on: the same array for the same mask."""
        shown = denoiser.shown(X)
        if shown is X:
            return X
        for data, known in self._masked:
            if data is X and np.array_equal(np.isnan(known), np.isnan(shown)):
                return known
        self._masked.append((X, shown))
        return shown

    def _as_array(self, X: Any) -> Any:
        """Return the same array for the same data, so that candidates can share views of it."""
        for data, array in self._arrays:
            if data is X:
                return array
        self._arrays.append((X, as_float_data(X, accept_sparse=True)))
        return self._arrays[-1][1]


def _identical(a: dict, b: dict) -> bool:
    """Return whether two candidates of a grid have the very same values."""
    return a.keys() == b.keys() and all(a[k] is b[k] for k in a)


def _equal(a: Any, b: Any) -> bool:
    """Return whether two plans or partitions are equal, as far as they can tell."""
    try:
        return bool(a == b)
    except Exception:  # they hold arrays, or what a user wrote, and do not compare to a truth
        return False
