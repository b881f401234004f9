"""What a search does with one candidate and one view."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from .._utils.base import BaseDenoiser
from .._utils.readable import readable
from ..losses import Loss
from ..masking.views import View

__all__ = ["Answer", "answer", "failed"]


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
    """

    candidate: int
    losses: dict[int, tuple[float, int]]
    fit_time: float
    score_time: float
    failure: str | None = None


def answer(
    candidate: int, estimator: BaseDenoiser, loss: Loss, error_score: float | str, view: View
) -> Answer:
    """Evaluate a candidate on a view: the unit of work that joblib distributes."""
    start = time.perf_counter()
    middle = None
    losses: dict[int, tuple[float, int]] = {}
    failure = None
    try:
        prediction, divergence = _asked(estimator, view)
        middle = time.perf_counter()
        losses = _compared(view, loss, prediction, divergence)
    except Exception as error:
        if error_score == "raise":
            raise
        failure = _in_a_line(error)
    end = time.perf_counter()
    return Answer(candidate, losses, (middle or end) - start, end - (middle or end), failure)


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
    target = view.target
    entries = np.asarray(loss(target, prediction))
    if entries.shape != target.shape:
        raise ValueError(
            f"scoring={readable(loss)} must return one loss for each entry, in an array of shape "
            f"{target.shape}, and returned shape {entries.shape}."
        )
    if divergence is not None:
        entries = entries + divergence
    if view.counts.sum() < target.size:
        entries = np.where(np.isnan(target), 0, entries)
    losses = {}
    for split, total, count in zip(view.splits, view.totals(entries), view.counts, strict=True):
        if not np.isfinite(total):
            raise ValueError(f"The loss of split {split} is {total}.")
        losses[split] = float(total), int(count)
    return losses


def _in_a_line(error: Exception) -> str:
    """Return an error as one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
