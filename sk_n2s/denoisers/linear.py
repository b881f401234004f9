"""Linear filters: the Gaussian and the box."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike
from scipy import ndimage

from ._borders import border_index, check_mode, check_radius, reach_within
from ._input import as_data
from .traits import declare

__all__ = ["gaussian", "least_weight", "take_out", "uniform"]

#: Entries that are worked on at a time.
_CACHED = 2**15

#: With less weight than this for the others, rounding in single precision is felt.
_LITTLE = 0.1


def _own_weight(kernel: np.ndarray, length: int, mode: str) -> np.ndarray:
    """Return how much of itself each entry of an axis keeps under a 1-D filter."""
    radius = len(kernel) // 2
    if length > 6 * radius + 2:  # what is farther from the border keeps the centre alone
        ends = np.split(_own_weight(kernel, 6 * radius + 2, mode), 2)
        middle = np.full(length - 6 * radius - 2, kernel[radius])
        return np.concatenate([ends[0], middle, ends[1]])
    places = sliding_window_view(border_index(length, radius, mode), len(kernel))
    return (places == np.arange(length)[:, np.newaxis]) @ kernel


def _leave_one_out(
    X: np.ndarray, smooth: Callable, kernels: list[np.ndarray], mode: str
) -> np.ndarray:
    """Return (g(x)ᵢ − cᵢ·xᵢ) / (1 − cᵢ) for a separable filter g."""
    own = [_own_weight(k, n, mode).astype(X.dtype) for k, n in zip(kernels, X.shape, strict=True)]
    rest = 1 - float(np.prod([w.max() for w in own]))
    centre, shown = X.dtype.type(0), X
    if X.dtype == np.float32 and rest < _LITTLE:
        # The filters leave a constant as it is, and small values keep more of their digits.
        known = ~np.isnan(X)
        centre = X.dtype.type(np.mean(X, dtype=np.float64, where=known)) if known.any() else centre
        shown = X - centre
    if rest <= least_weight(X.dtype):
        return _weighted_mean_of_others(shown, smooth, own) + centre
    others = smooth(shown)
    # The weight is the same everywhere but near the ends: the middle is worked on with a number,
    # in whole rows, which are faster than parts of them, and the ends are put right.
    ends = []
    for axis, weight in enumerate(own):
        for end in _ends(weight):
            place = (slice(None),) * axis + (end,)
            kept = reduce(np.multiply, np.ix_(*own[:axis], weight[end], *own[axis + 1 :]))
            if kept.size:
                ends.append((place, take_out(others[place].copy(), X[place], kept, centre)))
    middle = np.prod([weight[len(weight) // 2] for weight in own], dtype=X.dtype)
    rows = max(1, _CACHED * len(X) // X.size)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(X), rows):  # each block fits into the cache
            block = slice(start, start + rows)
            # To look for NaN here costs less than a pass of its own before.
            if not np.isfinite(take_out(others[block], X[block], middle, centre).sum()):
                return _weighted_mean_of_others(shown, smooth, own) + centre
    for place, values in ends:
        others[place] = values
    return others


def _ends(weight: np.ndarray) -> tuple[slice, slice]:
    """Return the two ends of an axis, outside which the weight is that of its middle."""
    half = len(weight) // 2
    differs = np.flatnonzero(weight != weight[half])
    start = np.max(differs[differs < half], initial=-1) + 1
    return slice(start), slice(np.min(differs[differs > half], initial=len(weight)), None)


def take_out(
    answer: np.ndarray, X: np.ndarray, own: np.ndarray | np.floating, centre: np.floating
) -> np.ndarray:
    """Take each entry out of a filter's answer, in place: (g(x)ᵢ − cᵢ·xᵢ) / (1 − cᵢ)."""
    answer -= own * (X - centre if centre else X)
    answer *= 1 / (1 - own)
    if centre:
        answer += centre
    return answer


def _weighted_mean_of_others(X: np.ndarray, smooth: Callable, own: list[np.ndarray]) -> np.ndarray:
    """Return the same where entries are missing, or have no weight left for the others."""
    kept = reduce(np.multiply.outer, own)
    missing = np.isnan(X)
    seen = (~missing).astype(X.dtype)
    X = np.where(missing, X.dtype.type(0), X)
    rest = (smooth(seen) if missing.any() else 1) - kept * seen
    others = smooth(X) - kept * X
    alone = rest <= least_weight(X.dtype)
    others[alone], rest[alone] = np.nan, 1
    return others / rest


def least_weight(dtype: np.dtype) -> float:
    """Return the weight of the others below which rounding would tell of the entry itself."""
    return max(1e-6, 1e4 * float(np.finfo(dtype).eps))


def uniform_exact(
    X: ArrayLike, *, radius: int | Sequence[int] = 1, mode: str = "reflect"
) -> np.ndarray:
    """Replace each entry by the mean of the box around it, itself left out."""
    X = as_data(X)
    radii = check_radius(radius, X.ndim)
    kernels = [np.full(2 * r + 1, 1 / (2 * r + 1)) for r in radii]
    smooth = partial(uniform, radius=radius, mode=mode)
    return _leave_one_out(X, smooth, kernels, check_mode(mode))


@declare(
    reach=lambda ndim, *, radius, mode: reach_within(check_radius(radius, ndim), mode),
    exact=uniform_exact,
    handles_missing=True,
    releases_gil=True,
)
def uniform(X: ArrayLike, *, radius: int | Sequence[int] = 1, mode: str = "reflect") -> np.ndarray:
    """Replace each entry by the mean of the box around it.

    Parameters
    ----------
    X : ndarray of float, any number of axes
        The data.
    radius : int or tuple of int, default=1
        The box reaches this many entries to either side, along all axes or along each.
    mode : {"reflect", "nearest", "mirror", "wrap"}, default="reflect"
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
    ``uniform.exact`` is the mean of the box without the entry itself.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.denoisers import uniform
    >>> uniform(np.array([3.0, 0.0, 6.0, 0.0]), radius=1)
    array([2., 3., 2., 2.])
    >>> uniform.exact(np.array([3.0, 0.0, 6.0, 0.0]), radius=1)
    array([0. , 4.5, 0. , 6. ])
    """
    X = as_data(X)
    size = [2 * r + 1 for r in check_radius(radius, X.ndim)]
    return ndimage.uniform_filter(X, size, mode=check_mode(mode))


def _gaussian_reach(
    ndim: int, *, sigma: float | Sequence[float], truncate: float, mode: str
) -> tuple[float, ...]:
    sigmas = _check_sigma(sigma, truncate, ndim)
    return reach_within(tuple(int(truncate * s + 0.5) for s in sigmas), mode)


def gaussian_exact(
    X: ArrayLike,
    *,
    sigma: float | Sequence[float] = 1.0,
    truncate: float = 4.0,
    mode: str = "reflect",
) -> np.ndarray:
    """Replace each entry by the Gaussian-weighted mean of those around it, itself left out."""
    X = as_data(X)
    sigmas = _check_sigma(sigma, truncate, X.ndim)
    kernels = []
    for s in sigmas:
        radius = int(truncate * s + 0.5)
        steps = np.arange(-radius, radius + 1)
        kernel = np.exp(-0.5 * (steps / s) ** 2) if radius else np.ones(1)
        kernels.append(kernel / kernel.sum())
    if np.prod([kernel.max() for kernel in kernels]) > 1 - least_weight(X.dtype):
        raise ValueError(
            f"sigma={sigma!r} gives the neighbours no weight, so that there is nothing to predict "
            "an entry from: give a sigma of at least 0.3."
        )
    smooth = partial(gaussian, sigma=sigma, truncate=truncate, mode=mode)
    return _leave_one_out(X, smooth, kernels, check_mode(mode))


@declare(reach=_gaussian_reach, exact=gaussian_exact, handles_missing=True, releases_gil=True)
def gaussian(
    X: ArrayLike,
    *,
    sigma: float | Sequence[float] = 1.0,
    truncate: float = 4.0,
    mode: str = "reflect",
) -> np.ndarray:
    """Replace each entry by the Gaussian-weighted mean of those around it.

    Parameters
    ----------
    X : ndarray of float, any number of axes
        The data.
    sigma : float or tuple of float, default=1.0
        Standard deviation of the Gaussian in entries, for all axes or for each.
    truncate : float, default=4.0
        The Gaussian is cut off at this many standard deviations.
    mode : {"reflect", "nearest", "mirror", "wrap"}, default="reflect"
        What lies beyond the border, in the words of `scipy.ndimage`.

    Returns
    -------
    ndarray of the shape and dtype of `X`
        The filtered data.

    Raises
    ------
    ValueError
        If `sigma`, `truncate` or `mode` does not fit.

    Notes
    -----
    ``gaussian.exact`` is the same weighted mean without the entry itself.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.denoisers import gaussian
    >>> gaussian(np.array([0.0, 0.0, 8.0, 0.0, 0.0]), sigma=0.5).round(2)
    array([0.  , 0.85, 6.29, 0.85, 0.  ])
    >>> gaussian.exact(np.array([0.0, 0.0, 8.0, 0.0, 0.0]), sigma=0.5).round(2)
    array([0.02, 3.99, 0.  , 3.99, 0.02])
    """
    X = as_data(X)
    sigmas = _check_sigma(sigma, truncate, X.ndim)
    return ndimage.gaussian_filter(X, sigmas, mode=check_mode(mode), truncate=truncate)


def _check_sigma(sigma: float | Sequence[float], truncate: float, ndim: int) -> tuple[float, ...]:
    sigmas: tuple = (sigma,) * ndim if np.ndim(sigma) == 0 else tuple(sigma)  # type: ignore[arg-type]
    if len(sigmas) != ndim:
        raise ValueError(
            f"sigma={sigma!r} has {len(sigmas)} values for {ndim} axes: give one number, or one "
            "for each axis."
        )
    if not all(np.isfinite(s) and s >= 0 for s in sigmas):
        raise ValueError(f"sigma={sigma!r} must be finite and not negative.")
    if not (np.isfinite(truncate) and truncate > 0):
        raise ValueError(f"truncate={truncate!r} must be a positive number.")
    return tuple(float(s) for s in sigmas)
