"""`AutoDenoiser`: a race of denoisers, of which the best are averaged."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from joblib import effective_n_jobs
from joblib import hash as digest
from sklearn.base import clone
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.parallel import Parallel, delayed

from .._utils.arrays import in_range
from .._utils.base import BaseDenoiser
from .._utils.state import LightPickle
from .._utils.threads import with_threads
from .._utils.tiling import middle
from ..denoisers import gaussian, lichi
from ..j_invariance.wrapper import JInvariantWrapper
from ..losses import squared_error, true_score
from ..noise.model import NoiseModel, check_noise
from ..noise.outliers import find_outliers
from ..noise.rare import find_rare_values
from ..noise.stabilizers import stabilizer_for
from ..risk.error_estimate import ErrorEstimate, ratio_of_means, summarise
from ..risk.noise_level import noise_of
from ..risk.sure import probed_divergence, sure_score
from ..stacking import SelfSupervisedStacker
from ._indirect import Binned, Indirect, Levelled, side_of_bins
from ._members import Members, cheap_for_all, members
from ._scale import Scale

__all__ = ["AutoDenoiser"]

#: The race is run on all of the data up to so many entries, and on a part of that many of more;
#: the weights do not become better with more.
_SMALL, _RACE = 2**16, 2**15

#: Up to so many entries, the error is estimated for all of them, which takes as long as denoising.
_PROBED = 2**23

#: Of fewer outliers than this share of the entries, those within the range of the rest are kept.
_SHARE_OF_DETAILS = 1e-4

#: Where more than this share of the entries is rare, which details are not, noise is heavy-tailed.
_SHARE_OF_RARE = 0.0015
_RARE = "the noise is heavy-tailed, and its rare values were replaced: what is left is not normal"


class _Shown(NamedTuple):
    """What denoisers see of the data.

    Attributes
    ----------
    X : ndarray of float
        The data, stabilised where that is needed.
    noise : NoiseModel
        The noise of these, by which denoisers are scored.
    members : dict of str to partial
        The denoisers, which are told of that noise.
    """

    X: np.ndarray
    noise: NoiseModel
    members: Members


class AutoDenoiser(LightPickle, BaseDenoiser):
    """Denoise, with everything chosen from the noisy data.

    The noise is looked at first (see `sk_n2s.noise.estimate_noise_model`): outliers are
    taken for missing; noise that depends on the signal is stabilised; that which differs between
    places, items or channels, or depends on that of neighbours, is taken as it is; lines that have
    offsets of their own are freed from these. Classical
    denoisers then race on a part of the data, each scored by Stein's unbiased risk
    estimate, and those that are worth their weight are averaged (see
    `SelfSupervisedStacker`). The data as they are race as well. Where structure is
    everywhere, so that weak noise cannot be told from it, less is done.

    Parameters
    ----------
    effort : {"fast", "balanced", "best"}, default="balanced"
        How many denoisers race, and how costly they are. An image of 512×512 takes about
        5, 12, and 45 seconds of one core.
    noise : float, array-like or NoiseModel, default=None
        The noise, if it is known: its standard deviation in the unit of the data, a map of
        that, which broadcasts to the shape of the data, or a model. None estimates it.
    channel_axis : int, default=None
        An axis of channels, which are denoised together.
    batch_axis : int, default=None
        An axis of independent items.
    n_jobs : int, default=None
        How many denoisers, and threads of one, run in parallel. The result does not depend on it.

    Attributes
    ----------
    weights_ : dict of str to float
        The denoisers chosen, and their shares of the result.
    scores_ : dict of str to float
        The estimated mean squared error of each that raced, in the squared unit of the
        data that were raced on (stabilised ones, if there is a `stabilizer_`): all of them, or a
        part for those that were dropped after a race on that.
    noise_ : NoiseModel
        The noise, given or estimated.
    stabilizer_ : object or None
        What made the noise white, if it depends on the signal, the item or the channel.
    n_outliers_ : int
        How many entries of the data were no noise of that kind, or rare values of heavy-tailed
        noise, and were predicted from the others.
    error_estimate_ : ErrorEstimate
        How far the result is estimated to be from the truth where the data were measured; unknown,
        with the reason, where the noise does not tell.
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

    # The result for the data of `fit`.
    _left_behind = ("_known",)

    # What `fit` leaves.
    noise_: NoiseModel
    n_outliers_: int
    stabilizer_: Any
    weights_: dict[str, float]
    scores_: dict[str, float]
    error_estimate_: ErrorEstimate
    _by: Indirect | None
    _is_heavy: bool

    # Not of one that does the work of another.
    _levels = True

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
        array, n_outliers = self._without_outliers(in_range(given))
        noise, stabilizer = self._look_at_noise(array)
        n_rare = 0
        if self.noise is None and noise.curve is None:
            array, n_rare = self._without_rare_values(array)
            n_outliers += n_rare
            if n_rare:
                noise, stabilizer = self._look_at_noise(array)
                noise = noise if noise.doubts else noise.replace(doubts=[_RARE])
        of_noise = {
            "noise_": noise.replace(outliers=n_outliers / array.size),
            "n_outliers_": n_outliers,
            "_is_heavy": n_rare > 0,
        }
        by = self._indirect(array, noise)
        if by is not None:
            last = by.last
            return self._keep(
                X,
                given,
                by.denoised,
                **of_noise,
                **{name: getattr(last, name) for name in ("stabilizer_", "weights_", "scores_")},
                error_estimate_=last.error_estimate_.unknown(by.doubt),
                _by=by,
            )
        channel, batch, _ = self.axes(array.ndim)
        n_raced = _SMALL if array.size <= _SMALL else _RACE
        part = middle(array.shape, n_raced, channel, batch)
        shown = self._shown(array, noise, stabilizer, self.effort)
        stacker = self._stacker(shown, shown.members, part)
        output, divergence = stacker.fit_with_divergence(shown.X[part])
        scores = stacker.scores_
        if output.shape != array.shape and self._is_probed(array):
            # What is worth its weight runs on all of the data anyway, and is weighed by them.
            part = (slice(None),) * array.ndim
            chosen = {name for name, weight in stacker.weights_.items() if weight}
            chosen |= cheap_for_all(shown.members, self.axes(array.ndim))
            stacker = self._stacker(shown, [n for n in shown.members if n in chosen], part)
            output, divergence = stacker.fit_with_divergence(shown.X)
            scores = {**scores, **stacker.scores_}
        weights = {name: w for name, w in stacker.weights_.items() if w}
        of_part = stabilizer.within(part) if isinstance(stabilizer, Scale) else stabilizer
        restored = self._restored(output, of_part)
        if stabilizer is not None:
            variance = shown.noise.within(part).variance(shown.X[part])
            derivative = divergence / (2 * variance)
            divergence = self._unstabilised(
                array[part], restored, derivative, noise.within(part), of_part
            )
        whole = restored.shape == array.shape
        denoised = restored if whole else self._average(shown, stabilizer, weights)
        estimate = self._estimate(array, denoised, noise, array[part], restored, divergence, part)
        mean = float(np.nanmean(shown.noise.variance(shown.X)))
        return self._keep(
            X,
            given,
            denoised,
            **of_noise,
            stabilizer_=stabilizer,
            weights_=weights,
            scores_={name: -s - mean for name, s in scores.items()},
            error_estimate_=estimate,
        )

    def _keep(self, X: Any, given: np.ndarray, denoised: np.ndarray, **fitted: Any) -> AutoDenoiser:
        """Keep what a fit has found, and its result for the data."""
        self._remember(X, given)
        self.__dict__.update({"_by": None, **fitted})
        self._effort = self.effort
        self._known = digest(given), denoised.astype(given.dtype, copy=False)
        self.summary_ = self._in_words()
        return self

    def _is_probed(self, X: np.ndarray) -> bool:
        """Return whether the error is estimated for all of the data."""
        is_signal = len(self.axes(X.ndim).neighbours) == 1
        return X.size <= _PROBED and (is_signal or self.effort != "fast")

    def _stacker(
        self, shown: _Shown, names: Iterable[str], part: tuple[slice, ...]
    ) -> SelfSupervisedStacker:
        """Return what finds the weights of members on a part of the data."""
        return SelfSupervisedStacker(
            [(name, self._wrapped(shown.members[name], part)) for name in names],
            noise=shown.noise.within(part),
            n_jobs=self.n_jobs,
        )

    def _indirect(self, X: np.ndarray, noise: NoiseModel) -> Indirect | None:
        """Return what does the work where other data are to be denoised, else None."""
        axes = self.axes(X.ndim)
        factor = side_of_bins(X, noise, axes.neighbours)
        if factor > 1:
            return Binned(self._told, X, noise, factor, axes.neighbours)
        return Levelled(self._told, X, noise, axes) if noise.lines and self._levels else None

    def _told(self, noise: NoiseModel) -> AutoDenoiser:
        """Return a denoiser like this one that is told the noise, and levels no lines."""
        found = clone(self).set_params(noise=noise)
        found._levels = False
        return found

    def _denoise(self, X: np.ndarray) -> np.ndarray:
        known, denoised = self.__dict__.get("_known", (None, None))
        if known is not None and known == digest(X):  # the data of `fit`
            return denoised.copy()
        array, _ = self._without_outliers(in_range(X))
        if self._is_heavy:
            array, _ = self._without_rare_values(array)
        if self._by is not None:
            return self._by.denoise(array).astype(X.dtype, copy=False)
        shown = self._shown(array, self.noise_, self.stabilizer_, self._effort)
        average = self._average(shown, self.stabilizer_, self.weights_)
        return average.astype(X.dtype, copy=False)

    def output_and_divergence(  # noqa: D102
        self, X: np.ndarray, noise: NoiseModel
    ) -> tuple[np.ndarray, np.ndarray]:
        output = self._denoise(X)
        signal = np.where(np.isnan(X), output, X)
        return output, probed_divergence(self._denoise, X, output, noise, signal)

    def score(self, X: Any, y: Any = None) -> float:
        """Return minus (estimated error + variance of the noise), or minus the true error.

        Parameters
        ----------
        X : array-like
            The noisy data.
        y : array-like of the same shape, default=None
            The clean data, if they are known.

        Returns
        -------
        float
            Without `y`, minus Stein's unbiased risk estimate of the output, for the noise
            `noise_`: the output is not J-invariant, so that its distance to `X` alone would
            tell nothing. Only scores that rest upon the same noise can be compared: the less
            noise is assumed, the higher they are. With `y`, minus the mean squared error of
            `transform`.

        Raises
        ------
        ValueError
            If `y`, or a map of the noise, does not fit the shape of `X`.
        """
        X = self._checked(X)
        if y is not None:
            return true_score(y, X, self._denoise)
        return sure_score(X, *self.output_and_divergence(X, check_noise(self.noise_, X)))

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

    def _without_outliers(self, X: np.ndarray) -> tuple[np.ndarray, int]:
        """Return the data with outliers missing, and how many there were."""
        found = find_outliers(X, channel_axis=self.channel_axis, batch_axis=self.batch_axis)
        n_outliers = int(np.count_nonzero(found))
        if 0 < n_outliers <= max(2, _SHARE_OF_DETAILS * X.size) < np.count_nonzero(~np.isnan(X)):
            # So few may be details of the scene, and weigh little within the range of the rest.
            rest = np.where(found, np.nan, X)
            found &= (X < np.nanmin(rest)) | (X > np.nanmax(rest))
        return _without(X, found)

    def _without_rare_values(self, X: np.ndarray) -> tuple[np.ndarray, int]:
        """Return the data with the rare values of heavy-tailed noise missing, and how many."""
        rare = find_rare_values(X, channel_axis=self.channel_axis, batch_axis=self.batch_axis)
        return _without(X, rare & (np.count_nonzero(rare) > _SHARE_OF_RARE * X.size))

    def _look_at_noise(self, X: np.ndarray) -> tuple[NoiseModel, Any]:
        """Return the noise, and what makes it white where that is needed."""
        noise = noise_of(self.noise, X, self.channel_axis, self.batch_axis)
        curve = noise.curve
        if curve is None:
            axes = self.axes(X.ndim)
            if noise.is_uniform or (axes.batch is None and axes.channel is None):
                return noise, None
            return noise, Scale(np.asarray(check_noise(noise, X).level), axes)
        stabilizer = stabilizer_for(curve, X)
        if stabilizer is None:
            level = np.sqrt(np.nanmean(noise.variance(X)))
            return noise.replace(curve=None, level=level), None
        return noise, stabilizer

    def _shown(self, X: np.ndarray, noise: NoiseModel, stabilizer: Any, effort: str) -> _Shown:
        """Return what denoisers see of the data, and the denoisers."""
        axes = self.axes(X.ndim)
        shown = self._stabilised(X, stabilizer)
        if stabilizer is None:
            noise = check_noise(noise, X)
        elif isinstance(stabilizer, Scale):
            noise = noise.replace(level=check_noise(noise, X).level / stabilizer.scale)
        else:
            level: float | np.ndarray = 1.0
            if axes.batch is None:
                # For few counts the variance is less than 1, by how much a first look tells.
                look = self._wrapped(partial(lichi, sigma=1.0, n_steps=2, step=6), None)
                signal = stabilizer.inverse_transform(look.fit(shown).transform(shown))
                level = np.sqrt(stabilizer.variance(signal))
            noise = NoiseModel(level, correlation=noise.correlation)
        variance = np.broadcast_to(noise.variance(shown), X.shape)
        mean = float(np.mean(variance))
        told: float | np.ndarray = float(np.sqrt(mean))
        gaps = np.isnan(shown)
        if axes.batch is None and (gaps.any() or not noise.is_uniform):
            # What is filled in errs by more than the noise.
            told = np.sqrt(np.where(gaps, self._variance_of_fill(shown, mean), variance))
        return _Shown(shown, noise, members(effort, noise, told, axes))

    def _variance_of_fill(self, X: np.ndarray, variance: float) -> float:
        """Return the mean squared error of what stands for missing entries."""
        wrapper = JInvariantWrapper(
            gaussian, sigma=0.7, channel_axis=self.channel_axis, batch_axis=self.batch_axis
        )
        return max(-wrapper.fit(X).score(X) - variance, variance)

    def _stabilised(self, X: np.ndarray, stabilizer: Any) -> np.ndarray:
        return X if stabilizer is None else stabilizer.transform(X)

    def _restored(self, X: np.ndarray, stabilizer: Any) -> np.ndarray:
        return X if stabilizer is None else stabilizer.inverse_transform(X)

    def _wrapped(self, denoiser: partial, part: tuple[slice, ...] | None) -> JInvariantWrapper:
        """Return a member of the race on a part of the data."""
        sigma = denoiser.keywords.get("sigma")
        if part is not None and isinstance(sigma, np.ndarray):
            denoiser = partial(denoiser.func, **{**denoiser.keywords, "sigma": sigma[part]})
        return JInvariantWrapper(
            denoiser, output="plain", channel_axis=self.channel_axis, batch_axis=self.batch_axis
        )

    def _average(self, shown: _Shown, stabilizer: Any, weights: dict[str, float]) -> np.ndarray:
        """Return the average of those denoisers that have a weight."""
        n_threads = effective_n_jobs(self.n_jobs)
        found = Parallel(n_jobs=self.n_jobs)(
            delayed(with_threads)(
                n_threads, _denoised, self._wrapped(shown.members[name], None), shown.X
            )
            for name in weights
        )
        total = np.zeros_like(shown.X)
        for weight, each in zip(weights.values(), found, strict=True):
            total += total.dtype.type(weight) * each
        return self._restored(total, stabilizer)

    def _unstabilised(
        self,
        X: np.ndarray,
        output: np.ndarray,
        derivative: np.ndarray,
        noise: NoiseModel,
        stabilizer: Any,
    ) -> np.ndarray:
        """Return the divergence term on the data's own scale, by the chain rule."""
        # From x to the stabilised data, through the average, and back.
        shown, step = stabilizer.transform(output), 1e-3
        back = stabilizer.inverse_transform(shown + step)
        back = (back - stabilizer.inverse_transform(shown - step)) / (2 * step)
        gain = 0.0 if noise.curve is None or noise.curve.relative else noise.curve.gain
        slope = stabilizer.slope(X)
        if gain > 0:
            # What one count less changes is the right answer (Luisier, Blu & Unser 2011, theorem
            # 1), and the derivative that of a small change, which denoisers follow more.
            step = (stabilizer.transform(X) - stabilizer.transform(X - gain)) / gain
            slope = (slope + step) / 2
        return 2 * noise.variance(X) * back * derivative * slope

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
        variance = np.broadcast_to(noise.variance(X), X.shape)
        residual = squared_error(raced, restored)
        if raced.shape == X.shape:
            return summarise(residual + divergence, X, output, noise)
        # What is probed is how much smaller the squared residuals are than the noise: the ratio
        # of 1 − ∂hᵢ/∂xᵢ to (x − h)²/σ², which is much the same all over the data.
        free = variance[part] - divergence / 2
        ratio, error = ratio_of_means(free, residual, self.axes(X.ndim).channel)
        residual = squared_error(X, output)
        losses = 2 * variance + (1 - 2 * ratio) * residual
        return summarise(losses, X, output, noise, float(np.nanmean(2 * error * residual)))

    def _in_words(self) -> str:
        origin = "estimated" if self.noise is None else "given"
        chosen = sorted(self.weights_.items(), key=lambda item: -item[1])
        shares = "; ".join(f"{100 * w:.0f} % {name}" for name, w in chosen)
        outliers = ""
        if self.n_outliers_:
            outliers = f"{self.n_outliers_} outliers were replaced.\n"
        best = min(self.weights_, key=self.scores_.__getitem__)
        return (
            f"Noise ({origin}): {self.noise_}.\n{outliers}"
            f"Chosen among {len(self.scores_)}: {shares}. The best alone is {best}.\n"
            f"{self.error_estimate_}"
        )


def _without(X: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the data with what was found missing, and how many entries that are."""
    n = int(np.count_nonzero(found))
    return (np.where(found, X.dtype.type(np.nan), X) if n else X), n


def _denoised(wrapper: JInvariantWrapper, X: np.ndarray) -> np.ndarray:
    return wrapper.fit(X).transform(X)
