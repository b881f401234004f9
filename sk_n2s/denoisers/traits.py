"""What a denoiser says of itself: how far it looks, its exact form, how it runs.

For some denoisers the prediction of *every* entry from all others needs no masks: a rank
filter drops the centre of its footprint, and a linear filter whose output at i contains
cᵢ·xᵢ has (g(x)ᵢ − cᵢ·xᵢ) / (1 − cᵢ), the leave-one-out formula. Such an exact J-invariant form
costs one pass over the array, instead of one pass for each set of a partition.

A denoiser with a known reach can be run on pieces of an array, each with a margin of that
width: to race candidates on a few pieces of a large array, and to denoise arrays that do not
fit into memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any, TypeVar

from ._traits import Reach, Traits
from .calling import is_estimator, signature_of

__all__ = ["Reach", "Traits", "declare", "get_exact_form", "reach_of", "traits_of"]

Denoiser = TypeVar("Denoiser", bound=Callable)

#: Where a denoiser carries its traits.
_PLACE = "_sk_n2s_traits"


def declare(
    *,
    reach: Callable | float | tuple[float, ...] | None = None,
    exactly: bool = True,
    estimates: str | None = None,
    exact: Callable | None = None,
    handles_missing: bool = False,
    releases_gil: bool = False,
) -> Callable[[Denoiser], Denoiser]:
    """Declare what a denoiser says of itself.

    It decorates a denoiser, or is called on that of another package:
    ``declare(exact=form)(denoiser)``. What was declared before stays, unless it is declared
    again. What is declared of a function holds for a `functools.partial` of it, but not for a
    function that `functools.wraps` it, which is another denoiser.

    Parameters
    ----------
    reach : callable, float or tuple of float, default=None
        The distance in entries from which the answer depends on the data, or a function
        ``reach(ndim, **params)`` that returns it from the denoiser's parameters: one number,
        or one for each of the `ndim` axes that are not channels. It is given all parameters,
        with their defaults, except ``channel_axis``. `math.inf` says that the whole array
        counts.
    exactly : bool, default=True
        Whether nothing beyond `reach` counts at all.
    estimates : str, default=None
        The name of a parameter whose value None is an estimate from the whole of the data,
        with which `exactly` does not hold.
    exact : callable, default=None
        The exact J-invariant form ``f(X, **params)``, with the parameters of the denoiser,
        whose result at each entry does not depend on that entry;
        `sk_n2s.check_j_invariance` tests that. `X` is read-only. The denoiser gets it as
        the attribute ``exact``.
    handles_missing : bool, default=False
        Whether `exact` leaves NaN entries out of account. It then returns NaN, and no
        other entry is affected, where it has no entry to predict from. A form that does
        not is never shown NaN.
    releases_gil : bool, default=False
        Whether the denoiser spends its time in compiled code that leaves the interpreter to
        other threads, so that a search need not send the data to other processes.

    Returns
    -------
    callable
        A decorator, which returns the denoiser that it is given.

    Raises
    ------
    TypeError
        If `exact` cannot be called, or the denoiser takes no attributes.
    ValueError
        If what is said about `reach` or `exact` is given without it.

    Examples
    --------
    The mean of the two neighbours is the exact form of a running mean of three. Zeros lie beyond
    the border: a circular shift would look at the other end, further than the reach, and mirrored
    values may be those of the entry itself.

    >>> import numpy as np
    >>> from scipy.ndimage import correlate1d
    >>> from sk_n2s import JInvariantWrapper
    >>> from sk_n2s.denoisers import declare, reach_of
    >>> def mean_of_neighbours(X, *, step=1):
    ...     weights = np.zeros(2 * step + 1)
    ...     weights[[0, -1]] = 1 / 2
    ...     return correlate1d(X, weights, mode="constant")
    >>> @declare(reach=lambda ndim, *, step: step, exact=mean_of_neighbours)
    ... def running_mean(X, *, step=1):
    ...     return (X + 2 * mean_of_neighbours(X, step=step)) / 3
    >>> JInvariantWrapper(running_mean).fit_transform(np.array([1.0, 2.0, 6.0]))
    array([1. , 3.5, 1. ])
    >>> reach_of(running_mean, {"step": 4}, ndim=2)
    Reach(distance=(4.0, 4.0), exactly=True)
    """
    if exact is not None and not callable(exact):
        raise TypeError(f"exact={exact!r} must be a function, the exact J-invariant form.")
    if exact is None and handles_missing:
        raise ValueError("handles_missing is a property of the exact form: give exact as well.")
    if reach is None and (estimates is not None or not exactly):
        raise ValueError("exactly and estimates are properties of the reach: give reach as well.")
    new: dict[str, Any] = {}
    if reach is not None:
        new |= {"reach": reach, "exactly": exactly, "estimates": estimates}
    if exact is not None:
        new |= {"exact": exact, "handles_missing": handles_missing}
    if releases_gil:
        new |= {"releases_gil": True}

    def decorate(denoiser: Denoiser) -> Denoiser:
        traits = traits_of(denoiser)._replace(**new)
        try:
            setattr(denoiser, _PLACE, (denoiser, traits))
            if exact is not None:
                denoiser.exact = exact  # type: ignore[attr-defined]
        except (AttributeError, TypeError):
            raise TypeError(
                f"{denoiser!r} takes no attributes, so that nothing can be declared of it: call it "
                "from a function of your own, and declare that."
            ) from None
        return denoiser

    return decorate


def _own_traits(denoiser: Any) -> Traits:
    """Return what was declared of this very object."""
    owner, traits = getattr(denoiser, _PLACE, (denoiser, Traits()))
    return traits if owner is denoiser else Traits()  # functools.wraps copies attributes


def traits_of(denoiser: Any) -> Traits:
    """Return what a denoiser says of itself.

    Parameters
    ----------
    denoiser : callable or estimator
        The denoiser; `functools.partial` objects with keywords are seen through.

    Returns
    -------
    Traits
        What was declared; the arguments of a partial object are applied to the exact form.
    """
    traits = _own_traits(denoiser)
    if isinstance(denoiser, partial) and not denoiser.args and traits == Traits():
        traits = traits_of(denoiser.func)
        if traits.exact is not None:
            traits = traits._replace(exact=partial(traits.exact, **denoiser.keywords))
    return traits


def get_exact_form(denoiser: Any) -> Callable | None:
    """Return the exact J-invariant form of `denoiser`, or None where it has none.

    Parameters
    ----------
    denoiser : callable
        A denoiser; `functools.partial` objects are seen through.

    Returns
    -------
    callable or None
        The form, with the arguments of the partial object applied to it.
    """
    return traits_of(denoiser).exact


def reach_of(denoiser: Any, params: dict, ndim: int) -> Reach | None:
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
    rule, exactly, estimates, *_ = traits_of(denoiser)
    if rule is None:
        return Reach((inf,) * ndim, True) if is_estimator(denoiser) else None
    signature = signature_of(denoiser)
    known = {**signature.defaults, **params}
    known.pop("channel_axis", None)
    if not all(map(signature.accepts, known)):  # which the denoiser itself will explain
        return None
    try:
        distance = rule(ndim, **known) if callable(rule) else rule
    except (TypeError, ValueError):
        return None
    values = tuple(distance) if isinstance(distance, tuple | list) else (distance,) * ndim
    if len(values) != ndim:
        return None
    sure = exactly and (estimates is None or known.get(estimates) is not None)
    return Reach(tuple(map(float, values)), sure)
