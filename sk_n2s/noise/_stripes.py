"""Noise that is constant along a whole axis: rows or columns with an offset of their own."""

from __future__ import annotations

import numpy as np

__all__ = ["stripe_variance"]

#: Lines are cut into so many parts, of which those that are far apart are compared.
_PARTS = 4

#: Fewer lines than this tell nothing; offsets count beyond so many standard errors.
_FEWEST, _ERRORS = 16, 5.0

#: The median of the square of a standard normal variable.
_NORMAL = 0.4549364


def stripe_variance(values: np.ndarray, axis: int) -> float:
    """Return the variance of what is constant along an axis, or 0 unless it is beyond doubt.

    The offset of a line against its neighbours is measured in parts of the lines that are far
    apart. Structure differs between them, an offset does not.
    """
    n = values.shape[axis]
    others = [a for a in range(values.ndim) if a != axis]
    if not others or n < 2 * _PARTS:
        return 0.0
    along = max(others, key=lambda a: values.shape[a])
    steps = np.diff(np.moveaxis(values, (axis, along), (-1, 0)), axis=0)
    length = n // _PARTS
    # Medians of differences of two entries, which skewed noise does not shift; the slope of the
    # signal is the same in the next.
    parts = [
        np.diff(np.median(steps[..., k * length : (k + 1) * length], axis=-1), axis=0).ravel()
        for k in range(_PARTS)
    ]
    if parts[0].size < _FEWEST:
        return 0.0
    found = []
    for a, b in ((0, 2), (1, 3), (0, 3)):
        # Robust, since edges may cross a whole image (Gnanadesikan & Kettenring 1972).
        with_, against = (np.median(np.square(parts[a] + s * parts[b])) for s in (1, -1))
        if with_ - against <= _ERRORS / np.sqrt(parts[0].size) * (with_ + against):
            return 0.0
        found.append((with_ - against) / 4 / _NORMAL / 6)
    return float(min(found))
