"""What a report shows of a fitted estimator: its data before and after, their axes, their noise."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from joblib import hash as digest
from scipy import sparse
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._utils.base import Axes
from .._utils.lazy import as_float_data, in_memory, is_lazy
from .._utils.tiling import middle
from ..noise.model import NoiseModel, check_noise
from ..risk.adapters import as_denoiser
from ..risk.error_estimate import ErrorEstimate
from ..risk.noise_level import noise_of

__all__ = ["Shown", "shown_of"]

#: Entries that are loaded of data that are not in memory, and rows of a sparse table.
_LOADED, _ROWS = 2**20, 1024


@dataclass
class Shown:
    """The data of a fitted estimator.

    Attributes
    ----------
    estimator : object
        The estimator.
    before, after : ndarray of the same shape
        The noisy data and the denoised ones, or the part of them that was loaded.
    axes : Axes
        What lies along their axes.
    shape : tuple of int
        The shape of all data.
    dtype : str
        The type of the noisy data.
    noise : NoiseModel or None
        The noise; None where it is not known.
    error : ErrorEstimate or str
        The estimated error, or why there is none.
    notes : list of str
        What has to be said of the data.
    """

    estimator: Any
    before: np.ndarray
    after: np.ndarray
    axes: Axes
    shape: tuple[int, ...]
    dtype: str
    noise: NoiseModel | None
    error: ErrorEstimate | str
    notes: list[str] = field(default_factory=list)

    @property
    def long_axes(self) -> tuple[int, ...]:
        """The axes along which there are several neighbours."""
        return tuple(a for a in self.axes.neighbours if self.before.shape[a] > 1)


def shown_of(estimator: Any, X: Any = None) -> Shown:
    """Return the data of a fitted estimator: those that it remembers, or those that are given.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If it does not remember its data, or if there is nothing to compare them with.
    """
    check_is_fitted(estimator)
    if X is None:
        X = _remembered(estimator)
    elif "_estimated" in dir(type(estimator)) and "_estimate" not in vars(estimator):
        estimator = copy(estimator)  # whose error is then that of these data
        estimator._noisy = X
    data, last = X, vars(estimator).get("best_estimator_", estimator)
    dtype = str(getattr(X, "dtype", "float64"))
    notes = []
    while isinstance(last, Pipeline):
        data = last[:-1].transform(data) if len(last) > 1 else data
        last = last[-1]
        notes = ["The data are shown as the last step of the pipeline sees them."]
    data = as_float_data(data, accept_sparse=True)
    axes = as_denoiser(last).axes(len(data.shape))
    output = last.transform(data)
    if np.shape(output) != data.shape:
        raise ValueError(
            f"X has shape {data.shape}, and the output has shape {np.shape(output)}: only data of "
            "the same shape can be compared."
        )
    before, after, part = _loaded(data, output, axes)
    if before.size < np.prod(data.shape):
        shape = " × ".join(map(str, before.shape))
        notes.append(f"Only a part of the data was loaded, of shape {shape}; all below is of that.")
    error = _error_of(estimator)
    noise = _noise_of(estimator, last, before, part, axes)
    return Shown(estimator, before, after, axes, data.shape, dtype, noise, error, notes)


def _remembered(estimator: Any) -> Any:
    """Return the data that an estimator was fitted to."""
    if hasattr(estimator, "best_params_") and "best_estimator_" not in vars(estimator):
        raise ValueError(
            f"This {type(estimator).__name__} was made with refit=False, so that it has no output "
            "to show: set refit=True."
        )
    X = vars(estimator).get("_noisy")
    if X is None:
        raise ValueError(
            f"X=None, and this {type(estimator).__name__} does not remember its data, since it was "
            "pickled or keeps none: pass the data that it was fitted to."
        )
    known = vars(estimator).get("_known")
    if known is not None and known[0] != digest(X):
        raise ValueError(
            f"X=None, and the data that this {type(estimator).__name__} was fitted to were written "
            "into since: pass them as they were."
        )
    return X


def _loaded(X: Any, output: Any, axes: Axes) -> tuple[np.ndarray, np.ndarray, tuple[slice, ...]]:
    """Return the data and the output in memory, or a part of them and which it is."""
    part: tuple[slice, ...] = (slice(None),) * len(X.shape)
    if is_lazy(X):
        part = middle(X.shape, _LOADED, axes.channel, axes.batch)
        before, after = in_memory([X[part], output[part]])
    elif sparse.issparse(X):
        part = (slice(None, None, -(-X.shape[0] // _ROWS)), slice(None))
        before = X[part[0]].toarray()
        output = output.tocsr() if sparse.issparse(output) else np.asarray(output)
        after = output[part[0]]
        after = after.toarray() if sparse.issparse(after) else after
    else:
        before, after = X, np.asarray(output)
    return before, after, part


def _noise_of(
    estimator: Any, denoiser: Any, X: np.ndarray, part: tuple[slice, ...], axes: Axes
) -> NoiseModel | None:
    """Return the noise that the estimated error rests upon, or that of the data; None if untold."""
    try:
        noise = estimator.noise_
    except (AttributeError, TypeError, ValueError):
        try:
            return noise_of(denoiser.noise, X, axes)
        except (AttributeError, TypeError, ValueError):
            return None
    try:
        return check_noise(noise.within(part), X)
    except ValueError:  # a map of other data
        return None


def _error_of(estimator: Any) -> ErrorEstimate | str:
    try:
        return estimator.error_estimate_
    except (AttributeError, TypeError, ValueError) as error:
        return str(error)
