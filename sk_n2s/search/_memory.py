"""What a search has evaluated, remembered on disk, so that a search that was killed goes on.

An evaluation is found again by all that it depends on: the view, with the values of its
arrays, the candidate with all its parameters, the loss, and the code of functions and
classes, theirs and the package's. Whatever changes, nothing stale is used.
"""

from __future__ import annotations

import copyreg
import dis
import importlib.util
import io
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha1
from importlib.metadata import PackageNotFoundError, version
from inspect import isfunction
from os import PathLike, fspath
from pathlib import Path
from types import (
    CodeType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    ModuleType,
)
from typing import Any

import numpy as np
from joblib import Memory
from joblib import hash as digest_of_array
from sklearn.base import BaseEstimator

from ._evaluation import Answer

__all__ = ["Remembered", "check_memory", "key_of"]

#: What no result depends on, and what cannot be looked into.
_TOOLS = (type(threading.Lock()), type(threading.RLock()), threading.local, io.IOBase)

#: Values that are told apart by what they look like.
_PLAIN = (str, bytes, int, float, complex, bool, type(None))

#: Of a class, what says nothing about what it does.
_NOT_CODE = {"__dict__", "__weakref__", "__doc__", "__module__", "_abc_impl", "__annotations__"}


class _Failed(Exception):
    """An answer that must not be remembered: what failed once may succeed next time."""


def check_memory(memory) -> Memory | None:
    """Return joblib's memory for what the user gave."""
    if memory is None or isinstance(memory, Memory):
        return None if memory is None or memory.location is None else memory
    if isinstance(memory, str | PathLike):
        return Memory(fspath(memory), verbose=0)
    raise TypeError(f"memory={memory!r} must be the path of a folder, a joblib.Memory, or None.")


def _evaluated(key: str, ask: Callable, view) -> Answer:
    """Evaluate: the function that joblib remembers, by its key alone."""
    answer = ask(view)
    if answer.failure:
        raise _Failed(answer)
    return answer


class Remembered:
    """A task of a search that looks first whether it has been done before.

    Parameters
    ----------
    memory : joblib.Memory
        Where to look.
    key : str
        What the evaluation depends on, but for the view.
    candidate : int
        The number of the candidate, which may have been another one before.
    ask : callable
        The evaluation: a function of a view.
    """

    def __init__(self, memory: Memory, key: str, candidate: int, ask: Callable):
        self._candidate = candidate
        self._evaluate = memory.cache(_evaluated, ignore=["ask", "view"])
        self._key = key
        self._ask = ask

    def __call__(self, view, view_key: str) -> Answer:
        """Return the answer to a view, whose values have the digest `view_key`."""
        try:
            found = self._evaluate(f"{self._key} {view_key}", self._ask, view)
        except _Failed as failure:
            found = failure.args[0]
        return found._replace(candidate=self._candidate)


def key_of(*things: Any) -> str:
    """Return a digest of values, and of the code of functions and classes among them."""
    return _Key().of([_environment(), *things])


@cache
def _environment() -> str:
    """Return a digest of the package's code, and of the releases that it rests upon."""
    files = sorted(Path(__file__).parents[1].rglob("*.py"))
    names = ("numpy", "scipy", "scikit-image", "scikit-learn", "PyWavelets")
    releases = [*map(version, names), *(_version_of(name) for name in ("torch", "skorch"))]
    return _digest(*(p.read_bytes().hex() for p in files), *releases, sys.version)


def _version_of(extra: str) -> str:
    try:
        return version(extra)
    except PackageNotFoundError:
        return ""


def _digest(*parts: str) -> str:
    found = sha1()
    for part in parts:
        found.update(f"{len(part)} {part}".encode("utf-8", "surrogatepass"))
    return found.hexdigest()


class _Key:
    """The digest of a thing is that of the digests of its parts: equal things have the same."""

    def __init__(self) -> None:
        self._known: dict[tuple, tuple[Any, str]] = {}  # things are kept, and so are their ids
        self._open: list[Any] = []  # those that are being looked into: cycles end there
        self._fitted = False  # whether what estimators have learnt counts

    def of(self, thing: Any) -> str:
        if type(thing) in _PLAIN:
            return _digest(type(thing).__name__, repr(thing))
        place = (id(thing), self._fitted)
        if place in self._known:
            return self._known[place][1]
        for depth, other in enumerate(self._open):
            if other is thing:
                return _digest("cycle", str(depth))
        self._open.append(thing)
        try:
            found = _digest(*self._parts(thing))
        finally:
            self._open.pop()
        self._known[place] = thing, found
        return found

    def _parts(self, thing) -> Iterator[str]:
        kind = type(thing)
        yield kind.__qualname__
        if kind in (list, tuple):
            yield from map(self.of, thing)
        elif kind in (set, frozenset):
            yield from sorted(map(self.of, thing))
        elif kind in (dict, MappingProxyType):
            yield from (self.of(part) for item in thing.items() for part in item)
        elif kind is np.ndarray:
            yield self.of(thing.tolist()) if thing.dtype.hasobject else digest_of_array(thing)
        elif kind is CodeType:
            yield from self._of_code(thing)
        elif kind is ModuleType:
            yield from (thing.__name__, _release(thing) or _source(thing.__name__))
        elif isfunction(thing):
            yield from self._of_function(thing)
        elif isinstance(thing, type):
            yield from self._of_class(thing)
        elif not self._fitted and _is_parametrised(thing):
            yield self.of(kind)
            yield self.of(thing.get_params(deep=False))
        elif not self._fitted and hasattr(kind, "__sklearn_clone__"):  # clones keep their state
            self._fitted = True
            yield from self._of_object(thing)
            self._fitted = False
        elif isinstance(thing, _TOOLS) and not isinstance(thing, io.BytesIO | io.StringIO):
            pass
        elif kind.__module__ in ("weakref", "_weakref", "_weakrefset"):
            pass
        else:
            yield from self._of_object(thing)

    def _of_object(self, thing) -> Iterator[str]:
        """Yield what pickle would store: the type, and all of the state, hidden or not."""
        try:
            reduce = copyreg.dispatch_table.get(type(thing))
            reduced = thing.__reduce_ex__(4) if reduce is None else reduce(thing)
        except Exception:
            raise ValueError(
                f"memory cannot tell {thing!r} from other objects, since it cannot be pickled: set "
                "memory=None, or leave it out of the search."
            ) from None
        if isinstance(reduced, str):  # a name
            module = getattr(thing, "__module__", None) or ""
            yield from (str(module), reduced, _release(sys.modules.get(module)) or "")
            return
        yield self.of(type(thing))
        for part in reduced:
            yield self.of(list(part) if isinstance(part, Iterator) else part)

    def _of_code(self, code: CodeType) -> Iterator[str]:
        # Without where it stands. The names in it are followed by what knows their values.
        yield from (code.co_code.hex(), getattr(code, "co_exceptiontable", b"").hex())
        parts = (code.co_consts, code.co_names, code.co_varnames, code.co_freevars)
        yield from map(self.of, parts)

    def _of_function(self, function) -> Iterator[str]:
        yield from (str(function.__module__), function.__qualname__)
        cells = []
        for cell in function.__closure__ or ():
            try:
                cells.append(cell.cell_contents)
            except ValueError:
                cells.append("an empty cell")
        # Decorated functions, and exact forms, are among the attributes.
        parts = (cells, function.__defaults__, function.__kwdefaults__, vars(function))
        yield from map(self.of, parts)
        release = _release(sys.modules.get(function.__module__))
        if release is not None:
            yield release
            return
        yield self.of(function.__code__)
        yield from self._of_names(function.__globals__, _names(function.__code__))
        package = function.__globals__.get("__package__") or ""
        yield from (_source(name, package) for name in sorted(_imported(function.__code__)))

    def _of_names(self, scope: dict, names: set[str], prefix: str = "") -> Iterator[str]:
        """Yield digests of the values of names, and of those in the user's own modules."""
        for name in sorted(names & scope.keys()):
            value = scope[name]
            yield prefix + name
            if not isinstance(value, ModuleType) or _release(value) is not None:
                yield self.of(value)
            elif not any(value is other for other in self._open):
                self._open.append(value)
                yield from self._of_names(vars(value), names, f"{prefix}{name}.")
                self._open.pop()

    def _of_class(self, kind: type) -> Iterator[str]:
        yield from (kind.__module__, kind.__qualname__)
        release = _release(sys.modules.get(kind.__module__))
        if release is not None:
            yield release
            return
        yield from map(self.of, kind.__bases__)
        for name, value in vars(kind).items():
            if name in _NOT_CODE or isinstance(value, MemberDescriptorType | GetSetDescriptorType):
                continue
            yield name
            if isinstance(value, property):
                value = (value.fget, value.fset)
            elif isinstance(value, staticmethod | classmethod):
                value = value.__func__
            yield self.of(value)


def _is_parametrised(thing) -> bool:
    """Return whether clones of an estimator are made from its parameters alone."""
    is_ours = getattr(type(thing), "__sklearn_clone__", None) is BaseEstimator.__sklearn_clone__
    return is_ours and hasattr(thing, "get_params")


def _release(module: ModuleType | None) -> str | None:
    """Return the release of an installed module; None for the user's own code."""
    if module is None or module.__name__ == "__main__":
        return None
    top = sys.modules.get(module.__name__.partition(".")[0], module)
    file = getattr(module, "__file__", None)
    if file is None:
        return sys.version if top.__name__ in sys.stdlib_module_names else None
    if not any(Path(file).is_relative_to(place) for place in _installed()):
        return None
    return str(getattr(top, "__version__", sys.version))


@cache
def _installed() -> list[str]:
    """Return where Python's own modules and those that were installed are."""
    paths = sysconfig.get_paths()
    here = str(Path(__file__).parents[1])  # whose code is part of every key
    return [here, *(paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))]


def _source(name: str, package: str = "") -> str:
    """Return a digest of the source of a module of the user's; nothing for an installed one."""
    try:
        spec = importlib.util.find_spec(importlib.util.resolve_name(name, package))
        file = Path(spec.origin)  # type: ignore[union-attr, arg-type]
        if any(file.is_relative_to(place) for place in _installed()):
            return ""
        return _digest(file.read_bytes().hex())
    except (ImportError, AttributeError, TypeError, ValueError, OSError):
        return ""


def _inner(code: CodeType) -> Iterator[CodeType]:
    """Yield code, and that of the functions defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _inner(constant)


def _names(code: CodeType) -> set[str]:
    """Return what may be a name in code: names, and strings, by which attributes are got."""
    words = (c for part in _inner(code) for c in part.co_consts if isinstance(c, str))
    return {*words, *(name for part in _inner(code) for name in part.co_names)}


def _imported(code: CodeType) -> set[str]:
    """Return the modules that code imports when it runs."""
    return {
        str(step.argval)
        for part in _inner(code)
        for step in dis.get_instructions(part)
        if step.opname == "IMPORT_NAME"
    }
