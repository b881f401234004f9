"""What can be said of a denoiser: how far it looks, its exact form, how it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Reach", "Traits"]


class Reach(NamedTuple):
    """How far a denoiser looks.

    Attributes
    ----------
    distance : tuple of float, one for each axis
        The largest distance, in entries, from which the answer depends on the data;
        infinite if there is none.
    exactly : bool
        Whether nothing beyond counts at all; otherwise it counts for little.
    """

    distance: tuple[float, ...]
    exactly: bool


class Traits(NamedTuple):
    """What was declared of a denoiser; see `declare`.

    Attributes
    ----------
    reach : callable, float, tuple or None
        The distance from which its answer depends on the data, or the rule for it.
    exactly : bool
        Whether nothing beyond counts at all.
    estimates : str or None
        The parameter whose value None is an estimate from the whole of the data.
    exact : callable or None
        The exact J-invariant form.
    handles_missing : bool
        Whether that form leaves NaN entries out of account.
    releases_gil : bool
        Whether calls in several threads run at the same time.
    """

    reach: Callable | float | tuple[float, ...] | None = None
    exactly: bool = True
    estimates: str | None = None
    exact: Callable | None = None
    handles_missing: bool = False
    releases_gil: bool = False
