"""Counts of neighbours added up: fewer entries, each with more counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

__all__ = ["bin_means", "unbin"]


def bin_means(X: np.ndarray, factor: int, axes: Sequence[int] | None = None) -> np.ndarray:
    """Return the means of bins of neighbours.

    The sum of counts is a count: data with a gain become data with a gain that is less by
    factor ** len(axes), which an Anscombe transform makes white where single counts are
    too few for that [1]_.

    Parameters
    ----------
    X : ndarray
        The noisy data; NaN marks missing entries.
    factor : int
        The side of the bins.
    axes : sequence of int, default=None
        The axes along which entries are neighbours; None means all.

    Returns
    -------
    ndarray
        The means of what was measured in each bin; the last bins are filled up by reflection.

    References
    ----------
    .. [1] L. Azzari and A. Foi, "Variance stabilization for noisy+estimate combination in
       iterative Poisson denoising", IEEE Signal Process. Lett. 23(8):1086-1090, 2016.
       :doi:`10.1109/LSP.2016.2580600`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.noise.binning import bin_means, unbin
    >>> bin_means(np.array([1.0, 3.0, 5.0, 7.0]), 2)
    array([2., 6.])
    """
    chosen = range(X.ndim) if axes is None else sorted(a % X.ndim for a in axes)
    padding = [(0, -n % factor if a in chosen else 0) for a, n in enumerate(X.shape)]
    X = np.pad(X, padding, mode="symmetric")
    shape: list[int] = []
    bins: list[int] = []
    for axis, n in enumerate(X.shape):
        if axis in chosen:
            bins.append(len(shape) + 1)
            shape += [n // factor, factor]
        else:
            shape.append(n)
    X = X.reshape(shape)
    measured = ~np.isnan(X)
    count = measured.sum(axis=tuple(bins))
    total = np.where(measured, X, 0).sum(axis=tuple(bins))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(X.dtype)


def unbin(means: np.ndarray, factor: int, shape: Sequence[int]) -> np.ndarray:
    """Return data of the shape they had before `bin_means`, interpolated by cubic splines.

    Parameters
    ----------
    means : ndarray
        Denoised means of bins.
    factor : int
        The side of the bins.
    shape : sequence of int
        The shape of the data; axes of the same length in `means` stay as they are.

    Returns
    -------
    ndarray of that shape
        The data.
    """
    zoom = [1 if m == n else factor for m, n in zip(means.shape, shape, strict=True)]
    wide = ndimage.zoom(means, zoom, order=3, mode="nearest", grid_mode=True)
    return wide[tuple(slice(0, n) for n in shape)]
