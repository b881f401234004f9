"""What a search does with one candidate and one view, and the table it makes of all answers."""

from __future__ import annotations

import time
import traceback
from functools import reduce
from numbers import Number
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import rankdata
from sklearn.exceptions import FitFailedWarning

from .._utils.arrays import fold
from .._utils.warn import warn
from ..losses import is_entrywise
from ..masking.views import View

__all__ = ["Answer", "answer", "best_index", "failed", "losses_of", "tabulate", "warn_of_failures"]

#: Entries that are scored at a time, if they need not be all.
_CACHED = 2**16


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
    failure : tuple of str, or None
        The error in a line, and its traceback.
    """

    candidate: int
    losses: dict[int, tuple[float, int]]
    fit_time: float
    score_time: float
    failure: tuple[str, str] | None = None


def answer(candidate: int, estimator, loss, error_score, view: View) -> Answer:
    """Evaluate a candidate on a view: the unit of work that joblib distributes."""
    start = time.perf_counter()
    middle = None
    losses: dict[int, tuple[float, int]] = {}
    failure = None
    try:
        if view.noise is None:
            prediction, divergence = estimator.predict_view(view), None
        else:
            output, divergence = estimator.output_and_divergence(view.input, view.noise)
            prediction = output[view.where]
            divergence = np.broadcast_to(divergence, output.shape)[view.where]
        middle = time.perf_counter()
        totals = _totals(view, loss, prediction, divergence)
        for split, total, count in zip(view.splits, totals, view.counts, strict=True):
            if not np.isfinite(total):
                raise ValueError(f"The loss of split {split} is {total}.")
            losses[split] = float(total), int(count)
    except Exception as error:
        if error_score == "raise":
            raise
        failure = _described(error)
    end = time.perf_counter()
    return Answer(candidate, losses, (middle or end) - start, end - (middle or end), failure)


def _totals(view: View, loss, prediction, divergence) -> np.ndarray:
    """Return the sum of the losses of each set."""

    def losses(part):
        target = view.target[part]
        entries = np.asarray(loss(target, prediction[part]))
        if entries.shape != target.shape:
            raise ValueError(
                f"scoring={loss!r} must return one loss for each entry, in an array of shape "
                f"{target.shape}, and returned shape {entries.shape}."
            )
        if divergence is not None:
            entries = entries + divergence[part]
        if incomplete:
            entries = np.where(np.isnan(target), 0, entries)
        return entries

    incomplete = view.counts.sum() < view.target.size
    if view.period is None or not is_entrywise(loss):
        return view.totals(losses(...))
    length = len(view.target)
    rows = max(1, _CACHED * length // view.target.size // view.period) * view.period
    parts = (losses(slice(start, start + rows)) for start in range(0, length, rows))
    return view.totals(reduce(np.add, (fold(part, view.period) for part in parts)))


def failed(candidate: int, error: Exception) -> Answer:
    """Return the answer of a candidate that could not be asked."""
    return Answer(candidate, {}, 0.0, 0.0, _described(error))


def _described(error: Exception) -> tuple[str, str]:
    return f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error))


def losses_of(answers: list[Answer]) -> dict[int, tuple[float, int]]:
    """Return the losses of a candidate, of all views together."""
    return {split: loss for a in answers for split, loss in a.losses.items()}


def tabulate(
    candidates: list[dict],
    answers: list[list[Answer]],
    error_score,
    n_columns: int | None = None,
    more: dict[str, list] | None = None,
) -> dict:
    """Return the table of results, as `GridSearchCV` makes it."""
    out_of_race = np.array([any(a.failure for a in per) for per in answers])
    merged = [losses_of(per) for per in answers]
    n_splits = n_columns or max((max(m) + 1 for m in merged if m), default=1)
    weight = np.zeros((len(candidates), n_splits))
    sums = np.zeros_like(weight)
    for i, losses in enumerate(merged):
        for split, (total, count) in losses.items():
            sums[i, split % n_splits] -= total
            weight[i, split % n_splits] += count
    score = np.full_like(weight, np.nan)
    np.divide(sums, weight, out=score, where=weight > 0)
    empty = ~out_of_race & (weight.sum(axis=1) == 0)
    filler = np.nan if error_score == "raise" else error_score
    score[out_of_race] = filler
    weight[out_of_race] = 1
    weight[empty, 0] = 1  # nothing scored: NaN, and never the best
    with np.errstate(invalid="ignore"):  # an infinite error_score
        share = weight / weight.sum(axis=1, keepdims=True)
        mean = np.where(weight > 0, share * score, 0).sum(axis=1)
        deviation = np.where(weight > 0, share * (score - mean[:, None]) ** 2, 0).sum(axis=1)
    out = out_of_race | np.isnan(mean)
    rank = np.full(len(candidates), np.count_nonzero(~out) + 1, dtype=np.int32)
    rank[~out] = rankdata(-mean[~out], method="min")

    results: dict[str, Any] = {name: np.array(column) for name, column in (more or {}).items()}
    for name in ("fit_time", "score_time"):
        times = [np.array([getattr(a, name) for a in per]) for per in answers]
        results[f"mean_{name}"] = np.array([t.mean() for t in times])
        results[f"std_{name}"] = np.array([t.std() for t in times])
    results.update(_parameter_columns(candidates))
    results["params"] = candidates.copy()
    for split in range(n_splits):
        results[f"split{split}_test_score"] = score[:, split]
    results["mean_test_score"] = mean
    results["std_test_score"] = np.sqrt(deviation)
    results["rank_test_score"] = rank
    return results


def best_index(results: dict) -> int:
    """Return the first candidate of the best rank."""
    return int(np.argmin(results["rank_test_score"]))


def _parameter_columns(candidates: list[dict]) -> dict[str, np.ma.MaskedArray]:
    """Return a column for each parameter, masked where a candidate does not have it."""
    names = dict.fromkeys(name for params in candidates for name in params)
    columns = {}
    for name in names:
        values = [params[name] for params in candidates if name in params]
        numbers = all(isinstance(v, (Number, np.bool_)) for v in values)
        dtype = np.asarray(values).dtype if numbers else object
        column = np.ma.MaskedArray(np.empty(len(candidates), dtype=dtype), mask=True)
        for i, params in enumerate(candidates):
            if name in params:
                column[i] = params[name]
        columns[f"param_{name}"] = column
    return columns


def warn_of_failures(candidates: list[dict], answers: list[list[Answer]], error_score) -> None:
    """Say which candidates failed, and why."""
    failures = [
        (params, next(a.failure for a in per if a.failure))
        for params, per in zip(candidates, answers, strict=True)
        if any(a.failure for a in per)
    ]
    if not failures:
        return
    if len(failures) == len(candidates):
        params, (_, trace) = failures[0]
        raise ValueError(
            f"All {len(candidates)} candidates failed. The first, {params}, failed with:\n{trace}"
        )
    lines = "\n".join(f"{params}: {reason}" for params, (reason, _) in failures)
    warn(
        f"{len(failures)} of {len(candidates)} candidates failed and are ranked last, with the "
        f'score {error_score}. With error_score="raise" you see the traceback.\n{lines}',
        FitFailedWarning,
    )
