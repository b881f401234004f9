"""Mixing an entry's own value back into its blind prediction."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from .._utils.base import Axes
from ..denoisers.calling import apply_denoiser
from ..denoisers.linear import gaussian_exact
from ..losses import squared_error
from ..noise.model import NoiseModel

__all__ = ["BLEND_REACH", "Blend", "blend"]

#: Width, in entries, of the average behind the weights. A narrow one would let the noise of
#: an entry's close neighbours, and with it the prediction's own error, decide the weight.
_SIGMA = 6.0

#: How far that average looks.
BLEND_REACH = int(4 * _SIGMA + 0.5)


class Blend(NamedTuple):
    """A J-invariant prediction with each entry's own value mixed back in.

    Attributes
    ----------
    output : ndarray of the shape and dtype of the data
        The blend; the prediction where entries are missing.
    own : ndarray of that shape
        1 − λ, the weight of the entry's own value.
    variance : float or ndarray that broadcasts to that shape
        The variance of the noise that the weights follow from.
    """

    output: np.ndarray
    own: np.ndarray
    variance: float | np.ndarray


def blend(
    X: np.ndarray,
    invariant: np.ndarray,
    noise: NoiseModel,
    axes: Axes | None = None,
) -> Blend:
    """Return λ·f + (1 − λ)·x with λ = σ²/(σ² + τ²).

    f, the J-invariant prediction, and x, the measurement, have independent errors of
    variance τ² and σ²: this is their best linear combination. τ² is what a local average
    of the squared residuals (f − x)² exceeds σ² by; the average leaves out the entry
    itself, whose own noise must not decide its weight.

    Parameters
    ----------
    X : ndarray of float
        The noisy data; NaN marks missing entries.
    invariant : ndarray of the same shape
        The J-invariant prediction.
    noise : NoiseModel
        The noise, of variance σ²; where that depends on the signal, the prediction stands
        for it.
    axes : Axes, default=None
        What lies along the axes; None is neighbours along all. In a table, the average is that of
        the feature.

    Returns
    -------
    Blend
        The blend, and its weights.
    """
    axes = Axes(None, None, tuple(range(X.ndim))) if axes is None else axes
    squares = squared_error(X, invariant)
    # Of float32 data they are float32, if squares fit into that; so is then all that follows.
    variance = np.asarray(noise.variance(invariant), dtype=squares.dtype)
    missing = np.isnan(squares)
    average: Callable = partial(
        apply_denoiser,
        gaussian_exact,
        params={"sigma": _SIGMA},
        channel_axis=axes.channel,
        batch_axis=axes.batch,
        allow_nan=True,
        copy=False,
    )
    if axes.is_table:
        average = _of_other_samples
    level = variance
    if variance.ndim or missing.any():  # the average of what is not the same everywhere
        level = average(np.where(missing, squares.dtype.type(np.nan), variance))
    own = average(squares)
    del squares
    own -= level
    np.nan_to_num(own, copy=False)
    np.maximum(own, 0, out=own)
    total = own + variance
    np.divide(own, total, out=own, where=total > 0)  # where that is 0, so is the excess
    del total
    own[missing] = 0
    own = own.astype(X.dtype, copy=False)
    output = X - invariant
    output *= own
    output += invariant
    np.copyto(output, invariant, where=missing)
    return Blend(output, own, variance if variance.ndim else float(variance))


def _of_other_samples(values: np.ndarray) -> np.ndarray:
    """Return the mean of a feature over all other samples; NaN is left out, and has no mean."""
    known = ~np.isnan(values)
    others = np.count_nonzero(known, axis=0) - known
    total = np.nansum(values, axis=0, dtype=np.float64) - np.where(known, values, 0)
    return np.divide(total, others, out=np.full(values.shape, np.nan), where=others > 0)
