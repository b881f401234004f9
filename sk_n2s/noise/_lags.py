"""Correlations of the noise beyond the lags that a table holds."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["NEGLIGIBLE", "checked_correlation", "lines_of", "with_more_lags"]

#: Correlations up to this do no harm.
NEGLIGIBLE = 0.05

#: Values at an end that differ by no more than this go on.
_FLAT = 0.02


def checked_correlation(value: Any) -> np.ndarray:
    """Return a correlation as an array of the user's no more."""
    found = np.array(value, dtype=float)
    centre = found[tuple(n // 2 for n in found.shape)] if found.size else 0
    if not found.ndim or not all(n % 2 for n in found.shape) or centre != 1:
        raise ValueError(
            f"correlation of shape {found.shape} must have an odd length along each axis of the "
            f"data and be 1 in its centre, which is {centre:.4g}."
        )
    if not (np.abs(found) <= 1).all():
        raise ValueError("correlation must hold numbers from -1 to 1.")
    return found


def with_more_lags(table: np.ndarray, axis: int, more: int) -> np.ndarray:
    """Return a correlation with more lags at both ends of an axis.

    They are 0, but where the values do not change towards an end: lines that share an offset
    share it to their ends.
    """
    if more <= 0:
        return table
    ends = []
    for last, before in ((0, 1), (-1, -2)):
        end = np.take(table, [last], axis=axis)
        flat = np.abs(end - np.take(table, [before], axis=axis)) <= _FLAT
        ends.append(np.repeat(np.where(flat, end, 0.0), more, axis=axis))
    return np.concatenate([ends[0], table, ends[1]], axis=axis)


def lines_of(table: np.ndarray, least: float) -> tuple[int, ...]:
    """Return the axes along which a correlation of at least so much does not fade."""
    found = []
    for axis, n in enumerate(table.shape):
        along: list[Any] = [m // 2 for m in table.shape]
        along[axis] = slice(None)
        ends = table[tuple(along)][[0, 1, -2, -1]] if n > 3 else np.zeros(1)
        if ends.min() >= least and np.ptp(ends) <= 2 * _FLAT:
            found.append(axis)
    return tuple(found)
