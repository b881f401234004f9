"""Defaults on the data's own scale."""

from __future__ import annotations

from numbers import Real

import numpy as np

from ..noise import estimate_noise

__all__ = ["noise_relative"]


def noise_relative(value, factor: float, X, channel_axis, *, name: str) -> float:
    """Return a strength in the unit of the data.

    Parameters
    ----------
    value : float or None
        What the user gave; None asks for `factor` times the noise level of `X`.
    factor : float
        How many standard deviations of the noise the default is.
    X : ndarray
        The data.
    channel_axis : int or None
        The axis of channels.
    name : str
        The parameter's name, for the error message.

    Returns
    -------
    float
        The strength.
    """
    if value is None:
        return factor * estimate_noise(X, channel_axis=channel_axis)
    strength = float(value) if isinstance(value, Real) else np.nan
    if not (np.isfinite(strength) and strength >= 0):
        raise ValueError(
            f"{name}={value!r} must be None or a finite number that is not negative, in the unit "
            "of the data."
        )
    return strength
