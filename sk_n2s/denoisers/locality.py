"""How far a denoiser looks: the distance beyond which entries do not change its answer.

A denoiser with a known reach can be run on pieces of an array, each with a margin of that
width, instead of on the whole: to race candidates on a few pieces of a large array, and to
denoise arrays that do not fit into memory. A denoiser carries it as the attribute ``reach``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from math import inf
from typing import NamedTuple

__all__ = ["Reach", "reach_of", "reaches"]


class Reach(NamedTuple):
    """How far a denoiser looks.

    Attributes
    ----------
    distance : tuple of float, one for each axis
        The largest distance, in entries, from which the answer depends on the data;
        infinite if there is none.
    exactly : bool
        Whether nothing beyond counts at all; otherwise it hardly does.
    """

    distance: tuple[float, ...]
    exactly: bool


def reaches(
    rule: Callable | float, *, exactly: bool = True, estimates: str | None = None
) -> Callable[[Callable], Callable]:
    """Declare how far the decorated denoiser looks.

    Parameters
    ----------
    rule : callable or float
        The distance in entries, or a function ``rule(ndim, **params)`` that returns it from
        the denoiser's parameters: one number, or one for each of the `ndim` axes that are
        not channels. It is given all parameters, with their defaults. `math.inf` says that
        the whole array counts.
    exactly : bool, default=True
        Whether nothing beyond counts at all.
    estimates : str, default=None
        The name of a parameter whose value None is an estimate from the whole of the data,
        with which `exactly` does not hold.

    Returns
    -------
    callable
        A decorator, which returns the function that it is given, with the attribute
        ``reach``.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.denoisers import reach_of, reaches
    >>> @reaches(lambda ndim, *, steps: steps)
    ... def running_mean(X, *, steps=1):
    ...     return np.mean([np.roll(X, k) for k in range(-steps, steps + 1)], axis=0)
    >>> reach_of(running_mean, {"steps": 4}, ndim=2)
    Reach(distance=(4.0, 4.0), exactly=True)
    """

    def declare(denoiser: Callable) -> Callable:
        signature = inspect.signature(denoiser)

        def reach(ndim: int, params: dict) -> Reach:
            bound = signature.bind(None, **params)
            bound.apply_defaults()
            known = bound.kwargs
            known.pop("channel_axis", None)
            distance = rule(ndim, **known) if callable(rule) else rule
            values = tuple(distance) if isinstance(distance, tuple | list) else (distance,) * ndim
            sure = exactly and (estimates is None or known[estimates] is not None)
            return Reach(tuple(map(float, values)), sure)

        denoiser.reach = reach  # type: ignore[attr-defined]
        return denoiser

    return declare


def reach_of(denoiser, params: dict, ndim: int) -> Reach | None:
    """Return how far a denoiser looks, or None if that is not known.

    Parameters
    ----------
    denoiser : callable or estimator
        The denoiser; `functools.partial` objects are seen through. An estimator, which is
        fitted to what it is shown, looks at all of it unless it says otherwise.
    params : dict
        Its parameters.
    ndim : int
        The number of axes that are not channels or items.

    Returns
    -------
    Reach or None
        The reach; None also where the parameters are not valid.
    """
    while isinstance(denoiser, partial) and not denoiser.args:
        denoiser, params = denoiser.func, {**denoiser.keywords, **params}
    rule = getattr(denoiser, "reach", None)
    if rule is getattr(getattr(denoiser, "__wrapped__", None), "reach", None):
        rule = None  # functools.wraps copied it: a decorated function is another denoiser
    if rule is None:
        return Reach((inf,) * ndim, True) if hasattr(denoiser, "fit") else None
    try:
        reach = rule(ndim, params)
    except (TypeError, ValueError):  # which the denoiser itself will explain
        return None
    return reach if len(reach.distance) == ndim else None
