"""What pickles leave behind: results that would make them as large as the data."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Self

__all__ = ["LightPickle", "left_behind", "take_back"]


class LightPickle:
    """Attributes that a pickle leaves behind, and a copy in memory keeps."""

    #: Their names.
    _left_behind: tuple[str, ...] = ()

    def __getstate__(self) -> dict:
        state: Any = super().__getstate__()
        return {name: value for name, value in state.items() if name not in self._left_behind}

    def __copy__(self) -> Self:
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def __deepcopy__(self, memo: dict) -> Self:
        memo[id(self)] = copied = type(self).__new__(type(self))
        copied.__dict__.update(deepcopy(self.__dict__, memo))
        return copied


def left_behind(estimator: Any) -> list[dict[str, Any]]:
    """Return what a pickle of an estimator would leave behind, in all that was fitted in it."""
    return [
        {n: vars(part)[n] for n in getattr(part, "_left_behind", ()) if n in vars(part)}
        for part in _fitted_in(estimator)
    ]


def take_back(estimator: Any, left: list[dict[str, Any]]) -> None:
    """Give an estimator that was pickled what it left behind."""
    for part, attributes in zip(_fitted_in(estimator), left, strict=True):
        if attributes:
            vars(part).update(attributes)


def _fitted_in(estimator: Any) -> Iterator[Any]:
    """Yield an estimator, and those in it: steps, members, and the best of searches."""
    yield estimator
    inside = getattr(estimator, "__dict__", {})
    steps = [step for _, step in inside.get("steps", ())]
    best = [inside["best_estimator_"]] if "best_estimator_" in inside else []
    for each in (*steps, *inside.get("estimators_", ()), *best):
        yield from _fitted_in(each)
