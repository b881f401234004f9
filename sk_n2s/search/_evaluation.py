"""What a search does with one candidate and one view."""

from __future__ import annotations

import time
from collections.abc import Iterator
from math import prod
from typing import NamedTuple

import numpy as np
from scipy import sparse

from .._utils.base import BaseDenoiser
from .._utils.readable import readable
from ..losses import Loss, cross_validated_error, is_entrywise
from ..masking.views import NothingVisible, View

__all__ = ["Answer", "answer", "failed"]

#: Entries that are compared at a time, where they need not be all: larger arrays, new for each
#: candidate, would take longer to get from the system than an exact form takes.
_BLOCK = 2**17

#: With a divergence per entry beyond this, generalised cross-validation divides 0 by 0.
_MOST_FREEDOM = 0.99


class Answer(NamedTuple):
    """What one candidate makes of one view.

    Attributes
    ----------
    candidate : int
        The candidate's number.
    losses : dict
        For each scored set, the sum of the losses of its entries and their number.
    fit_time, score_time : float
        Seconds that the denoiser and the comparison took.
    failure : str or None
        The error in a line.
    is_blind : bool
        Whether it failed since the view shows no measurement to predict another one from.
    """

    candidate: int
    losses: dict[int, tuple[float, int]]
    fit_time: float
    score_time: float
    failure: str | None = None
    is_blind: bool = False


def answer(
    candidate: int, estimator: BaseDenoiser, loss: Loss, error_score: float | str, view: View
) -> Answer:
    """Evaluate a candidate on a view: the unit of work that joblib distributes."""
    start = time.perf_counter()
    middle = None
    losses: dict[int, tuple[float, int]] = {}
    failure, is_blind = None, False
    try:
        prediction, divergence = _asked(estimator, view)
        middle = time.perf_counter()
        losses = _compared(view, loss, prediction, divergence)
    except Exception as error:
        if error_score == "raise":
            raise
        failure, is_blind = _in_a_line(error), isinstance(error, NothingVisible)
    end = time.perf_counter()
    asked = (middle or end) - start
    return Answer(candidate, losses, asked, end - (middle or end), failure, is_blind)


def failed(candidate: int, error: Exception) -> Answer:
    """Return the answer of a candidate that could not be asked."""
    return Answer(candidate, {}, 0.0, 0.0, _in_a_line(error))


def _asked(estimator: BaseDenoiser, view: View) -> tuple[np.ndarray, np.ndarray | None]:
    """Return what the estimator says where it counts, and the divergence of an output."""
    if view.noise is None:
        return estimator.predict_view(view), None
    output, divergence = estimator.output_and_divergence(view.input, view.noise)
    return output[view.where], np.broadcast_to(divergence, output.shape)[view.where]


def _compared(
    view: View, loss: Loss, prediction: np.ndarray, divergence: np.ndarray | None
) -> dict[int, tuple[float, int]]:
    """Return the sum of the losses of each set, and the number of its entries."""
    totals = np.zeros(len(view.splits))
    factor = _of_cross_validation(view, divergence) if loss is cross_validated_error else 1.0
    for rows in _blocks(view, loss):
        target = view.compared(rows)
        shown = target.view()
        shown.flags.writeable = False  # it may be the user's own
        entries = np.asarray(loss(shown, prediction[rows]))
        if entries.shape != target.shape:
            raise ValueError(
                f"scoring={readable(loss)} must return one loss for each entry, in an array of "
                f"shape {target.shape}, and returned shape {entries.shape}."
            )
        if loss is cross_validated_error:
            entries = entries * factor
        elif divergence is not None:
            entries = entries + divergence[rows]
        if view.counts.sum() < prod(view.target.shape):
            entries = np.where(np.isnan(target), 0, entries)
        totals += view.totals(entries)
    losses = {}
    for split, total, count in zip(view.splits, totals, view.counts, strict=True):
        if not np.isfinite(total):
            raise ValueError(f"The loss of split {split} is {total}.")
        losses[split] = float(total), int(count)
    return losses


def _of_cross_validation(view: View, divergence: np.ndarray | None) -> float:
    """Return 1/(1 − f)², where f is the divergence of the output per entry, in [0, 1)."""
    if divergence is None:
        return 1.0  # of what was hidden
    known = ~np.isnan(view.target)
    # What stands for the signal need not be exact: it only weighs entries.
    variance = np.broadcast_to(view.noise.variance(view.input), view.input.shape)[view.where]
    freedom = float(np.mean(divergence, where=known) / (2 * np.mean(variance, where=known)))
    if not freedom < _MOST_FREEDOM:
        raise ValueError(
            f"scoring='gcv' cannot score an output that follows each entry by {freedom:.3g} of its "
            "value: it is the data themselves."
        )
    return 1 / (1 - freedom) ** 2


def _blocks(view: View, loss: Loss) -> Iterator[slice]:
    """Yield the rows that are compared at a time: all, or as many as add up."""
    if sparse.issparse(view.target):  # never dense as a whole
        yield from view.blocks()
        return
    length = len(view.target)
    rows, period = length, view.period or 1
    if view.period is not None and is_entrywise(loss):
        rows = max(1, _BLOCK * length // view.target.size // period) * period
    # No block is shorter than a period, which a partition could not divide.
    starts = range(0, max(1, length - period + 1), rows)
    for start in starts:
        yield slice(start, length if start == starts[-1] else start + rows)


def _in_a_line(error: Exception) -> str:
    """Return an error as one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
