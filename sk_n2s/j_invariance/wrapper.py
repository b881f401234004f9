"""Any denoiser, made J-invariant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._utils.arrays import check_mask, has_nan, per_axis
from .._utils.base import Axes, BaseDenoiser
from .._utils.callbacks import Task, with_callbacks
from .._utils.lazy import as_float_data, in_memory, is_lazy
from ..denoisers.calling import RowBlocks, apply_denoiser, name_of
from ..denoisers.traits import Reach, get_exact_form, reach_of, traits_of
from ..losses import squared_error, true_score
from ..masking.blind_spots import BlindSpotPartition
from ..masking.fills import Fill, check_fill
from ..masking.isolation import fresh_copy
from ..masking.lattice import default_partition
from ..masking.partitions import Partition
from ..masking.tables import check_table_fill, default_of_tables
from ..masking.thinning import Thinning, ThinningPlan
from ..masking.views import NothingVisible, View, ViewPlan
from ..noise.model import NoiseModel, check_noise
from ..risk.blending import BLEND_REACH, Blend, blend
from ..risk.noise_level import noise_of
from ..risk.sure import divergence_of, probed_divergence, sure_score
from .blockwise import in_blocks
from .footprints import footprint_of
from .gaps import fill_gaps, without_gaps
from .parameters import DenoiserParameters

__all__ = ["JInvariantWrapper"]

#: How often what is hidden in a table is filled anew, unless the user says otherwise; tables of
#: more entries are not, so that candidates share what they learn.
_REFILLS_OF_TABLES, _MANY = 5, 2**22


class JInvariantWrapper(DenoiserParameters, BaseDenoiser):
    """Turn a classical denoiser into its J-invariant counterpart.

    A J-invariant function predicts entries from the others only:
    f(x)_J = g(1_J·s(x) + 1_Jᶜ·x)_J for each set J of a partition, where g is the denoiser
    and s the fill. For noise that is zero-mean and independent between the sets, its
    distance to the noisy data is its true error plus the variance of the noise, so that
    its parameters can be chosen, and its error estimated, without clean data [1]_.

    Parameters
    ----------
    denoiser : callable or estimator
        A function ``g(X, **params)`` from an array to an array of the same shape, or a
        scikit-learn estimator, which is fitted to whatever it is shown: of a transformer
        with an inverse, the reconstruction is the answer (PCA); of one without, its
        output; of a predictor ``fit(X, X).predict(X)``. A Pipeline is made J-invariant as
        a whole, and brought back to the data's scale by the inverses of its steps. What keeps
        state between its calls gets a fresh copy of it for each view
        (`sk_n2s.masking.isolation` says where state is looked for).
    partition : Partition, Thinning, "auto" or None, default=None
        Which entries are hidden together. None hides every fourth entry along each of one
        or two axes (``GridPartition(stride=4)``, with a smaller stride along axes of fewer than
        four entries), and a 16th of the entries, far apart, along more
        (`sk_n2s.masking.LatticePartition`): 16 calls of the denoiser, or fewer; "auto" is a
        `BlindSpotPartition` where the noise of neighbours is correlated, and None otherwise. A
        thinning (`sk_n2s.masking.BinomialThinning` for counts) divides the noise in place of
        hiding entries; it takes sparse tables, and needs ``output="plain"``.
    fill : {"mean", "zero", "median", "random"}, Fill or callable, default="mean"
        What hidden entries are replaced with. A callable ``fill(X, hidden)`` is shown NaN
        at the hidden entries.
    n_refills : int, default=None
        How often what is hidden is filled anew, with what the denoiser makes of it, before its
        answer counts; each takes another call. What depends on the fill less and less predicts
        better, from fewer entries. None means 5 for tables of up to four
        million entries, and 0 for others.
    output : {"invariant", "plain", "blend"}, default="invariant"
        What `transform` returns: f itself, blind at each entry; g on the full data; or f
        with the entry's own value mixed back in, λ·f + (1 − λ)·x with
        λ = σ²/(σ² + τ²), where τ² is what the squared residuals around the entry exceed
        the noise variance σ² by.
    method : {"auto", "mask", "exact"}, default="auto"
        "exact" uses the exact J-invariant form of the denoiser, which hides every entry
        singly and costs one pass; "mask" hides the sets of the partition in turn. "auto"
        takes the exact form where there is one and no partition is given, since a
        partition says what has to be hidden along with an entry.
    kind : {"array", "table"}, default="array"
        "table" says that the data are samples by features, no entry of which has neighbours: the
        default partition is then ``RandomPartition(n_splits=10)``, "mean" and "median" are those of
        the feature ("missing" leaves NaN, for denoisers that can do with it), and the noise is told
        from the singular values.
    channel_axis : int, default=None
        An axis of channels: an entry is hidden in all of them together. It is passed on
        to a denoiser with a parameter of that name; others see one channel at a time.
    batch_axis : int, default=None
        An axis of independent items, which are denoised one at a time.
    noise : float, array-like or NoiseModel, default=None
        The noise: its standard deviation in the unit of the data, a map of that, which
        broadcasts to the shape of the data, or a model (`sk_n2s.noise.NoiseModel`). It weighs
        the blend, and is part of the score of a plain output. None estimates it.
    mask : ndarray of bool, default=None
        Where to work; it broadcasts to the shape of the data. What is outside is neither shown to
        the denoiser, nor scored, nor changed.
    halo : int or tuple of int, default=None
        How many entries around a block of a dask array are shown to the denoiser with it,
        for all axes along which it denoises or for each. None is as far as the denoiser
        looks (`sk_n2s.denoisers.reach_of`), for which the result is that of the whole
        array in memory, at every entry. A denoiser that does not say how far it looks, or
        that looks at the whole array, needs a value: the larger it is, the nearer is the
        result to that of the whole array.
    **denoiser_params : dict
        The parameters of a denoising function. They are parameters of the wrapper, for
        `set_params` and for grids. A parameter that is called like one of the wrapper's
        own has to be set with `functools.partial`. Those of an estimator are
        ``denoiser__name``.

    Attributes
    ----------
    method_ : {"mask", "exact"}
        How entries were hidden in the data that were given to `fit`.
    noise_ : NoiseModel
        The noise that the blend rests upon; only with ``output="blend"``.
    n_axes_ : int
        The number of axes of the data.
    n_features_in_ : int
        The length of the second axis of the data, if there are two.

    Notes
    -----
    Integers come out as floats on the scale they came in, float32 stays float32. NaN marks
    a missing entry: it is not shown to the denoiser, not scored, and filled in the output.

    A dask array is denoised in blocks, when it is computed: `transform` returns a dask
    array. A parameter of the denoiser that is None, to be estimated, is estimated in each
    block; a block is NaN where no entry can be predicted: where it holds no measurement, or
    those that it holds are hidden all at once.

    An estimator as denoiser is fitted to the data given to `transform`, and not to those
    given to `fit`: what was fitted to an entry is not blind to it.

    References
    ----------
    .. [1] J. Batson and L. Royer, "Noise2Self: Blind Denoising by Self-Supervision",
       ICML 2019, PMLR 97:524-533. :arxiv:`1901.11365`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s import JInvariantWrapper
    >>> from sk_n2s.denoisers import median
    >>> rng = np.random.default_rng(0)
    >>> clean = np.zeros((64, 64))
    >>> noisy = clean + rng.normal(size=clean.shape)
    >>> wrapper = JInvariantWrapper(median, radius=3).fit(noisy)
    >>> round(wrapper.score(noisy, clean), 2)   # minus the true error
    -0.07
    >>> round(wrapper.score(noisy), 2)          # minus (error + variance of the noise)
    -1.06
    """

    _parameter_constraints: dict = {
        "denoiser": "no_validation",  # checked together with its parameters
        "partition": [Partition, Thinning, StrOptions({"auto"}), None],
        "fill": [str, Fill, callable],
        "n_refills": [Interval(Integral, 0, None, closed="left"), None],
        "output": [StrOptions({"invariant", "plain", "blend"})],
        "method": [StrOptions({"auto", "mask", "exact"})],
        "kind": [StrOptions({"array", "table"})],
        "channel_axis": [Integral, None],
        "batch_axis": [Integral, None],
        "noise": "no_validation",  # needs the shape of the data
        "mask": "no_validation",  # needs the shape of the data
        "halo": [Integral, tuple, None],
    }

    def __init__(
        self,
        denoiser: Any,
        *,
        partition: Partition | Thinning | str | None = None,
        fill: str | Fill | Callable = "mean",
        n_refills: int | None = None,
        output: str = "invariant",
        method: str = "auto",
        kind: str = "array",
        channel_axis: int | None = None,
        batch_axis: int | None = None,
        noise: Any = None,
        mask: Any = None,
        halo: int | tuple[int, ...] | None = None,
        **denoiser_params: Any,
    ):
        super().__init__(denoiser, denoiser_params)
        self.partition = partition
        self.fill = fill
        self.n_refills = n_refills
        self.output = output
        self.method = method
        self.kind = kind
        self.channel_axis = channel_axis
        self.batch_axis = batch_axis
        self.noise = noise
        self.mask = mask
        self.halo = halo

    # Views --------------------------------------------------------------------------

    def view_plan(self, X: np.ndarray) -> ViewPlan | ThinningPlan:  # noqa: D102
        self._validate_params()
        self._check_denoiser(() if self.channel_axis is None else ("channel_axis",))
        found = self.axes(X.ndim)
        axes = found.cut
        if self.halo is not None:
            per_axis(self.halo, len(axes), name="halo")
        if isinstance(self.partition, Thinning):
            return self._thinning_plan(X, self.partition, found)
        if sparse.issparse(X):
            raise TypeError(
                "X is sparse, and what is hidden in it would be filled: set "
                "partition=BinomialThinning(), which divides its counts, or give X.toarray()."
            )
        traits = traits_of(self.denoiser)
        form = traits.exact
        if self.method == "exact" and form is None:
            raise ValueError(
                f'method="exact" needs a denoiser with an exact J-invariant form, and '
                f'{name_of(self.denoiser)} has none: use method="mask" or "auto", or register '
                "one with sk_n2s.denoisers.declare."
            )
        # Whether a dask array holds NaN is seen block by block.
        wants_all = form is not None and not traits.handles_missing and not is_lazy(X)
        blocked = wants_all and has_nan(X)
        if self.method == "exact" and blocked:
            raise ValueError(
                f"X holds NaN, which the exact form of {name_of(self.denoiser)} does not leave "
                'out of account: use method="mask" or "auto".'
            )
        partition = self._partition(X, axes)
        if self.method == "auto":
            exact = form is not None and partition is None and not blocked
        else:
            exact = self.method == "exact"
        if partition is None:
            partition = default_of_tables(X) if found.is_table else default_partition(X, axes)
        fill = self._checked_fill(found)
        fill.check(len(axes))
        plan = ViewPlan(partition, fill, axes, exact)
        plan.get_n_splits(X)  # a partition that does not fit says so now
        return plan

    def _checked_fill(self, axes: Axes) -> Fill:
        """Return the fill that the parameter stands for."""
        return (check_table_fill if axes.is_table else check_fill)(self.fill)

    def _thinning_plan(self, X: Any, thinning: Thinning, axes: Axes) -> ThinningPlan:
        """Return how data are thinned."""
        name = type(thinning).__name__
        if self.output != "plain":
            raise ValueError(
                f"partition={name}(...) shows a part of every entry, so that there is no answer "
                f'that is blind to it: set output="plain", where it is {self.output!r}.'
            )
        if self.method == "exact":
            raise ValueError(f'method="exact" hides entries, and {name} none: use "auto".')
        if is_lazy(X):
            raise TypeError(f"{name} divides data in memory, as a whole: give X.compute().")
        if sparse.issparse(X) and not axes.is_table:
            raise TypeError(
                'X is sparse, and no table: set kind="table" if it is samples by features, or give '
                "X.toarray()."
            )
        thinning.check(X)
        thinning.get_n_splits(X)
        fill = self._checked_fill(axes)
        given = getattr(thinning, "noise", None)
        noise = self.noise if given is None else given
        return ThinningPlan(thinning, fill, axes.cut, lambda data: noise_of(noise, data, axes))

    def _partition(self, X: np.ndarray, axes: tuple[int, ...]) -> Partition | None:
        """Return the partition that the parameter stands for, or None for the default."""
        given: Any = BlindSpotPartition() if self.partition == "auto" else self.partition
        if not isinstance(given, BlindSpotPartition) or not given.is_auto:
            return given
        found = self.axes(X.ndim)
        if found.is_table:
            return None if self.partition == "auto" else given
        footprint = footprint_of(X, found.channel, found.batch)
        if self.partition == "auto" and np.size(footprint) == 1:
            return None
        return replace(given, footprint=footprint)

    def predict_view(self, view: View) -> np.ndarray:  # noqa: D102
        if sparse.issparse(view.input):
            by_rows: Any = RowBlocks(self.denoiser, view.input, view.known, view.factor)
            return by_rows
        if not view.exact:
            answer = self._refilled(view)[view.where]
            return answer if view.factor == 1 else answer * answer.dtype.type(view.factor)
        form = get_exact_form(self.denoiser)
        assert form is not None  # view_plan saw to it
        if not view.has_gaps:
            return self._answer(form, view.input, copy=False)[view.where]
        # Where no entry is near enough, that of all others of the item, or else of all items.
        answer = self._answer(
            partial(without_gaps, form=form), view.input, allow_nan=True, copy=False
        )
        return fill_gaps(answer, view.input)[view.where]

    def _answer(self, denoiser: Any, X: np.ndarray, **options: Any) -> np.ndarray:
        """Return the answer of a denoiser, or of a fresh copy of one that keeps state."""
        channel, batch, *_ = self.axes(X.ndim)
        with fresh_copy(denoiser, self.denoiser_params, X.nbytes) as (fresh, params):
            return apply_denoiser(
                fresh, X, params, channel_axis=channel, batch_axis=batch, **options
            )

    def _refilled(self, view: View) -> np.ndarray:
        """Return the denoiser's answer, after what is filled was filled by its answers before."""
        X, filled = view.input, view.filled
        answer = self._answer(self.denoiser, X, known=view.known)
        if filled is None:
            return answer
        for _ in range(self._n_refills(X)):
            shown = X.copy()
            shown[filled] = answer[filled]
            answer = self._answer(self.denoiser, shown)
        return answer

    def _n_refills(self, X: np.ndarray) -> int:
        """Return how often what is filled is filled anew."""
        if self.n_refills is not None:
            return int(self.n_refills)
        is_small_table = self.axes(X.ndim).is_table and X.size <= _MANY
        return _REFILLS_OF_TABLES if is_small_table else 0

    def _invariant(self, X: np.ndarray) -> np.ndarray:
        """Return the J-invariant prediction of each entry."""
        plan = self.view_plan(X)
        if has_nan(X) and np.count_nonzero(~np.isnan(X)) == 1:
            raise NothingVisible(
                "X holds a single measurement, and NaN: there is no other to predict it from."
            )
        result = np.full_like(X, np.nan)
        for view in plan.views(X):
            result[view.where] = self.predict_view(view)
        if has_nan(result):
            raise ValueError(f"partition={self.partition!r} does not score every entry of X.")
        return result

    def reach(self, ndim: int) -> Reach | None:
        """Return how far from an entry its output depends on the data.

        Parameters
        ----------
        ndim : int
            The number of axes of the data.

        Returns
        -------
        Reach or None
            The distance along each axis but those of channels and items, for data without
            missing entries: `halo` if it is given; None if the denoiser does not say how
            far it looks.
        """
        axes = self.axes(ndim).cut
        if self.halo is not None:
            halo = per_axis(self.halo, len(axes), name="halo")
            return Reach(tuple(map(float, halo)), False)
        reach = reach_of(self.denoiser, self.denoiser_params, len(axes))
        if reach is None:
            return None
        around = self._checked_fill(self.axes(ndim)).reach
        around += BLEND_REACH if self.output == "blend" else 0
        return reach._replace(distance=tuple(d + around for d in reach.distance))

    @property
    def releases_gil(self) -> bool:
        """Whether candidates of this denoiser can share a process, each on its own core."""
        return traits_of(self.denoiser).releases_gil

    @property
    def is_j_invariant(self) -> bool:
        """Whether no entry of the output of `transform` depends on that entry of the data."""
        return self.output == "invariant"

    # scikit-learn's interface --------------------------------------------------------

    @with_callbacks
    def fit(self, X: Any, y: Any = None) -> JInvariantWrapper:
        """Validate the parameters against the data.

        Nothing is learnt from the data, except the variance of the noise for
        ``output="blend"`` if it is not given.

        Parameters
        ----------
        X : array-like or dask array of one or more axes
            The noisy data. NaN marks missing entries.
        y : object
            Ignored, present for scikit-learn's interface.

        Returns
        -------
        JInvariantWrapper
            The wrapper itself.

        Raises
        ------
        TypeError, ValueError
            If the data or a parameter are not valid, or do not fit each other.
        """
        with Task.of_fit(self, 0):
            array = self._as_data(X)
            plan = self.view_plan(array)
            noise = self._noise_of(array) if self.output == "blend" else None
        self._remember(X, array)
        self.__dict__.pop("noise_", None)  # of an earlier fit
        if noise is not None:
            self.noise_ = noise
        self.method_ = "exact" if plan.exact else "mask"
        return self

    def _as_data(self, X: Any) -> Any:
        return self.shown(as_float_data(X, accept_sparse=self.kind == "table"))

    def shown(self, X: Any) -> Any:  # noqa: D102
        if self.mask is None:
            return X
        if is_lazy(X) or sparse.issparse(X):
            raise ValueError(
                "mask is given, and X is no array in memory: set a dask array to NaN outside, or "
                "leave out samples and features of a sparse table."
            )
        return np.where(check_mask(self.mask, X), X, X.dtype.type(np.nan))

    def transform(self, X: Any) -> Any:  # noqa: D102
        denoised = self._denoise(self._checked(X))
        if self.mask is None:
            return denoised
        return np.where(check_mask(self.mask, denoised), denoised, as_float_data(X))

    def _noise_of(self, X: Any) -> NoiseModel:
        return noise_of(self.noise, X, self.axes(X.ndim))

    def _denoise(self, X: Any) -> Any:
        noise = None
        if self.output == "blend":
            check_is_fitted(self, "noise_")
            noise = self.noise_
        return in_blocks(self, X, noise) if is_lazy(X) else self.output_of(X, noise)

    def output_of(self, X: np.ndarray, noise: NoiseModel | None = None) -> np.ndarray:
        """Return what `transform` returns for an array in memory; a blend needs the noise."""
        if sparse.issparse(X):
            self.view_plan(X)
            return RowBlocks(self.denoiser, X).all()
        if self.output == "plain":
            return self._answer(self.denoiser, self.view_plan(X).complete(X))
        if self.output == "blend":
            assert noise is not None
            return self._blend(X, noise).output
        return self._invariant(X)

    def _blend(self, X: np.ndarray, noise: NoiseModel) -> Blend:
        invariant = self._invariant(X)
        return blend(X, invariant, check_noise(noise, X), self.axes(X.ndim))

    def output_and_divergence(  # noqa: D102
        self, X: np.ndarray, noise: NoiseModel
    ) -> tuple[np.ndarray, np.ndarray]:
        noise = check_noise(noise, X)
        if self.output == "blend" and not noise.is_correlated:
            mixed = self._blend(X, noise)
            return mixed.output, divergence_of(mixed.own, mixed.variance)
        if self.output == "invariant" and not noise.is_correlated:
            return self._invariant(X), np.zeros(())
        # The probe goes through the fill, as the noise does.
        denoise = partial(self.output_of, noise=noise)
        output = denoise(X)
        complete = self.view_plan(X).complete(X)
        return output, probed_divergence(denoise, X, output, noise, complete)

    def score(self, X: Any, y: Any = None) -> float:
        """Return minus the self-supervised loss, or minus the true error.

        Parameters
        ----------
        X : array-like or dask array
            The noisy data; a dask array is computed.
        y : array-like of the same shape, default=None
            The clean data, if they are known.

        Returns
        -------
        float
            Without `y`, an estimate of minus (true error + variance of the noise): minus the
            mean squared difference between the J-invariant prediction and `X`; for another
            output without a `partition`, which says that the noise of neighbours may be
            dependent, Stein's unbiased risk estimate of that output (a blend is made anew, for the
            noise of `X`). With `y`, minus the
            mean squared error of `transform`.

        Raises
        ------
        ValueError
            If `y` does not have the shape of `X`.
        """
        X = in_memory([self._checked(X)])[0]
        if y is not None:
            return true_score(y, X, self._denoise)
        if self.scores_output:
            return sure_score(X, *self.output_and_divergence(X, self._noise_of(X)))
        if isinstance(self.partition, Thinning):
            return self._score_of_parts(X)
        return sure_score(X, self._invariant(X))

    def _score_of_parts(self, X: Any) -> float:
        """Return minus the mean squared distance of predictions to the parts that were left."""
        total, count = 0.0, 0
        for view in self.view_plan(X).views(X):
            answer = self.predict_view(view)
            for rows in view.blocks():
                total += float(np.nansum(squared_error(view.compared(rows), answer[rows])))
            count += int(view.counts.sum())
        return -total / count

    @property
    def scores_output(self) -> bool:
        """Whether the score is that of the output, and not of the J-invariant prediction.

        Under masks the fill is a denoiser, too, so that a denoiser that does nothing would
        score well by the J-invariant prediction, while its plain output is the noisy data. A
        blend is better with parameters that keep more detail than its prediction alone is.
        """
        return self.output != "invariant" and self.partition is None
