"""What a search has evaluated, remembered on disk, so that a search that was killed goes on.

An evaluation is found again by all that it depends on: the view, with the values of its
arrays, the candidate with all its parameters, the loss, and the code of functions and
classes, theirs and the package's. Whatever changes, nothing stale is used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from inspect import isfunction, unwrap
from os import PathLike, fspath
from pathlib import Path
from types import CodeType, MethodType, ModuleType
from typing import Any

import numpy as np
from joblib import Memory
from joblib import hash as digest

from ._evaluation import Answer

__all__ = ["Remembered", "check_memory", "key_of"]


class _Failed(Exception):
    """An answer that must not be remembered: what failed once may succeed next time."""


def check_memory(memory) -> Memory | None:
    """Return joblib's memory for what the user gave.

    Parameters
    ----------
    memory : str, path, joblib.Memory or None
        Where to remember evaluations; None does not.

    Returns
    -------
    joblib.Memory or None
        The memory.

    Raises
    ------
    TypeError
        If it is none of these.
    """
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
    """Return a digest of values, and of the code of functions and classes among them.

    Parameters
    ----------
    *things : object
        Values, functions, estimators, and containers of such.

    Returns
    -------
    str
        The digest: the same in another process, and another one where any of them differs.

    Raises
    ------
    ValueError
        If one of them cannot be told from others, as it can neither be pickled nor has
        attributes.
    """
    return _Key().of([_package(), *things])


def _package() -> str:
    """Return a digest of the package's code."""
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return digest([path.read_bytes() for path in files])


class _Key:
    """The digest of a thing is that of the digests of its parts: equal parts look the same."""

    def __init__(self) -> None:
        self._code: list[Any] = []  # the functions and classes so far; recursion ends at them

    def of(self, thing: Any) -> str:
        kind = f"{type(thing).__module__}.{type(thing).__qualname__}"
        return digest([kind, *self._parts(thing)])

    def _parts(self, thing) -> list[str]:
        if isinstance(thing, dict):
            return [self.of(part) for pair in thing.items() for part in pair]
        if isinstance(thing, list | tuple):
            return [self.of(part) for part in thing]
        if isinstance(thing, partial):
            return [self.of(part) for part in (thing.func, thing.args, thing.keywords)]
        if isinstance(thing, property):
            return [self.of(thing.fget)]
        if isinstance(thing, MethodType):
            return [self.of(thing.__self__), self.of(thing.__func__)]
        if isinstance(thing, CodeType):
            # Without where it stands. The names in it are followed elsewhere.
            parts = (thing.co_code, thing.co_consts, thing.co_names, thing.co_varnames)
            return [self.of(part) for part in parts]
        if isinstance(thing, ModuleType):
            return [thing.__name__, _version(thing.__name__) or ""]
        if hasattr(thing, "__qualname__"):
            return self._code_parts(thing)
        if hasattr(thing, "get_params"):
            return [self.of(type(thing)), self.of(thing.get_params(deep=False))]
        if hasattr(thing, "__dict__") and not isinstance(thing, np.ndarray):
            return [self.of(type(thing)), self.of(vars(thing))]
        try:
            return [digest(thing)]
        except Exception:
            raise ValueError(
                f"memory cannot tell {thing!r} from other objects, since it cannot be pickled: set "
                "memory=None, or leave it out of the search."
            ) from None

    def _code_parts(self, thing) -> list[str]:
        """Return digests of what a function or class is called, and of its code."""
        module = getattr(thing, "__module__", None) or ""
        name = [module, thing.__qualname__]
        version = _version(module)
        if version is not None:
            return [*name, version]
        if any(thing is known for known in self._code):
            return name
        self._code.append(thing)
        if isinstance(thing, type):
            return [*name, self.of(thing.__bases__), *map(self._of_global, vars(thing).items())]
        inner = unwrap(getattr(thing, "__func__", thing))  # static and class methods
        if not isfunction(inner):
            return name  # compiled
        cells = [cell.cell_contents for cell in inner.__closure__ or ()]
        names = _names(inner.__code__)
        used = {n: inner.__globals__[n] for n in names if n in inner.__globals__}
        for value in [v for v in used.values() if isinstance(v, ModuleType)]:
            if _version(value.__name__) is None:
                used.update({f"{value.__name__}.{n}": getattr(value, n, None) for n in names})
        parts = (inner.__code__, inner.__defaults__, inner.__kwdefaults__, cells)
        return [*name, *map(self.of, parts), *map(self._of_global, used.items())]

    def _of_global(self, item: tuple[str, Any]) -> str:
        try:
            return self.of(item)
        except ValueError:  # a lock, a stream: nothing that a result depends on
            return item[0]


def _version(module: str) -> str | None:
    """Return the version of the package that a module is of, None for the user's own code."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names and top != "__main__":
        return sys.version
    version = getattr(sys.modules.get(top), "__version__", None)
    return None if version is None else str(version)


def _names(code: CodeType) -> list[str]:
    """Return the names that code uses beside its own variables, of inner functions too."""
    inner = (c for c in code.co_consts if isinstance(c, CodeType))
    return sorted({*code.co_names, *(name for c in inner for name in _names(c))})
