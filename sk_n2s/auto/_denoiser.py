"""`AutoDenoiser`: a race of denoisers, of which the best are averaged."""

from __future__ import annotations

import time
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from joblib import hash as digest
from sklearn.utils._param_validation import StrOptions

from .._utils.arrays import check_mask, in_range
from .._utils.base import BaseDenoiser
from .._utils.callbacks import Task, with_callbacks
from .._utils.lazy import as_float_data, in_memory, is_lazy
from .._utils.reporting import ReportMixin
from .._utils.state import LightPickle
from ..losses import true_score
from ..noise.model import NoiseModel, check_noise
from ..risk.error_estimate import ErrorEstimate
from ..risk.sure import probed_divergence, sure_score
from ._area import Area, area_of
from ._blockwise import Blockwise, in_blocks
from ._denoising import Denoising
from ._settings import Settings
from ._tables import TableDenoising

__all__ = ["AutoDenoiser"]


class AutoDenoiser(ReportMixin, LightPickle, BaseDenoiser):
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
        4, 12, and 30 seconds of one core.
    noise : float, array-like or NoiseModel, default=None
        The noise, if it is known: its standard deviation in the unit of the data, a map of
        that, which broadcasts to the shape of the data, or a model. None estimates it.
    kind : {"array", "table"}, default="array"
        "table" says that the data are samples by features, no entry of which has neighbours: low
        rank, all features from each other, and samples that are like each other race. Estimated
        errors in `scores_` are then in units of the variance of the noise.
    channel_axis : int, default=None
        An axis of channels, which are denoised together.
    batch_axis : int, default=None
        An axis of independent items.
    spacing : sequence of float, default=None
        How far entries are apart along each axis along which they are neighbours, in any unit:
        (4, 1, 1) for a volume whose slices are four times as far apart as its pixels. Patches have
        then about the same size along all axes. None takes them for equally far. Volumes are tried
        with patches that are flatter as well, so that films need no spacing.
    mask : array-like of bool, default=None
        Where to work, of a shape that broadcasts to that of the data. Outside, entries are not
        shown to denoisers, not scored, and come out as they came in. None works everywhere but in
        a constant background (see `background_`).
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
        noise, and were predicted from the others; of a dask array about how many.
    background_ : ndarray of bool of the shape of the data, or None
        Where the data are a large area of exactly one value, which noise never makes: what lies
        around masked volumes and rotated images. It is left alone, as what is outside a mask is.
        None where there is none; it is not looked for in dask arrays.
    error_estimate_ : ErrorEstimate
        How far the result is estimated to be from the truth where the data were measured; unknown,
        with the reason, where the noise does not tell.
    estimated_mse_, estimated_psnr_ : float
        Its mean squared error, and its peak signal-to-noise ratio in dB.
    estimated_psnr_interval_ : tuple of float
        A confidence interval of 95 % for the latter.
    time_ : float
        How many seconds the fit took.
    summary_ : str
        All of this in words, and what was dropped.

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
        "kind": [StrOptions({"array", "table"})],
        "channel_axis": [Integral, None],
        "batch_axis": [Integral, None],
        "spacing": "no_validation",  # needs the number of axes
        "mask": "no_validation",  # needs the shape of the data
        "n_jobs": [Integral, None],
    }

    # The result for the data of `fit`, and these, which only a report asks for.
    _left_behind = ("_known", "_noisy")

    # What `fit` leaves.
    noise_: NoiseModel
    n_outliers_: int
    background_: np.ndarray | None
    stabilizer_: Any
    weights_: dict[str, float]
    scores_: dict[str, float]
    error_estimate_: ErrorEstimate
    time_: float
    _core: Denoising | Blockwise | TableDenoising

    def __init__(
        self,
        effort: str = "balanced",
        *,
        noise: Any = None,
        kind: str = "array",
        channel_axis: int | None = None,
        batch_axis: int | None = None,
        spacing: Sequence[float] | None = None,
        mask: Any = None,
        n_jobs: int | None = None,
    ):
        self.effort = effort
        self.noise = noise
        self.kind = kind
        self.channel_axis = channel_axis
        self.batch_axis = batch_axis
        self.spacing = spacing
        self.mask = mask
        self.n_jobs = n_jobs

    @with_callbacks
    def fit(self, X: Any, y: Any = None) -> AutoDenoiser:
        """Look at the noise, run the race, and denoise.

        Parameters
        ----------
        X : array-like or dask array of one or more axes
            The noisy data; NaN marks missing entries. Of a dask array pieces are loaded that are
            spread over it; `transform` then returns a dask array, which is denoised block by block
            when it is computed.
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
        start = time.perf_counter()
        with Task.of_fit(self, None) as progress:
            given = self._as_data(X)
            settings = self._settings(given)
            mask, area = self._checked_mask(given), None
            core: Denoising | Blockwise | TableDenoising
            if settings.is_table:
                core = TableDenoising(settings, self.noise)
                denoised = core.fit(in_range(given), progress)
            elif is_lazy(given):
                core, denoised = Blockwise(settings, self.noise), None
                core.fit(given, progress)
            else:
                area = area_of(given, mask, settings.axes(given.ndim))
                if area is None:
                    core = Denoising(settings, self.noise)
                    denoised = core.fit(in_range(given), progress)
                else:
                    core = Denoising(settings, self._noise_within(area, given))
                    shown, outside = area.cut(given)
                    denoised = area.put_back(core.fit(in_range(shown), progress, outside), given)
            known = None
            if denoised is not None:
                known = digest(given), denoised.astype(given.dtype, copy=False)
        self._remember(X, given)
        way = core.way
        self._core, self._known, self._mask = core, known, mask
        self.noise_ = core.noise if area is None else area.noise_of_all(core.noise)
        self.n_outliers_ = core.n_outliers
        self.background_ = None if area is None else area.background
        self._noisy = given  # not a copy: a report sees by the digest whether it was changed
        self.stabilizer_, self.weights_, self.scores_ = way.stabilizer, way.weights, way.scores
        self.error_estimate_ = way.error_estimate
        self.time_ = time.perf_counter() - start
        self.summary_ = self._in_words("" if area is None else str(area))
        return self

    def _settings(self, X: Any) -> Settings:
        """Return the parameters, checked against the data."""
        spacing = self.spacing
        n = len(self.axes(X.ndim).neighbours)
        if spacing is not None:
            try:
                values = np.asarray(spacing, dtype=float)
                fits = values.shape == (n,) and np.isfinite(values).all() and (values > 0).all()
            except (TypeError, ValueError):
                fits = False
            if not fits:
                raise ValueError(
                    f"spacing={spacing!r} must hold a positive number for each of the {n} axes "
                    "along which entries are neighbours."
                )
            spacing = tuple(values.tolist())
        return Settings(
            self.effort,
            self.channel_axis,
            self.batch_axis,
            spacing,
            self.n_jobs,
            self.kind == "table",
        )

    def _as_data(self, X: Any) -> Any:
        if self.kind == "table" and is_lazy(X):
            raise TypeError("A table has to be in memory, and X is a dask array: give X.compute().")
        return as_float_data(X)

    def _denoise(self, X: Any) -> Any:
        if is_lazy(X):
            return in_blocks(self._core, X)
        known = self.__dict__.get("_known")
        if known is not None and known[0] == digest(X):  # the data of `fit`
            return known[1].copy()
        area = self._area(X)
        if area is None:
            return self._core.denoise(in_range(X)).astype(X.dtype, copy=False)
        shown, outside = area.cut(X)
        assert isinstance(self._core, Denoising)
        level = self.noise_.level
        if isinstance(level, np.ndarray) and level.size > 1 and self._core.takes_maps:
            noise = check_noise(self.noise_, X).within(area.part)
            denoised = self._core.denoise_told(in_range(shown), noise, outside)
        else:
            denoised = self._core.denoise(in_range(shown), outside)
        return area.put_back(denoised, X)

    def _area(self, X: np.ndarray) -> Area | None:
        """Return where to work in data, or None where that is everywhere."""
        if not isinstance(self._core, Denoising):
            return None
        mask = None if self._mask is None else check_mask(self._mask, X)
        return area_of(X, mask, self.axes(X.ndim))

    def _checked_mask(self, X: Any) -> np.ndarray | None:
        if self.mask is not None and is_lazy(X):
            raise ValueError("mask is given, and X is a dask array: set X to NaN outside instead.")
        if self.mask is not None and self.kind == "table":
            raise ValueError("mask is given, and X is a table: leave out samples or features.")
        return None if self.mask is None else check_mask(self.mask, X).copy()

    def _noise_within(self, area: Area, X: np.ndarray) -> Any:
        """Return the noise that was given, in the box where to work."""
        return None if self.noise is None else check_noise(self.noise, X).within(area.part)

    def output_and_divergence(  # noqa: D102
        self, X: np.ndarray, noise: NoiseModel
    ) -> tuple[np.ndarray, np.ndarray]:
        area = self._area(X)
        output = self._denoise(X)
        signal = np.where(np.isnan(X), output, X)
        if area is None:
            return output, probed_divergence(self._denoise, X, output, noise, signal)

        def denoise(values: np.ndarray) -> np.ndarray:  # what is outside is not probed
            return self._denoise(area.put_back(values[area.part], X))

        divergence = probed_divergence(denoise, X, output, noise, signal)
        return output, np.where(area.inside, divergence, np.nan)

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
        X = in_memory([self._checked(X)])[0]
        if y is not None:
            area = self._area(X)
            clean = y if area is None or np.shape(y) != X.shape else area.only(as_float_data(y))
            return true_score(clean, X, self._denoise)
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

    def _dropped(self, best: str) -> str:
        """Return a line about those that raced and were not taken, the best first."""
        dropped = sorted(self.scores_.keys() - self.weights_.keys(), key=self.scores_.__getitem__)
        least = self.scores_[best]
        if not dropped or not least > 0:
            return ""
        worse = (
            f"{name} ({10 * np.log10(self.scores_[name] / least):+.1f} dB)" for name in dropped
        )
        return f"Dropped, with how much larger the error of each alone is: {'; '.join(worse)}.\n"

    def _in_words(self, left_alone: str) -> str:
        origin = "estimated" if self.noise is None else "given"
        chosen = sorted(self.weights_.items(), key=lambda item: -item[1])
        shares = "; ".join(f"{100 * w:.0f} % {name}" for name, w in chosen)
        outliers = ""
        if self.n_outliers_:
            outliers = f"{self.n_outliers_} outliers were replaced.\n"
        best = min(self.weights_, key=self.scores_.__getitem__)
        return (
            f"Noise ({origin}): {self.noise_}.\n{outliers}{left_alone}"
            f"Chosen among {len(self.scores_)}: {shares}. The best alone is {best}.\n"
            f"{self._dropped(best)}"
            f"{self.error_estimate_}"
        )
