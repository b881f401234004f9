"""A denoiser's parameters as parameters of the estimator that holds it."""

from __future__ import annotations

from sklearn.base import BaseEstimator

from ._calling import is_estimator, name_of, signature_of

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

    def __init__(self, denoiser, denoiser_params):
        self.denoiser = denoiser
        self.denoiser_params = denoiser_params

    def get_params(self, deep=True):
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
        return {**defaults, **self.denoiser_params, **super().get_params(deep=deep)}

    def set_params(self, **params):
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
        if "denoiser" in params:
            if params["denoiser"] is not self.denoiser:
                self.denoiser_params = {}
            self.denoiser = params.pop("denoiser")
        own = {n: v for n, v in params.items() if n in self._get_param_names() or "__" in n}
        others = {n: v for n, v in params.items() if n not in own}
        for name in others:
            self._check_name(name)
        if not hasattr(self.denoiser, "set_params"):
            for name in own:
                if name.startswith("denoiser__"):
                    self._check_name(name)
        super().set_params(**own)
        self.denoiser_params = {**self.denoiser_params, **others}
        return self

    def _check_name(self, name):
        signature = signature_of(self.denoiser)
        if signature.accepts(name):
            return
        has = ", ".join(n for n in signature.names() if n not in self._get_param_names())
        hint = (
            "an estimator's parameters are denoiser__name"
            if is_estimator(self.denoiser)
            else (f"it has {has}" if has else "it has none")
        )
        raise ValueError(
            f"Invalid parameter {name!r} for the denoiser {name_of(self.denoiser)} of "
            f"JInvariantWrapper: {hint}."
        )

    def _check_denoiser(self):
        function = callable(self.denoiser) and not isinstance(self.denoiser, type)
        if not function and not is_estimator(self.denoiser):
            raise TypeError(
                f"denoiser={self.denoiser!r} must be a function of an array, or an instance of an "
                "estimator with fit, and with transform or predict."
            )
        for name in self.denoiser_params:
            self._check_name(name)
        signature = signature_of(self.denoiser)
        absent = [n for n in signature.required if n not in self.denoiser_params]
        if self.channel_axis is not None and "channel_axis" in absent:
            absent.remove("channel_axis")
        if absent:
            raise ValueError(
                f"The denoiser {name_of(self.denoiser)} needs the parameters {', '.join(absent)}, "
                f"which have no default: JInvariantWrapper(..., {absent[0]}=...)."
            )
