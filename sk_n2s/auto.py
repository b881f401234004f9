"""Denoising in one line: everything is chosen from the noisy data."""

from __future__ import annotations

from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from joblib import hash as digest
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.parallel import Parallel, delayed

from ._utils.base import BaseDenoiser
from ._utils.tiling import middle
from .denoisers import gaussian, median, nl_means, nl_ridge, tv, wavelet
from .j_invariance.wrapper import JInvariantWrapper
from .losses import squared_error
from .noise.model import NoiseModel, check_noise
from .noise.stabilization import GeneralizedAnscombe
from .risk.error_estimate import LEVEL_ERROR, ErrorEstimate, summarise
from .risk.noise_level import noise_of
from .risk.sure import probed_divergence
from .stacking import SelfSupervisedStacker

__all__ = ["AutoDenoiser"]

#: The race is run on this many entries; the weights do not become better with more.
_RACE = 2**16

#: Between these sizes of the data, float32 holds products of their squares.
_SMALL, _LARGE = 1e-8, 1e8

#: Sides of patches, small and large, beside the default of `nl_ridge`: for signals, images
#: and volumes, and for those with channels, whose patches hold more in the same space.
_SIDES = {1: ((31, 21), (61, 51)), 2: ((7, 5), (11, 10)), 3: ((4, 3), (6, 5))}
_SIDES_OF_CHANNELS = {1: ((15, 11), (31, 21)), 2: ((5, 3), (8, 6)), 3: ((3, 2), (4, 4))}


def _candidates(
    effort: str, level: float, deviation: float | np.ndarray, ndim: int, channels: bool
) -> dict[str, partial]:
    """Return the denoisers that race, by name."""
    ridge = partial(nl_ridge, sigma=deviation)
    small, large = (_SIDES_OF_CHANNELS if channels else _SIDES)[min(ndim, 3)]
    found = {
        "median, radius 1": partial(median, radius=1),
        "gaussian, sigma 0.6": partial(gaussian, sigma=0.6),
        "gaussian, sigma 1.2": partial(gaussian, sigma=1.2),
        "wavelet": partial(wavelet, sigma=level, max_shifts=1),
    }
    # Weak total variation only merges equal counts, which the score takes for less noise.
    for strength in (1.0, 2.0):
        found[f"tv, weight {strength} noise"] = partial(tv, weight=strength * level)
    if effort == "fast":
        found["nl_ridge"] = partial(ridge, step=5)
        return found
    if ndim < 4:
        found["nl_means"] = partial(nl_means, h=0.9 * level)
    step = 4 if effort == "balanced" else 3
    if ndim > 2:
        step -= 1
    found["nl_ridge, refined"] = partial(ridge, step=step, n_refinements=2)
    found["nl_ridge, small patches"] = partial(ridge, step=step, patch_size=small)
    big = partial(ridge, step=step, patch_size=large, group_size=(24, 90))
    found["nl_ridge, large patches"] = big
    if effort == "best":
        found["nl_ridge, small patches, refined"] = partial(
            ridge, step=step, patch_size=small, n_refinements=2
        )
        for factor in (0.96, 1.05):
            found[f"nl_ridge, {factor} noise"] = partial(
                nl_ridge, sigma=factor * deviation, step=step, n_refinements=2
            )
    return found


class AutoDenoiser(BaseDenoiser):
    """Denoise, with everything chosen from the noisy data.

    The noise is looked at first: its level, and whether it grows with the signal, in which
    case the data are stabilised. Classical denoisers then race on a part of the data, each
    scored by Stein's unbiased risk estimate, and those that are worth their weight are
    averaged (see `SelfSupervisedStacker`). The noise has to be independent between
    entries; `sk_n2s.noise.estimate_noise_correlation` tells.

    Parameters
    ----------
    effort : {"fast", "balanced", "best"}, default="balanced"
        How many denoisers race, and how costly they are. An image of 512×512 takes about
        4, 25, and 60 seconds of one core.
    noise : float, array-like or NoiseModel, default=None
        The noise, if it is known: its standard deviation in the unit of the data, a map of
        that, which broadcasts to the shape of the data, or a model. None estimates it.
    channel_axis : int, default=None
        An axis of channels, which are denoised together.
    batch_axis : int, default=None
        An axis of independent items.
    n_jobs : int, default=None
        How many denoisers run in parallel. The result does not depend on it.

    Attributes
    ----------
    weights_ : dict of str to float
        The denoisers chosen, and their shares of the result.
    scores_ : dict of str to float
        The estimated mean squared error of each that raced, in the squared unit of the
        data that were raced on (stabilised ones, if there is a `stabilizer_`).
    noise_ : NoiseModel
        The noise, given or estimated.
    stabilizer_ : GeneralizedAnscombe or None
        What made the noise white, if it depends on the signal.
    error_estimate_ : ErrorEstimate
        How far the result is estimated to be from the truth.
    estimated_mse_, estimated_psnr_ : float
        Its mean squared error, and its peak signal-to-noise ratio in dB.
    estimated_psnr_interval_ : tuple of float
        A confidence interval of 95 % for the latter.
    summary_ : str
        All of this in words.

    References
    ----------
    .. [1] S. Herbreteau and C. Kervrann, "Towards a unified view of unsupervised non-local
       methods for image denoising: the NL-Ridge approach", ICIP 2022, 3376-3380.
       :arxiv:`2203.00570`
    .. [2] T. Blu and F. Luisier, "The SURE-LET approach to image denoising", IEEE Trans.
       Image Process. 16(11):2778-2786, 2007. :doi:`10.1109/TIP.2007.906002`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s import AutoDenoiser
    >>> rows, columns = np.mgrid[:64, :64]
    >>> clean = 100.0 * (((rows - 32) ** 2 + (columns - 32) ** 2) < 400)
    >>> noisy = clean + np.random.default_rng(0).normal(scale=20, size=clean.shape)
    >>> auto = AutoDenoiser(effort="fast").fit(noisy)
    >>> bool(np.mean((auto.transform(noisy) - clean) ** 2) < 50)  # of 400 before
    True
    """

    _parameter_constraints: dict = {
        "effort": [StrOptions({"fast", "balanced", "best"})],
        "noise": "no_validation",  # needs the shape of the data
        "channel_axis": [Integral, None],
        "batch_axis": [Integral, None],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        effort: str = "balanced",
        *,
        noise: Any = None,
        channel_axis: int | None = None,
        batch_axis: int | None = None,
        n_jobs: int | None = None,
    ):
        self.effort = effort
        self.noise = noise
        self.channel_axis = channel_axis
        self.batch_axis = batch_axis
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any = None) -> AutoDenoiser:
        """Look at the noise, run the race, and denoise.

        Parameters
        ----------
        X : array-like of one or more axes
            The noisy data; NaN marks missing entries.
        y : object
            Ignored, present for scikit-learn's interface.

        Returns
        -------
        AutoDenoiser
            The denoiser itself.

        Raises
        ------
        TypeError, ValueError
            If the data or a parameter are not valid, or do not fit each other.
        """
        self._validate_params()
        given = self._as_data(X)
        array = _in_range(given)
        channel, batch, _ = self.axes(array.ndim)
        part = middle(array.shape, _RACE, channel, batch)
        noise, stabilizer = self._look_at_noise(array)
        members, variance = self._members(array, noise, stabilizer, self.effort)
        raced = self._stabilised(array, stabilizer)[part]
        stacker = SelfSupervisedStacker(
            [(name, self._wrapped(g, part)) for name, g in members.items()],
            noise=np.sqrt(_within(variance, part)),
            n_jobs=self.n_jobs,
        )
        output, divergence = stacker.fit_with_divergence(raced)
        restored = self._restored(output, stabilizer)
        if stabilizer is not None:
            derivative = divergence / (2 * _within(variance, part))
            divergence = self._unstabilised(array[part], restored, derivative, noise, stabilizer)
        weights = {name: w for name, w in stacker.weights_.items() if w}
        whole = restored.shape == array.shape
        denoised = restored if whole else self._average(array, stabilizer, members, weights)
        estimate = self._estimate(array, denoised, noise, array[part], restored, divergence, part)
        self.noise_ = noise
        self.stabilizer_ = stabilizer
        self._effort = self.effort
        self.weights_ = weights
        mean = float(np.mean(variance))
        self.scores_ = {name: -s - mean for name, s in stacker.scores_.items()}
        self.error_estimate_: ErrorEstimate = estimate
        self._known = digest(given), denoised.astype(given.dtype, copy=False)
        self._remember(X, given)
        self.summary_ = self._in_words()
        return self

    def _denoise(self, X: np.ndarray) -> np.ndarray:
        known, denoised = self.__dict__.get("_known", (None, None))
        if known is not None and known == digest(X):  # the data of `fit`
            return denoised.copy()
        shown = _in_range(X)
        members, _ = self._members(shown, self.noise_, self.stabilizer_, self._effort)
        average = self._average(shown, self.stabilizer_, members, self.weights_)
        return average.astype(X.dtype, copy=False)

    def output_and_divergence(  # noqa: D102
        self, X: np.ndarray, noise: NoiseModel
    ) -> tuple[np.ndarray, np.ndarray]:
        output = self._denoise(X)
        signal = np.where(np.isnan(X), output, X)
        return output, probed_divergence(self._denoise, X, output, noise, signal)

    @property
    def estimated_mse_(self) -> float:
        """The estimated mean squared error of the result."""
        return self.error_estimate_.mse

    @property
    def estimated_psnr_(self) -> float:
        """The estimated peak signal-to-noise ratio in dB; the peak is the result's range."""
        return self.error_estimate_.psnr

    @property
    def estimated_psnr_interval_(self) -> tuple[float, float]:
        """Its confidence interval of 95 %."""
        return self.error_estimate_.psnr_interval

    # Steps of fit ---------------------------------------------------------------------

    def _look_at_noise(self, X: np.ndarray) -> tuple[NoiseModel, GeneralizedAnscombe | None]:
        """Return the noise, and what makes it white where that is needed."""
        noise = noise_of(self.noise, X, self.channel_axis, self.batch_axis)
        curve = noise.curve
        if curve is None:
            return noise, None
        if not curve.gain > 0:
            return NoiseModel(np.sqrt(np.nanmean(noise.variance(X)))), None
        return noise, GeneralizedAnscombe(curve.gain, *curve.offset_and_read_noise(X)).fit(X)

    def _members(
        self, X: np.ndarray, noise: NoiseModel, stabilizer: GeneralizedAnscombe | None, effort: str
    ) -> tuple[dict[str, partial], float | np.ndarray]:
        """Return the denoisers that race, and the variance of the noise that they see."""
        _, batch, axes = self.axes(X.ndim)
        shown = self._stabilised(X, stabilizer)
        variance: float | np.ndarray = 1.0
        if stabilizer is None:
            variance = check_noise(noise, X).variance(X)
            if np.ndim(variance):
                variance = np.broadcast_to(variance, X.shape)
                if batch is not None and np.ptp(variance) > 0:
                    raise ValueError(
                        "noise differs from place to place, and items along "
                        f"batch_axis={self.batch_axis} are denoised alike: denoise them one by "
                        "one, or give one number."
                    )
        elif batch is None:
            # For few counts the variance is less than 1, by how much a first look tells.
            look = self._wrapped(partial(nl_ridge, sigma=1.0, step=6), None)
            signal = stabilizer.inverse_transform(look.fit(shown).transform(shown))
            variance = stabilizer.variance(signal)
        mean = float(np.sqrt(np.mean(variance)))
        deviation = np.sqrt(variance) if np.ndim(variance) and batch is None else mean
        channels = self.channel_axis is not None
        return _candidates(effort, mean, deviation, len(axes), channels), variance

    def _stabilised(self, X: np.ndarray, stabilizer: GeneralizedAnscombe | None) -> np.ndarray:
        return X if stabilizer is None else stabilizer.transform(X)

    def _restored(self, X: np.ndarray, stabilizer: GeneralizedAnscombe | None) -> np.ndarray:
        return X if stabilizer is None else stabilizer.inverse_transform(X)

    def _wrapped(self, denoiser: partial, part: tuple[slice, ...] | None) -> JInvariantWrapper:
        """Return a member of the race on a part of the data."""
        if part is not None:
            keywords = {k: _within(v, part) for k, v in denoiser.keywords.items()}
            denoiser = partial(denoiser.func, **keywords)
        return JInvariantWrapper(
            denoiser, output="plain", channel_axis=self.channel_axis, batch_axis=self.batch_axis
        )

    def _average(
        self,
        X: np.ndarray,
        stabilizer: GeneralizedAnscombe | None,
        members: dict[str, partial],
        weights: dict[str, float],
    ) -> np.ndarray:
        """Return the average of those denoisers that have a weight."""
        shown = self._stabilised(X, stabilizer)
        found = Parallel(n_jobs=self.n_jobs)(
            delayed(_denoised)(self._wrapped(members[name], None), shown) for name in weights
        )
        total = np.zeros_like(shown)
        for weight, each in zip(weights.values(), found, strict=True):
            total += total.dtype.type(weight) * each
        return self._restored(total, stabilizer)

    def _unstabilised(
        self,
        X: np.ndarray,
        output: np.ndarray,
        derivative: np.ndarray,
        noise: NoiseModel,
        stabilizer: GeneralizedAnscombe,
    ) -> np.ndarray:
        """Return the divergence term on the data's own scale, by the chain rule."""
        # From x to the stabilised data, through the average, and back.
        shown, step = stabilizer.transform(output), 1e-3
        back = stabilizer.inverse_transform(shown + step)
        back = (back - stabilizer.inverse_transform(shown - step)) / (2 * step)
        return 2 * noise.variance(X) * back * derivative * stabilizer.slope(X)

    def _estimate(
        self,
        X: np.ndarray,
        output: np.ndarray,
        noise: NoiseModel,
        raced: np.ndarray,
        restored: np.ndarray,
        divergence: np.ndarray,
        part: tuple[slice, ...],
    ) -> ErrorEstimate:
        """Return the estimated error of the whole, of which a part was probed."""
        # What is probed is how much smaller the squared residuals are than the noise: the ratio
        # of 1 − ∂hᵢ/∂xᵢ to (x − h)²/σ², which is much the same all over the data.
        variance = np.broadcast_to(noise.variance(X), X.shape)
        residual = squared_error(raced, restored)
        free = np.where(np.isnan(residual), np.nan, 2 * variance[part] - divergence)
        ratio = float(np.nansum(free, dtype=np.float64)) / max(
            2 * float(np.nansum(residual, dtype=np.float64)), np.finfo(float).tiny
        )
        losses = 2 * variance + (1 - 2 * ratio) * squared_error(X, output)
        doubt = LEVEL_ERROR * float(np.nanmean(variance)) if self.noise is None else 0.0
        return summarise(losses, variance, output, doubt)

    def _in_words(self) -> str:
        origin = "estimated" if self.noise is None else "given"
        chosen = sorted(self.weights_.items(), key=lambda item: -item[1])
        shares = "; ".join(f"{100 * w:.0f} % {name}" for name, w in chosen)
        low, high = self.estimated_psnr_interval_
        best = min(self.scores_, key=self.scores_.__getitem__)
        return (
            f"Noise ({origin}): {self.noise_}.\n"
            f"Chosen among {len(self.scores_)}: {shares}. The best alone is {best}.\n"
            f"Estimated PSNR: {self.estimated_psnr_:.2f} dB ({low:.2f} to {high:.2f}), for a peak "
            f"of {self.error_estimate_.data_range:.4g}."
        )

    def __getstate__(self) -> dict:
        # The result for the data of `fit` would make a pickle as large as they are.
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_known"}


def _in_range(X: np.ndarray) -> np.ndarray:
    """Return data as float64 where float32 could not hold what is worked out from them."""
    size = float(np.sqrt(np.nanmean(np.square(X, dtype=np.float64))))
    return X if _SMALL < size < _LARGE else X.astype(np.float64, copy=False)


def _denoised(wrapper: JInvariantWrapper, X: np.ndarray) -> np.ndarray:
    return wrapper.fit(X).transform(X)


def _within(value: Any, part: tuple[slice, ...]) -> Any:
    """Return the part of an array, which has a value for each entry, and anything else as it is."""
    return value[part] if isinstance(value, np.ndarray) else value
