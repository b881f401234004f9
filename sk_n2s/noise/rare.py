"""Rare values of heavy-tailed noise, which tell less than their neighbours do."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._utils.arrays import as_float_array
from .outliers import look_at, prepared_items

__all__ = ["find_rare_values"]


def find_rare_values(
    X: Any,
    *,
    beyond: float = 6.0,
    channel_axis: int | None = None,
    batch_axis: int | None = None,
) -> np.ndarray:
    """Find entries that lie far from what their neighbours say.

    Of heavy-tailed noise, as Student's t with three degrees of freedom, much of the variance lies
    in few entries. They are no outliers, since they do not stand apart from the rest, but tell
    less of the signal than what their neighbours predict: denoisers do better without them.

    Parameters
    ----------
    X : array-like of one or more axes
        The noisy data; NaN marks missing entries.
    beyond : float, default=6.0
        How far, in standard deviations of the bulk of the noise around. Where structure may be the
        reason, nothing is found, as `find_outliers` does it.
    channel_axis, batch_axis : int, default=None
        Axes along which entries are not neighbours.

    Returns
    -------
    ndarray of bool of the shape of `X`
        Where they are.

    Raises
    ------
    ValueError
        If `beyond` is not a positive number.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.noise import find_rare_values
    >>> rng = np.random.default_rng(0)
    >>> int(find_rare_values(rng.normal(size=(64, 64))).sum())
    0
    >>> bool(find_rare_values(rng.standard_t(3, size=(64, 64))).sum() > 10)
    True
    """
    if not beyond > 0:
        raise ValueError(f"beyond={beyond!r} must be a positive number.")
    X = as_float_array(X)
    where = np.zeros(X.shape, dtype=bool)
    for place, item, data in prepared_items(X, channel_axis, batch_axis):
        look = look_at(data.values, data.values, data.known, data.quantum)
        where[place] = (look.excess > beyond).reshape(item.shape)
    return where
