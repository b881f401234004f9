"""The table of all answers, as `GridSearchCV` makes it, and what is said of failures."""

from __future__ import annotations

from numbers import Number
from typing import Any

import numpy as np
from scipy.stats import rankdata
from sklearn.exceptions import FitFailedWarning

from .._utils.readable import readable
from .._utils.warn import warn
from ._evaluation import Answer

__all__ = ["Answers", "Results", "best_index", "losses_of"]


#: All answers of each candidate.
Answers = list[list[Answer]]


class Results:
    """The candidates that were evaluated, and their answers.

    Parameters
    ----------
    error_score : float or "raise"
        The score of a candidate that failed.

    Attributes
    ----------
    candidates : list of dict
        Their parameters.
    answers : list of list of Answer
        The answers of each.
    """

    def __init__(self, error_score: float | str):
        self.candidates: list[dict] = []
        self.answers: Answers = []
        self._filler = np.nan if isinstance(error_score, str) else error_score
        self._n_columns: int | None = None
        self._more: dict[str, list] = {}

    def add(
        self,
        candidates: list[dict],
        answers: list[list[Answer]],
        n_columns: int | None,
        **more: Any,
    ) -> None:
        """Add the answers of a round, as scores in so many columns, with what is said of it."""
        if all(any(a.failure for a in per) for per in answers):
            who, link = f"All {len(candidates)} candidates", "; the first, "
            if len(candidates) == 1:
                who, link = "The only candidate", ": "
            raise ValueError(
                f'{who} failed (error_score="raise" shows the traceback){link}'
                f"{readable(candidates[0])}, with {_reason(answers[0])}"
            )
        self.candidates += candidates
        self.answers += answers
        self._n_columns = n_columns
        for name, value in more.items():
            self._more.setdefault(name, []).extend([value] * len(candidates))

    def table(self) -> dict[str, Any]:
        """Return `cv_results_`."""
        mean, score, deviation = self._scores()
        results: dict[str, Any] = {name: np.array(column) for name, column in self._more.items()}
        for name in ("fit_time", "score_time"):
            times = [np.array([getattr(a, name) for a in per]) for per in self.answers]
            results[f"mean_{name}"] = np.array([t.mean() for t in times])
            results[f"std_{name}"] = np.array([t.std() for t in times])
        results.update(_parameter_columns(self.candidates))
        results["params"] = self.candidates.copy()
        for split, column in enumerate(score.T):
            results[f"split{split}_test_score"] = column
        results["mean_test_score"] = mean
        results["std_test_score"] = deviation
        results["rank_test_score"] = _ranks(mean, self._failed() | np.isnan(mean))
        return results

    def warn_of_failures(self) -> None:
        """Say which candidates failed, and why."""
        lines = [
            f"{readable(params)}: {_reason(per)}"
            for params, per in zip(self.candidates, self.answers, strict=True)
            if any(a.failure for a in per)
        ]
        if lines:
            warn(
                f"{len(lines)} of {len(self.candidates)} candidates failed and are ranked last, "
                f'with the score {self._filler}. With error_score="raise" you see the traceback.\n'
                + "\n".join(lines),
                FitFailedWarning,
            )

    def _failed(self) -> np.ndarray:
        return np.array([any(a.failure for a in per) for per in self.answers])

    def _scores(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the mean score of each candidate, those of its splits, and their deviation."""
        failed = self._failed()
        merged = [losses_of(per) for per in self.answers]
        n_splits = self._n_columns or max((max(m) + 1 for m in merged if m), default=1)
        sums, weight = np.zeros((2, len(merged), n_splits))
        for i, losses in enumerate(merged):
            for split, (total, count) in losses.items():
                sums[i, split % n_splits] -= total
                weight[i, split % n_splits] += count
        score = np.full_like(weight, np.nan)
        np.divide(sums, weight, out=score, where=weight > 0)
        score[failed], weight[failed] = self._filler, 1
        weight[weight.sum(axis=1) == 0, 0] = 1  # nothing scored: NaN, and never the best
        with np.errstate(invalid="ignore"):  # an infinite error_score
            share = weight / weight.sum(axis=1, keepdims=True)
            mean = np.where(weight > 0, share * score, 0).sum(axis=1)
            squares = np.where(weight > 0, share * (score - mean[:, None]) ** 2, 0)
        return mean, score, np.sqrt(squares.sum(axis=1))


def losses_of(answers: list[Answer]) -> dict[int, tuple[float, int]]:
    """Return the losses of a candidate, of all views together."""
    return {split: loss for a in answers for split, loss in a.losses.items()}


def _reason(answers: list[Answer]) -> str:
    """Return the first failure among answers."""
    return next(a.failure for a in answers if a.failure)


def best_index(results: dict) -> int:
    """Return the first candidate of the best rank."""
    return int(np.argmin(results["rank_test_score"]))


def _ranks(mean: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Return the ranks of mean scores, with those that are out of the race behind all others."""
    rank = np.full(len(mean), np.count_nonzero(~out) + 1, dtype=np.int32)
    rank[~out] = rankdata(-mean[~out], method="min")
    return rank


def _parameter_columns(candidates: list[dict]) -> dict[str, np.ma.MaskedArray]:
    """Return a column for each parameter, masked where a candidate does not have it."""
    names = dict.fromkeys(name for params in candidates for name in params)
    columns = {}
    for name in names:
        values = [params[name] for params in candidates if name in params]
        numbers = all(isinstance(v, Number | np.bool_) for v in values)
        dtype = np.asarray(values).dtype if numbers else object
        column = np.ma.MaskedArray(np.empty(len(candidates), dtype=dtype), mask=True)
        for i, params in enumerate(candidates):
            if name in params:
                column[i] = params[name]
        columns[f"param_{name}"] = column
    return columns
