"""Arrays as PNG within a page, of a size that a page can hold."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from math import ceil

import numpy as np

__all__ = ["data_uri", "grey_limits", "reduced", "span"]

#: The shares of the values that are black and white at least.
_ENDS = (0.1, 99.9)

#: The colour of what was not measured.
_MISSING = (200, 0, 160)


def grey_limits(*arrays: np.ndarray) -> tuple[float, float]:
    """Return the values that are shown black and white, the same for all arrays."""
    values = np.concatenate([a[np.isfinite(a)].ravel().astype(np.float64) for a in arrays])
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, _ENDS)
    if not high > low:
        low, high = values.min(), values.max()
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)


def span(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """Return how many entries become one along both axes of an image, so that it fits a square."""
    return max(1, ceil(shape[0] / side)), max(1, ceil(shape[1] / side))


def reduced(image: np.ndarray, factors: tuple[int, int]) -> np.ndarray:
    """Return the means of blocks of an image, of one or more channels along its last axis."""
    if factors == (1, 1):
        return image
    from skimage.measure import block_reduce  # needs time to import

    blocks = (*factors, 1)[: image.ndim]
    known = np.isfinite(image)
    # Incomplete blocks at the ends are means of what is there.
    count = block_reduce(known.astype(np.float64), blocks, np.sum)
    total = block_reduce(np.where(known, image, 0).astype(np.float64), blocks, np.sum)
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def data_uri(image: np.ndarray, low: float, high: float) -> str:
    """Return an image, grey or with three colours along its last axis, as a PNG in a URI."""
    from PIL import Image  # needs time to import

    missing = ~np.isfinite(image)
    values = np.where(missing, low, image)
    levels = np.rint(np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    if image.ndim == 3:
        levels[missing.any(axis=2)] = _MISSING
    picture = Image.fromarray(levels)
    if missing.any() and image.ndim == 2:
        # A palette takes no more room than grey does.
        greys = [k for k in range(255) for _ in range(3)]
        levels = np.where(missing, 255, np.minimum(levels, 254)).astype(np.uint8)
        picture = Image.fromarray(levels)
        picture.putpalette([*greys, *_MISSING])
    file = BytesIO()
    picture.save(file, "png")
    return "data:image/png;base64," + b64encode(file.getvalue()).decode("ascii")
