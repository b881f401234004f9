"""What surrounds each entry of an array, as features that leave the entry out."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement, product

import numpy as np

__all__ = ["Windows"]

#: Numbers in the windows that are gathered together, which bounds the memory.
_BLOCK = 2**21


class Windows:
    """What surrounds each entry, without the entry.

    The exact forms of the linear filters subtract an entry from a sum that held it, and
    leave its trace in the last digit, which a tree would turn into a step. Windows without
    their centres hold no trace at all, and NaN beyond the border, where other border modes
    put copies of the entry.

    Parameters
    ----------
    values : ndarray of float64, shape (…, n_channels)
        The data.
    reaches : tuple of int
        How far windows reach along each axis but the last.
    radius : int
        Neighbours within this distance are features themselves.
    scales : tuple of float
        The scales of the other features.
    """

    def __init__(
        self,
        values: np.ndarray,
        reaches: tuple[int, ...],
        radius: int,
        scales: tuple[float, ...],
    ):
        self.values = values
        self.reaches = reaches
        pad = [(r, r) for r in reaches]
        padded = np.pad(values, [*pad, (0, 0)], constant_values=np.nan)
        self.padded = np.ascontiguousarray(padded)  # positions are counted in this order
        offsets = np.array(list(product(*(range(-r, r + 1) for r in reaches))))
        offsets = offsets[(offsets != 0).any(axis=1)]
        strides = np.array(self.padded.strides[:-1]) // self.padded.itemsize
        self.steps = offsets @ strides
        square = np.square(offsets).sum(axis=1)
        axes = [a for a, r in enumerate(reaches) if r]
        columns = list(np.eye(len(offsets))[np.abs(offsets).max(axis=1) <= radius])
        gaussians = []
        for s in scales:
            weight = np.exp(-square / (2 * s**2))
            weight /= weight.sum()
            gaussians.append(weight)
            columns.append(weight)
            columns.extend(weight * offsets[:, a] / s for a in axes)
            columns.extend(
                weight * (offsets[:, a] * offsets[:, b] / s**2 - (a == b))
                for a, b in combinations_with_replacement(axes, 2)
            )
        self.linear = np.stack(columns, axis=1)
        self.spread = np.stack(gaussians, axis=1)
        self.local = gaussians[0]
        # Half as far again as the scale: at scale 1, all adjacent entries of an image.
        balls = [square <= max(1, 1.5 * s) ** 2 for s in scales]
        self.balls = [np.flatnonzero(ball) for ball in balls]

    def blocks(self, places: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Yield the local means and the features of places, for each channel, in blocks."""
        shape, n_channels = self.values.shape[:-1], self.values.shape[-1]
        step = max(1, _BLOCK // len(self.steps))
        flat = self.padded.ravel()
        for start in range(0, len(places), step):
            rows = slice(start, start + step)
            index = np.unravel_index(places[rows], shape)
            index = tuple(i + r for i, r in zip(index, self.reaches, strict=True))
            centre = np.ravel_multi_index(index, self.padded.shape[:-1]) * n_channels
            found = [self._describe(flat[centre[:, None] + self.steps + c])
                     for c in range(n_channels)]  # fmt: skip
            mean, features = (np.stack(parts, axis=1) for parts in zip(*found, strict=True))
            yield rows, mean, features

    def _describe(self, window: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen = ~np.isnan(window)
        whole = bool(seen.all())
        known = window if whole else np.where(seen, window, 0)
        weight = self.local.sum() if whole else seen @ self.local
        with np.errstate(invalid="ignore"):
            mean = known @ self.local / weight
        difference = window - mean[:, None]
        if not whole:
            difference[~seen] = 0
        parts = [difference @ self.linear, np.sqrt(np.square(difference) @ self.spread)]
        parts += [np.median(difference[:, ball], axis=1)[:, None] for ball in self.balls]
        return mean, np.concatenate(parts, axis=1)
