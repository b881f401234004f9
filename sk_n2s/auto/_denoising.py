"""From noisy data in memory to denoised ones: clean, look at the noise, and take what suits it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._utils.callbacks import Task
from ..noise.map import estimate_noise_map
from ..noise.model import NoiseModel
from ._cleaning import look_at_noise, without_outliers, without_rare_values
from ._indirect import Binned, Levelled, Way, side_of_bins
from ._race import Race
from ._settings import Settings

__all__ = ["Denoising"]

_RARE = "the noise is heavy-tailed, and its rare values were replaced: what is left is not normal"


class Denoising:
    """Looks at the noise of data, and denoises them in the way that suits it.

    Parameters
    ----------
    settings : Settings
        What was asked for.
    given : object, default=None
        The noise, if it is known.
    levels : bool, default=True
        Whether lines are freed from offsets that they have.

    Attributes
    ----------
    noise : NoiseModel
        The noise, given or estimated.
    n_outliers : int
        How many entries were replaced.
    way : Way
        What denoised the data.
    """

    noise: NoiseModel
    n_outliers: int
    way: Way

    def __init__(self, settings: Settings, given: Any = None, levels: bool = True) -> None:
        self.settings, self._given, self._levels = settings, given, levels

    def fit(self, X: np.ndarray, progress: Task, outside: np.ndarray | None = None) -> np.ndarray:
        """Choose, and return the denoised data; those that are outside are NaN, and no data."""
        X, self.n_outliers = without_outliers(X, self.settings)
        noise, stabilizer = look_at_noise(self._given, X, self.settings)
        self._is_heavy = False
        if self._given is None and noise.curve is None:
            X, n_rare = without_rare_values(X, self.settings)
            if n_rare:
                self.n_outliers += n_rare
                self._is_heavy = True
                noise, stabilizer = look_at_noise(self._given, X, self.settings)
                noise = noise if noise.doubts else noise.replace(doubts=[_RARE])
        self.noise = noise.replace(outliers=self.n_outliers / X.size)
        self.way = self._way(X, noise, stabilizer)
        return self.way.fit(X, progress, outside)

    def denoise(self, X: np.ndarray, outside: np.ndarray | None = None) -> np.ndarray:
        """Return what other data come to, with noise of that kind."""
        return self.way.denoise(self._cleaned(X, self.settings), outside)

    @property
    def takes_maps(self) -> bool:
        """Whether a map of the noise of other data can be told."""
        return isinstance(self.way, Race)

    def denoise_told(
        self, X: np.ndarray, noise: NoiseModel, outside: np.ndarray | None = None
    ) -> np.ndarray:
        """Return what other data come to, with noise of which a map is given."""
        assert isinstance(self.way, Race)
        told = self.way.told(self.settings, *look_at_noise(noise, X, self.settings))
        return told.denoise(self._cleaned(X, self.settings), outside)

    def denoise_anew(self, X: np.ndarray, settings: Settings) -> np.ndarray:
        """Return what data of other axes come to, by the same denoisers at levels of their own."""
        X = self._cleaned(X, settings)
        noise = NoiseModel(estimate_noise_map(X, **settings.lone).map)
        assert isinstance(self.way, Race)  # for independent noise of a level
        return self.way.told(settings, *look_at_noise(noise, X, settings)).denoise(X)

    def _cleaned(self, X: np.ndarray, settings: Settings) -> np.ndarray:
        X, _ = without_outliers(X, settings)
        return without_rare_values(X, settings)[0] if self._is_heavy else X

    def _way(self, X: np.ndarray, noise: NoiseModel, stabilizer: Any) -> Way:
        axes = self.settings.axes(X.ndim)
        factor = side_of_bins(X, noise, axes.neighbours)
        if factor > 1:
            return Binned(self._told, noise, factor, axes.neighbours)
        if noise.lines and self._levels:
            return Levelled(self._told, noise, axes)
        return Race(self.settings, noise, stabilizer)

    def _told(self, noise: NoiseModel) -> Denoising:
        """Return what denoises as this does, is told the noise, and levels no lines."""
        return Denoising(self.settings, noise, levels=False)
