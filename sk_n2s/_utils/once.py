"""What is worked out once for all who ask."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any

__all__ = ["Once"]


class Once:
    """Remembers what was worked out, by a key; threads that ask for the same wait for the first.

    A copy, as one that travels to another process, starts with nothing.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._locks: dict[Hashable, Lock] = {}
        self._known: dict[Hashable, Any] = {}

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return what is known by a key, or make it."""
        with self._lock:
            lock = self._locks.setdefault(key, Lock())
        with lock:
            if key not in self._known:
                self._known[key] = make()
            return self._known[key]

    def __reduce__(self) -> tuple[type[Once], tuple]:
        return Once, ()
