"""The autocovariance of what is in some blocks of an array, freed from slow structure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import fft, ndimage

__all__ = ["SCALES", "autocovariance", "products_at_lags"]

#: For each number of axes: over how many entries the local mean is taken that is subtracted,
#: and over which lags noise is followed. The second of them where the first are not enough.
SCALES = {1: ((33, 24), (129, 96)), 2: ((9, 6), (17, 12)), 3: ((7, 4), (11, 8))}

#: Steps of the iteration that gives back what the local mean has taken away.
_STEPS = 100


def products_at_lags(
    values: np.ndarray, quiet: np.ndarray, width: int, max_lag: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums of products of quiet entries at each lag, and the number of pairs.

    From each entry of each channel the mean of the quiet ones around it is subtracted.
    """
    ndim = quiet.ndim
    known = quiet.astype(np.float64)
    near = ndimage.uniform_filter(known, width, mode="constant")
    near[~quiet] = 1
    shape = [fft.next_fast_len(n + max_lag, real=True) for n in quiet.shape]
    axes = tuple(range(ndim))

    def products(array: np.ndarray) -> np.ndarray:
        power = np.square(np.abs(fft.rfftn(array, shape, axes=axes)))
        lags = np.roll(fft.irfftn(power, shape, axes=axes), (max_lag,) * ndim, axes)
        return lags[(slice(0, 2 * max_lag + 1),) * ndim]

    total = np.zeros((2 * max_lag + 1,) * ndim)
    for channel in values:
        shown = channel * known
        shown -= known * (ndimage.uniform_filter(shown, width, mode="constant") / near)
        total += products(shown)
    return total, len(values) * products(known)


def autocovariance(
    measure: Callable[[int, int], tuple[np.ndarray, np.ndarray]], ndim: int, longest: int
) -> tuple[np.ndarray, float]:
    """Return the autocovariance of noise at lags as far as it reaches, and how many pairs
    there are at least.

    `measure` returns the sums of products for a width and a lag, as `products_at_lags` does.
    """
    for width, reach in SCALES.get(ndim, ((5, 3),)):
        reach = min(reach, longest)
        far = min(2 * reach, longest)
        total, pairs = measure(width, far)
        found = _restored(total / np.maximum(pairs, 1), width, reach)
        centre = (reach,) * ndim
        lag = np.abs(np.indices(found.shape) - reach).max(axis=0)
        if found[lag == reach - 1].mean() <= _FADED * found[centre] or reach == longest:
            break
    return found, float(pairs.min())


#: Noise reaches further than was looked at if this much correlation is left at the end.
_FADED = 0.1


def _restored(measured: np.ndarray, width: int, reach: int) -> np.ndarray:
    """Return the autocovariance within a reach that explains one without local means.

    Where h is the local mean, C' = (δ − h) * (δ − h) * C; solved for C by Landweber's
    iteration, with C = 0 beyond the reach.
    """
    ndim, far = measured.ndim, measured.shape[0] // 2
    middle = far + width
    shape = (2 * middle + 1,) * ndim
    lag = np.abs(np.indices(shape) - middle).max(axis=0)
    box = fft.fftn(fft.ifftshift(lag <= width // 2)).real / width**ndim
    passed = np.square(1 - box)

    def apply(array: np.ndarray) -> np.ndarray:
        return fft.ifftn(fft.fftn(array) * passed).real

    target = np.zeros(shape)
    target[lag <= far] = measured.ravel()
    found = np.where(lag <= reach, target, 0)
    for _ in range(_STEPS):
        error = np.where(lag <= far, target - apply(found), 0)
        found += np.where(lag <= reach, apply(error), 0)
    return found[(slice(middle - reach, middle + reach + 1),) * ndim]
