"""Mixing an entry's own value back into its blind prediction."""

from __future__ import annotations

import numpy as np

from ._calling import apply_denoiser
from .denoisers.linear import gaussian_exact
from .losses import squared_error

__all__ = ["blend"]

#: Width, in entries, of the average behind the weights. A narrow one would let the noise of
#: an entry's close neighbours, and with it the prediction's own error, decide the weight.
_SIGMA = 6.0


def blend(
    X, invariant, noise_variance, channel_axis: int | None = None, batch_axis: int | None = None
) -> np.ndarray:
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
    noise_variance : float or ndarray that broadcasts to that shape
        The variance σ² of the noise.
    channel_axis, batch_axis : int, default=None
        Axes along which entries are not neighbours; not negative.

    Returns
    -------
    ndarray of the shape and dtype of `X`
        The blend; the prediction where entries are missing.
    """
    local = apply_denoiser(
        gaussian_exact,
        squared_error(X, invariant),
        {"sigma": _SIGMA},
        channel_axis=channel_axis,
        batch_axis=batch_axis,
        allow_nan=True,
    )
    variance = np.asarray(noise_variance, dtype=np.float64)
    excess = np.maximum(np.nan_to_num(local) - variance, 0)
    total = variance + excess
    weight = np.ones(X.shape)
    np.divide(variance, total, out=weight, where=total > 0)
    weight = weight.astype(X.dtype, copy=False)
    return np.where(np.isnan(X), invariant, weight * invariant + (1 - weight) * X)
