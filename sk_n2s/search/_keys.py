"""Keys of evaluations: digests of values, and of the code of functions and classes among them.

A key holds the data, the candidate's parameters and the loss, as pickle would store them. In the
place of the name of a function or a class it holds its code, and what that code names in the
user's own modules, through decorators and caches (`__wrapped__`). Of installed packages it holds
the releases, and of this package the code.
"""

from __future__ import annotations

import dis
import importlib.util
import io
import sys
import threading
import types
from collections.abc import Iterator
from functools import cache
from importlib.metadata import distribution, packages_distributions
from pathlib import Path
from typing import Any

from joblib import hash
from joblib.hashing import NumpyHasher
from sklearn.base import BaseEstimator

__all__ = ["key_of"]

#: What no result depends on, or what says nothing of its own.
_TOOLS = (
    *map(type, (threading.Lock(), threading.RLock())),
    *(threading.local, io.IOBase, types.MemberDescriptorType, types.GetSetDescriptorType),
)
_WEAK = ("weakref", "_weakref", "_weakrefset")
_NOT_CODE = {"__doc__", "__module__", "_abc_impl", "__annotations__"}


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
        self.last = obj
        if isinstance(obj, types.FunctionType | type) or hasattr(obj, "__wrapped__"):
            again = id(obj) in self._seen
            number, _ = self._seen.setdefault(id(obj), (len(self._seen), obj))
            obj = ("again", number) if again else ("code", *_code_of(obj))
        elif isinstance(obj, types.ModuleType):
            obj = ("module", obj.__name__, _release(obj) or _source(obj.__name__))
        elif isinstance(obj, types.CodeType):
            kinds = ("code", "exceptiontable", "consts", "names", "varnames", "freevars")
            obj = [getattr(obj, f"co_{kind}") for kind in kinds]
        elif isinstance(obj, property):
            obj = ("property", obj.fget, obj.fset)
        elif isinstance(obj, frozenset | types.MappingProxyType):
            obj = ("frozen", set(obj) if isinstance(obj, frozenset) else dict(obj))
        elif type(obj).__module__ in _WEAK or isinstance(obj, _TOOLS):
            obj = obj.getvalue() if hasattr(obj, "getvalue") else type(obj).__name__
        elif isinstance(obj, BaseEstimator) and not self._whole:
            # Its clones have its parameters alone, unless it says how it is cloned.
            self._whole = type(obj).__sklearn_clone__ is not BaseEstimator.__sklearn_clone__
            super().save(obj if self._whole else (type(obj), obj.get_params(deep=False)))
            self._whole = False
            return
        super().save(obj)


def _code_of(obj: Any) -> Iterator[Any]:
    """Yield what a function or a class does: the release of its package, or its code."""
    if isinstance(obj, type):
        release = _release(sys.modules.get(obj.__module__))
        yield from (obj.__module__, obj.__qualname__, release)
        if release is None:
            yield from (obj.__bases__, {n: v for n, v in vars(obj).items() if n not in _NOT_CODE})
        return
    if not isinstance(obj, types.FunctionType):
        yield from (type(obj).__name__, obj.__wrapped__, getattr(obj, "__dict__", None))
        return
    place = obj.__globals__.get("__name__", "")
    release = _release(sys.modules.get(place))
    cells = [cell.cell_contents for cell in obj.__closure__ or () if cell != types.CellType()]
    yield (place, obj.__qualname__, release)
    yield (cells, obj.__defaults__, obj.__kwdefaults__, vars(obj))
    if release is None:
        steps = _steps(obj.__code__)
        yield from (obj.__code__, _named(obj.__globals__, {str(step.argval) for step in steps}))
        imported = {str(step.argval) for step in steps if step.opname == "IMPORT_NAME"}
        package = obj.__globals__.get("__package__") or ""
        yield [_source(name, package) for name in sorted(imported)]


def _steps(code: types.CodeType) -> list[dis.Instruction]:
    """Return the steps of code, and of the functions that are defined in it."""
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return [*dis.get_instructions(code), *(step for part in inner for step in _steps(part))]


def _named(scope: dict, names: set[str]) -> dict[str, Any]:
    """Return the values of names, and of those in the user's own modules among them."""
    found = {name: scope[name] for name in names & scope.keys()}
    for name, value in found.items():
        if isinstance(value, types.ModuleType) and _release(value) is None:
            found[name] = _named(vars(value), names - {name})
    return found


def _source(name: str, package: str = "") -> bytes:
    """Return the source of a module of the user's; nothing for an installed one."""
    try:
        spec = importlib.util.find_spec(importlib.util.resolve_name(name, package))
        file = str(spec.origin)  # type: ignore[union-attr]
        return b"" if _release_of(name, file) else Path(file).read_bytes()
    except (ImportError, AttributeError, TypeError, ValueError, OSError):
        return b""


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
