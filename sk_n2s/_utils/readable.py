"""Text for people: values and estimators as they are written, without addresses in memory.

Inside an estimator of scikit-learn, a Pipeline for instance, it is scikit-learn that prints an
estimator, from its parameters and not by its ``__repr__``. What asks for the parameters in order
to print them is therefore given their texts.
"""

from __future__ import annotations

import inspect
import sys
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

__all__ = ["call_text", "for_printers", "is_printing", "readable"]

#: The module of scikit-learn that prints, and its function that makes a table for notebooks.
_PRINTER, _TABLE = "sklearn.utils._pprint", "_get_params_html"


class _Text:
    """What stands for a value where it is printed."""

    def __init__(self, text: str):
        self._text = text

    def __repr__(self) -> str:
        return self._text


def for_printers(params: dict) -> dict:
    """Return the parameters of an estimator, with their texts if they are only to be printed."""
    if not is_printing("get_params"):
        return params
    texts = {n: readable(v) for n, v in params.items() if not isinstance(v, BaseEstimator)}
    changed = {n: _Text(text) for n, text in texts.items() if text != repr(params[n])}
    return {**params, **changed}


def is_printing(method: str) -> bool:
    """Return whether a method that is running was called by scikit-learn in order to print."""
    frame: Any = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_name == method:
        frame = frame.f_back
    return frame.f_globals.get("__name__") == _PRINTER or frame.f_code.co_name == _TABLE


def readable(value: Any) -> str:
    """Return a value as code, with functions and classes by their names."""
    if isinstance(value, partial):
        given = [*map(readable, value.args), *_keywords(value.keywords)]
        return f"partial({', '.join([readable(value.func), *given])})"
    if inspect.isroutine(value) or isinstance(value, type):
        return value.__name__
    if isinstance(value, np.ndarray) and value.size > 10:
        return f"<array of shape {value.shape}>"
    if type(value) is dict:
        return "{" + ", ".join(f"{k!r}: {readable(v)}" for k, v in value.items()) + "}"
    if type(value) in (list, tuple):
        left, right = "[]" if type(value) is list else "()"
        comma = "," if type(value) is tuple and len(value) == 1 else ""
        return left + ", ".join(map(readable, value)) + comma + right
    if type(value).__repr__ is object.__repr__:
        return f"<{type(value).__name__}>"
    return repr(value)


def call_text(thing: Any, params: dict) -> str:
    """Return the call that makes such an object, without parameters that have their defaults."""
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(type(thing).__init__).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    required = [n for n in params if defaults.get(n, 0) is inspect.Parameter.empty]
    changed = {
        n: v
        for n, v in params.items()
        if n not in required and not _same(v, defaults.get(n, thing))
    }
    # In the order of the signature; what it does not name comes last.
    first = [readable(params[name]) for name in defaults if name in required]
    order = sorted(
        changed, key=lambda n: list(defaults).index(n) if n in defaults else len(defaults)
    )
    given = _keywords({name: changed[name] for name in order})
    return f"{type(thing).__name__}({', '.join([*first, *given])})"


def _keywords(params: dict) -> list[str]:
    return [f"{name}={readable(value)}" for name, value in params.items()]


def _same(value: Any, default: Any) -> bool:
    """Return whether a value is the default, NaN included."""
    if value is default:
        return True
    simple = (bool, int, float, str, tuple)
    if not isinstance(value, simple) or not isinstance(default, simple):
        return False
    return value == default or (value != value and default != default)
