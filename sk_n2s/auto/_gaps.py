"""What stands for missing entries: what a quick look makes of them, and of that once more."""

from __future__ import annotations

from typing import Any

import numpy as np
from joblib import hash as digest

from ..denoisers import lichi
from ..masking.fills import Fill, MeanFill

__all__ = ["LEFT", "DenoisedFill"]

#: Of the variance of what local means err by, so much is assumed in each round, and left after the
#: last: what was measured on photographs with 20 to 80 % missing.
_ROUNDS, LEFT = (1.0, 0.4), 0.3

#: Fills that are kept: of the data, and of the data with the probe's step.
_KEPT = 2


class DenoisedFill(Fill):
    """Local means, denoised in place of what is missing, twice.

    Parameters
    ----------
    level : float or ndarray of the shape of the data
        The standard deviation of the noise.
    variance : float
        The mean squared error of the local means.
    channel_axis : int, default=None
        An axis of channels.
    """

    def __init__(
        self, level: float | np.ndarray, variance: float, channel_axis: int | None = None
    ) -> None:
        self.level, self.variance, self.channel_axis = level, variance, channel_axis
        self._known: dict[str, np.ndarray] = {}

    def within(self, part: tuple[slice, ...]) -> DenoisedFill:
        """Return the same for a part of the data."""
        level = self.level[part] if isinstance(self.level, np.ndarray) else self.level
        return DenoisedFill(level, self.variance, self.channel_axis)

    def values(  # noqa: D102
        self, X: np.ndarray, visible: np.ndarray, where: Any, axes: tuple[int, ...]
    ) -> np.ndarray:
        key = digest(np.where(visible, X, X.dtype.type(np.nan)))
        found = self._known.get(key)
        if found is None:  # else it is the same for all denoisers
            found = self._filled(X, visible, axes)
            self._known = dict([*[*self._known.items()][1 - _KEPT :], (key, found)])
        return found[where]

    def _filled(self, X: np.ndarray, visible: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
        found = MeanFill()(X, ~visible, axes)
        for share in _ROUNDS:
            sigma = np.where(visible, self.level, np.sqrt(share * self.variance))
            denoised = lichi(found, sigma=sigma, n_steps=2, step=7, channel_axis=self.channel_axis)
            found = np.where(visible, X, denoised)
        return found
