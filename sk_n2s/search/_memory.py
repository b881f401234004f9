"""What a search has evaluated, remembered on disk, so that a search that was killed goes on."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike, fspath
from typing import Any

from joblib import Memory

from .._utils.warn import warn
from ._evaluation import Answer

__all__ = ["Remembered", "check_memory"]


def check_memory(memory: Any) -> Memory | None:
    """Return joblib's memory for the path of a folder, a memory, or None."""
    if memory is None or isinstance(memory, Memory):
        return None if memory is None or memory.location is None else memory
    if isinstance(memory, str | PathLike):
        return Memory(fspath(memory), verbose=0)
    raise TypeError(f"memory={memory!r} must be the path of a folder, a joblib.Memory, or None.")


class Remembered:
    """A task of a search that looks first whether it has been done before."""

    def __init__(self, memory: Memory, key: str, candidate: int, ask: Callable):
        self._store, self._key = memory.store_backend, key
        self._candidate, self._ask = candidate, ask

    def __call__(self, view: Any, view_key: str) -> Answer:
        """Return the answer to a view, whose values have the digest `view_key`."""
        place = ["sk_n2s", f"{self._key}-{view_key}"]
        if self._store.contains_item(place):
            try:
                return self._store.load_item(place, verbose=0)._replace(candidate=self._candidate)
            except Exception as error:
                warn(
                    f"memory: {'/'.join(place)} is damaged ({type(error).__name__}), and made anew."
                )
        found = self._ask(view)
        if not found.failure:  # what failed once may succeed next time
            self._store.dump_item(place, found, verbose=0)
        return found
