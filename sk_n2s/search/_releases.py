"""The releases of installed packages, in the place of their code."""

from __future__ import annotations

import sys
import types
from functools import cache
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

from joblib import hash

__all__ = ["environment", "release_of", "release_of_place"]


def release_of(module: types.ModuleType | None) -> str | None:
    """Return the release of an installed module; None for the user's own code."""
    file = getattr(module, "__file__", None)
    return None if module is None else release_of_place(module.__name__, file)


#: The distributions that top-level packages belong to; it takes a while to find them all.
_distributions = cache(packages_distributions)


@cache
def release_of_place(name: str, file: str | None) -> str | None:
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
def environment() -> str:
    """Return a digest of this package's code, and of the releases that it rests upon."""
    files = sorted(Path(__file__).parents[1].rglob("*.py"))
    modules = ("numpy", "scipy", "skimage", "sklearn", "pywt", "torch", "skorch")
    names = {name for module in modules for name in _distributions().get(module, ())}
    releases = [(name, distribution(name).version) for name in sorted(names)]
    return hash([[path.read_bytes() for path in files], releases, sys.version])
