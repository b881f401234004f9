"""What stands in holes of any width: the smoothest surfaces that meet what is around them."""

from __future__ import annotations

import inspect

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.linalg import cg

from .._utils.arrays import links_along

__all__ = ["bent", "stretched", "wide_holes"]

#: Steps at each scale of a membrane, each of which takes so much of the mean of the neighbours.
_STEPS, _SHARE = 12, 0.8

#: Of a plate, this share of the energy is that of a membrane, which keeps it from overshooting.
_TENSION = 0.1

#: The steps of a solver, and how near to the solution it stops, as a share of what was to solve.
_MOST_STEPS, _NEAR = 200, 1e-4

#: SciPy before 1.12 has another name for the tolerance.
_TOLERANCE = {"rtol" if "rtol" in inspect.signature(cg).parameters else "tol": _NEAR}


def stretched(X: np.ndarray, visible: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Return data whose hidden entries are a membrane that is held by the visible ones.

    It solves Laplace's equation about, from coarse scales to fine ones, and is linear in the data.
    """
    if visible.all():
        return X
    X = np.where(visible, X, X.dtype.type(0))
    if not visible.any():
        return X
    long = [a for a in axes if X.shape[a] > 1]
    if not long:
        return np.where(visible, X, X.dtype.type(np.sum(X, dtype=np.float64) / visible.sum()))
    count = _halved(visible.astype(X.dtype), long)
    known = count > 0
    means = _halved(X, long) / np.where(known, count, 1)
    zoom = [2 if a in long else 1 for a in range(X.ndim)]
    found = ndimage.zoom(
        stretched(means, known, axes), zoom, order=1, mode="nearest", grid_mode=True
    )[tuple(slice(0, n) for n in X.shape)]
    for _ in range(_STEPS):
        found = np.where(visible, X, found)
        around = sum(
            ndimage.correlate1d(found, [0.5, 0, 0.5], axis=a, mode="nearest") for a in long
        )
        found = (1 - _SHARE) * found + (_SHARE / len(long)) * around
    return np.where(visible, X, found).astype(X.dtype, copy=False)


def bent(X: np.ndarray, holes: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Return data whose holes are a plate, which goes on with the slopes that are around them.

    What the holes hold is where the solver begins. A plate under tension: Smith & Wessel,
    "Gridding with continuous curvature splines in tension", Geophysics 55(3):293-305, 1990.
    """
    links = links_along(X.ndim, axes)
    near = ndimage.binary_dilation(holes, links)
    used = ndimage.binary_dilation(near, links)
    n = np.count_nonzero(used)
    number = np.full(X.shape, -1)
    number[used] = np.arange(n)
    pairs = []
    for axis in axes:
        step = (slice(None),) * axis
        pair = np.stack([number[*step, :-1].ravel(), number[*step, 1:].ravel()])
        pairs.append(pair[:, (pair >= 0).all(axis=0)])
    first, second = np.concatenate(pairs, axis=1)
    adjacent = sparse.coo_matrix((np.ones(len(first)), (first, second)), (n, n))
    adjacent = (adjacent + adjacent.T).tocsr()
    degrees = np.asarray(adjacent.sum(axis=1)).ravel()
    laplacian = (sparse.diags(degrees) - adjacent).tocsr()[near[used]]
    hole = holes[used]
    values = X[used].astype(np.float64)
    of_holes = laplacian[:, hole].tocsr()
    goal = -(laplacian[:, ~hole] @ values[~hole])
    in_holes = holes[near]
    matrix = (1 - _TENSION) * (of_holes.T @ of_holes) + _TENSION * of_holes[in_holes]
    right = (1 - _TENSION) * (of_holes.T @ goal) + _TENSION * goal[in_holes]
    scale = sparse.diags(1 / matrix.diagonal())
    found, _ = cg(matrix, right, x0=values[hole], maxiter=_MOST_STEPS, M=scale, **_TOLERANCE)
    result = X.copy()
    result[holes] = found
    return result


def wide_holes(visible: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Return where a box of five entries holds no visible one, and what is hidden around that."""
    size = [min(5, n) if a in axes else 1 for a, n in enumerate(visible.shape)]
    core = ~ndimage.maximum_filter(visible, size, mode="nearest")
    return ndimage.maximum_filter(core, size, mode="constant", cval=False) & ~visible


def _halved(X: np.ndarray, axes: list[int]) -> np.ndarray:
    """Return the sums of two entries along each of the axes."""
    for axis in axes:
        X = np.add.reduceat(X, np.arange(0, X.shape[axis], 2), axis=axis)
    return X
