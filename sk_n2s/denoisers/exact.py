"""The registry of exact J-invariant forms.

For some denoisers the prediction of *every* entry from all others needs no masks: a rank
filter drops the centre of its footprint, and a linear filter whose output at i contains
cᵢ·xᵢ has (g(x)ᵢ − cᵢ·xᵢ) / (1 − cᵢ), the leave-one-out formula. Such a form costs one pass
over the array, instead of one pass for each set of a partition. A denoiser carries it as
the attribute ``exact``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

__all__ = ["ExactForm", "exact_form_of", "get_exact_form"]


class ExactForm(Protocol):
    """An exact J-invariant form.

    Attributes
    ----------
    handles_missing : bool
        Whether it leaves NaN entries out of account.
    """

    handles_missing: bool

    def __call__(self, X, **params) -> Any:
        """Return the prediction of each entry of `X` from the others."""


def exact_form_of(denoiser: Callable, *, missing: bool = False) -> Callable[[Callable], Callable]:
    """Register the decorated function as the exact J-invariant form of `denoiser`.

    Parameters
    ----------
    denoiser : callable
        The function ``g(X, **params)``; it gets the attribute ``exact``.
    missing : bool, default=False
        Whether the form leaves NaN entries out of account. It then returns NaN, and no
        other entry is affected, where it has no entry to predict from. A form that does
        not is never shown NaN.

    Returns
    -------
    callable
        A decorator, which returns the function that it is given: ``f(X, **params)`` with
        the parameters of `denoiser`, whose result at each entry does not depend on that
        entry; `sk_n2s.check_j_invariance` tests that. `X` is read-only.

    Examples
    --------
    The mean of the two neighbours is the exact form of a running mean of three:

    >>> import numpy as np
    >>> from sk_n2s import JInvariantWrapper
    >>> from sk_n2s.denoisers import exact_form_of
    >>> def running_mean(X):
    ...     return (np.roll(X, 1) + X + np.roll(X, -1)) / 3
    >>> @exact_form_of(running_mean)
    ... def running_mean_exact(X):
    ...     return (np.roll(X, 1) + np.roll(X, -1)) / 2
    >>> JInvariantWrapper(running_mean).fit_transform(np.array([1.0, 2.0, 6.0]))
    array([4. , 3.5, 1.5])
    """

    def register(form: Callable) -> Callable:
        form.handles_missing = missing  # type: ignore[attr-defined]
        denoiser.exact = form  # type: ignore[attr-defined]
        return form

    return register


def get_exact_form(denoiser) -> ExactForm | None:
    """Return the exact form of `denoiser`, or None where it has none.

    Parameters
    ----------
    denoiser : callable
        A denoiser; `functools.partial` objects are seen through.

    Returns
    -------
    callable or None
        The form, with the arguments of the partial object applied to it.
    """
    if isinstance(denoiser, partial):
        form = get_exact_form(denoiser.func)
        if form is None or denoiser.args:
            return None
        bound: Any = partial(form, **denoiser.keywords)
        bound.handles_missing = form.handles_missing
        return bound
    form = getattr(denoiser, "exact", None)
    if form is getattr(getattr(denoiser, "__wrapped__", None), "exact", None):
        return None  # functools.wraps copied it: a decorated function is another denoiser
    return form if callable(form) and hasattr(form, "handles_missing") else None
