"""What candidates of a search have in common, worked out once: transforms of the same data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np

__all__ = ["shared", "sharing"]


class _Shelf:
    """The last result of each function, while anybody is `sharing`."""

    def __init__(self) -> None:
        self.users = 0
        self.lock = Lock()
        self.results: dict[Callable, tuple[tuple, np.ndarray, Any]] = {}


_shelf = _Shelf()


@contextmanager
def sharing() -> Iterator[None]:
    """Keep what `shared` works out, for as long as the context lasts."""
    with _shelf.lock:
        _shelf.users += 1
    try:
        yield
    finally:
        with _shelf.lock:
            _shelf.users -= 1
            if not _shelf.users:
                _shelf.results.clear()


def shared(function: Callable, X: np.ndarray, *args: Any) -> Any:
    """Return ``function(X, *args)``, worked out once for the same array while `sharing`."""
    key = (X.__array_interface__["data"], X.shape, X.strides, X.dtype.str, args)
    with _shelf.lock:
        if not _shelf.users:
            known = None
        else:
            # Others wait for the first: they would work out the same.
            known = _shelf.results.get(function)
            if known is None or known[0] != key:
                # X is kept, so that no other array can come to lie where it is.
                known = _shelf.results[function] = (key, X, function(X, *args))
    return function(X, *args) if known is None else known[2]
