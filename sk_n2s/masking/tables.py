"""What is hidden in a table, whose entries have no neighbours, and what takes its place."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from .base import AxesToCut, Index, Partition, Sets, seeded
from .fills import Fill, ZeroFill, check_fill
from .partitions import RandomPartition, spread_over_grid

__all__ = ["BlockPartition", "ColumnFill", "MissingFill", "check_table_fill", "default_of_tables"]

#: Into how many sets a table, or each side of it, is divided: what learns from it misses what is
#: hidden at once.
_N_SPLITS = 10


@dataclass(frozen=True)
class BlockPartition(Partition):
    """Blocks of samples by features of a table: bi-cross-validation.

    Samples and features are divided into groups at random; each set is one group of samples by
    one group of features [1]_, [2]_. A feature that is hidden in some samples is learnt from the
    others.

    Parameters
    ----------
    n_splits : tuple of two int, default=None
        Into how many groups the samples and the features are divided; None means 10 and 10, or as
        many as there are. What a sample is predicted from misses one group of its features.
    random_state : int, RandomState instance or None, default=0
        Draws the groups; an int gives the same ones at every call.

    References
    ----------
    .. [1] A. B. Owen and P. O. Perry, "Bi-cross-validation of the SVD and the nonnegative matrix
       factorization", Ann. Appl. Stat. 3(2):564-594, 2009. :doi:`10.1214/08-AOAS227`
    .. [2] K. R. Gabriel, "Le biplot - outil d'exploration de données multidimensionelles",
       J. Soc. Fr. Stat. 143(3-4):5-55, 2002.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.masking import BlockPartition
    >>> X = np.zeros((4, 6), dtype=int)
    >>> for j, (hidden, scored) in enumerate(BlockPartition((2, 2)).split(X)):
    ...     X[hidden] = j
    >>> np.bincount(X.ravel()).tolist()
    [6, 6, 6, 6]
    """

    n_splits: tuple[int, int] | None = None
    random_state: Any = 0

    def _counts(self, X: Any, axes: AxesToCut) -> tuple[int, int]:
        """Return the number of groups of samples and of features, checked."""
        shape = np.shape(X)
        if len(shape) != 2 or (axes is not None and len(axes) != 2):
            raise ValueError(
                "BlockPartition divides tables, of samples by features, and the data have shape "
                f'{shape}: give it a table, with kind="table".'
            )
        given = self.n_splits
        if given is None:
            given = tuple(min(_N_SPLITS, n) for n in shape)
        pair = isinstance(given, tuple) and len(given) == 2
        if not pair or not all(
            isinstance(k, Integral) and 1 <= k <= n for k, n in zip(given, shape, strict=True)
        ):
            raise ValueError(
                f"n_splits={given!r} of BlockPartition must be two integers, of which the first "
                f"is at most {shape[0]}, the number of samples, and the second at most "
                f"{shape[1]}, the number of features."
            )
        if given[0] * given[1] < 2:
            raise ValueError(
                f"n_splits={given!r} of BlockPartition hides all entries at once and leaves none "
                "to predict them from: give more than one group of samples or of features."
            )
        return int(given[0]), int(given[1])

    def get_n_splits(self, X: np.ndarray, axes: AxesToCut = None) -> int:  # noqa: D102
        rows, columns = self._counts(X, axes)
        return rows * columns

    def split(self, X: np.ndarray, axes: AxesToCut = None) -> Sets:  # noqa: D102
        counts = self._counts(X, axes)
        rng = check_random_state(self.random_state)
        groups = [rng.permutation(n) % k for n, k in zip(np.shape(X), counts, strict=True)]
        for row in range(counts[0]):
            for column in range(counts[1]):
                hidden = np.outer(groups[0] == row, groups[1] == column)
                yield hidden, hidden

    def order(self, X: np.ndarray, axes: AxesToCut = None) -> list[int]:  # noqa: D102
        counts = self._counts(X, axes)
        return np.ravel_multi_index(tuple(spread_over_grid(counts).T), counts).tolist()

    def enough_splits(self, X: np.ndarray, axes: AxesToCut = None) -> int:  # noqa: D102
        return max(self._counts(X, axes))  # each sample and each feature is hidden once

    def drawn(self) -> Partition:  # noqa: D102
        return seeded(self)


@dataclass(frozen=True)
class ColumnFill(Fill):
    """The mean, or the median, of what is visible of the same feature of a table.

    Parameters
    ----------
    statistic : {"mean", "median"}, default="mean"
        Which of the two. A feature of which nothing is visible takes that of all others.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.masking import ColumnFill
    >>> X = np.array([[1.0, 9.0], [3.0, 8.0], [5.0, 4.0]])
    >>> ColumnFill()(X, np.array([[False, True], [False, False], [False, False]]))
    array([[1., 6.],
           [3., 8.],
           [5., 4.]])
    """

    statistic: str = "mean"

    @property
    def reach(self) -> float:  # noqa: D102
        return float("inf")

    def check(self, ndim: int) -> None:  # noqa: D102
        if self.statistic not in ("mean", "median"):
            raise ValueError(f'statistic={self.statistic!r} must be "mean" or "median".')
        if ndim != 2:
            raise ValueError(
                f"ColumnFill is for tables, of samples by features, and the data have {ndim} "
                'axes along which entries are neighbours: give another fill, or kind="table".'
            )

    def values(  # noqa: D102
        self, X: np.ndarray, visible: np.ndarray, where: Index, axes: tuple[int, ...]
    ) -> np.ndarray:
        columns = np.empty(X.shape[1], X.dtype)
        known = visible.any(axis=0)
        if self.statistic == "median":
            columns[known] = np.nanmedian(np.where(visible, X, np.nan)[:, known], axis=0)
        else:
            shown = np.where(visible, X, X.dtype.type(0))
            count = np.maximum(np.count_nonzero(visible, axis=0), 1)
            columns[:] = shown.sum(axis=0, dtype=np.float64) / count
        if not known.all():
            centre = getattr(np, self.statistic)
            columns[~known] = centre(columns[known]) if known.any() else 0
        return np.broadcast_to(columns, X.shape)[where]


@dataclass(frozen=True)
class MissingFill(Fill):
    """NaN: hidden entries are missing, for denoisers that leave those out of account.

    Such as `LowRankDenoiser`, and scikit-learn's imputers.
    """

    @property
    def reach(self) -> float:  # noqa: D102
        return 0

    def values(  # noqa: D102
        self, X: np.ndarray, visible: np.ndarray, where: Index, axes: tuple[int, ...]
    ) -> np.ndarray:
        return np.full_like(X[where], np.nan)


#: What fills are called for tables.
_NAMED: dict[str, Fill] = {
    "mean": ColumnFill(),
    "median": ColumnFill("median"),
    "missing": MissingFill(),
    "zero": ZeroFill(),
}


def check_table_fill(fill: Any) -> Fill:
    """Return the `Fill` that a parameter stands for, for a table."""
    if isinstance(fill, str):
        if fill not in _NAMED:
            raise ValueError(
                f"fill={fill!r} must be one of {sorted(_NAMED)} for a table, or a callable."
            )
        return _NAMED[fill]
    return check_fill(fill)


def default_of_tables(X: Any) -> Partition:
    """Return the sets that a table is divided into where no partition is given."""
    n = int(np.prod(X.shape))
    if n < 2:
        raise ValueError(
            f"X of shape {X.shape} has n_samples = 1 entry: there is no other entry to predict "
            "it from."
        )
    return RandomPartition(min(_N_SPLITS, n), random_state=0)
