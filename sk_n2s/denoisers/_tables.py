"""`TableDenoiser`: what the denoisers of tables that learn have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from .._utils.lazy import is_lazy
from .._utils.once import Once
from ._traits import Traits

__all__ = ["TableDenoiser"]


class TableDenoiser(TransformerMixin, BaseEstimator):
    """Base class of denoisers that learn from a table what its samples have in common.

    A subclass defines `_learn`, which returns the fitted attributes, and `_denoise`.

    Attributes
    ----------
    n_features_in_ : int
        The number of features.
    feature_names_in_ : ndarray of str
        Their names, if they have such.
    """

    @property
    def _sk_n2s_traits(self) -> tuple[Any, Traits]:
        """What the denoiser says of itself: it works in compiled code."""
        return self, Traits(releases_gil=True)

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from a table.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The noisy table. NaN marks missing entries; what a sparse one does not store is 0.
        y : object
            Ignored, present for scikit-learn's interface.

        Returns
        -------
        self : object
            The fitted denoiser.

        Raises
        ------
        TypeError, ValueError
            If the data or a parameter are not valid, or do not fit each other.
        """
        return self.fit_shared(X, Once())

    def fit_shared(self, X: Any, known: Once) -> Self:
        """Learn from a table of which others with other parameters learn as well.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The noisy table.
        known : Once
            What was worked out for that table already.

        Returns
        -------
        self : object
            The fitted denoiser.
        """
        self._validate_params()
        learnt = self._learn(self._table(X, reset=True), known)
        for name, value in learnt.items():
            setattr(self, name, value)
        return self

    def transform(self, X: Any) -> Any:
        """Denoise samples by what was learnt.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The noisy samples: those of `fit`, or others.

        Returns
        -------
        ndarray of that shape
            The denoised samples; dense, since little of them is 0. Of a large sparse table give
            some rows at a time.
        """
        check_is_fitted(self)
        return self._denoise(self._table(X, reset=False))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the features, which they keep.

        Parameters
        ----------
        input_features : array-like of str, default=None
            The names of features that came without.

        Returns
        -------
        ndarray of str
            The names.
        """
        check_is_fitted(self)
        return _check_feature_names_in(self, input_features)

    def _table(self, X: Any, reset: bool) -> Any:
        """Return data as a table of floats."""
        if is_lazy(X):
            raise TypeError(
                f"{type(self).__name__} needs its table in memory, and X is a dask array: give "
                "X.compute(), or use LowRankDenoiser, which works block by block."
            )
        kinds = self.__sklearn_tags__().input_tags
        table = validate_data(
            self,
            X,
            reset=reset,
            accept_sparse="csr" if kinds.sparse else False,
            dtype=[np.float64, np.float32],
            ensure_all_finite="allow-nan" if kinds.allow_nan else True,
            ensure_min_samples=2 if reset else 1,
        )
        if sparse.issparse(table):
            table.sum_duplicates()
        return table

    @abstractmethod
    def _learn(self, X: Any, known: Once) -> dict[str, Any]:
        """Return the fitted attributes."""

    @abstractmethod
    def _denoise(self, X: Any) -> Any:
        """Return denoised samples."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
