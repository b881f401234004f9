"""The checks of losses ``loss(target, prediction)``, of which smaller is better."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ._common import SIDES, Check, asked, require, same

__all__ = ["checks"]


def checks(loss: Callable) -> Iterator[Check]:
    """Yield the checks that apply to a loss."""
    yield check_one_value_for_each_entry
    yield check_float32_stays
    yield check_a_missing_target_is_not_scored
    yield check_arguments_are_not_written_to
    yield check_the_truth_has_the_smallest_loss


def check_one_value_for_each_entry(loss: Callable) -> None:
    """A loss returns an array of the shape of its arguments, and finite values."""
    target, rate = _counts()
    found = loss(target, rate)
    require(
        np.shape(found) == target.shape and np.isfinite(found).all(),
        loss,
        f"returns shape {np.shape(found)} for data of shape {target.shape}, or values that are not "
        "finite: return one loss for each entry, and no mean of them.",
    )


def check_float32_stays(loss: Callable) -> None:
    """The loss of float32 data is float32, and the same up to its digits."""
    target, rate = _counts()
    found = loss(target.astype(np.float32), rate.astype(np.float32))
    require(
        found.dtype == np.float32 and same(found, loss(target, rate), 1e-4),
        loss,
        f"returns {found.dtype} for float32, or loses digits: avoid float64 constants in arrays, "
        "which would take twice the memory.",
    )


def check_a_missing_target_is_not_scored(loss: Callable) -> None:
    """The loss is NaN where the target is NaN, and the same as before elsewhere."""
    target, rate = _counts()
    missing = np.zeros(target.shape, dtype=bool)
    missing[::3, ::2] = True
    expected = np.where(missing, np.nan, loss(target, rate))
    found = loss(np.where(missing, np.nan, target), rate)
    require(
        same(found, expected),
        loss,
        "must be NaN where the target is NaN, which marks a missing entry, and the same as before "
        "elsewhere: let NaN pass through, and use no sum over other entries.",
    )


def check_arguments_are_not_written_to(loss: Callable) -> None:
    """Target and prediction are read-only: other candidates are compared with them as well."""
    target, rate = _counts()
    before = target.copy(), rate.copy()
    advice = "write target - prediction, not target -= prediction."
    loss(target, rate)
    require(
        np.array_equal(target, before[0]) and np.array_equal(rate, before[1]),
        loss,
        f"writes into its arguments: {advice}",
    )
    target.setflags(write=False)
    rate.setflags(write=False)
    asked(loss, f"for read-only data: {advice}", lambda: loss(target, rate))


def check_the_truth_has_the_smallest_loss(loss: Callable) -> None:
    """On average, the true rate has a smaller loss than one that is far too large or small."""
    target, rate = _counts()
    truth = float(np.mean(loss(target, rate)))
    for factor in (0.4, 2.5):
        wrong = float(np.mean(loss(target, factor * rate)))
        require(
            truth < wrong,
            loss,
            f"is {truth:.4g} on average for the true rate of counts, and {wrong:.4g} for {factor} "
            "times that rate: a loss must be smaller the better a prediction is; return minus a "
            "score.",
        )


def _counts() -> tuple[np.ndarray, np.ndarray]:
    """Return counts, and their true rate, as floats."""
    rate = np.broadcast_to(np.linspace(2.0, 20.0, SIDES[1]), SIDES).copy()
    return np.random.default_rng(0).poisson(rate).astype(np.float64), rate
