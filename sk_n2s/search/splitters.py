"""scikit-learn's cross-validation splitters, for arrays whose rows belong together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["WholeArray"]


class _Rows(np.ndarray):
    """Row numbers of which any selection is a run of neighbouring rows.

    `HalvingGridSearchCV` draws rows at random as its resource and shuffles them. The rows
    of an image mean nothing out of order, so a draw of n rows becomes n rows in a run.
    """

    def __getitem__(self, key: Any) -> Any:
        drawn = key[0] if isinstance(key, tuple) and key[1:] == (...,) else key
        if not (isinstance(drawn, np.ndarray) and drawn.ndim == 1 and drawn.dtype.kind in "iu"):
            return super().__getitem__(key)
        start = min(int(drawn[0]), len(self) - len(drawn)) if len(drawn) else 0
        return np.asarray(self)[start : start + len(drawn)]


class WholeArray:
    """A scikit-learn splitter with a single split: fit on the whole array, score on it.

    A self-supervised score needs no rows held out, and an image cut into rows is not an
    image. Use it as `cv` of scikit-learn's searches over a `JInvariantWrapper`: without a
    target they then choose by the self-supervised loss, with the clean data as target by
    the true error. In a halving search over ``n_samples``, the rows of a round are
    neighbours.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sk_n2s import JInvariantWrapper, WholeArray
    >>> from sk_n2s.denoisers import median
    >>> rng = np.random.default_rng(0)
    >>> clean = np.zeros((32, 32))
    >>> noisy = clean + rng.normal(size=clean.shape)
    >>> grid = {"radius": [1, 2, 3]}
    >>> search = GridSearchCV(JInvariantWrapper(median), grid, cv=WholeArray())
    >>> search.fit(noisy).best_params_
    {'radius': 3}
    >>> search.fit(noisy, clean).best_params_
    {'radius': 3}
    """

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return 1.

        Parameters
        ----------
        X, y, groups : object
            Ignored, present for scikit-learn's interface.

        Returns
        -------
        int
            1.
        """
        return 1

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield all rows for fitting, and all rows for scoring.

        Parameters
        ----------
        X : array-like
            The data.
        y, groups : object
            Ignored, present for scikit-learn's interface.

        Yields
        ------
        train, test : ndarray of int, shape (n_rows,)
            All row numbers, twice.
        """
        rows = np.arange(len(X)).view(_Rows)
        yield rows, rows

    def __repr__(self) -> str:
        return "WholeArray()"
