"""One thread for linear algebra: its results, and who shares the cores, depend on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

from threadpoolctl import ThreadpoolController

__all__ = ["one_thread"]

_lock = Lock()
_users = 0
_limit: Any = None


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep the linear algebra of this process to one thread."""
    global _users, _limit
    with _lock:
        _users += 1
        if _users == 1:
            _limit = _controller().limit(limits=1, user_api="blas")
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                for library in _controller().lib_controllers:
                    # Some may be set by the thread alone that was first, which may be gone.
                    getattr(library, "clear_controlling_thread", _nothing)(force=True)
                _limit.restore_original_limits()


def _nothing(force: bool) -> None:
    """Do nothing, as older releases of threadpoolctl do."""


@cache
def _controller() -> ThreadpoolController:
    """Return what limits the threads of the libraries, which are looked for once."""
    return ThreadpoolController()
