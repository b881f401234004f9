"""How far an output is from the truth, estimated without it: Stein's unbiased risk.

For an output h of data x with noise of variance σ², the mean of
(h − x)² + 2σ²·∂hᵢ/∂xᵢ is the true error plus the variance of the noise; where noise of
different entries is dependent, with a covariance Σ, the second term is 2·(Σ ∂h/∂x)ᵢᵢ. A
J-invariant output has none, and leaves the self-supervised loss; a blend of it with x has
2σ²·(1 − λ); that of any other denoiser is probed with a small change of the data, of the kind
that the noise makes. All outputs are thus compared on one scale.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._utils.arrays import squares_fit
from ..losses import squared_error
from ..noise.model import NoiseModel

__all__ = ["divergence_of", "probed_divergence", "sure_score"]

#: The probe's step, in standard deviations of the noise: large enough for what jumps, as
#: hard thresholds do, and small enough to be a derivative.
_STEP = 0.1


def probed_divergence(
    denoise: Callable[[np.ndarray], np.ndarray],
    X: np.ndarray,
    denoised: np.ndarray,
    noise: NoiseModel,
    signal: np.ndarray | None = None,
    random_state: int = 0,
) -> np.ndarray:
    """Return an estimate of 2·(Σ ∂h/∂x)ᵢᵢ for each entry, from one more call of the denoiser.

    Parameters
    ----------
    denoise : callable
        The denoiser h.
    X : ndarray of float
        The noisy data. Where they are NaN, the denoiser fills them, and so does it when it is
        probed: what a missing entry is filled with depends on the noise of its neighbours.
    denoised : ndarray of the same shape
        Its output for `X`.
    noise : NoiseModel
        The noise, of covariance Σ.
    signal : ndarray of the same shape, default=None
        What stands for the clean data where the noise depends on them, without NaN; None
        takes `X`.
    random_state : int, default=0
        Seed of the probe b. The same for all that are to be compared.

    Returns
    -------
    ndarray of that shape, of float64
        2·bᵢ·(h(x + εb) − h(x))ᵢ/ε with b drawn from the noise, or of independent noise ±σᵢ. Its
        *mean* estimates the divergence term; a single value is that of its entry plus noise of
        the probe.

    References
    ----------
    .. [1] S. Ramani, T. Blu and M. Unser, "Monte-Carlo SURE: a black-box optimization of
       regularization parameters for general denoising algorithms", IEEE Trans. Image
       Process. 17(9):1540-1554, 2008. :doi:`10.1109/TIP.2008.2001404`
    """
    variance = noise.variance(X if signal is None else signal)
    level = float(np.sqrt(np.mean(variance)))
    if level == 0:
        return np.zeros(X.shape)
    if noise.is_correlated:
        drawn = noise.sample(X if signal is None else signal, random_state)
        change = denoise(X + (_STEP * drawn).astype(X.dtype)) - denoised
        return divergence_of(change * (drawn / (_STEP * level**2)), level**2)
    # Signs vary less than normal numbers.
    step = X.dtype.type(_STEP * level)
    signs = np.random.default_rng(random_state).integers(0, 2, X.shape, dtype=np.int8) * 2 - 1
    change = denoise(X + signs * step) - denoised
    change *= signs
    change /= step
    return divergence_of(change, variance)


def divergence_of(derivative: np.ndarray, variance: float | np.ndarray) -> np.ndarray:
    """Return 2σ²·∂hᵢ/∂xᵢ."""
    factor = np.asarray(2 * np.asarray(variance, np.float64))
    dtype = derivative.dtype if squares_fit(float(np.mean(factor))) else np.float64
    return np.multiply(derivative, factor, dtype=dtype)


def sure_score(X: np.ndarray, output: np.ndarray, divergence: Any = 0.0) -> float:
    """Return minus the estimated risk of an output; one that is J-invariant has no divergence."""
    return -float(np.nanmean(squared_error(X, output) + divergence, dtype=np.float64))
