"""The parameters of a network and of an optimizer as parameters of the estimator."""

from __future__ import annotations

from typing import Any, Self

from .._utils.base import BaseDenoiser
from .._utils.readable import for_printers

__all__ = ["PrefixedParameters"]

#: What the names of parameters begin with that go on to others.
_OWNERS = ("module", "optimizer")
_PREFIXES = tuple(f"{owner}__" for owner in _OWNERS)


class PrefixedParameters(BaseDenoiser):
    """A denoiser with parameters ``module__name`` and ``optimizer__name``.

    Parameters
    ----------
    params : dict
        Those that were set.
    """

    def __init__(self, params: dict[str, Any]):
        self.params = params

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters, those of the network and the optimizer included."""
        return for_printers({**super().get_params(deep=deep), **self.params})

    def set_params(self, **params: Any) -> Self:
        """Set parameters; a new `module` or `optimizer` starts from its own defaults."""
        others = {n: params.pop(n) for n in list(params) if n.startswith(_PREFIXES)}
        kept = self.params
        for owner in _OWNERS:
            if owner in params and params[owner] is not getattr(self, owner):
                kept = {n: v for n, v in kept.items() if not n.startswith(f"{owner}__")}
        super().set_params(**params)
        self.params = {**kept, **others}
        return self

    def _params_of(self, owner: str) -> dict:
        """Return the parameters that go on to the network or to the optimizer."""
        return {
            name.removeprefix(f"{owner}__"): value
            for name, value in self.params.items()
            if name.startswith(f"{owner}__")
        }

    def _check_names(self) -> None:
        """Refuse parameters that are nobody's."""
        for name in self.params:
            if not name.startswith(_PREFIXES):
                raise TypeError(
                    f"{type(self).__name__} has no parameter {name!r}: those of the network are "
                    "module__name, those of the optimizer optimizer__name."
                )
