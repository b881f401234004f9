"""Rank filters: the median."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from .._utils.arrays import along
from ._borders import border_index, check_mode, check_radius, reach_within
from ._input import as_data
from .traits import declare

__all__ = ["median"]

#: Entries of one block of gathered windows: bounds the memory of the borders' treatment.
_BLOCK = 2**21


def _ball(radii: tuple[int, ...]) -> np.ndarray:
    """Return the footprint Σ (dₖ/rₖ)² ≤ 1: a disk, a ball, or an ellipsoid."""
    distance = np.zeros((1,) * len(radii))
    for steps, r in zip(np.ogrid[tuple(slice(-r, r + 1) for r in radii)], radii, strict=True):
        distance = distance + (steps / max(r, 1)) ** 2
    return distance <= 1 + 1e-12


def median_exact(
    X: ArrayLike, *, radius: int | Sequence[int] = 1, mode: str = "nearest"
) -> np.ndarray:
    """Replace each entry by the median of the ball around it, itself left out."""
    X = as_data(X)
    radii = check_radius(radius, X.ndim)
    footprint = _ball(radii)
    footprint[radii] = False  # the centre
    missing = np.isnan(X)
    gaps = bool(missing.any())
    shown = np.where(missing, X.dtype.type(0), X) if gaps else X
    shown, inside = _with_border(shown, radii, check_mode(mode))
    result = _donut(shown, footprint, mode)[inside]

    # What the footprint alone does not leave out: NaN, and the copies of an entry that the
    # border mode puts into that entry's own ball.
    # With NaN, that is wherever a ball reaches one or the border, beyond which copies of one lie.
    places = [border_index(n, r, mode) for n, r in zip(X.shape, radii, strict=True)]
    doubtful = ndimage.binary_dilation(missing, footprint) if gaps else missing
    for axis, (place, r, n) in enumerate(zip(places, radii, X.shape, strict=True)):
        position = np.arange(n)
        if gaps:
            suspect = (position < r) | (position >= n - r)
        else:
            suspect = np.zeros(n, dtype=bool)
            for d in (*range(-r, 0), *range(1, r + 1)):
                suspect |= place[r + d : r + d + n] == position
        doubtful = doubtful | along(suspect, axis, X.ndim)
    entries = np.nonzero(doubtful)
    offsets = [o - r for o, r in zip(np.nonzero(footprint), radii, strict=True)]
    rows = max(1, _BLOCK // max(1, footprint.sum()))
    for start in range(0, len(entries[0]), rows):
        block = tuple(e[start : start + rows] for e in entries)
        window = tuple(
            place[e[:, None] + o + r]
            for place, e, o, r in zip(places, block, offsets, radii, strict=True)
        )
        own = np.ones(window[0].shape, dtype=bool)
        for w, e in zip(window, block, strict=True):
            own &= w == e[:, None]
        values = np.where(own, X.dtype.type(np.nan), X[window])
        values.sort(axis=1)  # NaN comes last
        count = np.count_nonzero(~np.isnan(values), axis=1)
        result[block] = values[np.arange(len(values)), np.minimum(count // 2, values.shape[1] - 1)]
    return result


@declare(
    reach=lambda ndim, *, radius, mode: reach_within(check_radius(radius, ndim), mode),
    exact=median_exact,
    handles_missing=True,
    releases_gil=True,
)
def median(X: ArrayLike, *, radius: int | Sequence[int] = 1, mode: str = "nearest") -> np.ndarray:
    """Replace each entry by the median of the ball around it.

    Parameters
    ----------
    X : ndarray of float, any number of axes
        The data.
    radius : int or tuple of int, default=1
        Radius of the ball in entries, for all axes or for each; 0 along an axis keeps the
        filter within the slices across it.
    mode : {"nearest", "reflect", "mirror", "wrap"}, default="nearest"
        What lies beyond the border, in the words of `scipy.ndimage`.

    Returns
    -------
    ndarray of the shape and dtype of `X`
        The filtered data.

    Raises
    ------
    ValueError
        If `radius` or `mode` does not fit.

    Notes
    -----
    The exact J-invariant form, ``median.exact``, is the median of the ball without its
    centre; near the border, the copies of the centre that the border mode makes are left
    out as well. Of an even number of entries, as it leaves in the ball, the upper middle one
    is taken, as rank filters do: it reads higher than the median, by 0.3 standard
    deviations of the noise at radius 1 and by 0.04 at radius 3.

    References
    ----------
    .. [1] J. W. Tukey, "Exploratory Data Analysis", Addison-Wesley, 1977.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.denoisers import median
    >>> median(np.array([1.0, 2.0, 9.0, 3.0, 4.0]), radius=1)
    array([1., 2., 3., 4., 4.])
    >>> median.exact(np.array([1.0, 2.0, 9.0, 3.0, 4.0]), radius=1)
    array([2., 9., 3., 9., 3.])
    """
    X = as_data(X)
    radii = check_radius(radius, X.ndim)
    X, inside = _with_border(X, radii, check_mode(mode))
    return ndimage.median_filter(X, footprint=_ball(radii), mode=mode)[inside]


def _with_border(X: np.ndarray, radii: tuple[int, ...], mode: str) -> tuple[np.ndarray, Any]:
    """Return a short signal with its border, and where it lies in that; else all as it is."""
    if X.ndim > 1 or 2 * radii[0] < len(X):
        return X, ...
    radius = radii[0]
    return X[border_index(len(X), radius, mode)], slice(radius, radius + len(X))


def _donut(X: np.ndarray, footprint: np.ndarray, mode: str) -> np.ndarray:
    """Return the upper median over a footprint whose centre is left out."""
    if X.ndim > 1:
        return ndimage.median_filter(X, footprint=footprint, mode=mode)
    # SciPy's fast filter of signals ignores the hole in a footprint (seen in 1.17). Of
    # the window in full, the entry after the middle one is the upper median without the
    # centre, unless the centre stands behind it.
    middle = len(footprint) // 2
    lower, upper = (
        ndimage.rank_filter(X, rank, size=len(footprint), mode=mode)
        for rank in (middle, middle + 1)
    )
    return np.where(lower < X, lower, upper)
