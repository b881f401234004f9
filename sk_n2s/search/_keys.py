"""Keys of evaluations: digests of values, and of the code of functions and classes among them.

A key holds the data, the candidate's parameters, the loss, the code of the denoiser and of the
functions that this names in the user's own modules, through decorators, caches and imports, and
the releases of the packages. What cannot be keyed is refused with a sentence. Environment
variables, files, and names that are worked out at run time are not seen.
"""

from __future__ import annotations

import io
import pickle
import sys
import threading
import types
from functools import reduce
from typing import Any, NewType, TypeVar

import numpy as np
from joblib.hashing import Hasher, NumpyHasher
from sklearn.base import BaseEstimator

from ._code import code_of
from ._releases import environment

__all__ = ["key_of"]

#: What no result depends on, or what says nothing of its own.
_TOOLS = (
    *(type(threading.Lock()), type(threading.RLock()), threading.local, io.IOBase),
    *(types.MemberDescriptorType, types.GetSetDescriptorType, TypeVar, NewType),
)
_WEAK = ("weakref", "_weakref", "_weakrefset")
#: What makes up things that pickle would store by their names, or not at all.
_PARTS = {
    types.CodeType: "co_code co_exceptiontable co_consts co_names co_varnames co_freevars "
    "co_cellvars co_flags co_argcount co_posonlyargcount co_kwonlyargcount",
    types.MethodType: "__func__ __self__",
    types.BuiltinFunctionType: "__name__ __self__",
    classmethod: "__func__",
    staticmethod: "__func__",
    property: "fget fset fdel",
}


def key_of(*things: Any) -> str:
    """Return a digest of values and of code, the same in any process."""
    hasher = _Hasher()
    try:
        return hasher.digest([environment(), *map(_to_be_cloned, things)])
    except Exception as error:
        raise ValueError(
            f"memory cannot tell {hasher.last!r} from other objects, since it cannot be pickled "
            f"({type(error).__name__}): set memory=None, or leave it out of the search."
        ) from None


def _to_be_cloned(thing: Any) -> Any:
    """Return what of a thing is left in its clone: of an estimator, its parameters."""
    if type(thing) in (list, tuple):
        return type(thing)(map(_to_be_cloned, thing))
    if type(thing) is dict:
        return {name: _to_be_cloned(value) for name, value in thing.items()}
    how = getattr(type(thing), "__sklearn_clone__", None)
    if not hasattr(type(thing), "get_params") or how not in (None, BaseEstimator.__sklearn_clone__):
        return thing
    params = sorted(thing.get_params(deep=False).items())
    output = getattr(thing, "_sklearn_output_config", None)
    return ("clone", type(thing), output, [(name, _to_be_cloned(v)) for name, v in params])


class _Hasher(NumpyHasher):
    """joblib's digest of what pickle would store, with code in the place of names."""

    def __init__(self, memo: dict | None = None) -> None:
        super().__init__("sha1", coerce_mmap=True)
        self.memo = dict(memo or {})  # keeps what was met, so that no id is used again
        self.last: Any = None
        self._met: list[Any] = []  # functions, classes and modules

    def digest(self, thing: Any) -> str:
        """Return the digest of a thing, and of all code that it leads to."""
        self.save(thing)
        for code in self._met:  # which grows meanwhile
            self.last = code
            self.save(list(code_of(code)))
        self._hash.update(self.stream.getvalue())
        return self._hash.hexdigest()

    def _apart(self, thing: Any, memo: dict | None = None) -> str:
        """Return a digest that does not depend on what is stored next to the thing."""
        plain = type(thing) in (str, bytes, int, float, bool)
        return repr(thing) if plain else _Hasher(memo).digest(thing)

    def save(self, obj: Any) -> None:
        """Store an object, or what stands for it."""
        self.last, kind, new = obj, type(obj), id(obj) not in self.memo
        if issubclass(kind, types.FunctionType | type | types.ModuleType) and new:
            self.memoize(obj)
            self._met.append(obj)
        elif issubclass(kind, set | frozenset) and new:
            self.memoize(obj)
            super().save((kind, sorted(self._apart(one, self.memo) for one in obj)))
        elif kind is types.CodeType:  # apart, since a .pyc file may share other constants
            super().save(("code", self._apart(_inside(obj))))
        elif issubclass(kind, np.ndarray) and kind not in (np.ndarray, np.memmap):
            Hasher.save(self, obj)  # with its mask or its unit
        else:
            super().save(_inside(obj))

    def save_global(self, obj: Any, name: str | None = None, **kwargs: Any) -> None:
        """Store what pickle would store by its name: what it wraps, or the code of its module."""
        if hasattr(obj, "__wrapped__"):
            return self.save((type(obj), obj.__wrapped__, vars(obj)))
        for place in (getattr(obj, "__module__", None), "builtins", "numpy", "scipy.special"):
            module = sys.modules.get(str(place))
            if reduce(lambda o, n: getattr(o, n, None), str(name).split("."), module) is obj:
                return self.save((type(obj), name, module))
        raise pickle.PicklingError("it is in no module")

    def _batch_setitems(self, items: Any, *args: Any) -> None:
        """Store the items of a dict in their order, on which a result may depend."""
        pickle._Pickler._batch_setitems(self, items, *args)  # type: ignore[attr-defined]


def _inside(obj: Any) -> Any:
    """Return what stands for an object that pickle would refuse, or store by its name."""
    kind, torch = type(obj), sys.modules.get("torch")
    if parts := next((p for k, p in _PARTS.items() if issubclass(kind, k)), None):
        return (kind, [getattr(obj, part) for part in parts.split()])
    if kind is types.MappingProxyType:
        return (kind, dict(obj))
    if kind.__module__ in _WEAK or issubclass(kind, _TOOLS):
        return obj.getvalue() if hasattr(obj, "getvalue") else kind.__name__
    if torch and isinstance(obj, torch.Tensor):
        values = obj.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        return (kind, str(obj.dtype), [*obj.shape], str(obj.device), obj.requires_grad, values)
    return obj
