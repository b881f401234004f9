"""Losses: how a prediction is compared with the measurement that was hidden from it.

A loss returns one value for each entry, so that whoever calls it can average over any set
of entries. Smaller is better; a *score* is minus the mean of a loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import xlogy

from ._utils.arrays import as_float_array, squares_fit

__all__ = [
    "absolute_error",
    "check_scoring",
    "cross_validated_error",
    "is_entrywise",
    "poisson_deviance",
    "scores_output",
    "squared_error",
    "true_score",
]

Loss = Callable[[np.ndarray, np.ndarray], np.ndarray]


def squared_error(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return (target − prediction)² for each entry.

    For a J-invariant prediction of a measurement with zero-mean noise, its mean is the
    true mean squared error plus the noise variance (Batson & Royer 2019, proposition 1).

    Parameters
    ----------
    target, prediction : ndarray of the same shape
        What was measured, and what was predicted.

    Returns
    -------
    ndarray of that shape
        The losses, in the squared unit of the data: of float32 data as float32 where
        squares fit into that, and otherwise as float64.
    """
    difference = np.asarray(target - prediction)
    if difference.dtype != np.float32:
        return np.square(difference, out=difference)
    with np.errstate(over="ignore", under="ignore"):
        squared = np.square(difference, out=difference)
        mean = np.mean(squared)
        if squares_fit(np.nanmean(squared) if np.isnan(mean) else mean):
            return squared
    return np.square(target - prediction, dtype=np.float64)


def absolute_error(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return ``|target − prediction|`` for each entry.

    It is smallest for the conditional *median* of the measurement, which is the truth
    where the noise is symmetric; outliers weigh less than in the squared error.

    Parameters
    ----------
    target, prediction : ndarray of the same shape
        What was measured, and what was predicted.

    Returns
    -------
    ndarray of that shape
        The losses, in the unit of the data.
    """
    return np.abs(target - prediction)


def poisson_deviance(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return 2·(t·log(t/p) − t + p) for each entry: the loss of photon counts.

    A prediction of 0 or less has no deviance: its loss is infinite, or NaN, which fails
    the candidate that made it, except where nothing was predicted and nothing counted.

    Parameters
    ----------
    target, prediction : ndarray of the same shape
        The counts that were measured, and the rate that was predicted.

    Returns
    -------
    ndarray of that shape
        The losses.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        deviance = 2 * (xlogy(target, target) - xlogy(target, prediction) - target + prediction)
    invalid = np.where(np.isnan(target), np.nan, np.inf).astype(deviance.dtype)
    nothing = (prediction == 0) & (target == 0)
    return np.where(prediction > 0, deviance, np.where(nothing, 0, invalid)).astype(
        deviance.dtype, copy=False
    )


def true_score(y: Any, X: np.ndarray, denoise: Callable[[np.ndarray], np.ndarray]) -> float:
    """Return minus the mean squared error of what is known to be clean."""
    y = as_float_array(y, name="y")
    if y.shape != X.shape:
        raise ValueError(
            f"y must be the clean data of shape {X.shape}, the shape of X, and has shape {y.shape}."
        )
    return -float(np.nanmean(squared_error(y, denoise(X)), dtype=np.float64))


def cross_validated_error(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return (target − prediction)², of which ``scoring="gcv"`` makes generalised cross-validation.

    A search divides it by (1 − f)², where f is the divergence of the output per entry: of all
    scores of outputs the only one that needs no level of the noise.

    Parameters
    ----------
    target, prediction : ndarray of the same shape
        What was measured, and what was predicted.

    Returns
    -------
    ndarray of that shape
        The losses, before they are divided.

    References
    ----------
    .. [1] P. Craven and G. Wahba, "Smoothing noisy data with spline functions", Numer. Math.
       31:377-403, 1978. :doi:`10.1007/BF01404567`
    """
    return squared_error(target, prediction)


_NAMED: dict[str, Loss] = {
    "sure": squared_error,
    "gcv": cross_validated_error,
    "neg_mean_squared_error": squared_error,
    "neg_mean_absolute_error": absolute_error,
    "neg_mean_poisson_deviance": poisson_deviance,
}


def scores_output(scoring: Any) -> bool | None:
    """Return whether `scoring` is of a candidate's output, or of its J-invariant prediction."""
    return None if scoring is None else isinstance(scoring, str) and scoring in ("sure", "gcv")


def is_entrywise(loss: Loss) -> bool:
    """Return whether a loss of part of the entries is known to be that part of the loss."""
    return any(loss is known for known in _NAMED.values())


def check_scoring(scoring: Any) -> Loss:
    """Return the loss that `scoring` names, in scikit-learn's words."""
    if scoring is None:
        return squared_error
    if hasattr(scoring, "_score_func"):
        raise ValueError(
            f"scoring={scoring!r} is a scorer, which needs a target: give a function "
            "loss(target, prediction) that returns one loss for each entry, smaller is better."
        )
    if callable(scoring):
        return scoring
    if scoring in _NAMED:
        return _NAMED[scoring]
    raise ValueError(
        f"scoring={scoring!r} must be None, one of {sorted(_NAMED)}, or a function "
        "loss(target, prediction) that returns one loss for each entry."
    )
