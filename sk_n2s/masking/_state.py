"""Where Python keeps state: whether a value can change, and what it holds."""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields
from functools import _lru_cache_wrapper, partial
from threading import Barrier, BoundedSemaphore, Condition, Event, Lock, RLock, Semaphore
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, ref

import numpy as np

__all__ = [
    "attributes_of",
    "base_of",
    "facts_of",
    "is_fixed",
    "is_tensor",
    "methods_of",
    "outside",
    "size_of",
]

#: Attributes of functions that the package itself sets begin like this.
_OURS = "_sk_n2s"

#: What does not change, and what threads wait for each other by, which only serves if it is shared:
#: most values are of exactly these types.
_PLAIN = frozenset((
    Barrier, BoundedSemaphore, CodeType, Condition, Event, ModuleType, Semaphore, bool, bytes,
    complex, float, int, np.ufunc, property, range, ref, slice, str, type, type(None), type(...),
    type(Lock()), type(RLock()),
))  # fmt: skip
_FIXED = (*_PLAIN, np.dtype, np.generic)


class _Facts(NamedTuple):
    """What the code of a function says of its state.

    Attributes
    ----------
    code : code
        The code.
    is_own : bool
        Whether the function is the user's own, and not of an installed package.
    sets : bool
        Whether it sets variables outside itself.
    names : tuple of str
        The variables of its module that it reads.
    targets : frozenset of str
        The variables outside itself whose attributes it may set.
    """

    code: CodeType
    is_own: bool
    sets: bool
    names: tuple[str, ...]
    targets: frozenset[str]


_known: WeakKeyDictionary[FunctionType, _Facts] = WeakKeyDictionary()


def facts_of(function: FunctionType) -> _Facts:
    known = _known.get(function)
    if known is None or known.code is not function.__code__:
        code = function.__code__
        found = _Found()
        if _is_own(function):
            found.read(code)
        names = tuple(sorted(found.names))
        targets = frozenset({*names, *code.co_freevars} if found.any_target else found.targets)
        known = _Facts(code, _is_own(function), found.sets, names, targets)
        _known[function] = known
    return known


class _Found:
    """What is found in code, and in that of functions that are defined inside."""

    def __init__(self) -> None:
        self.sets = self.any_target = False
        self.names: set[str] = set()
        self.targets: set[str] = set()

    def read(self, code: CodeType) -> None:
        """Read the code."""
        last = None
        for step in dis.get_instructions(code):
            if step.opname == "EXTENDED_ARG":
                continue
            outside = step.opname == "LOAD_GLOBAL" or step.argval in code.co_freevars
            if step.opname == "STORE_GLOBAL" or (step.opname == "STORE_DEREF" and outside):
                self.sets = True
            elif step.opname == "LOAD_GLOBAL":
                self.names.add(step.argval)
            elif step.opname == "STORE_ATTR" and last is not None:  # of what was loaded last
                self.targets.add(last)
            if step.argval in ("setattr", "vars", "__dict__"):
                self.any_target = True
            if isinstance(step.argval, CodeType):
                self.read(step.argval)
            last = step.argval if outside and step.opname.startswith("LOAD") else None


def _is_own(thing: Any) -> bool:
    """Return whether a function or class is the user's own, and not of an installed package."""
    top = (thing.__module__ or "").partition(".")[0]
    file = getattr(sys.modules.get(top), "__file__", None) or ""
    installed = top in sys.stdlib_module_names or top == __name__.partition(".")[0]
    return not installed and "site-packages" not in file and "dist-packages" not in file


def is_fixed(value: Any, seen: set[FunctionType] | None = None) -> bool:
    """Return whether a value cannot change; functions that were seen already are left out."""
    kind = type(value)
    if kind in _PLAIN:
        return True
    seen = set() if seen is None else seen
    if kind is FunctionType:
        return _is_fixed_function(value, seen)
    if kind is partial:
        parts = (value.func, *value.args, *value.keywords.values(), *attributes_of(value).values())
        return all(is_fixed(part, seen) for part in parts)
    if kind is MethodType:
        return is_fixed(value.__func__, seen) and is_fixed(value.__self__, seen)
    if kind is BuiltinFunctionType:  # of a module, or the method of an object
        return is_fixed(value.__self__, seen)
    if kind is _lru_cache_wrapper:
        return not _is_own(value)
    if isinstance(value, np.ndarray):
        base = base_of(value)
        return not value.flags.writeable and (base is None or is_fixed(base))
    if kind is tuple or kind is frozenset:
        return all(is_fixed(part, seen) for part in value)
    params: Any = getattr(kind, "__dataclass_params__", None)
    if params is not None and params.frozen and not isinstance(value, type):
        parts = tuple(getattr(value, field.name) for field in fields(value))
        return all(is_fixed(part, seen) for part in (*parts, *methods_of(kind).values()))
    # A bare object is a sentinel: it is told by its identity.
    return isinstance(value, _FIXED) or kind is object


def _is_fixed_function(function: FunctionType, seen: set[FunctionType]) -> bool:
    facts = facts_of(function)
    if not facts.is_own or function in seen:
        return True
    seen.add(function)
    if facts.sets:
        return False
    for name, value in outside(function, facts):
        if type(value) in _PLAIN:
            continue
        if name in facts.targets and type(value) is FunctionType:
            return False
        if not is_fixed(value, seen):
            return False
    return all(is_fixed(value, seen) for value in _own_values(function))


def outside(function: FunctionType, facts: _Facts) -> list[tuple[str, Any]]:
    """Return the variables outside a function that it uses, by their names."""
    scope = function.__globals__
    found = [(name, scope[name]) for name in facts.names if name in scope]
    if function.__closure__:
        contents = map(_content, function.__closure__)
        found += zip(function.__code__.co_freevars, contents, strict=True)
    return found


def _own_values(function: FunctionType) -> Iterator[Any]:
    """Yield the default values and attributes of a function."""
    yield from function.__defaults__ or ()
    if function.__kwdefaults__:
        yield from function.__kwdefaults__.values()
    yield from attributes_of(function).values()


def attributes_of(function: Any) -> dict[str, Any]:
    """Return the attributes of a function or partial object, but for those set by the package."""
    return {n: v for n, v in function.__dict__.items() if not n.startswith(_OURS)}


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return None


def methods_of(kind: type) -> dict[str, FunctionType]:
    """Return the user's own methods of a class."""
    return {
        name: method
        for cls in reversed(kind.__mro__)
        if cls is not object and _is_own(cls)
        for name, method in vars(cls).items()
        if type(method) is FunctionType and name != "__repr__"  # that of dataclasses has state
    }


def base_of(array: np.ndarray) -> np.ndarray | None:
    """Return the array that an array is a view of."""
    base: Any = array.base
    while base is not None and not isinstance(base, np.ndarray):
        base = getattr(base, "base", None)  # as_strided puts an object in between
    return base


def size_of(values: Iterable[Any], seen: set[int] | None = None) -> int:
    """Return the bytes of the arrays and tensors among values and inside them."""
    seen = set() if seen is None else seen
    total = 0
    for value in values:
        if type(value) in _PLAIN or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, np.ndarray) or is_tensor(value):
            total += value.nbytes
        else:
            total += size_of(_parts(value), seen)
    return total


def _parts(value: Any) -> Iterable[Any]:
    """Return what a value holds, as far as it is looked into."""
    if isinstance(value, FunctionType):
        facts = facts_of(value)
        return [*(v for _, v in outside(value, facts)), *_own_values(value)] if facts.is_own else []
    if isinstance(value, MethodType):
        return [value.__self__]
    if isinstance(value, partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return value
    if isinstance(value, _FIXED):
        return []
    return list(getattr(value, "__dict__", {}).values())


def is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, getattr(torch, "Tensor", ()))
