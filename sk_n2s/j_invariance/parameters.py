"""A denoiser's parameters as parameters of the estimator that holds it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from .._utils.readable import for_printers
from ..denoisers.calling import is_estimator, name_of, signature_of

__all__ = ["DenoiserParameters"]


class DenoiserParameters(BaseEstimator):
    """An estimator with a `denoiser`, and with a dict `denoiser_params` of its parameters.

    Parameters that the denoiser shares with the estimator belong to the estimator.

    Parameters
    ----------
    denoiser : object
        The denoiser.
    denoiser_params : dict
        Those of its parameters that were set.
    """

    def __init__(self, denoiser: Any, denoiser_params: dict):
        self.denoiser = denoiser
        self.denoiser_params = denoiser_params

    def get_params(self, deep: bool = True) -> dict:
        """Get the parameters of the wrapper and of its denoiser.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the parameters of the denoiser that were not set, with their
            default values.

        Returns
        -------
        dict
            Parameter names and their values.
        """
        defaults = signature_of(self.denoiser).defaults if deep else {}
        own = super().get_params(deep=deep)
        return for_printers({**defaults, **self.denoiser_params, **own})

    def set_params(self, **params: Any) -> DenoiserParameters:
        """Set parameters of the wrapper and of its denoiser.

        A new `denoiser` starts from its own defaults: what was set for the old one goes
        with it.

        Parameters
        ----------
        **params : dict
            Parameter names and their new values.

        Returns
        -------
        JInvariantWrapper
            The wrapper itself.

        Raises
        ------
        ValueError
            If neither the wrapper nor the denoiser has a parameter of that name.
        """
        denoiser = params.pop("denoiser", self.denoiser)
        own = {n: v for n, v in params.items() if n in self._get_param_names() or "__" in n}
        others = {n: v for n, v in params.items() if n not in own}
        for name in others:
            self._check_name(name, denoiser)
        for name in own:
            owner = name.partition("__")[0]
            holder = denoiser if owner == "denoiser" else getattr(self, owner, None)
            if owner != name and not hasattr(holder, "set_params"):
                raise ValueError(
                    f"Invalid parameter {name!r} for {type(self).__name__}: {owner} is no "
                    "estimator with parameters of its own."
                )
        kept = self.denoiser_params if _same_denoiser(denoiser, self.denoiser) else {}
        self.denoiser = denoiser
        self.denoiser_params = {**kept, **others}
        super().set_params(**own)
        return self

    def _check_name(self, name: str, denoiser: Any) -> None:
        signature = signature_of(denoiser)
        if signature.accepts(name):
            return
        has = ", ".join(n for n in signature.names() if n not in self._get_param_names())
        hint = (
            "an estimator's parameters are denoiser__name"
            if is_estimator(denoiser)
            else (f"it has {has}" if has else "it has none")
        )
        raise ValueError(
            f"Invalid parameter {name!r} for the denoiser {name_of(denoiser)} of "
            f"{type(self).__name__}: {hint}."
        )

    def _check_denoiser(self, supplied: tuple[str, ...] = ()) -> None:
        """Refuse what is no denoiser, or lacks parameters that are not `supplied` either."""
        function = callable(self.denoiser) and not isinstance(self.denoiser, type)
        if not function and not is_estimator(self.denoiser):
            raise TypeError(
                f"denoiser={self.denoiser!r} must be a function of an array, or an instance of an "
                "estimator with fit, and with transform or predict."
            )
        for name in self.denoiser_params:
            self._check_name(name, self.denoiser)
        signature = signature_of(self.denoiser)
        given = (*self.denoiser_params, *supplied)
        absent = [n for n in signature.required if n not in given]
        if absent:
            raise ValueError(
                f"The denoiser {name_of(self.denoiser)} needs the parameters {', '.join(absent)}, "
                f"which have no default: {type(self).__name__}(..., {absent[0]}=...)."
            )


def _same_denoiser(a: Any, b: Any) -> bool:
    """Return whether two denoisers are one: clones of a partial object are new objects."""
    if not (isinstance(a, partial) and isinstance(b, partial)):
        return a is b
    if a.func is not b.func or len(a.args) != len(b.args) or {*a.keywords} != {*b.keywords}:
        return False
    pairs = [
        *zip(a.args, b.args, strict=True),
        *((v, b.keywords[n]) for n, v in a.keywords.items()),
    ]
    return all(_same_value(*pair) for pair in pairs)


def _same_value(a: Any, b: Any) -> bool:
    """Return whether two values of parameters are the same, as far as they can tell."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        numbers = np.asarray(a).dtype.kind in "fc"
        return type(a) is type(b) and np.array_equal(a, b, equal_nan=numbers)
    try:
        return a is b or bool(a == b)
    except Exception:  # what holds arrays, or does not compare to a truth
        return False
