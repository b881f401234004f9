"""Calling any denoiser in the same way: functions, estimators and pipelines.

Whatever is handed to a denoiser is a copy, so that one that writes into its input, or
wants a contiguous or writable one, works unchanged.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from inspect import isfunction
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from sklearn import config_context
from sklearn.base import clone, is_regressor
from sklearn.pipeline import Pipeline

from .._utils.once import Once
from ._tables import TableDenoiser

__all__ = [
    "RowBlocks",
    "Signature",
    "apply_denoiser",
    "behind_partial",
    "is_estimator",
    "name_of",
    "signature_of",
]


#: Entries of a sparse table that are made dense at a time.
_ROWS_OF = 2**21


class Signature:
    """The keyword parameters of a denoising function.

    Attributes
    ----------
    defaults : dict
        The parameters that have a default value.
    required : tuple of str
        The names of those that have none.
    is_open : bool
        Whether any other keyword is accepted as well (``**kwargs``).
    """

    def __init__(self, defaults: dict, required: tuple[str, ...], is_open: bool):
        self.defaults = defaults
        self.required = required
        self.is_open = is_open

    def accepts(self, name: str) -> bool:
        """Return whether there is a parameter of this name."""
        return self.is_open or name in self.defaults or name in self.required

    def names(self) -> list[str]:
        """Return the names of the parameters, sorted."""
        return sorted((*self.required, *self.defaults))


#: Searches ask for the parameters of the same functions over and over.
_known: WeakKeyDictionary[Callable, Signature] = WeakKeyDictionary()


def is_estimator(denoiser: Any) -> bool:
    """Return whether `denoiser` follows scikit-learn's interface."""
    return (
        not isinstance(denoiser, type)
        and hasattr(denoiser, "fit")
        and (hasattr(denoiser, "transform") or hasattr(denoiser, "predict"))
    )


def signature_of(denoiser: Any) -> Signature:
    """Return the keyword parameters of a denoiser."""
    if is_estimator(denoiser):
        return Signature({}, (), False)
    if not callable(denoiser) or isinstance(denoiser, type):
        return Signature({}, (), True)
    if not isfunction(denoiser):
        return _signature(denoiser)
    if denoiser not in _known:
        _known[denoiser] = _signature(denoiser)
    return _known[denoiser]


def _signature(denoiser: Callable) -> Signature:
    """Return the keyword parameters of a function, the first parameter of which is the data."""
    try:
        parameters = list(inspect.signature(denoiser).parameters.values())
    except (TypeError, ValueError):  # some compiled functions do not tell
        return Signature({}, (), True)
    defaults, required, is_open = {}, [], False
    first = True
    for p in parameters:
        if p.kind is p.VAR_KEYWORD:
            is_open = True
        elif first and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            first = False  # the data
        elif p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD):
            if p.default is p.empty:
                required.append(p.name)
            else:
                defaults[p.name] = p.default
    return Signature(defaults, tuple(required), is_open)


def name_of(denoiser: Any) -> str:
    """Return what a denoiser is called in messages."""
    denoiser = behind_partial(denoiser)
    return getattr(denoiser, "__name__", type(denoiser).__name__)


def behind_partial(denoiser: Any) -> Any:
    """Return what a partial object calls in the end, and anything else as it is."""
    while isinstance(denoiser, partial):
        denoiser = denoiser.func
    return denoiser


def apply_denoiser(
    denoiser: Any,
    X: np.ndarray,
    params: dict,
    *,
    channel_axis: int | None,
    batch_axis: int | None,
    allow_nan: bool = False,
    copy: bool = True,
    known: Once | None = None,
) -> np.ndarray:
    """Return the answer of a denoiser, checked; `known` is what was learnt from `X` before."""
    if batch_axis is None and channel_axis is not None:
        if "channel_axis" in signature_of(denoiser).names():
            params = {**params, "channel_axis": channel_axis}
        else:
            batch_axis, channel_axis = channel_axis, None
    if batch_axis is not None:
        if channel_axis is not None:
            channel_axis -= channel_axis > batch_axis
        answer = np.empty_like(X)
        items = np.moveaxis(X, batch_axis, 0), np.moveaxis(answer, batch_axis, 0)
        for item, place in zip(*items, strict=True):
            place[...] = apply_denoiser(
                denoiser,
                item,
                params,
                channel_axis=channel_axis,
                batch_axis=None,
                allow_nan=allow_nan,
                copy=copy,
            )
        return answer
    shown = np.array(X, order="C") if copy else X.view()
    shown.flags.writeable = copy
    if is_estimator(denoiser):
        answer = _reconstruct(denoiser, shown, known)
    else:
        answer = denoiser(shown, **params)
    return _checked(answer, X, denoiser, allow_nan)


def _checked(answer: Any, X: np.ndarray, denoiser: Any, allow_nan: bool) -> np.ndarray:
    name, kind = name_of(denoiser), type(answer).__name__
    if answer is None or isinstance(answer, tuple):
        what = "None" if answer is None else f"a tuple of {len(answer)}"
        raise ValueError(f"{name} returned {what}: a denoiser must return one array.")
    try:
        answer = np.asarray(answer)
    except Exception as error:  # a tensor with a gradient, or on another device
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{name} returned a {kind} that cannot be read as an array ({reason}): a denoiser must "
            "return an array, for instance tensor.detach().cpu().numpy()."
        ) from None
    if answer.shape != X.shape:
        raise ValueError(
            f"{name} returned an array of shape {answer.shape} for data of shape {X.shape}: a "
            "denoiser must keep the shape."
        )
    if answer.dtype.kind not in "fiub":
        raise ValueError(
            f"{name} returned dtype {answer.dtype}: a denoiser must return real numbers."
        )
    with np.errstate(over="ignore"):
        answer = answer.astype(X.dtype, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.sum(answer)):  # which no NaN and no infinity leaves it
            return answer
    bad = np.count_nonzero(np.isinf(answer) if allow_nan else ~np.isfinite(answer))
    if bad:
        raise ValueError(f"{name} returned NaN or an infinity for {bad} of {answer.size} entries.")
    return answer


def _flat_steps(estimator: Any) -> list[Any]:
    """Return the steps of an estimator, those of Pipelines within Pipelines included."""
    if not isinstance(estimator, Pipeline):
        return [estimator]
    return [
        inner
        for _, step in estimator.steps
        if step is not None and step != "passthrough"
        for inner in _flat_steps(step)
    ]


def _reconstruct(estimator: Any, X: np.ndarray, known: Once | None) -> Any:
    """Fit the steps to X and return their answer, on the scale that X came in."""
    fitted = []
    with config_context(transform_output="default"):  # steps hand arrays to each other
        for step in map(clone, _flat_steps(estimator)):
            if hasattr(step, "set_output"):
                step.set_output(transform="default")
            if is_regressor(step) or not hasattr(step, "transform"):
                X = step.fit(X, X).predict(X)
            else:
                X = _fitted(step, X, known).transform(X)
                fitted.append(step)
            known = None  # what follows sees what the first step made
        for step in reversed(fitted):
            if hasattr(step, "inverse_transform"):
                X = step.inverse_transform(X)
    return X


def _fitted(step: Any, X: Any, known: Once | None) -> Any:
    """Return a step, fitted; one of a table, by what others learnt from the same."""
    shares = known is not None and isinstance(step, TableDenoiser)
    return step.fit_shared(X, known) if shares else step.fit(X)


class RowBlocks:
    """The answer to a sparse table: dense, and worked out for some rows at a time.

    Parameters
    ----------
    estimator : estimator
        A denoiser of tables, or a transformer with an inverse, or a pipeline of such.
    X : sparse array of shape (n_samples, n_features)
        The table.
    known : Once, default=None
        What was learnt from it before.
    factor : float, default=1.0
        What the answer is multiplied by.
    """

    def __init__(self, estimator: Any, X: Any, known: Once | None = None, factor: float = 1.0):
        self._name = name_of(estimator)
        if not is_estimator(estimator):
            raise TypeError(
                f"{self._name} needs a dense table, and X is sparse: give X.toarray(), or "
                "a denoiser that takes sparse tables, such as LowRankDenoiser."
            )
        self.shape, self._dtype, self._factor = X.shape, X.dtype, factor
        self._back: list[Callable] = []
        steps = list(map(clone, _flat_steps(estimator)))
        for step in steps:
            if isinstance(step, TableDenoiser):
                if step is not steps[-1]:
                    raise TypeError(
                        f"{name_of(step)} has to be the last step of a pipeline of sparse data."
                    )
                self._back.append(_fitted(step, X, known).transform)
            elif hasattr(step, "inverse_transform"):
                X = step.fit_transform(X)
                self._back.append(step.inverse_transform)
            else:
                raise TypeError(
                    f"{name_of(step)} has no inverse_transform, by which its answer to a sparse "
                    "table could be worked out for some rows at a time: give X.toarray()."
                )
            known = None
        self._rows = X

    def __getitem__(self, rows: slice) -> np.ndarray:
        answer = self._rows[rows]
        for back in reversed(self._back):
            answer = back(answer)
        expected = (len(range(*rows.indices(self.shape[0]))), self.shape[1])
        if answer.shape != expected:
            raise ValueError(
                f"{self._name} returned an array of shape {answer.shape} for data of "
                f"shape {expected}: a denoiser must keep the shape."
            )
        if not np.isfinite(answer).all():
            raise ValueError(f"{self._name} returned NaN or an infinity.")
        answer = np.asarray(answer, self._dtype)
        return answer if self._factor == 1 else answer * answer.dtype.type(self._factor)

    def all(self) -> np.ndarray:
        """Return the whole answer, which is dense."""
        rows = max(1, _ROWS_OF // self.shape[1])
        blocks = [self[k : k + rows] for k in range(0, self.shape[0], rows)]
        return np.concatenate(blocks)
