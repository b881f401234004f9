"""Denoising in one line: everything is chosen from the noisy data."""

from __future__ import annotations

from functools import partial
from numbers import Integral

import numpy as np
from joblib import hash as digest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted, validate_data

from ._arrays import as_float_array, split_axes
from .denoisers import gaussian, median, nl_means, nl_ridge, tv, wavelet
from .levels import check_noise_variance
from .losses import squared_error
from .noise import NoiseCurve, variance_at
from .pieces import middle
from .risk import LEVEL_ERROR, ErrorEstimate, summarise
from .stabilization import GeneralizedAnscombe
from .stacking import SelfSupervisedStacker
from .wrapper import JInvariantWrapper

__all__ = ["AutoDenoiser"]

#: The race is run on this many entries; the weights do not become better with more.
_RACE = 2**16

#: Sides of patches, small and large, beside the default of `nl_ridge`: for signals, images
#: and volumes, and for those with channels, whose patches hold more in the same space.
_SIDES = {1: ((31, 21), (61, 51)), 2: ((7, 5), (11, 10)), 3: ((4, 3), (6, 5))}
_SIDES_OF_CHANNELS = {1: ((15, 11), (31, 21)), 2: ((5, 3), (8, 6)), 3: ((3, 2), (4, 4))}


def _candidates(effort: str, level: float, deviation, ndim: int, channels: bool) -> dict:
    """Return the denoisers that race, by name.

    Parameters
    ----------
    effort : {"fast", "balanced", "best"}
        How many, and how costly.
    level : float
        The standard deviation of the noise.
    deviation : float or ndarray
        The same, for each entry, for those that heed it.
    ndim : int
        The number of axes along which entries are neighbours.
    channels : bool
        Whether there are channels.
    """
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


class AutoDenoiser(TransformerMixin, BaseEstimator):
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
    noise_variance : float, array-like or NoiseCurve, default=None
        The variance of the noise, if it is known: a number, one that broadcasts to the
        shape of the data, or how it depends on the signal. None estimates it.
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
    noise_variance_ : float, ndarray or NoiseCurve
        The variance of the noise, given or estimated.
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
        "noise_variance": "no_validation",  # needs the shape of the data
        "channel_axis": [Integral, None],
        "batch_axis": [Integral, None],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        effort="balanced",
        *,
        noise_variance=None,
        channel_axis=None,
        batch_axis=None,
        n_jobs=None,
    ):
        self.effort = effort
        self.noise_variance = noise_variance
        self.channel_axis = channel_axis
        self.batch_axis = batch_axis
        self.n_jobs = n_jobs

    def fit(self, X, y=None):
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
        array = as_float_array(X)
        channel, batch, _ = split_axes(array.ndim, self.channel_axis, self.batch_axis)
        part = middle(array.shape, _RACE, channel, batch)
        noise, stabilizer = self._look_at_noise(array)
        members, level = self._members(array, noise, stabilizer, self.effort)
        raced = self._stabilised(array, stabilizer)[part]
        stacker = SelfSupervisedStacker(
            [(name, self._wrapped(g, part)) for name, g in members.items()],
            noise_variance=_within(level, part),
            n_jobs=self.n_jobs,
        )
        output, penalty = stacker.fit_with_penalty(raced)
        restored = self._restored(output, stabilizer)
        penalty = self._penalty(array[part], restored, penalty, noise, level, stabilizer, part)
        weights = {name: w for name, w in stacker.weights_.items() if w}
        whole = restored.shape == array.shape
        denoised = restored if whole else self._average(array, stabilizer, members, weights)
        estimate = self._estimate(array, denoised, noise, array[part], restored, penalty, part)
        for name in ("n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)  # of an earlier fit
        if array.ndim == 2:
            validate_data(self, X, reset=True, skip_check_array=True)
        mean_level = float(np.mean(level))
        self.noise_variance_ = noise
        self.stabilizer_ = stabilizer
        self._effort = self.effort
        self.weights_ = weights
        self.scores_ = {name: -s - mean_level for name, s in stacker.scores_.items()}
        self.error_estimate_: ErrorEstimate = estimate
        self.n_axes_ = array.ndim
        self._known = digest(array), denoised
        self.summary_ = self._in_words()
        return self

    def transform(self, X):
        """Denoise.

        Parameters
        ----------
        X : array-like
            The noisy data: those given to `fit`, whose result is at hand, or others with
            as many axes and the same kind of noise.

        Returns
        -------
        ndarray of the shape of `X`
            The denoised data, as floats on the scale of `X`.
        """
        check_is_fitted(self, "weights_")
        X = as_float_array(X)
        if X.ndim != self.n_axes_:
            raise ValueError(
                f"X has {X.ndim} axes, but AutoDenoiser was fitted to data with {self.n_axes_}. "
                "Reshape your data, or fit again."
            )
        known, denoised = self.__dict__.get("_known", (None, None))
        if known is not None and known == digest(X):
            return denoised.copy()
        members, _ = self._members(X, self.noise_variance_, self.stabilizer_, self._effort)
        return self._average(X, self.stabilizer_, members, self.weights_)

    def predict(self, X):
        """Denoise: the same as `transform`.

        Parameters
        ----------
        X : array-like
            The noisy data.

        Returns
        -------
        ndarray of the shape of `X`
            The denoised data.
        """
        return self.transform(X)

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

    def _look_at_noise(self, X):
        """Return the variance of the noise, and what makes it white where that is needed."""
        noise = check_noise_variance(self.noise_variance, X, self.channel_axis, self.batch_axis)
        if not isinstance(noise, NoiseCurve):
            return noise, None
        if not noise.gain > 0:
            return float(np.nanmean(noise.variance(X))), None
        return noise, GeneralizedAnscombe(noise.gain, *noise.offset_and_read_noise(X)).fit(X)

    def _members(self, X, noise, stabilizer, effort):
        """Return the denoisers that race, and the variance of the noise that they see."""
        _, batch, axes = split_axes(X.ndim, self.channel_axis, self.batch_axis)
        shown = self._stabilised(X, stabilizer)
        level = check_noise_variance(noise, X)
        if isinstance(level, np.ndarray):
            level = np.broadcast_to(level, X.shape)
            if batch is not None and np.ptp(level) > 0:
                raise ValueError(
                    f"noise_variance of shape {np.shape(noise)} is not the same everywhere, and "
                    f"items along batch_axis={self.batch_axis} are denoised alike: denoise them "
                    "one by one, or give one number."
                )
        if stabilizer is not None:
            level = 1.0
            if batch is None:
                # For few counts the variance is less than 1, by how much a first look tells.
                look = self._wrapped(partial(nl_ridge, sigma=1.0, step=6), None)
                signal = stabilizer.inverse_transform(look.fit(shown).transform(shown))
                level = stabilizer.variance(signal)
        mean = float(np.sqrt(np.mean(level)))
        deviation = np.sqrt(level) if np.ndim(level) and batch is None else mean
        channels = self.channel_axis is not None
        return _candidates(effort, mean, deviation, len(axes), channels), level

    def _stabilised(self, X, stabilizer):
        return X if stabilizer is None else stabilizer.transform(X)

    def _restored(self, X, stabilizer):
        return X if stabilizer is None else stabilizer.inverse_transform(X)

    def _wrapped(self, denoiser, part):
        """Return a member of the race on a part of the data."""
        if part is not None:
            keywords = {k: _within(v, part) for k, v in denoiser.keywords.items()}
            denoiser = partial(denoiser.func, **keywords)
        return JInvariantWrapper(
            denoiser, output="plain", channel_axis=self.channel_axis, batch_axis=self.batch_axis
        )

    def _average(self, X, stabilizer, members, weights):
        shown = self._stabilised(X, stabilizer)
        found = Parallel(n_jobs=self.n_jobs)(
            delayed(_denoised)(self._wrapped(members[name], None), shown) for name in weights
        )
        total = np.zeros_like(shown)
        for weight, each in zip(weights.values(), found, strict=True):
            total += total.dtype.type(weight) * each
        return self._restored(total, stabilizer)

    def _penalty(self, X, output, penalty, noise, level, stabilizer, part):
        """Return the penalty of the part that was raced on, on the data's own scale."""
        if stabilizer is None:
            return penalty
        # The chain rule: from x to the stabilised data, through the average, and back.
        shown, step = stabilizer.transform(output), 1e-3
        inside = penalty / (2 * _within(level, part))
        back = stabilizer.inverse_transform(shown + step)
        back = (back - stabilizer.inverse_transform(shown - step)) / (2 * step)
        return 2 * variance_at(noise, X) * back * inside * stabilizer.slope(X)

    def _estimate(self, X, output, noise, raced, restored, penalty, part) -> ErrorEstimate:
        """Return the estimated error of the whole, of which a part was probed.

        What is probed is how much smaller the squared residuals are than the noise: the
        ratio κ of 1 − ∂hᵢ/∂xᵢ to (x − h)²/σ², which is much the same all over the data.
        """
        variance = np.broadcast_to(variance_at(noise, X), X.shape)
        residual = squared_error(raced, restored)
        free = np.where(np.isnan(residual), np.nan, 2 * variance[part] - penalty)
        ratio = float(np.nansum(free)) / max(2 * float(np.nansum(residual)), np.finfo(float).tiny)
        losses = 2 * variance + (1 - 2 * ratio) * squared_error(X, output)
        doubt = LEVEL_ERROR * float(np.nanmean(variance)) if self.noise_variance is None else 0.0
        return summarise(losses, variance, output, doubt)

    def _in_words(self) -> str:
        noise = self.noise_variance_
        origin = "estimated" if self.noise_variance is None else "given"
        if isinstance(noise, NoiseCurve):
            kind = f"variance {noise.gain:.4g} · signal {noise.intercept:+.4g}"
        else:
            kind = f"standard deviation {np.sqrt(np.mean(noise)):.4g}"
        chosen = sorted(self.weights_.items(), key=lambda item: -item[1])
        shares = "; ".join(f"{100 * w:.0f} % {name}" for name, w in chosen)
        low, high = self.estimated_psnr_interval_
        best = min(self.scores_, key=self.scores_.__getitem__)
        return (
            f"Noise ({origin}): {kind}.\n"
            f"Chosen among {len(self.scores_)}: {shares}. The best alone is {best}.\n"
            f"Estimated PSNR: {self.estimated_psnr_:.2f} dB ({low:.2f} to {high:.2f}), for a peak "
            f"of {self.error_estimate_.data_range:.4g}."
        )

    def __getstate__(self):
        # The result for the data of `fit` would make a pickle as large as they are.
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_known"}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _denoised(wrapper, X):
    return wrapper.fit(X).transform(X)


def _within(value, part):
    """Return the part of an array, which has a value for each entry, and anything else as it is."""
    return value[part] if isinstance(value, np.ndarray) else value
