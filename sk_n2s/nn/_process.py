"""What torch keeps for the whole process: its random numbers, and how many threads it takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, RLock

import numpy as np
import torch

__all__ = ["one_torch_thread", "seeded"]

_seeding = RLock()
_lock = Lock()
_users = 0
_before = 1


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Let torch compute with one thread: the last bits of a result depend on how many it takes."""
    global _users, _before
    with _lock:
        # Each thread of the process has its own number, from the first time that it is read;
        # a thread that is new while others are here begins with their 1.
        number = torch.get_num_threads()
        _users += 1
        if _users == 1:
            _before = number
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            torch.set_num_threads(_before)


@contextmanager
def seeded(rng: np.random.Generator, device: torch.device) -> Iterator[None]:
    """Make torch's random numbers those of a generator, and give torch its own back."""
    devices = [device] if device.type == "cuda" else []
    # They are those of the whole process: trainings in threads wait for each other.
    with _seeding, torch.random.fork_rng(devices=devices):
        seed = int(rng.integers(2**31))
        torch.default_generator.manual_seed(seed)  # torch.manual_seed seeds every GPU as well
        if devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
