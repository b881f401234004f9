"""What candidates of a search have in common, worked out once: transforms of the same data.

A store belongs to one run of a search. Its tasks, in whatever threads, enter it for as long as
they last, each with the array of its view; nobody else sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Any

import numpy as np

__all__ = ["Store", "shared"]


class Store:
    """The last result of each function that the tasks of a search share."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._results: dict[Callable, tuple[np.ndarray, tuple, Any]] = {}

    def __reduce__(self) -> tuple[type[Store], tuple]:
        return Store, ()  # a task in another process finds it empty

    @contextmanager
    def entered(self, array: np.ndarray) -> Iterator[None]:
        """Let `shared` keep here what it works out from `array`, in this thread."""
        token = _task.set((self, array))
        try:
            yield
        finally:
            _task.reset(token)

    def get(self, function: Callable, array: np.ndarray, args: tuple) -> Any:
        """Return ``function(array, *args)``, worked out once."""
        with self._lock:  # others wait for the first: they would work out the same
            known = self._results.get(function)
            if known is None or known[0] is not array or known[1] != args:
                known = self._results[function] = (array, args, function(array, *args))
        return known[2]


#: The store of the task that this thread is at, and the array of its view.
_task: ContextVar[tuple[Store, np.ndarray] | None] = ContextVar("task", default=None)


def shared(function: Callable, X: np.ndarray, *args: Any) -> Any:
    """Return ``function(X, *args)``, from the store of the task if `X` is the array of its view."""
    task = _task.get()
    if task is None or not _is_untouched(X, task[1]):
        return function(X, *args)
    return task[0].get(function, task[1], args)


def _is_untouched(X: np.ndarray, array: np.ndarray) -> bool:
    """Return whether `X` is a view of all of an array that cannot be written into."""
    same = X.shape == array.shape and X.strides == array.strides and X.dtype == array.dtype
    return same and not X.flags.writeable and X.ctypes.data == array.ctypes.data
