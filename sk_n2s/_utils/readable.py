"""Text for people: values and estimators as they are written, without addresses in memory."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import numpy as np

__all__ = ["call_text", "readable"]


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
