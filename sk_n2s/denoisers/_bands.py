"""Images and their means over windows, combined by what Stein's estimate says of the error."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

__all__ = ["bands", "best_weights", "images_of"]

#: Kernels end at this many standard deviations.
_TRUNCATE = 3.0

#: What is added to the diagonal of correlations, so that copies of a feature can be told.
_RIDGE = 1e-9


def images_of(along: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return components as images, which are 0, their mean, outside the mask."""
    images = np.zeros((along.shape[1], *mask.shape), along.dtype)
    images[:, mask] = along.T
    return images


def bands(
    along: np.ndarray, mask: np.ndarray, scales: tuple[float, ...]
) -> tuple[np.ndarray, list[float]]:
    """Return components and their bands at each place, and the share of itself in each.

    A band is what a window takes away from the one before, and the last what is left.
    """
    parts, owns = [along], [1.0]
    if scales and along.shape[1]:
        # The windows of what lies outside of the box around the mask are not asked for.
        box = ndimage.find_objects(mask.astype(np.int8))[0]
        mask = mask[box]
        images, before, own_before = images_of(along, mask), along, 1.0
        for scale in scales:
            # Differences, since single precision keeps their digits.
            smooth, own = _window_mean(images, mask, scale)
            parts.append(before - smooth)
            owns.append(own_before - own)
            before, own_before = smooth, own
    return np.concatenate(parts, axis=1), owns


def _window_mean(images: np.ndarray, mask: np.ndarray, scale: float) -> tuple[np.ndarray, float]:
    """Return means over windows within the mask, at its places, and the mean weight of a place."""
    options: dict = {"mode": "constant", "truncate": _TRUNCATE}
    smooth = ndimage.gaussian_filter(images, (0,) + (scale,) * mask.ndim, **options)
    inside = ndimage.gaussian_filter(mask.astype(images.dtype), scale, **options)[mask]
    alone = np.zeros(2 * int(_TRUNCATE * scale + 0.5) + 1)
    alone[len(alone) // 2] = 1
    own = ndimage.gaussian_filter1d(alone, scale, **options).max() ** mask.ndim
    return (smooth[:, mask] / inside).T, float(np.mean(own / inside, dtype=np.float64))


def best_weights(features: np.ndarray, owns: list[float]) -> np.ndarray:
    """Return the weights for which Stein's estimate of the error is least, for noise of level 1.

    The error of F w is estimated by ‖F w − c‖² + 2 tr(∂F/∂c) w, a quadratic form of w
    (Blu and Luisier, "The SURE-LET approach to image denoising", 2007, section II).
    """
    n, rank = len(features), features.shape[1] // len(owns)
    products = (features.T @ features).astype(np.float64)
    aims = products[:, :rank] - n * np.repeat(owns, rank)[:, np.newaxis] * np.tile(
        np.eye(rank), (len(owns), 1)
    )
    size = np.sqrt(np.diag(products)) + np.finfo(float).tiny
    products /= np.outer(size, size)
    products[np.diag_indices_from(products)] += _RIDGE
    return np.linalg.solve(products, aims / size[:, np.newaxis]) / size[:, np.newaxis]
