"""Any regressor as a denoiser: each entry is predicted from what surrounds it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product
from math import ceil, prod
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.parallel import Parallel, delayed

from .._utils.base import BaseDenoiser
from .._utils.lazy import as_float_data, in_memory, is_lazy, map_blocks
from ..losses import true_score
from ..masking.fills import MeanFill
from ..masking.lattice import default_partition
from ..masking.views import View, ViewPlan
from ._windows import Windows

__all__ = ["RegressionDenoiser"]

#: Defaults for 1, 2, 3, and more axes: windows of 64, 80, 124 entries.
_SCALES = {1: (1, 2, 4, 8, 16), 2: (1, 2), 3: (1,)}

#: Windows reach this many times the largest scale.
_TRUNCATE = 2

#: With fewer rows than this a regressor is not fitted, and the local mean is the answer.
_FEWEST = 20


class RegressionDenoiser(BaseDenoiser):
    """Predict each entry from what surrounds it, by any regressor.

    A regressor learns, on the noisy data alone, to predict entries from features of their
    surroundings that leave them out: near neighbours, local means, slopes, curvatures,
    medians and deviations at several scales. It is cross-fitted: the data are cut into
    tiles, and what predicts a tile was fitted to entries whose windows do not touch it. A
    prediction depends on its own entry neither through its features nor through what was
    learnt: it is J-invariant [1]_, and its loss estimates its true error.

    Parameters
    ----------
    regressor : estimator, default=None
        Any regressor of scikit-learn's interface; it is cloned, never fitted itself. None
        means ``HistGradientBoostingRegressor()``.
    scales : sequence of float, default=None
        The scales of the features in entries: standard deviations of Gaussian weights.
        None takes (1, 2) for images, (1, 2, 4, 8, 16) for signals, (1,) for volumes.
    radius : int, default=2
        The neighbours that are features themselves lie within this distance along each axis.
    n_folds : int, default=4
        How many tiles the data are cut into, and regressors fitted (times the number of
        channels). Each prime factor cuts what is then the longest axis.
    max_samples : int, default=40000
        How many entries a regressor is fitted to at most; they are drawn at random.
    channel_axis : int, default=None
        An axis of channels: an entry is hidden in all of them together, and each is
        predicted from the surroundings in all of them.
    batch_axis : int, default=None
        An axis of independent items, along which there are no neighbours. One regressor
        learns from all items.
    n_jobs : int, default=None
        How many folds run in parallel; -1 uses all cores. The result does not depend on it.
    random_state : int, RandomState instance or None, default=None
        Draws the entries, and seeds a regressor that is not seeded. An int gives the same
        result at every call.

    Attributes
    ----------
    n_axes_ : int
        The number of axes of the data.
    n_features_in_ : int
        The length of the second axis of the data, if there are two.

    Notes
    -----
    What was fitted to an entry is not blind to it. So nothing is learnt at `fit`, and
    `transform` cross-fits on the data that it is given.

    NaN marks a missing entry: it is neither a target nor part of a feature, and is filled in
    the output. Where tiles leave fewer than 20 entries to fit to, the result is the local
    mean of the neighbours, which takes no fit.

    References
    ----------
    .. [1] J. Batson and L. Royer, "Noise2Self: Blind Denoising by Self-Supervision",
       ICML 2019, PMLR 97:524-533. :arxiv:`1901.11365`
    .. [2] V. Chernozhukov et al., "Double/debiased machine learning for treatment and
       structural parameters", The Econometrics Journal 21(1), 2018, C1-C68
       (cross-fitting). :doi:`10.1111/ectj.12097`

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sk_n2s.denoisers import RegressionDenoiser
    >>> clean = np.sin(np.linspace(0, 20, 2000))
    >>> noisy = clean + 0.3 * np.random.default_rng(0).normal(size=clean.shape)
    >>> denoiser = RegressionDenoiser(Ridge(), random_state=0).fit(noisy)
    >>> bool(np.mean((denoiser.transform(noisy) - clean) ** 2) < 0.1 * 0.3**2)
    True
    """

    _parameter_constraints: dict = {
        "regressor": [HasMethods(["fit", "predict", "get_params"]), None],
        "scales": ["array-like", None],
        "radius": [Interval(Integral, 1, None, closed="left")],
        "n_folds": [Interval(Integral, 2, None, closed="left")],
        "max_samples": [Interval(Integral, _FEWEST, None, closed="left")],
        "channel_axis": [Integral, None],
        "batch_axis": [Integral, None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        regressor: Any = None,
        *,
        scales: Sequence[float] | None = None,
        radius: int = 2,
        n_folds: int = 4,
        max_samples: int = 40000,
        channel_axis: int | None = None,
        batch_axis: int | None = None,
        n_jobs: int | None = None,
        random_state: Any = None,
    ):
        self.regressor = regressor
        self.scales = scales
        self.radius = radius
        self.n_folds = n_folds
        self.max_samples = max_samples
        self.channel_axis = channel_axis
        self.batch_axis = batch_axis
        self.n_jobs = n_jobs
        self.random_state = random_state

    # Views --------------------------------------------------------------------------

    def view_plan(self, X: np.ndarray) -> ViewPlan:  # noqa: D102
        self._validate_params()
        axes = self.axes(X.ndim).neighbours
        self._checked_scales(len(axes))
        return ViewPlan(default_partition(X, axes), MeanFill(), axes, True)

    def predict_view(self, view: View) -> np.ndarray:  # noqa: D102
        return self._invariant(view.input)[view.where]

    def _checked_scales(self, n_axes: int) -> tuple[float, ...]:
        scales = _SCALES[min(n_axes, 3)] if self.scales is None else tuple(self.scales)
        numbers = all(isinstance(s, Real) for s in scales)
        if not (scales and numbers and np.isfinite(scales).all() and min(scales) > 0):
            raise ValueError(
                f"scales={self.scales!r} must be positive numbers, at least one: give for "
                "instance (1, 2)."
            )
        return scales

    def _invariant(self, X: np.ndarray) -> np.ndarray:
        channel, batch, axes, _ = self.axes(X.ndim)
        scales = self._checked_scales(len(axes))
        # Double precision, for sums that lose no digit of the noise to an offset.
        values = X[..., np.newaxis] if channel is None else np.moveaxis(X, channel, -1)
        values = values.astype(np.float64)
        if batch is not None and channel is not None:
            batch -= batch > channel
        reach = self._reach(len(axes))
        reaches = tuple(
            0 if a == batch else min(reach, n - 1) for a, n in enumerate(values.shape[:-1])
        )
        windows = Windows(values, reaches, self.radius, scales)
        tiles = _tiles(values.shape[:-1], self.n_folds)
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=len(tiles))
        regressor = HistGradientBoostingRegressor() if self.regressor is None else self.regressor
        answers = Parallel(n_jobs=self.n_jobs)(
            delayed(_predict_tile)(windows, tile, regressor, self.max_samples, seed)
            for tile, seed in zip(tiles, seeds, strict=True)
        )
        result = np.empty_like(values)
        for tile, answer in zip(tiles, answers, strict=True):
            result[tile] = answer
        bad = result.size - np.count_nonzero(np.isfinite(result))
        if bad:
            raise ValueError(
                f"regressor={self.regressor!r} predicted NaN or an infinity for {bad} of "
                f"{result.size} entries, or X holds no other entry to predict them from."
            )
        result = result.astype(X.dtype, copy=False)
        return result[..., 0] if channel is None else np.moveaxis(result, -1, channel)

    # scikit-learn's interface --------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> RegressionDenoiser:
        """Validate the parameters against the data; nothing is learnt.

        Parameters
        ----------
        X : array-like or dask array of one or more axes
            The noisy data. NaN marks missing entries. A dask array is denoised block by block,
            each of which is learnt from alone.
        y : object
            Ignored, present for scikit-learn's interface.

        Returns
        -------
        RegressionDenoiser
            The denoiser itself.

        Raises
        ------
        TypeError, ValueError
            If the data or a parameter are not valid, or do not fit each other.
        """
        array = self._as_data(X)
        self.view_plan(array)
        self._remember(X, array)
        return self

    @property
    def is_j_invariant(self) -> bool:
        """True: no prediction depends on its own entry."""
        return True

    def _as_data(self, X: Any) -> Any:
        return as_float_data(X)

    def _denoise(self, X: Any) -> Any:
        self.view_plan(X)
        if not is_lazy(X):
            return self._invariant(X)
        channel, _, axes, _ = self.axes(X.ndim)
        halo = dict.fromkeys(axes, self._reach(len(axes)))
        return map_blocks(self._of_block, X, halo, {} if channel is None else {channel: 0})

    def _of_block(self, block: np.ndarray) -> np.ndarray:
        """Return the prediction of a block; NaN where there is nothing to predict from."""
        alone = np.count_nonzero(~np.isnan(block)) < 2
        return np.full_like(block, np.nan) if alone else self._invariant(block)

    def _reach(self, n_axes: int) -> int:
        """Return how far windows reach."""
        return max(self.radius, ceil(_TRUNCATE * max(self._checked_scales(n_axes))))

    def output_and_divergence(  # noqa: D102
        self, X: np.ndarray, noise: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        return self._denoise(X), np.zeros(())

    def score(self, X: Any, y: Any = None) -> float:
        """Return minus the self-supervised loss, or minus the true error.

        Parameters
        ----------
        X : array-like
            The noisy data.
        y : array-like of the same shape, default=None
            The clean data, if they are known.

        Returns
        -------
        float
            Minus the mean squared difference between the prediction and `X`, which
            estimates minus (true error + variance of the noise), or that to `y`.

        Raises
        ------
        ValueError
            If `y` does not have the shape of `X`.
        """
        X = in_memory([self._checked(X)])[0]
        return true_score(X if y is None else y, X, self._denoise)


def _tiles(shape: tuple[int, ...], n_folds: int) -> list[tuple[slice, ...]]:
    """Cut an array into tiles; each prime factor cuts what is then the longest axis."""
    counts = [1] * len(shape)
    factor = 2
    factors = []
    while n_folds > 1:
        if n_folds % factor:
            factor += 1
        else:
            factors.append(factor)
            n_folds //= factor
    for factor in reversed(factors):
        counts[int(np.argmax([n / k for n, k in zip(shape, counts, strict=True)]))] *= factor
    cuts = [
        np.unique(np.linspace(0, n, k + 1).round().astype(int))
        for n, k in zip(shape, counts, strict=True)
    ]
    return list(product(*([slice(a, b) for a, b in pairwise(cut)] for cut in cuts)))


def _predict_tile(
    windows: Windows, tile: tuple[slice, ...], regressor: Any, max_samples: int, seed: int
) -> np.ndarray:
    """Return the prediction of a tile, by regressors that were fitted to what does not see it."""
    values = windows.values
    *shape, n_channels = values.shape
    # An entry of the tile must be neither a target nor in the window of one: features may
    # tell as much of it as a target does.
    far = np.ones(shape, dtype=bool)
    far[
        tuple(
            slice(max(0, t.start - r), t.stop + r)
            for t, r in zip(tile, windows.reaches, strict=True)
        )
    ] = 0
    far &= ~np.isnan(values).all(axis=-1)
    places = np.flatnonzero(far)
    rng = np.random.RandomState(seed)
    if len(places) > max_samples:
        places = np.sort(rng.choice(places, max_samples, replace=False))
    fitted = _fit(windows, places, regressor, int(rng.randint(2**31 - 1)))

    extent = tuple(t.stop - t.start for t in tile)
    places = np.arange(prod(shape)).reshape(shape)[tile].ravel()
    answer = np.empty((len(places), n_channels))
    for rows, mean, features in windows.blocks(places):
        answer[rows] = mean
        if fitted is None:
            continue
        units, models = fitted
        features /= units[:, None]
        features = features.reshape(len(features), -1)
        for c, model in enumerate(models):
            if model is not None:
                answer[rows, c] += units[c] * np.ravel(model.predict(features))
    answer = answer.reshape(*extent, n_channels)
    gaps = np.isnan(answer)
    if gaps.any():  # nothing in the window: the mean of all other entries of the channel
        others = _mean_of_others(values)[tile]
        answer[gaps] = others[gaps]
    return answer


def _fit(
    windows: Windows, places: np.ndarray, regressor: Any, seed: int
) -> tuple[np.ndarray, list] | None:
    """Return the unit of each channel and a regressor for each, or None without rows."""
    if len(places) < _FEWEST:
        return None
    n_channels = windows.values.shape[-1]
    parts = [(mean, features) for _, mean, features in windows.blocks(places)]
    mean, features = (np.concatenate(part) for part in zip(*parts, strict=True))
    targets = windows.values.reshape(-1, n_channels)[places] - mean
    # In units of the residuals, the strength of a penalty does not hang on the data's unit.
    # Nor may the unit tell of the tile: it is that of the rows.
    known = ~np.isnan(targets)
    power = np.sum(np.square(targets), axis=0, where=known) / np.maximum(known.sum(axis=0), 1)
    units = np.where(power > 0, np.sqrt(power), 1.0)
    features /= units[:, None]
    features = features.reshape(len(features), -1)
    models: list = []
    for c in range(n_channels):
        rows = known[:, c]
        if np.count_nonzero(rows) < _FEWEST:
            models.append(None)
            continue
        model = _seeded(regressor, seed)
        models.append(model.fit(features[rows], targets[rows, c] / units[c]))
    return units, models


def _seeded(regressor: Any, seed: int) -> Any:
    """Return a clone whose parameters `random_state` have the seed where they have none."""
    model = clone(regressor)
    return model.set_params(
        **{
            name: seed
            for name, value in model.get_params().items()
            if value is None and name.split("__")[-1] == "random_state"
        }
    )


def _mean_of_others(values: np.ndarray) -> np.ndarray:
    known = ~np.isnan(values)
    axes = tuple(range(values.ndim - 1))
    shown = np.where(known, values, 0)
    count = known.sum(axis=axes) - known
    total = shown.sum(axis=axes) - shown
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
