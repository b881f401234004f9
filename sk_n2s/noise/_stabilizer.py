"""`Stabilizer`: what every transform that makes noise white answers."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._utils.base import ArrayTransformer

__all__ = ["Stabilizer"]


class Stabilizer(ArrayTransformer):
    """A transform whose expectation and variance are tabled for each signal.

    A subclass says by `_moments` what they are, at rising signals in the unit of the data.
    """

    def _moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return signals, and expectation and variance of their transformed data."""
        raise NotImplementedError

    def fit(self, X: Any, y: Any = None) -> Any:
        """Validate the parameters, or estimate them where that is asked for.

        Parameters
        ----------
        X : array-like of one or more axes
            The noisy data; NaN marks missing entries.
        y : object
            Ignored, present for scikit-learn's interface.

        Returns
        -------
        object
            The transformer itself.
        """
        self._validate_params()
        array = self._as_data(X)
        learnt = self._learn(array)
        self._remember(X, array)
        self.__dict__.update(learnt)
        return self

    def _learn(self, X: np.ndarray) -> dict[str, Any]:
        """Return the attributes that a fit to the data sets, if there are any."""
        return {}

    def transform(self, X: Any) -> Any:
        """Scale the data so that the noise has a variance of about 1.

        Parameters
        ----------
        X : array-like
            Noisy data.

        Returns
        -------
        ndarray of the shape of `X`
            The stabilised data.
        """
        X = self._checked(X)
        return X / X.dtype.type(self.sigma)  # type: ignore[attr-defined]

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Return the signal whose stabilised data have the expectation `X`.

        Parameters
        ----------
        X : array-like
            Stabilised data, denoised.

        Returns
        -------
        ndarray of the shape of `X`
            The signal, in the unit of the data; the nearest possible one where no signal has
            that expectation.
        """
        X = self._checked(X)
        signal, expected, _ = self._moments()
        return np.where(np.isnan(X), X, np.interp(X, expected, signal)).astype(X.dtype)

    def variance(self, signal: np.ndarray) -> np.ndarray:
        """Return the variance of the noise of the stabilised data.

        Parameters
        ----------
        signal : ndarray
            The signal, in the unit of the data.

        Returns
        -------
        ndarray of the shape of `signal`
            The variance.
        """
        check_is_fitted(self)
        signals, _, variance = self._moments()
        return np.maximum(np.interp(signal, signals, variance), 1e-3).astype(signal.dtype)

    def slope(self, X: np.ndarray) -> np.ndarray:
        """Return the derivative of the transform.

        Parameters
        ----------
        X : ndarray
            Noisy data.

        Returns
        -------
        ndarray of the shape of `X`
            The derivative at each entry.
        """
        check_is_fitted(self)
        return np.full_like(X, 1 / self.sigma)  # type: ignore[attr-defined]
