"""A denoiser, or a fill, that keeps state is given a fresh copy of it for each view.

What a denoiser remembers between views, it knows about hidden entries: a search would take
it for the best. State is looked for where Python keeps it:

- in callable objects and their attributes, and in the user's own methods;
- in what the user's functions close over, in their attributes and default values, and in the
  variables of their own module that they name or set; so with the functions among these, and
  with functions in lists, dicts and attributes;
- in `functools.lru_cache`: the cache is shared, and each view gets copies of the results.

What is the same for all views:

- A read-only array (``array.flags.writeable = False``) is not copied; nor is what lets threads
  wait for each other (`threading.Lock`, ``Barrier``, ``Event``, ``Condition``, ``Semaphore``).
- An array of NumPy, or a tensor of torch, that is larger than 1 MB and than 8 times the data is
  lent, not copied. Arrays are lent read-only. A call that changes what was lent raises an
  error; of a change that goes around NumPy's flag and torch's count of versions, this is seen
  where it reaches one of some 16 000 entries that are compared.
- An object that all calls are to share, a counter for instance, says so by a method
  ``__deepcopy__`` that returns itself.
- Estimators are cloned for each view, as always in scikit-learn: what they were fitted to is
  not copied, unless they say by ``__sklearn_clone__`` that it belongs to their clones.

Where a part cannot be copied (a generator, an open file), nothing is, as parts belong together,
and a warning says so. What a copy loads in its call is lost with it, and is loaded again for
the next view: a warning says so where it is large.

Not seen is what is kept in classes, also in their cached and static methods and properties, in
variables of other modules that are reached through the module (``module.cache``), by objects that
the denoiser makes itself, by installed packages, in files, and in compiled code.
"""

from __future__ import annotations

import copyreg
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import copy, deepcopy
from functools import _lru_cache_wrapper, partial, wraps
from types import CellType, FunctionType, MethodType
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from .._utils.readable import readable
from .._utils.warn import warn
from ._state import (
    attributes_of,
    base_of,
    facts_of,
    is_fixed,
    is_tensor,
    methods_of,
    outside,
    size_of,
)

__all__ = ["fresh_copy"]

#: Bytes up to which an array is copied, and how many times the data it may be larger than that.
_LIMIT, _TIMES_DATA = 2**20, 8

#: How many entries of what was lent are compared.
_N_COMPARED = 2**14

#: Warnings that were given.
_said: set[str] = set()


class _NotCopied(Exception):
    """Part of the state cannot be copied."""


class _Memo(dict):
    """The copies by the identity of the originals, as for `deepcopy`.

    Parameters
    ----------
    limit : int
        The size, in bytes, of the largest array that is copied.
    """

    def __init__(self, limit: int):
        super().__init__()
        self.limit = limit
        self.originals: list[Any] = []  # which live as long as the memo knows them by identity
        self.scopes: list[dict] = []  # the variables of the modules of copied functions
        self.lent: list[tuple[Any, Any]] = []  # with what it is known by

    def add(self, value: Any, new: Any) -> Any:
        """Remember and return the copy of a value."""
        self[id(value)] = new
        self.originals.append(value)
        return new

    def clear(self) -> None:
        """Break the circles in which copies of functions hold their variables."""
        for scope in self.scopes:
            scope.clear()
        super().clear()


@contextmanager
def fresh_copy(
    denoiser: Any, params: dict[str, Any], size: int = 0
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Lend a denoiser and its parameters with a copy of all state, or themselves without any.

    `size` is that of the data, in bytes.
    """
    if is_fixed(denoiser) and all(map(is_fixed, params.values())):
        yield denoiser, params
        return
    memo = _Memo(max(_LIMIT, _TIMES_DATA * size))
    try:
        fresh = _fresh_estimator(denoiser, memo)
        new = {name: _fresh(value, memo) for name, value in params.items()}
    except _NotCopied as error:
        _warn_of_sharing(denoiser, error)
        memo.lent.clear()
        fresh, new = denoiser, params
    try:
        yield fresh, new
    except Exception as error:
        if memo.lent and re.search("read-?only|not writ(e)?able", str(error)):
            raise ValueError(_about_lent(denoiser, memo.lent[0][0])) from error
        raise
    else:
        for value, mark in memo.lent:
            if _mark(value) != mark:
                raise ValueError(_about_lent(denoiser, value))
        if fresh is not denoiser:
            grown = size_of([fresh, *new.values()]) - size_of([denoiser, *params.values()])
            if grown > memo.limit:
                _warn_once(
                    f"{readable(denoiser)} makes {grown / 1e6:.0f} MB in a call that it would keep "
                    "for later calls, and makes it again for each view, as each gets a fresh copy "
                    "of its state. If it loads something, let it do so before it is given here."
                )
    finally:
        memo.clear()


def _about_lent(denoiser: Any, value: Any) -> str:
    return (
        f"{readable(denoiser)} writes into an array of {value.nbytes / 1e6:.0f} MB that it keeps "
        "between its calls. Each view needs its own, and this one is too large to be copied: make "
        "it in each call, for instance with np.empty or copy.deepcopy."
    )


def _warn_of_sharing(denoiser: Any, error: _NotCopied) -> None:
    _warn_once(
        f"{readable(denoiser)} keeps what cannot be copied for each view ({error}): what it "
        "remembers of the data would spoil the loss, and sk_n2s.check_j_invariance may show that. "
        "If it remembers nothing, give the class of that object a method __deepcopy__ that returns "
        "the object itself; otherwise make it in each call."
    )


def _warn_once(message: str) -> None:
    if message not in _said:
        _said.add(message)
        warn(message)


def _fresh(value: Any, memo: _Memo) -> Any:
    """Return a copy of a value with copies of all state in it."""
    if id(value) in memo:
        return memo[id(value)]
    if is_fixed(value):
        return value
    if is_tensor(value) and value.nbytes > memo.limit:
        return _lend(value, value, memo)
    try:
        return _COPIERS.get(type(value), _fresh_object)(value, memo)
    except _NotCopied:
        raise
    except Exception:  # handles, generators and the like cannot be copied
        raise _NotCopied(f"a {type(value).__name__}") from None


def _fresh_all(values: Iterable[Any], memo: _Memo) -> list[Any]:
    return [_fresh(value, memo) for value in values]


def _fresh_list(value: list, memo: _Memo) -> list:
    new = memo.add(value, [])
    new += _fresh_all(value, memo)
    return new


def _fresh_dict(value: dict, memo: _Memo) -> dict:
    new = memo.add(value, {})
    new |= {_fresh(k, memo): _fresh(v, memo) for k, v in value.items()}
    return new


def _fresh_method(value: MethodType, memo: _Memo) -> MethodType:
    return MethodType(_fresh(value.__func__, memo), _fresh(value.__self__, memo))


def _fresh_partial(value: partial, memo: _Memo) -> partial:
    keywords = {name: _fresh(v, memo) for name, v in value.keywords.items()}
    new = partial(_fresh(value.func, memo), *_fresh_all(value.args, memo), **keywords)
    vars(new).update({n: _fresh(v, memo) for n, v in attributes_of(value).items()})
    return new


def _fresh_array(array: np.ndarray, memo: _Memo) -> np.ndarray:
    """Return the copy of an array: of a view, the same view of the copy of what it is a view of."""
    if id(array) in memo:
        return memo[id(array)]
    if array.dtype.hasobject:
        return _fresh_object(array, memo)
    base = base_of(array)
    if base is not None:
        offset = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        buffer = _fresh_array(base, memo)
        new = np.ndarray(array.shape, array.dtype, buffer, offset, array.strides)
        new.flags.writeable &= array.flags.writeable
    elif array.nbytes > memo.limit:
        new = _lend(array, array.view(), memo)
        new.flags.writeable = False
    else:
        new = array.copy(order="K")
    return memo.add(array, new)


def _lend(value: Any, lent: Any, memo: _Memo) -> Any:
    """Return what is lent of something large, and remember what it is known by."""
    memo.lent.append((value, _mark(value)))
    return memo.add(value, lent)


def _mark(value: Any) -> tuple[int, bytes]:
    """Return what an array or tensor is known by: its version, and some of its entries."""
    if isinstance(value, np.ndarray):
        step = max(1, value.size // _N_COMPARED)
        return 0, value.flat[::step].tobytes()
    flat = value.detach().reshape(-1)
    some = flat[:: max(1, len(flat) // _N_COMPARED)].cpu().contiguous()
    return value._version, some.view(sys.modules["torch"].uint8).numpy().tobytes()


def _fresh_function(function: FunctionType, memo: _Memo) -> FunctionType:
    """Return a function with copies of all that it keeps between its calls."""
    if id(function) in memo:
        return memo[id(function)]
    facts = facts_of(function)
    module = dict(function.__globals__)
    closure = tuple(CellType() for _ in function.__closure__ or ())
    fresh = FunctionType(function.__code__, module, function.__name__, None, closure)
    memo.add(function, fresh)  # it may name itself
    memo.scopes.append(module)
    cells = dict(zip(function.__code__.co_freevars, closure, strict=True))
    for name, value in outside(function, facts):
        own = type(value) is FunctionType and facts_of(value).is_own
        # Attributes that are yet to be set need a function to be set on.
        new = (_fresh_function if own and name in facts.targets else _fresh)(value, memo)
        if name in cells:
            cells[name].cell_contents = new
        else:
            module[name] = new
    if function.__defaults__ is not None:
        fresh.__defaults__ = tuple(_fresh_all(function.__defaults__, memo))
    if function.__kwdefaults__ is not None:
        fresh.__kwdefaults__ = {n: _fresh(v, memo) for n, v in function.__kwdefaults__.items()}
    vars(fresh).update({n: _fresh(v, memo) for n, v in attributes_of(function).items()})
    fresh.__qualname__, fresh.__module__ = function.__qualname__, function.__module__
    return fresh


def _fresh_cached(cached: Any, memo: _Memo) -> Any:
    """Return a cached function of which a view gets copies of the results."""

    @wraps(cached)
    def lent(*args: Any, **kwargs: Any) -> Any:
        result = cached(*args, **kwargs)
        try:
            new = _fresh(result, memo)
        except _NotCopied as error:
            _warn_of_sharing(cached, error)
            new = result
        return memo.add(result, new)

    vars(lent).update(cache_info=cached.cache_info, cache_clear=cached.cache_clear)
    return memo.add(cached, lent)


def _fresh_object(value: Any, memo: _Memo) -> Any:
    """Return a copy of any other object, made as `deepcopy` makes it, but for functions in it."""
    kind = type(value)
    how = getattr(kind, "__deepcopy__", None)
    # Fills share themselves with clones of an estimator, but not with other views.
    if how is not None and not (getattr(how, "__module__", None) or "").startswith("sk_n2s."):
        return deepcopy(value, memo)
    reduce = copyreg.dispatch_table.get(kind)
    how = reduce(value) if reduce else value.__reduce_ex__(4)
    if isinstance(how, str):
        return value
    make, args, state, items, pairs = (*how, None, None, None)[:5]
    new = memo.add(value, make(*_fresh_all(args, memo)))
    state = _fresh(state, memo)
    if state is not None and hasattr(new, "__setstate__"):
        new.__setstate__(state)
    elif state is not None:
        own, slots = state if isinstance(state, tuple) else (state, None)
        vars(new).update(own or {})
        for name, part in (slots or {}).items():
            object.__setattr__(new, name, part)
    for part in items or ():
        new.append(_fresh(part, memo))
    for key, part in pairs or ():
        new[_fresh(key, memo)] = _fresh(part, memo)
    return _with_fresh_methods(new, memo)


def _with_fresh_methods(new: Any, memo: _Memo) -> Any:
    """Give a copy methods of its own, where the user's methods keep state."""
    methods = {n: m for n, m in methods_of(type(new)).items() if not is_fixed(m)}
    if methods:
        kind: Any = type(new)
        own = type(kind)(kind.__name__, (kind,), {"__slots__": (), "__module__": kind.__module__})
        own.__qualname__ = kind.__qualname__
        for name, method in methods.items():
            setattr(own, name, _fresh(method, memo))
        object.__setattr__(new, "__class__", own)  # it may be frozen
    return new


def _fresh_estimator(value: Any, memo: _Memo) -> Any:
    """Return an estimator with copies of what its clones get of it; anything else as `_fresh`."""
    if type(value) in (list, tuple):
        return type(value)(_fresh_estimator(part, memo) for part in value)
    if not hasattr(value, "get_params") or isinstance(value, type):
        return _fresh(value, memo)
    plain = (None, getattr(BaseEstimator, "__sklearn_clone__", None))
    if getattr(type(value), "__sklearn_clone__", None) not in plain:
        return _fresh(value, memo)
    old = value.get_params(deep=False)
    new = {name: _fresh_estimator(part, memo) for name, part in old.items()}
    changed = {name: part for name, part in new.items() if part is not old[name]}
    fresh = copy(value)
    for name, part in changed.items():
        setattr(fresh, name, part)
    return _with_fresh_methods(fresh, memo)


#: How values are copied; all others are objects.
_COPIERS: dict[type, Callable[[Any, _Memo], Any]] = {
    dict: _fresh_dict,
    FunctionType: _fresh_function,
    list: _fresh_list,
    _lru_cache_wrapper: _fresh_cached,
    MethodType: _fresh_method,
    np.memmap: _fresh_array,
    np.ndarray: _fresh_array,
    partial: _fresh_partial,
    tuple: lambda value, memo: tuple(_fresh_all(value, memo)),
}
