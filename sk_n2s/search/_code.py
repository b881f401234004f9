"""What a function, a class or a module does: its code, and what this names and imports."""

from __future__ import annotations

import dis
import importlib.util
import sys
from collections.abc import Iterator
from pickle import PicklingError
from types import CellType, CodeType, ModuleType
from typing import Any

from ._releases import release_of, release_of_place

__all__ = ["code_of"]

#: What Python adds to a class when it looks at it, or what says where it was written.
_NOT_CODE = {
    *("__doc__", "__module__", "_abc_impl", "__annotations__", "__slotnames__"),
    *("__firstlineno__", "__static_attributes__", "__annotate_func__", "__annotations_cache__"),
}
#: The flag of a class that was made while Python runs: it may not be what its module defines.
_MADE = 1 << 9
#: How a module is loaded, and what follows where only a part of it is used.
_LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_FAST")
_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD", "STORE_FAST")


def code_of(obj: Any) -> Iterator[Any]:
    """Yield what a function, a class or a module does: the release of its package, or its code."""
    if isinstance(obj, ModuleType):
        yield ("module", obj.__name__, release := release_of(obj))
        if release is None and not str(getattr(obj, "__file__", "")).endswith(".py"):
            raise PicklingError("its code is not known")
        if release is None:
            yield sorted((n, v) for n, v in vars(obj).items() if not n.startswith("__"))
    elif isinstance(obj, type):
        module = sys.modules.get(obj.__module__)
        yield (obj.__module__, obj.__qualname__, release := release_of(module))
        made = obj.__flags__ & _MADE and getattr(module, obj.__name__, None) is not obj
        if release is None or made:
            own = sorted((n, v) for n, v in vars(obj).items() if n not in _NOT_CODE)
            yield (type(obj), obj.__bases__, own)
    else:
        code, scope = obj.__code__, obj.__globals__
        place = scope.get("__name__", "")
        yield (place, obj.__qualname__, release := release_of(sys.modules.get(place)))
        marks = {n: v for n, v in vars(obj).items() if not n.startswith("_torch")}
        yield (code, obj.__defaults__, obj.__kwdefaults__, marks)  # torch marks others' functions
        cells = zip(code.co_freevars, obj.__closure__ or (), strict=True)
        inner = {name: cell.cell_contents for name, cell in cells if cell != CellType()}
        if release is not None:
            yield inner
        else:
            yield _named(code, inner, scope)


def _named(code: CodeType, closure: dict, scope: dict) -> list[tuple[str, Any]]:
    """Return the values of the names in code, and in the user's own modules among them."""
    steps = _steps(code)
    names = {str(step.argval) for step in steps}
    spaces = [closure, scope, *_imported(steps, scope)]
    # A module that is handed on is stored as a whole.
    pairs = zip(steps, steps[1:], strict=False)
    handed = {
        a.argval for a, b in pairs if a.opname.startswith(_LOADS) and b.opname not in _ATTRIBUTES
    }
    found = []
    for space in spaces:  # which grow meanwhile
        for name in sorted(names & space.keys()):
            value = space[name]
            own = isinstance(value, ModuleType) and release_of(value) is None
            if not own or name in handed:
                found.append((name, value))
            elif all(vars(value) is not known for known in spaces):
                spaces.append(vars(value))
    return found


def _steps(code: CodeType) -> list[dis.Instruction]:
    """Return the steps of code, and of the functions that are defined in it."""
    own = [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return [*own, *(step for part in inner for step in _steps(part))]


def _imported(steps: list[dis.Instruction], scope: dict) -> Iterator[dict[str, Any]]:
    """Yield the names in the modules that code imports: the user's own are imported for it."""
    for level, names, step in zip(steps, steps[1:], steps[2:], strict=False):
        if step.opname == "IMPORT_NAME":
            module, top = step.argval, step.argval.partition(".")[0]
            spec = None if level.argval else importlib.util.find_spec(top)
            if spec and (release := release_of_place(top, spec.origin)) is not None:
                yield {module: release}
                continue
            try:
                found = __import__(module, scope, None, names.argval or (), level.argval)
                yield from (vars(found), {found.__name__: found})
            except ImportError:  # which the function may expect
                yield {module: None}
