"""Keys of evaluations: digests of values, and of the code of functions and classes among them.

A key holds the data, the candidate's parameters and the loss, as pickle would store them. In the
place of the name of a function or a class it holds its code, and what that code names or imports
in the user's own modules. Of installed packages it holds the releases, and of this package the
code.
"""

from __future__ import annotations

import dis
import importlib
import io
import pickle
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import distribution, packages_distributions
from pathlib import Path
from typing import Any

from joblib import hash
from joblib.hashing import NumpyHasher
from sklearn.base import BaseEstimator

__all__ = ["key_of"]

_NOT_CODE = {"__doc__", "__module__", "_abc_impl", "__annotations__", "__slotnames__"}
_OF_CODE = ("code", "exceptiontable", "consts", "names", "varnames", "freevars")

#: What no result depends on, or what says nothing of its own.
_SILENT = (
    *map(type, (threading.Lock(), threading.RLock())), threading.local, io.IOBase,
    types.MemberDescriptorType, types.GetSetDescriptorType,
    weakref.ref, weakref.WeakKeyDictionary, weakref.WeakValueDictionary, weakref.WeakSet,
)  # fmt: skip

#: What is stored of objects that pickle does not know, or knows by name alone.
_STAND_INS: tuple[tuple[Any, Callable], ...] = (
    (types.MethodType, lambda obj: (obj.__func__, obj.__self__)),
    (types.CodeType, lambda obj: [getattr(obj, f"co_{kind}") for kind in _OF_CODE]),
    (property, lambda obj: (obj.fget, obj.fset)),
    ((staticmethod, classmethod), lambda obj: obj.__wrapped__),
    (type(cache(len)), lambda obj: (obj.__wrapped__, vars(obj))),
    ((set, frozenset), lambda obj: sorted(_Hasher().hash(part) for part in obj)),
    (types.MappingProxyType, dict),
    ((io.BytesIO, io.StringIO), lambda obj: obj.getvalue()),
    (_SILENT, lambda _: ()),
)

#: What holds parameters of estimators, and learns nothing.
_HOLDERS = (list, tuple, dict, set, frozenset)


def key_of(*things: Any) -> str:
    """Return a digest of values and of code, the same in any process."""
    hasher = _Hasher()
    try:
        return hasher.hash([_environment(), *things])
    except Exception as error:
        raise ValueError(
            f"memory cannot tell {hasher.last!r} from other objects, since it cannot be pickled "
            f"({type(error).__name__}): set memory=None, or leave it out of the search."
        ) from None


class _Hasher(NumpyHasher):
    """joblib's digest of what pickle would store, with code in the place of names."""

    def __init__(self) -> None:
        super().__init__("sha1", coerce_mmap=True)
        self.last: Any = None
        self._seen: dict[int, tuple[int, Any]] = {}  # things are kept, and so are their ids
        self._whole = False  # whether what estimators have learnt counts

    def save(self, obj: Any) -> None:
        """Store an object, or what stands for it."""
        self.last, whole = obj, self._whole
        if isinstance(obj, BaseEstimator) and not whole:
            # Its clones have its parameters alone, unless it says how it is cloned.
            if type(obj).__sklearn_clone__ is BaseEstimator.__sklearn_clone__:
                obj = (type(obj), obj.get_params(deep=False))
            else:
                self._whole = True
        elif not isinstance(obj, _HOLDERS):
            self._whole = True  # nothing else is cloned, and what it refers to is as it is
        super().save(self._stand_in(obj))
        self._whole = whole

    def _stand_in(self, obj: Any) -> Any:
        """Return what is stored of an object."""
        if isinstance(obj, types.FunctionType | type):
            again = id(obj) in self._seen
            number, _ = self._seen.setdefault(id(obj), (len(self._seen), obj))
            return ("again", number) if again else ("code", *_code_of(obj))
        if isinstance(obj, types.ModuleType):
            own = [(n, v) for n, v in vars(obj).items() if not n.startswith("__")]
            return ("module", obj.__name__, _release(obj) or own)
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(obj, torch.Tensor):
            values = obj.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
            return ("tensor", str(obj.dtype), tuple(obj.shape), values)
        found = (stand_in for kind, stand_in in _STAND_INS if isinstance(obj, kind))
        return next(((type(obj).__name__, make(obj)) for make in found), obj)

    def _batch_setitems(self, items: Iterable, *args: Any) -> None:
        # In their order, which a function may follow.
        pickle._Pickler._batch_setitems(self, iter(items), *args)  # type: ignore[attr-defined]


def _code_of(obj: Any) -> Iterator[Any]:
    """Yield what a function or a class does: the release of its package, or its code."""
    module = obj.__module__ if isinstance(obj, type) else obj.__globals__.get("__name__", "")
    release = _release(sys.modules.get(module))
    yield (module, obj.__qualname__, release)
    if isinstance(obj, type):
        if release is None:
            kept = {name: v for name, v in vars(obj).items() if name not in _NOT_CODE}
            yield (type(obj), obj.__bases__, kept)
        return
    cells = [cell.cell_contents for cell in obj.__closure__ or () if cell != types.CellType()]
    yield (cells, obj.__defaults__, obj.__kwdefaults__, vars(obj))
    if release is None:
        steps = _steps(obj.__code__)
        names = {str(step.argval) for step in steps}
        yield (obj.__code__, _named(obj.__globals__, names))
        yield [_named(vars(m), names) for m in _imported(steps, obj.__globals__)]


def _steps(code: types.CodeType) -> list[dis.Instruction]:
    """Return the steps of code, and of the functions that are defined in it."""
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return [*dis.get_instructions(code), *(step for part in inner for step in _steps(part))]


def _named(scope: dict, names: set[str]) -> list[tuple[str, Any]]:
    """Return the values of names, and of those in the user's own modules among them."""
    found = [(name, scope[name]) for name in sorted(names & scope.keys())]
    return [
        (name, _named(vars(value), names - {name}) if _is_own_module(value) else value)
        for name, value in found
    ]


def _imported(steps: list[dis.Instruction], scope: dict) -> Iterator[types.ModuleType]:
    """Yield the modules of the user's own that code imports."""
    for level, names, step in zip(steps, steps[1:], steps[2:], strict=False):
        if step.opname != "IMPORT_NAME":
            continue
        name = "." * level.argval + str(step.argval)
        found = [importlib.import_module(name, scope.get("__package__"))]
        for part in names.argval or ():
            with suppress(ImportError):  # most are no modules
                found.append(importlib.import_module(f".{part}", found[0].__name__))
        yield from filter(_is_own_module, found)


def _is_own_module(value: Any) -> bool:
    return isinstance(value, types.ModuleType) and _release(value) is None


def _release(module: types.ModuleType | None) -> str | None:
    """Return the release of an installed module; None for the user's own code."""
    file = getattr(module, "__file__", None)
    return None if module is None else _release_of(module.__name__, file)


#: The distributions that top-level packages belong to; it takes a while to find them all.
_distributions = cache(packages_distributions)


@cache
def _release_of(name: str, file: str | None) -> str | None:
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top == "__main__":
        return None if top == "__main__" else sys.version
    if top == __name__.partition(".")[0]:
        return top  # its code is part of every key
    for found in map(distribution, _distributions().get(top, ())):
        # What is installed to be edited lies elsewhere, or has no record.
        place = str(found.locate_file(""))
        if found.read_text("RECORD") and Path(file or "").is_relative_to(place):
            return found.version
    inside = {"site-packages", "dist-packages"} & set(Path(file or "").parts)
    return str(getattr(sys.modules.get(top), "__version__", "")) if inside else None


@cache
def _environment() -> str:
    """Return a digest of this package's code, and of the releases that it rests upon."""
    files = sorted(Path(__file__).parents[1].rglob("*.py"))
    modules = ("numpy", "scipy", "skimage", "sklearn", "pywt", "torch", "skorch")
    names = {name for module in modules for name in _distributions().get(module, ())}
    releases = [(name, distribution(name).version) for name in sorted(names)]
    return hash([[path.read_bytes() for path in files], releases, sys.version])
