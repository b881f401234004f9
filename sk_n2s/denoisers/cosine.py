"""Shrinkage of the cosine transform of patches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft

from .._utils.arrays import per_axis, split_axes
from ._input import as_data
from ._scale import noise_relative, non_negative
from .traits import declare

__all__ = ["dct"]

#: Coefficients that are worked on together, which bounds the memory.
_TILE = 2**18


def _reach(ndim: int, *, patch_size: int | Sequence[int], **_: Any) -> tuple[int, ...]:
    return tuple(side - 1 for side in per_axis(patch_size, ndim, name="patch_size"))


@declare(reach=_reach, estimates="sigma", releases_gil=True)
def dct(
    X: ArrayLike,
    *,
    sigma: float | None = None,
    threshold: float = 2.7,
    patch_size: int | Sequence[int] = 8,
    step: int | Sequence[int] = 1,
    channel_axis: int | None = None,
) -> np.ndarray:
    """Hard thresholding of the cosine transform of sliding patches.

    Of the coefficients of each patch, those that noise alone explains become 0; the mean of
    a patch always stays. Overlapping patches are averaged, each weighted by the inverse of
    the number of coefficients that it kept, to which the variance of its noise is
    proportional.

    Parameters
    ----------
    X : ndarray of float, any number of axes
        The data.
    sigma : float, default=None
        The standard deviation of the noise, in the unit of the data. None takes what
        `estimate_noise` reads in `X`.
    threshold : float, default=2.7
        Coefficients up to this many `sigma` become 0. With plain averages, as in [1]_, 3 is
        usual.
    patch_size : int or tuple of int, default=8
        Side of the patches, along all axes or along each.
    step : int or tuple of int, default=1
        Distance between patches; more than 1 is faster, and leaves traces of the patches.
    channel_axis : int, default=None
        An axis of channels, which are decorrelated by a cosine transform, and then
        thresholded one by one.

    Returns
    -------
    ndarray of the shape and dtype of `X`
        The denoised data.

    Raises
    ------
    ValueError
        If a parameter does not fit.

    References
    ----------
    .. [1] G. Yu and G. Sapiro, "DCT image denoising: a simple and effective image denoising
       algorithm", IPOL 1:292-296, 2011. :doi:`10.5201/ipol.2011.ys-dct`
    .. [2] N. Pierazzo, J.-M. Morel and G. Facciolo, "Multi-scale DCT denoising", IPOL
       7:288-308, 2017. :doi:`10.5201/ipol.2017.201`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.denoisers import dct
    >>> wave = 10 * np.sin(np.arange(256) / 8)
    >>> noisy = wave + np.random.default_rng(0).normal(size=256)
    >>> bool(np.std(dct(noisy, sigma=1.0) - wave) < 0.7 * np.std(noisy - wave))
    True
    """
    X = as_data(X)
    ndim = len(split_axes(X.ndim, channel_axis, None)[2])
    sides = per_axis(patch_size, ndim, name="patch_size", minimum=1)
    steps = per_axis(step, ndim, name="step", minimum=1)
    for side, s in zip(sides, steps, strict=True):
        if s > side:
            raise ValueError(
                f"step={step!r} must be at most patch_size={patch_size!r}, or entries between "
                "the patches belong to none."
            )
    threshold = non_negative(threshold, name="threshold")
    limit = threshold * noise_relative(sigma, 1.0, X, channel_axis, name="sigma")
    if limit == 0:
        return X.copy()
    centre = X.mean(dtype=np.float64).astype(X.dtype)  # small values keep more of their digits
    channels = (X - centre)[np.newaxis]
    if channel_axis is not None:
        channels = fft.dct(np.moveaxis(channels[0], channel_axis, 0), axis=0, norm="ortho")
    result = np.stack([_shrink(values, limit, sides, steps) for values in channels])
    if channel_axis is None:
        result = result[0]
    else:
        result = np.moveaxis(fft.idct(result, axis=0, norm="ortho"), 0, channel_axis)
    result += centre
    return result


def _shrink(
    values: np.ndarray, limit: float, sides: tuple[int, ...], steps: tuple[int, ...]
) -> np.ndarray:
    """Threshold the patches of an array, and average."""
    ndim = values.ndim
    sides = tuple(min(side, n) for side, n in zip(sides, values.shape, strict=True))
    windows = np.lib.stride_tricks.sliding_window_view(values, sides)
    axes = tuple(range(ndim, 2 * ndim))
    total = np.zeros_like(values)
    weights = np.zeros_like(values)
    for starts in _tiles(windows.shape[:ndim], steps, max(1, _TILE // int(np.prod(sides)))):
        coefficients = fft.dctn(windows[starts], axes=axes, norm="ortho")
        kept = np.abs(coefficients) > limit
        kept[(...,) + (0,) * ndim] = True
        coefficients *= kept
        patches = fft.idctn(coefficients, axes=axes, norm="ortho", overwrite_x=True)
        weight = 1 / np.count_nonzero(kept, axis=axes).astype(values.dtype)
        patches *= weight[(...,) + (np.newaxis,) * ndim]
        for offset in product(*(range(side) for side in sides)):
            place = tuple(
                slice(s.start + o, s.stop + o, s.step)
                for s, o in zip(starts, offset, strict=True)
            )  # fmt: skip
            total[place] += patches[(..., *offset)]
            weights[place] += weight
    total /= weights
    return total


def _tiles(
    positions: tuple[int, ...], steps: tuple[int, ...], n_patches: int
) -> Iterator[tuple[slice, ...]]:
    """Yield blocks of about `n_patches` patches: every `step`-th position, and the last."""
    side = max(1, round(n_patches ** (1 / len(positions))))
    axes = []
    for n, step in zip(positions, steps, strict=True):
        stop = n - (n - 1) % step  # behind the last position of the grid
        blocks = [
            slice(start, min(start + side * step, stop), step)
            for start in range(0, stop, side * step)
        ]
        if stop < n:
            blocks.append(slice(n - 1, n, step))
        axes.append(blocks)
    yield from product(*axes)
