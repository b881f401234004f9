"""What is printed: lines for people, JSON for machines, and how long it has been going on."""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

__all__ = ["line", "notes", "record", "working"]

_EVERY = 0.5  # seconds


def line(text: str, as_json: bool = False) -> None:
    """Print a line for people, beside the JSON if there is any."""
    print(text, file=sys.stderr if as_json else sys.stdout, flush=True)


def notes(texts: list[str], as_json: bool = False, before: str = "") -> None:
    """Print what there is to say of a file, a line each."""
    for text in filter(None, texts):
        line(f"{before}{text}", as_json)


def record(values: dict[str, Any]) -> None:
    """Print an object of JSON in a line."""
    print(json.dumps(_plain(values), ensure_ascii=False), flush=True)


def _plain(value: Any) -> Any:
    """Return values that JSON has words for: None for what is no number."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | None) else str(value)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show on a terminal what is being done, and for how long."""
    if not sys.stderr.isatty():
        yield
        return
    begun, done = time.monotonic(), threading.Event()

    def show() -> None:
        while not done.wait(_EVERY):
            sys.stderr.write(f"\r{what} ... {time.monotonic() - begun:.0f} s")
            sys.stderr.flush()

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        sys.stderr.write("\r\033[K")
        sys.stderr.flush()
