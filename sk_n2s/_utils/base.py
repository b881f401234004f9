"""`BaseDenoiser`: what every estimator of the package answers, and what is the same for all."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from .arrays import as_float_array, check_table_axes, split_axes
from .callbacks import CallbackSupportMixin
from .lazy import is_lazy
from .readable import call_text, for_printers, is_printing

__all__ = ["ArrayTransformer", "Axes", "BaseDenoiser", "columns_of"]


class Axes(NamedTuple):
    """The axes of an array by what lies along them; not negative.

    Attributes
    ----------
    channel, batch : int or None
        The axis of channels, and that of independent items.
    neighbours : tuple of int
        All others: the axes along which entries are neighbours. A table has none.
    is_table : bool
        Whether the data are a table, of samples by features.
    """

    channel: int | None
    batch: int | None
    neighbours: tuple[int, ...]
    is_table: bool = False

    @property
    def cut(self) -> tuple[int, ...]:
        """The axes along which entries are hidden."""
        return (0, 1) if self.is_table else self.neighbours


def _of_table(ndim: int, channel_axis: int | None, batch_axis: int | None) -> Axes:
    """Return the axes of a table."""
    for name, axis in (("channel_axis", channel_axis), ("batch_axis", batch_axis)):
        if axis is not None:
            raise ValueError(
                f"{name}={axis!r} has no meaning for a table, whose axes are samples and "
                f'features: leave it out, or set kind="array".'
            )
    check_table_axes(ndim)
    return Axes(None, None, (), True)


def columns_of(X: Any) -> dict[str, Any]:
    """Return what scikit-learn's estimators keep of columns: their number, and their names."""
    keeper = BaseEstimator()
    validate_data(keeper, X, reset=True, skip_check_array=True)
    return vars(keeper)


def _has_names(transformer: ArrayTransformer) -> bool:
    """Return whether columns have names, or whether that is not known yet."""
    return not hasattr(transformer, "n_axes_") or hasattr(transformer, "feature_names_in_")


class ArrayTransformer(CallbackSupportMixin, TransformerMixin, BaseEstimator):
    """Base class of transformers of arrays with any number of axes.

    Attributes
    ----------
    n_axes_ : int
        The number of axes of the data given to `fit`.
    n_features_in_ : int
        The length of the second axis of the data, if there are two.
    feature_names_in_ : ndarray of str
        The names of the columns, if the data are a table with names.
    """

    @available_if(_has_names)
    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns of a table: those that it came with.

        Of arrays, whose columns have no names, a fitted estimator does not have this method,
        and `set_output` leaves them arrays.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Ignored, present for scikit-learn's interface.

        Returns
        -------
        ndarray of str
            The names.
        """
        check_is_fitted(self)
        return self.feature_names_in_

    def _as_data(self, X: Any) -> Any:
        """Return data as an array of floats; a denoiser that can work block by block says so."""
        if is_lazy(X):
            raise TypeError(
                f"{type(self).__name__} needs its data in memory, and X is a dask array: give "
                "X.compute(), or use a JInvariantWrapper, which works block by block."
            )
        return as_float_array(X)

    def _checked(self, X: Any) -> Any:
        """Return data as an array of floats, with as many axes as those given to `fit`."""
        check_is_fitted(self)
        array = self._as_data(X)
        if array.ndim != self.n_axes_:
            raise ValueError(
                f"X has {array.ndim} axes, but {type(self).__name__} was fitted to data with "
                f"{self.n_axes_}. Reshape your data, or fit again."
            )
        return array

    def _remember(self, X: Any, array: Any) -> None:
        """Keep what is known of the data given to `fit`: axes, columns and their names.

        Columns whose names cannot be kept are refused before anything is changed, so that a
        `fit` that sets its own attributes after this leaves nothing behind if it fails.
        """
        known = columns_of(X) if array.ndim == 2 else {}
        for name in ("n_axes_", "n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)  # of an earlier fit
        self.__dict__.update(known)
        self.n_axes_: int = array.ndim

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "n_axes_")

    def get_params(self, deep: bool = True) -> dict:  # noqa: D102
        return for_printers(super().get_params(deep=deep))

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        if is_printing("__repr__"):  # which compares this text with its own
            return super().__repr__(N_CHAR_MAX)
        text = call_text(self, self.get_params(deep=False))
        return text if len(text) <= N_CHAR_MAX else f"{text[: N_CHAR_MAX - 4]}...)"

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class BaseDenoiser(ArrayTransformer):
    """Base class of the package's estimators: one contract for all of them.

    A search, a stacker, a report asks an estimator through these methods and properties, and
    through nothing else. A subclass defines `fit`, which calls `_remember` and then
    keeps what it learnt, `_denoise` and `output_and_divergence`, and what else differs from the
    answers given here.
    """

    # The parameters that the contract rests upon; a subclass need not have them.
    kind: str = "array"
    channel_axis: int | None = None
    batch_axis: int | None = None
    noise: Any = None
    partition: Any = None

    # The contract --------------------------------------------------------------------

    @property
    def is_j_invariant(self) -> bool:
        """Whether no entry of the output of `transform` depends on that entry of the data."""
        return False

    @property
    def scores_output(self) -> bool:
        """Whether the default score is that of the output, by Stein's unbiased risk estimate."""
        return False

    @property
    def releases_gil(self) -> bool:
        """Whether candidates of this kind can share a process, each on its own core."""
        return False

    def axes(self, ndim: int) -> Axes:
        """Return the axes of data with `ndim` axes by what lies along them.

        Parameters
        ----------
        ndim : int
            The number of axes.

        Returns
        -------
        Axes
            The axis of channels, that of items, and the others.

        Raises
        ------
        ValueError
            If `channel_axis` or `batch_axis` is not an axis of such data, or if they have not the
            two axes of a table.
        """
        if self.kind == "table":
            return _of_table(ndim, self.channel_axis, self.batch_axis)
        return Axes(*split_axes(ndim, self.channel_axis, self.batch_axis))

    def reach(self, ndim: int) -> Any:
        """Return how far from an entry its output depends on the data.

        Parameters
        ----------
        ndim : int
            The number of axes of the data.

        Returns
        -------
        Reach or None
            The distance along each axis along which entries are neighbours; None if it is
            not known.
        """
        return None

    def shown(self, X: Any) -> Any:
        """Return data with what is outside a mask missing, if the estimator has one.

        Parameters
        ----------
        X : ndarray of float
            The data.

        Returns
        -------
        ndarray of that shape
            What it works on.

        Raises
        ------
        ValueError
            If the mask does not fit the data.
        """
        return X

    def view_plan(self, X: np.ndarray) -> Any:
        """Return how the entries of `X` are hidden; validates all parameters.

        Parameters
        ----------
        X : ndarray of float
            The data.

        Returns
        -------
        ViewPlan
            The plan. Candidates of a search that have the same plan share their views.

        Raises
        ------
        TypeError
            If the estimator hides no entries.
        """
        raise TypeError(
            f"{type(self).__name__} chooses by itself and hides no entries, so that it cannot be a "
            "candidate of a search: search over a JInvariantWrapper."
        )

    def predict_view(self, view: Any) -> np.ndarray:
        """Return the J-invariant answer to a view, where it counts.

        Parameters
        ----------
        view : View
            A view of the data, made by the plan of `view_plan`.

        Returns
        -------
        ndarray of the shape of ``view.target``
            The prediction.

        Raises
        ------
        TypeError
            If the estimator hides no entries.
        """
        return self.view_plan(view.input)

    @abstractmethod
    def output_and_divergence(self, X: np.ndarray, noise: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return what `transform` returns, and what its score has to be corrected by.

        Parameters
        ----------
        X : ndarray of float
            The noisy data.
        noise : NoiseModel
            The noise.

        Returns
        -------
        output : ndarray of the shape of `X`
            The output h.
        divergence : ndarray that broadcasts to that shape
            2σ²·∂hᵢ/∂xᵢ: added to (h − x)², its mean is the true error plus the variance of
            the noise (see `sk_n2s.risk`). It is 0 for what is J-invariant.
        """

    @abstractmethod
    def _denoise(self, X: Any) -> Any:
        """Return the output for data that were checked: an array, whatever `set_output` says."""

    # The same for all ------------------------------------------------------------------

    def transform(self, X: Any) -> Any:
        """Denoise.

        Parameters
        ----------
        X : array-like
            The noisy data, with as many axes as those given to `fit`, of any lengths.

        Returns
        -------
        ndarray of the shape of `X`
            The denoised data, as floats on the scale of `X`.

        Raises
        ------
        TypeError, ValueError
            If `X` is not valid, or the denoiser fails.
        """
        return self._denoise(self._checked(X))

    def predict(self, X: Any) -> Any:
        """Denoise: the same as `transform`.

        Parameters
        ----------
        X : array-like
            The noisy data.

        Returns
        -------
        ndarray of the shape of `X`
            The denoised data.
        """
        return self.transform(X)
