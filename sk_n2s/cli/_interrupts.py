"""What Ctrl-C does: while nothing is at stake, the process ends at once and without a word."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["at_once", "begin_work"]


def _end(number: int, frame: Any) -> None:
    os._exit(130)


@contextmanager
def at_once() -> Iterator[None]:
    """End at once when interrupted, until work begins: an import that is cut short says much."""
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        begin_work()


def begin_work() -> None:
    """From here on there are processes to end and files to remove: raise KeyboardInterrupt."""
    if threading.current_thread() is threading.main_thread():
        if signal.getsignal(signal.SIGINT) is _end:
            signal.signal(signal.SIGINT, signal.default_int_handler)
