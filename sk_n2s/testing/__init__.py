"""The package's common checks, for what users write as well.

A denoising function, a partition, a fill, a loss, a noise model or an estimator is given to
`check`, which raises an AssertionError at the first promise that it breaks, with a sentence that
says what to do; or to `parametrize_with_checks`, which makes a test of each check:

    from sk_n2s.testing import parametrize_with_checks

    @parametrize_with_checks([my_denoiser, MyPartition(3)])
    def test_mine(thing, check):
        check(thing)

What is checked of each kind is in the module of that name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .._utils.base import BaseDenoiser
from ..masking import Fill, Partition
from ..noise import NoiseModel
from . import denoisers, estimators, fills, losses, noise, partitions
from ._common import Check, named

__all__ = ["check", "checks_of", "parametrize_with_checks"]

_KINDS: tuple[tuple[type, Callable[[Any], Iterator[Check]]], ...] = (
    (BaseDenoiser, estimators.checks),
    (Partition, partitions.checks),
    (Fill, fills.checks),
    (NoiseModel, noise.checks),
)


def checks_of(thing: Any) -> Iterator[Check]:
    """Yield the checks that apply to a thing.

    Parameters
    ----------
    thing : callable, Partition, Fill, NoiseModel or BaseDenoiser
        An instance, not a class. A function with one parameter that has no default is a
        denoiser ``g(X, *, param=default)``, whose further parameters are set with
        `functools.partial`; one with two is a loss ``loss(target, prediction)``, or a fill
        ``fill(X, hidden)`` if the second is called ``hidden``.

    Yields
    ------
    check : callable
        A function ``check(thing)`` with a name, which raises an AssertionError.

    Raises
    ------
    TypeError
        If the thing is of no kind that there are checks for.

    Examples
    --------
    >>> from sk_n2s import PairPartition
    >>> from sk_n2s.testing import checks_of
    >>> next(checks_of(PairPartition())).__name__
    'check_scored_sets_are_disjoint_and_cover'
    """
    for kind, checks in _KINDS:
        if isinstance(thing, kind):
            return checks(thing)
    if not callable(thing) or isinstance(thing, type) or hasattr(thing, "fit"):
        raise TypeError(
            f"{named(thing)} must be a denoising function, a loss, or an instance of a Partition, "
            "Fill, NoiseModel or BaseDenoiser: wrap other estimators in a JInvariantWrapper."
        )
    match _required(thing):
        case [_, "hidden"]:
            return fills.checks(thing)
        case [_, _]:
            return losses.checks(thing)
        case [] | [_]:
            return denoisers.checks(thing)
    raise TypeError(
        f"{named(thing)} has the parameters {_required(thing)} without a default: set all but the "
        "first, the data, with functools.partial."
    )


def check(thing: Any) -> None:
    """Run all checks that apply to a thing.

    Parameters
    ----------
    thing : callable, Partition, Fill, NoiseModel or BaseDenoiser
        What is checked, as for `checks_of`.

    Raises
    ------
    AssertionError
        If it breaks a promise; the message names the thing and a remedy.
    TypeError
        If the thing is of no kind that there are checks for.

    Examples
    --------
    >>> from sk_n2s.denoisers import median
    >>> from sk_n2s.testing import check
    >>> check(median)
    """
    for one in checks_of(thing):
        one(thing)


def parametrize_with_checks(things: Iterable[Any]) -> Callable:
    """Return a pytest decorator that runs a test for each thing and each of its checks.

    Parameters
    ----------
    things : iterable
        What is checked, as for `checks_of`.

    Returns
    -------
    callable
        A decorator of a function ``test(thing, check)``. The ids of the tests are the
        same in every process, as pytest-xdist needs them.

    Raises
    ------
    ImportError
        If pytest is not installed.
    TypeError
        If a thing is of no kind that there are checks for.
    """
    import pytest

    return pytest.mark.parametrize(
        ("thing", "check"),
        [
            pytest.param(thing, one, id=f"{named(thing)}-{one.__name__}")
            for thing in things
            for one in checks_of(thing)
        ],
    )


def _required(function: Callable) -> list[str]:
    """Return the names of the parameters that have no default; some functions do not tell."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.KEYWORD_ONLY,
    )
    return [p.name for p in parameters if p.kind in kinds and p.default is p.empty]
