"""Channels in units of their noise, turned so that they have little in common."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

__all__ = ["Channels"]

#: What varies between these distances, in entries, is what patches show.
_FINE, _COARSE = 1.0, 5.0

#: Axes tell patches apart on which the signal varies by so much, in units of the noise.
_TOLD = 0.5

#: Channels are related if any two correlate by more than this.
_RELATED = 0.3


class Channels:
    """Principal axes of channels, each in units of its noise.

    They are the axes of what varies at the size of patches: offsets of large areas have others,
    and so have the finest details, where colours were stored at a lower resolution. Noise that is
    independent between channels is so after the turn, if it is uniform.

    Parameters
    ----------
    values : ndarray of shape (n_channels, *shape)
        The data.
    variance : ndarray of that shape, or of shape (n_channels,)
        The variance of their noise.

    Attributes
    ----------
    are_related : bool
        Whether any of them have something in common.
    n_told : int
        On how many of the axes, from the first, the signal tells patches apart.
    """

    def __init__(self, values: np.ndarray, variance: np.ndarray) -> None:
        n = len(values)
        self._scale = np.sqrt(variance.reshape(n, -1).mean(axis=1, dtype=np.float64))
        flat = values.reshape(n, -1) / self._scale[:, np.newaxis].astype(values.dtype)
        space = (0,) + (1,) * (values.ndim - 1)
        middle = ndimage.gaussian_filter(flat.reshape(values.shape), np.multiply(_FINE, space))
        middle -= ndimage.gaussian_filter(middle, np.multiply(_COARSE, space))
        middle = middle.reshape(n, -1).astype(np.float64)
        common = middle @ middle.T
        power = np.maximum(np.diag(common), np.finfo(float).tiny)
        size = np.sqrt(power)
        between = np.abs(common / np.outer(size, size))[~np.eye(n, dtype=bool)]
        self.are_related = bool((between > _RELATED).any())
        self._axes = np.linalg.eigh(common)[1][:, ::-1].T  # the first varies most
        power = np.var(self._axes.astype(flat.dtype) @ flat, axis=1, dtype=np.float64)
        self.n_told = max(1, int(np.argmin(np.append(power > 1 + _TOLD, False))))

    def turned(self, values: np.ndarray) -> np.ndarray:
        """Return data on the axes."""
        return _mixed(self._axes / self._scale, values)

    def variance(self, variance: np.ndarray) -> np.ndarray:
        """Return the variance of the noise on the axes."""
        return _mixed(np.square(self._axes / self._scale), variance)

    def restored(self, values: np.ndarray) -> np.ndarray:
        """Return what is on the axes in the channels they came from."""
        return _mixed((self._axes * self._scale).T, values)


def _mixed(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return weighted sums of channels."""
    return np.tensordot(weights.astype(values.dtype), values, axes=1)
