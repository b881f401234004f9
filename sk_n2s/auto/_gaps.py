"""What stands for entries that are not data: what a quick look makes of those that are missing.

Outside of the work area stands what is inside, mirrored, with its noise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from joblib import hash as digest
from scipy import ndimage

from .._utils.base import Axes
from ..denoisers import lichi
from ..masking._holes import bent, stretched, wide_holes
from ..masking.fills import Fill
from ._area import sources_of

__all__ = ["LEFT", "DenoisedFill", "SmoothFill"]

#: Of the variance of what a membrane errs by, so much is assumed in each round, and left after the
#: last: what was measured on photographs with 20 to 80 % missing.
_ROUNDS, LEFT = (1.0, 0.4), 0.3

#: Similar patches of images are looked for in a smaller window, which takes half of the time.
_WINDOW = 25

#: What stands in wide holes errs by so many times the variance of the noise.
_OF_HOLES = 2.0

#: What is further than this from gaps does not change what stands there.
_AROUND = 40

#: Fills that are kept: of the data, and of the data with the probe's step.
_KEPT = 2


class SmoothFill(Fill):
    """A membrane in what is missing, and the data mirrored to what is outside.

    Parameters
    ----------
    axes : Axes
        What lies along the axes of the data.
    outside : ndarray of bool of the shape of the data, default=None
        What is no data; missing entries elsewhere are gaps in these.
    """

    def __init__(self, axes: Axes, outside: np.ndarray | None = None) -> None:
        self._axes = axes
        self._outside = outside if outside is not None and outside.any() else None
        self._sources = None if self._outside is None else sources_of(self._outside, axes)
        self._known: dict[str, np.ndarray] = {}

    def within(self, part: tuple[slice, ...]) -> SmoothFill:
        """Return the same for a part of the data."""
        return SmoothFill(self._axes, None if self._outside is None else self._outside[part])

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
        return self._mirrored(stretched(X, visible, axes))

    def _mirrored(self, X: np.ndarray) -> np.ndarray:
        """Return the data mirrored to what is outside."""
        if self._outside is not None:
            X = X.copy()
            X[self._outside] = X.ravel()[self._sources]
        return X


class DenoisedFill(SmoothFill):
    """A membrane, denoised in place of what is missing, twice; in wide holes a plate.

    Parameters
    ----------
    level : float or ndarray of the shape of the data
        The standard deviation of the noise.
    variance : float
        The mean squared error of the membrane.
    axes : Axes
        What lies along the axes of the data.
    outside : ndarray of bool of the shape of the data, default=None
        What is no data.
    """

    def __init__(
        self,
        level: float | np.ndarray,
        variance: float,
        axes: Axes,
        outside: np.ndarray | None = None,
    ) -> None:
        super().__init__(axes, outside)
        self.level, self.variance = level, variance

    def within(self, part: tuple[slice, ...]) -> DenoisedFill:  # noqa: D102
        level = self.level[part] if isinstance(self.level, np.ndarray) else self.level
        outside = None if self._outside is None else self._outside[part]
        return DenoisedFill(level, self.variance, self._axes, outside)

    def _filled(self, X: np.ndarray, visible: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
        found = super()._filled(X, visible, axes)
        gaps = ~visible if self._outside is None else ~visible & ~self._outside
        if not gaps.any():
            return found
        part = self._around(gaps)
        cut, gaps = found[part], gaps[part]
        holes = wide_holes(~gaps, axes)
        level = self.level[part] if isinstance(self.level, np.ndarray) else self.level
        quick: dict[str, Any] = {"n_steps": 2, "step": 7, "n_scales": 1}
        if sum(X.shape[a] > 1 for a in axes) == 2:
            quick["window"] = _WINDOW
        for share in _ROUNDS:
            of_holes = max(self.variance, _OF_HOLES * float(np.mean(np.square(level))))
            variance = np.where(holes, of_holes, share * self.variance)
            sigma = np.where(gaps, np.sqrt(variance), level)
            denoised = lichi(cut, sigma=sigma, channel_axis=self._axes.channel, **quick)
            if share == _ROUNDS[0] and holes.any():
                denoised = bent(denoised, holes, axes)
            cut = np.where(gaps, denoised, cut)
        found = found.copy()
        found[part] = cut
        return self._mirrored(found)

    def _around(self, gaps: np.ndarray) -> tuple[slice, ...]:
        """Return the part of the data that tells what stands in gaps."""
        box = ndimage.find_objects(gaps.astype(np.int8))[0]
        neighbours = self._axes.neighbours
        return tuple(
            slice(max(0, s.start - _AROUND), s.stop + _AROUND) if a in neighbours else slice(None)
            for a, s in enumerate(box)
        )
