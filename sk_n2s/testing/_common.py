"""What all checks use: data, comparisons, and sentences that name the thing and a remedy."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .._utils.readable import readable

__all__ = [
    "Check",
    "SIDES",
    "asked",
    "check_copies",
    "labels_of",
    "named",
    "pickled",
    "picture",
    "require",
    "same",
]

#: A check takes the thing, and raises an AssertionError where it breaks a promise.
Check = Callable[[Any], None]

#: The shape of most data that things are checked on: sides that differ, and are small.
SIDES = (12, 14)


def named(thing: Any) -> str:
    """Return what a thing is called in messages and in the ids of tests: the same everywhere."""
    text = re.sub(r" at 0x[0-9a-f]+", "", readable(thing)).replace("\n", " ")
    return re.sub(r"\s+", " ", text)


def require(condition: Any, thing: Any, sentence: str) -> None:
    """Raise an AssertionError that begins with the name of the thing."""
    if not condition:
        raise AssertionError(f"{named(thing)} {sentence}")


def asked(thing: Any, what: str, call: Callable[[], Any]) -> Any:
    """Return the answer of a call, or say in one sentence that it fails."""
    try:
        return call()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise AssertionError(f"{named(thing)} fails {what} ({reason}).") from error


def same(found: Any, expected: Any, rtol: float = 1e-9) -> bool:
    """Return whether two arrays agree up to a share of the largest value; NaN equals NaN."""
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape:
        return False
    size = float(np.nanmax(np.abs(expected), initial=0.0))
    return np.allclose(found, expected, rtol=0, atol=rtol * size, equal_nan=True)


def picture(shape: tuple[int, ...], seed: int = 0, *, noise: float = 1.0) -> np.ndarray:
    """Return smooth data between 5 and 15 with normal noise."""
    waves = [5 * np.sin(2 * np.pi * np.arange(n) / max(n, 8)) for n in shape]
    signal = 10 + sum(np.ix_(*waves)) / len(shape)
    return signal + noise * np.random.default_rng(seed).normal(size=shape)


def labels_of(index: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array that is True at an index."""
    inside = np.zeros(shape, dtype=bool)
    inside[index] = True
    return inside


def pickled(thing: Any) -> Any:
    """Return what comes out of a pickle."""
    return pickle.loads(pickle.dumps(thing))


def check_copies(thing: Any) -> None:
    """Check that deep copies and pickles are equal to the original."""
    advice = "make its class a frozen dataclass at the top level of a module."
    for way, make in (("a deep copy", copy.deepcopy), ("a pickle", pickled)):
        other = asked(thing, f"to make {way}: {advice}", partial(make, thing))
        require(
            other == thing, thing, f"does not equal {way} of itself, and is not shared: {advice}"
        )
