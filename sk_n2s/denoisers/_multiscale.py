"""Lower frequencies from coarser data, in which noise of many entries is averaged."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import fft, ndimage

from ._steps import Noise

__all__ = ["over_scales"]

#: Of the frequencies that coarser data have, the lowest, by this share, are taken from them, with
#: this weight.
_LOWEST, _WEIGHT = 0.4, 0.6

#: Data with a shorter side than this are not made coarser.
_SHORTEST = 48


def over_scales(
    work: Callable[[np.ndarray, Noise], np.ndarray],
    values: np.ndarray,
    noise: Noise,
    n_scales: int,
    apart: tuple[int, ...] = (),
) -> np.ndarray:
    """Return ``work(values, noise)``, with low frequencies from coarser data.

    Parameters
    ----------
    work : callable
        A denoiser of data whose channels come first.
    values : ndarray of shape (n_channels, *shape)
        The data.
    noise : Noise
        Their noise. Where it is correlated, it is not known at another scale: there is one only.
    n_scales : int
        How many scales there are, each half as fine as the one before.
    apart : tuple of int, default=()
        The axes that stay as fine as they are.

    Returns
    -------
    ndarray of the shape of `values`
        The denoised data.
    """
    found = work(values, noise)
    shape = values.shape[1:]
    coarser = [n for a, n in enumerate(shape) if a not in apart and n > 1]
    if n_scales < 2 or noise.correlation is not None or min(coarser, default=0) < _SHORTEST:
        return found
    half = tuple(n if a in apart else (n + 1) // 2 for a, n in enumerate(shape))
    less = noise._replace(variance=_coarser(noise.variance, half, shape))
    coarse = over_scales(work, _resized(values, half), less, n_scales - 1, apart)
    # What a coarse scale knows better is the difference at its own lowest frequencies.
    axes = tuple(a for a in range(1, values.ndim) if a - 1 not in apart)
    change = fft.dctn(coarse - _resized(found, half), axes=axes, norm="ortho", overwrite_x=True)
    for axis in axes:
        np.moveaxis(change, axis, 0)[max(1, round(_LOWEST * change.shape[axis])) :] = 0
    change = fft.idctn(change, axes=axes, norm="ortho", overwrite_x=True)
    found += values.dtype.type(_WEIGHT) * _resized(change, shape)
    return found


def _resized(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return data of another size, with the same values and the frequencies that both have."""
    of = values.shape[1:]
    axes = tuple(a + 1 for a, (n, m) in enumerate(zip(of, shape, strict=True)) if n != m)
    known = fft.dctn(values, axes=axes, norm="ortho")
    kept = (slice(None), *(slice(min(n, m)) for n, m in zip(of, shape, strict=True)))
    found = np.zeros((len(values), *shape), values.dtype)
    found[kept] = known[kept]
    found *= values.dtype.type(np.sqrt(np.prod(shape) / np.prod(of)))
    return fft.idctn(found, axes=axes, norm="ortho", overwrite_x=True)


def _coarser(variance: np.ndarray, shape: tuple[int, ...], of: tuple[int, ...]) -> np.ndarray:
    """Return the variance of the noise of resized data."""
    share = np.prod(shape) / np.prod(of)
    if variance.ndim == 1:  # uniform
        return (share * variance).astype(variance.dtype)
    sides = (1 + (n != m) for n, m in zip(of, shape, strict=True))
    smooth = ndimage.uniform_filter(variance, (1, *sides))
    places = [
        np.minimum(((np.arange(m) + 0.5) * n / m).astype(int), n - 1)
        for n, m in zip(of, shape, strict=True)
    ]
    return (share * smooth[np.ix_(np.arange(len(variance)), *places)]).astype(variance.dtype)
