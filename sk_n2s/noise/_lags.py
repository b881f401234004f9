"""Correlations of the noise beyond the lags that a table holds."""

from __future__ import annotations

import numpy as np

__all__ = ["NEGLIGIBLE", "with_more_lags"]

#: Correlations up to this do no harm.
NEGLIGIBLE = 0.05

#: Values at an end that differ by no more than this go on.
_FLAT = 0.02


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
