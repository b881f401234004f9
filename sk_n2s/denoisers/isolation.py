"""A denoiser that keeps state is given a fresh copy of it for each view.

What a denoiser remembers between views, it knows about hidden entries: a search would take
it for the best. State is looked for where Python keeps it: in callable objects, in what a
function closes over, in its attributes and default values, and in the variables of the user's
own module that it names or sets. What is kept in classes, in files, in compiled code, or by
other functions that it calls, is not seen.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import fields
from functools import lru_cache, partial
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

__all__ = ["fresh_copy"]

#: Where the memo keeps the variables of the modules of copied functions.
_SCOPES = "scopes"

#: What does not change.
_FIXED = (
    BuiltinFunctionType, ModuleType, np.dtype, np.generic, np.ufunc, type, type(None), type(...),
    bool, bytes, complex, float, int, range, slice, str,
)  # fmt: skip


class _NotCopied(Exception):
    """Part of the state cannot be copied."""


@contextmanager
def fresh_copy(denoiser: Any, params: dict[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Lend a denoiser and its parameters with a copy of all state, or themselves without any.

    Where a part cannot be copied (a lock, a handle), nothing is: parts belong together. An
    object that all calls are to share, a counter for instance, says so by a method
    ``__deepcopy__`` that returns itself.
    """
    memo: dict[Any, Any] = {_SCOPES: []}
    try:
        _copy_arrays([denoiser, params], memo, set())
        copy, new = _fresh(denoiser, memo), {n: _fresh(v, memo) for n, v in params.items()}
    except _NotCopied:
        copy, new = denoiser, params
    try:
        yield copy, new
    finally:
        for scope in memo[_SCOPES]:  # which copies of functions and these hold in a circle
            scope.clear()


def _copy_arrays(values: Iterable[Any], memo: dict[Any, Any], seen: set[int]) -> None:
    """Copy the arrays among values and inside them; views of one array stay views of one."""
    for value in values:
        if id(value) in seen or _is_fixed(value):
            continue
        seen.add(id(value))
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            _copy_array(value, memo)
        else:
            _copy_arrays(_parts(value), memo, seen)


def _copy_array(array: np.ndarray, memo: dict[Any, Any]) -> np.ndarray:
    """Return the copy of an array: of a view, the same view of the copy of what it is a view of."""
    if id(array) not in memo:
        base = array.base
        if isinstance(base, np.ndarray):
            offset = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
            memo[id(array)] = np.ndarray(
                array.shape, array.dtype, _copy_array(base, memo), offset, array.strides
            )
        else:
            memo[id(array)] = array.copy(order="K")
    return memo[id(array)]


def _parts(value: Any) -> Iterable[Any]:
    """Return what a value holds, as far as it is looked into."""
    if isinstance(value, FunctionType):
        names = _globals_of(value.__code__)[1]
        held = [value.__globals__[name] for name in names if name in value.__globals__]
        held += [_content(cell) for cell in value.__closure__ or ()]
        return [*held, value.__defaults__, value.__kwdefaults__, vars(value)]
    if isinstance(value, MethodType):
        return [value.__self__]
    if isinstance(value, partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, list | tuple | set | frozenset):
        return value
    return list(getattr(value, "__dict__", {}).values())


def _fresh(value: Any, memo: dict[Any, Any]) -> Any:
    if id(value) in memo:
        return memo[id(value)]
    if _is_fixed(value):
        return value
    if isinstance(value, FunctionType):
        return _fresh_function(value, memo)
    if isinstance(value, MethodType):
        owner = _fresh(value.__self__, memo)
        return value if owner is value.__self__ else MethodType(value.__func__, owner)
    if isinstance(value, partial):
        parts = [value.func, *value.args, *value.keywords.values()]
        func, *new = _fresh_all(parts, memo)
        if func is value.func and all(a is b for a, b in zip(new, parts[1:], strict=True)):
            return value
        args, rest = new[: len(value.args)], new[len(value.args) :]
        return partial(func, *args, **dict(zip(value.keywords, rest, strict=True)))
    try:
        return deepcopy(value, memo)
    except Exception:  # locks, handles and the like cannot be copied
        raise _NotCopied from None


def _fresh_all(values: Iterable[Any], memo: dict[Any, Any]) -> list[Any]:
    return [_fresh(value, memo) for value in values]


def _is_fixed(value: Any) -> bool:
    """Return whether a value cannot change."""
    if isinstance(value, np.ndarray):
        return not value.flags.writeable
    if isinstance(value, tuple | frozenset):
        return all(map(_is_fixed, value))
    params: Any = getattr(type(value), "__dataclass_params__", None)
    if params is not None and params.frozen:
        return all(_is_fixed(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, FunctionType):
        return not _is_own(value)
    # A bare object is a sentinel: it is told by its identity.
    return isinstance(value, _FIXED) or type(value) is object


def _fresh_function(function: FunctionType, memo: dict[Any, Any]) -> FunctionType:
    """Return a function with copies of all that it keeps between its calls."""
    memo[id(function)] = function  # it may name itself
    sets, names = _globals_of(function.__code__)
    scope = {name: function.__globals__[name] for name in names if name in function.__globals__}
    cells = [_content(cell) for cell in function.__closure__ or ()]
    kept: list[Any] = [function.__defaults__, function.__kwdefaults__, vars(function)]
    old = [*cells, *scope.values(), *(v for part in kept for v in _values(part))]
    new = _fresh_all(old, memo)
    # One that names itself may keep its state in attributes that it has yet to make.
    alone = not sets and not any(value is function for value in old)
    if alone and all(a is b for a, b in zip(new, old, strict=True)):
        return function
    fresh = iter(new)
    closure = tuple(CellType(next(fresh)) for _ in cells)
    module = {**function.__globals__, **{name: next(fresh) for name in scope}}
    defaults = None if kept[0] is None else tuple(next(fresh) for _ in kept[0])
    copy = FunctionType(function.__code__, module, function.__name__, defaults, closure)
    if kept[1] is not None:
        copy.__kwdefaults__ = {name: next(fresh) for name in kept[1]}
    vars(copy).update({name: next(fresh) for name in kept[2]})
    copy.__qualname__, copy.__module__ = function.__qualname__, function.__module__
    for cell in closure:
        if cell.cell_contents is function:
            cell.cell_contents = copy
    if module.get(function.__name__) is function:
        module[function.__name__] = copy
    memo[_SCOPES].append(module)
    return copy


def _values(part: tuple | dict | None) -> Iterable[Any]:
    return part.values() if isinstance(part, dict) else part or ()


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return None


@lru_cache(maxsize=256)
def _globals_of(code: CodeType) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the names that code sets outside itself, and the global ones that it reads."""
    sets, names = set(), set()
    for step in dis.get_instructions(code):
        if step.opname == "STORE_GLOBAL" or (
            step.opname == "STORE_DEREF" and step.argval in code.co_freevars
        ):
            sets.add(step.argval)
        elif step.opname == "LOAD_GLOBAL":
            names.add(step.argval)
        if isinstance(step.argval, CodeType):  # functions that are defined inside
            inner_sets, inner_names = _globals_of(step.argval)
            sets |= inner_sets
            names |= set(inner_names)
    return frozenset(sets), tuple(sorted(names))


def _is_own(function: FunctionType) -> bool:
    """Return whether a function is the user's own, and not of an installed package."""
    top = (function.__module__ or "").partition(".")[0]
    file = getattr(sys.modules.get(top), "__file__", None) or ""
    installed = top in sys.stdlib_module_names or top == __name__.partition(".")[0]
    return not installed and "site-packages" not in file and "dist-packages" not in file
