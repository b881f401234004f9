"""One thread for linear algebra, and several for what can be done at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from threading import Lock
from typing import Any

from threadpoolctl import ThreadpoolController

__all__ = ["in_threads", "one_thread", "several_threads", "with_threads"]

#: How many threads a denoiser may use by itself.
_n_threads: ContextVar[int] = ContextVar("n_threads", default=1)

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


@contextmanager
def several_threads(n: int) -> Iterator[None]:
    """Let what is called here, in this thread, use so many threads by itself."""
    token = _n_threads.set(n)
    try:
        yield
    finally:
        _n_threads.reset(token)


def with_threads(n: int, function: Callable, *arguments: Any) -> Any:
    """Return what a function returns that may use so many threads by itself."""
    with several_threads(n):
        return function(*arguments)


def in_threads(function: Callable, *arguments: Any) -> list:
    """Return what a function makes of each set of arguments, in their order."""
    n = min(_n_threads.get(), len(arguments[0]))
    if n < 2:
        return list(map(function, *arguments))
    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(function, *arguments))


def _nothing(force: bool) -> None:
    """Do nothing, as older releases of threadpoolctl do."""


@cache
def _controller() -> ThreadpoolController:
    """Return what limits the threads of the libraries, which are looked for once."""
    return ThreadpoolController()
