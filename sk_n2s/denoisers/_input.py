"""What the denoisers take as data."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .._utils.arrays import as_float_array

__all__ = ["as_data"]


def as_data(X: ArrayLike) -> np.ndarray:
    """Return `X` as an array of floats, as it is if it is one: exact forms have no time to lose."""
    if type(X) is np.ndarray and X.dtype in (np.float32, np.float64) and X.ndim and X.size:
        return X
    return as_float_array(X)
