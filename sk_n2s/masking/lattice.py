"""Entries that are hidden together lie on a lattice: in many dimensions, in few sets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations, combinations_with_replacement, product
from math import gcd, isqrt, prod
from numbers import Integral
from typing import ClassVar

import numpy as np

from .._utils.arrays import along
from .base import AxesToCut, Partition, Period, Sets
from .partitions import STRIDE, GridPartition, Lengths, cut_shape, folded

__all__ = ["LatticePartition", "default_partition", "good_steps"]

#: So many sets divide data of more than two axes where no partition is given: as many as the
#: default grid has in a plane.
_N_SPLITS = STRIDE**2

#: So many products are worked out at most in the search for good steps, and so far, as a squared
#: distance, entries are compared along more axes than these.
_EFFORT, _MANY_AXES, _NEAR = 10**7, 6, 4

#: The first sets of the order are chosen together where there are few: a search scores as many.
_FIRST, _FEW_SPLITS = 4, 64

#: Sets that see a texture of one of these periods at the same phase count as near: a checkerboard
#: whose loss differs between its colours would else be scored at one colour only.
_TEXTURES, _APART = (2, 3, 4), 1e3


@dataclass(frozen=True)
class LatticePartition(Partition):
    """Every `n_splits`-th entry, on lattices whose entries lie as far apart as possible.

    Entry (i₁, i₂, …) is in set (a₁·i₁ + a₂·i₂ + …) mod `n_splits`, for integers a that make the
    shortest distance between two entries of a set as long as possible: a good lattice rule [1]_.
    The number of sets does not depend on the number of axes, while a grid of stride 4 has 64 sets
    along three axes and 256 along four.

    Parameters
    ----------
    n_splits : int, default=16
        The number of sets. With 16, all adjacent entries of a hidden one are visible along up to
        four axes, and all that differ along one or two axes along up to six.
    steps : tuple of int, default=None
        The integers a, one for each axis that is cut. None searches for the best.

    References
    ----------
    .. [1] I. H. Sloan and S. Joe, "Lattice Methods for Multiple Integration", Oxford University
       Press, 1994.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.masking import LatticePartition
    >>> X = np.zeros((5, 5), dtype=int)
    >>> for j, (hidden, scored) in enumerate(LatticePartition(5).split(X)):
    ...     X[hidden] = j
    >>> X
    array([[0, 2, 4, 1, 3],
           [1, 3, 0, 2, 4],
           [2, 4, 1, 3, 0],
           [3, 0, 2, 4, 1],
           [4, 1, 3, 0, 2]])
    """

    hides_singly: ClassVar[bool] = True

    n_splits: int = _N_SPLITS
    steps: tuple[int, ...] | None = None

    def _steps(self, n_axes: int) -> tuple[int, ...]:
        """Return the integers a, checked."""
        n = self.n_splits
        if not isinstance(n, Integral) or n < 2:
            raise ValueError(
                f"n_splits={n!r} of LatticePartition must be an integer of at least 2."
            )
        if self.steps is None:
            return good_steps(int(n), (int(n),) * n_axes)
        given = self.steps if isinstance(self.steps, tuple) else ()
        if len(given) != n_axes or not all(isinstance(a, Integral) for a in given):
            raise ValueError(
                f"steps={self.steps!r} of LatticePartition must be a tuple of {n_axes} integers, "
                "one for each axis along which the data may be cut."
            )
        return tuple(int(a) % int(n) for a in given)

    def _fitting(self, X: np.ndarray, axes: AxesToCut) -> tuple[Lengths, tuple[int, ...]]:
        """Return the axes that are cut with their lengths, and the steps along them."""
        axes, shape = cut_shape(X, axes)
        steps = self._steps(len(axes))
        if not _reaches_all(self.n_splits, steps, shape):
            raise ValueError(
                f"n_splits={self.n_splits!r} of LatticePartition leaves sets without any entry in "
                f"data of shape {np.shape(X)}, which are cut along axes {axes}: give fewer, or "
                "steps that suit them."
            )
        return (axes, shape), steps

    def get_n_splits(self, X: np.ndarray, axes: AxesToCut = None) -> int:  # noqa: D102
        self._fitting(X, axes)
        return int(self.n_splits)

    def period(self, ndim: int, axes: AxesToCut = None) -> Period:  # noqa: D102
        cut = tuple(range(ndim)) if axes is None else axes
        periods = dict(zip(cut, _periods(self.n_splits, self._steps(len(cut))), strict=True))
        return tuple(periods.get(axis, 1) for axis in range(ndim))

    def split(self, X: np.ndarray, axes: AxesToCut = None) -> Sets:  # noqa: D102
        (axes, shape), steps = self._fitting(X, axes)
        labels = along(_labels(self.n_splits, steps, shape), axes, np.ndim(X))
        for j in range(self.n_splits):
            hidden = np.broadcast_to(labels == j, np.shape(X))
            yield hidden, hidden

    def totals(self, values: np.ndarray, axes: AxesToCut = None) -> np.ndarray:  # noqa: D102
        (axes, shape), steps = self._fitting(values, axes)
        periods = dict(zip(axes, _periods(self.n_splits, steps), strict=True))
        for axis in range(values.ndim):
            period = min(periods.get(axis, 1), values.shape[axis])
            values = folded(values, axis, period)
        others = tuple(axis for axis in range(values.ndim) if axis not in axes)
        values = values.transpose(*axes, *others).reshape([values.shape[a] for a in axes])
        labels = _labels(self.n_splits, steps, values.shape)
        return np.bincount(labels.ravel(), values.ravel(), minlength=self.n_splits)

    def order(self, X: np.ndarray, axes: AxesToCut = None) -> list[int]:  # noqa: D102
        (_, shape), steps = self._fitting(X, axes)
        n_splits = int(self.n_splits)
        return list(_spread(n_splits, steps, tuple(min(n - 1, n_splits) for n in shape)))


def default_partition(X: np.ndarray, axes: tuple[int, ...]) -> Partition:
    """Return how data are divided where no partition is given.

    Along one or two axes that is a grid, whose sets are slices. A grid along more has more sets
    than data need, each of which costs a call of the denoiser.
    """
    shape = tuple(X.shape[a] for a in axes)
    if prod(shape) == 1:
        raise ValueError(
            f"X of shape {X.shape} has n_samples = 1 entry along the axes {axes}: there "
            "is no other entry to predict it from."
        )
    if sum(n > 1 for n in shape) <= 2:
        return GridPartition(tuple(min(STRIDE, n) for n in shape))
    for n_splits in range(min(_N_SPLITS, prod(shape)), 1, -1):
        steps = good_steps(n_splits, tuple(min(n - 1, n_splits) for n in shape))
        if _reaches_all(n_splits, steps, shape):
            break
    return LatticePartition(n_splits, steps)


@cache
def good_steps(n_splits: int, farthest: tuple[int, ...]) -> tuple[int, ...]:
    """Return integers a for which entries of one set are far apart.

    Entries differ by at most `farthest` along each axis: along an axis of one entry nothing is to
    be kept apart, and along a short one little.
    """
    used = sorted((k for k, far in enumerate(farthest) if far), key=lambda k: -farthest[k])
    n = len(used)
    if not n:
        return (0,) * len(farthest)
    # No lattice of this density keeps entries farther apart (Hermite, Minkowski).
    square = _NEAR if n > _MANY_AXES else int((1 + n / 4) * n_splits ** (2 / n))
    vectors = _vectors(tuple(farthest[k] for k in used), square)
    squares = np.square(vectors).sum(axis=1)
    adjacent = np.abs(vectors).max(axis=1) == 1
    best: tuple = ()
    for steps in _candidates(n_splits, n, _EFFORT // vectors.size):
        together = vectors @ steps % n_splits == 0
        shortest = squares[together].min(initial=square + 1)
        found = (
            shortest,
            -np.count_nonzero(together & adjacent),
            -np.count_nonzero(squares[together] == shortest),
        )
        if not best or found > best[0]:
            best = found, steps
    chosen = dict(zip(used, best[1], strict=True))
    return tuple(chosen.get(k, 0) for k in range(len(farthest)))


def _candidates(n_splits: int, n: int, most: int) -> list[tuple[int, ...]]:
    """Return steps to choose from: all up to order and sign, or else powers of one number."""
    half = range(1, n_splits // 2 + 1)
    if np.prod([(len(half) + k) / (k + 1) for k in range(n - 1)]) <= most:
        return [(1, *rest) for rest in combinations_with_replacement(half, n - 1)]
    powers = [[pow(base, k, n_splits) for k in range(n)] for base in range(1, n_splits)]
    return [tuple(p or 1 for p in row) for row in powers]


def _vectors(farthest: tuple[int, ...], square: int) -> np.ndarray:
    """Return all differences of two entries, but 0, of at most some squared length."""
    vectors = np.zeros((1, 0), dtype=int)
    for far in farthest:
        side = min(far, isqrt(square))
        places = np.arange(-side, side + 1)
        vectors = np.column_stack([
            np.repeat(vectors, len(places), axis=0), np.tile(places, len(vectors))
        ])  # fmt: skip
        vectors = vectors[np.square(vectors).sum(axis=1) <= square]
    return vectors[vectors.any(axis=1)]


def _periods(n_splits: int, steps: tuple[int, ...]) -> tuple[int, ...]:
    """Return after how many entries along each axis sets repeat themselves."""
    return tuple(int(n_splits) // gcd(int(n_splits), a) for a in steps)


def _labels(n_splits: int, steps: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Return the number of the set that each entry is in."""
    dtype = np.min_scalar_type(2 * n_splits)
    labels = np.zeros((1,) * len(shape), dtype)
    for places, step in zip(np.ogrid[tuple(map(slice, shape))], steps, strict=True):
        labels = labels + (places * step % n_splits).astype(dtype)
        labels -= dtype.type(n_splits) * (labels >= n_splits)
    return labels


@cache
def _reaches_all(n_splits: int, steps: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Return whether no set is without an entry."""
    found = {0}
    for step, period, length in zip(steps, _periods(n_splits, steps), shape, strict=True):
        places = range(min(period, length))
        found = {(a + step * i) % n_splits for a, i in product(found, places)}
        if len(found) == n_splits:
            return True
    return False


@cache
def _spread(n_splits: int, steps: tuple[int, ...], farthest: tuple[int, ...]) -> tuple[int, ...]:
    """Return the sets in an order whose beginnings see each phase of a texture as often.

    Among such orders, the entries of every beginning are as far apart as possible.
    """
    n = sum(far > 0 for far in farthest)
    square = _NEAR if n > _MANY_AXES else int((1 + n / 4) * n_splits ** (2 / n))
    vectors = _vectors(farthest, square)
    repulsion: np.ndarray = np.bincount(
        vectors @ steps % n_splits, 1 / np.square(vectors).sum(axis=1) ** 2, minlength=n_splits
    )
    for period in _TEXTURES:
        if n_splits % period == 0:
            repulsion[::period] += _APART
    # One after the other, the first would leave no good place for the next.
    order = [0]
    if _FIRST < n_splits <= _FEW_SPLITS:
        groups = np.array([(0, *rest) for rest in combinations(range(1, n_splits), _FIRST - 1)])
        apart = groups[:, :, np.newaxis] - groups[:, np.newaxis]
        order = groups[repulsion[apart % n_splits].sum(axis=(1, 2)).round(9).argmin()].tolist()
    energy = np.sum([np.roll(repulsion, j) for j in order], axis=0)
    left = [j for j in range(n_splits) if j not in order]
    while left:
        order.append(min(left, key=lambda j: (energy[j].round(9), j)))
        left.remove(order[-1])
        energy += np.roll(repulsion, order[-1])
    return tuple(order)
