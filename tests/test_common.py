"""The common checks: what the package offers passes them, and each finds what breaks a promise."""

import importlib
import inspect
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from cases import FILLS, LOSSES, NOISES, PARTITIONS
from scipy import ndimage
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from test_project import ROOMS

from sk_n2s import (
    AutoDenoiser,
    BlindSpotPartition,
    GridPartition,
    JInvariantWrapper,
    Partition,
    SelfSupervisedHalvingSearchCV,
    SelfSupervisedRandomizedSearchCV,
    SelfSupervisedSearchCV,
    SelfSupervisedStacker,
)
from sk_n2s._utils.base import Axes, BaseDenoiser
from sk_n2s.denoisers import DENOISERS, RegressionDenoiser, declare, gaussian, median, tv
from sk_n2s.masking import Fill, MeanFill
from sk_n2s.noise import NoiseModel
from sk_n2s.risk.sure import probed_divergence
from sk_n2s.testing import (
    check,
    checks_of,
    denoisers,
    estimators,
    fills,
    losses,
    noise,
    parametrize_with_checks,
    partitions,
)

# What the package offers -------------------------------------------------------------

MEDIANS = {"radius": [1, 2]}
ESTIMATORS = [
    JInvariantWrapper(median),
    JInvariantWrapper(tv, weight=1.0, num_iter=5),
    JInvariantWrapper(PCA(3), method="mask", partition=GridPartition(2)),
    JInvariantWrapper(tv, output="plain", weight=1.0),
    JInvariantWrapper(gaussian, output="blend"),
    RegressionDenoiser(Ridge(), radius=1, scales=(1,)),
    SelfSupervisedStacker(
        [("median", JInvariantWrapper(median)), ("tv", JInvariantWrapper(tv, output="plain"))]
    ),
    SelfSupervisedSearchCV(JInvariantWrapper(median), MEDIANS),
    SelfSupervisedHalvingSearchCV(JInvariantWrapper(median, output="blend"), MEDIANS),
    SelfSupervisedRandomizedSearchCV(JInvariantWrapper(median), MEDIANS, n_iter=2),
    AutoDenoiser("fast"),
]


@parametrize_with_checks(
    [*DENOISERS.values(), partial(median, radius=2), *PARTITIONS[1:], *FILLS, *LOSSES, *NOISES]
)
def test_functions_partitions_fills_losses_and_noise(thing, check):
    check(thing)


@parametrize_with_checks(ESTIMATORS)
def test_estimators(thing, check):
    check(thing)


# What is broken on purpose, each in one way -------------------------------------------


def _double(X):
    return np.array(X, dtype=np.float64)


def _writes(X):
    X *= 0.5
    return X.copy()


def _in_order_of_memory(X):
    return X.ravel("K").reshape(X.shape)


def _from_0_to_1(X):
    X = np.asarray(X)
    return X / 255 if X.dtype == np.uint8 else 1.0 * X


def _arrays_only(X):
    return X.astype(X.dtype if X.dtype.kind == "f" else float)


def _random(X):
    return X + np.random.default_rng().normal(size=X.shape).astype(X.dtype)


def _standardised(X):
    with np.errstate(invalid="ignore"):
        return (X - X.mean()) / X.std()


_MEMORY = {}


def _remembers(X):
    return _MEMORY.setdefault(X.shape, X.copy())


def _channels_last(X, *, channel_axis=None):
    return X + np.arange(X.shape[-1])


def _identity(X):
    return np.array(X)


def _neighbours(X):
    return (np.roll(X, 1, axis=0) + np.roll(X, -1, axis=0)) / 2


def _half(X):
    X *= 0.5
    return X


def _zeros_for_missing(X):
    return _neighbours(np.where(np.isnan(X), X.dtype.type(0), X))


@declare(reach=1)
def _wraps(X):
    return _neighbours(X)


@declare(reach=1, exactly=False)
def _far(X):
    return ndimage.uniform_filter(X, 9)


@declare(exact=_double)
def _double_form(X):
    return np.array(X)


@declare(exact=_half)
def _writing_form(X):
    return np.array(X)


def _louder(X):
    return 1.01 * gaussian.exact(X)


@declare(exact=_louder)
def _off_by_a_hundredth(X):
    return gaussian(X)


@declare(exact=_identity)
def _peeking(X):
    return np.array(X)


@declare(exact=_neighbours, handles_missing=True)
def _spreading(X):
    return np.array(X)


@declare(exact=_zeros_for_missing, handles_missing=True)
def _darkening(X):
    return np.array(X)


@dataclass(frozen=True)
class Rows(Partition):
    """Every n-th row: not broken."""

    n_splits: int = 3

    def get_n_splits(self, X, axes=None):
        if X.shape[0 if axes is None else axes[0]] < self.n_splits:
            raise ValueError(f"n_splits={self.n_splits} of Rows is more than there are rows.")
        return self.n_splits

    def labels(self, X, axes):
        axis = 0 if axes is None else axes[0]
        return (
            np.broadcast_to(
                np.arange(X.shape[axis]).reshape([-1 if a == axis else 1 for a in range(X.ndim)]),
                X.shape,
            )
            % self.n_splits
        )

    def split(self, X, axes=None):
        for j in range(self.get_n_splits(X, axes)):
            inside = self.labels(X, axes) == j
            yield inside, inside


class _SameTwice(Rows):
    def split(self, X, axes=None):
        sets = list(super().split(X, axes))
        return iter([sets[0], *sets[:-1]])


class _HidesAnother(Rows):
    def split(self, X, axes=None):
        sets = [hidden for hidden, _ in super().split(X, axes)]
        return zip(sets, np.roll(sets, 1, axis=0), strict=True)


class _OneMore(Rows):
    def get_n_splits(self, X, axes=None):
        return super().get_n_splits(X, axes) + 1

    def split(self, X, axes=None):
        return list(super().split(X, axes))[:-1]


class _TotalsTwice(Rows):
    def totals(self, values, axes=None):
        return 2 * super().totals(values, axes)


class _PeriodOfTwo(Rows):
    def period(self, ndim, axes=None):
        return (2,) * ndim


class _CountsFromTheEnd(Rows):
    n_splits = 2

    def labels(self, X, axes):
        return super().labels(X, axes) ^ (X.shape[0] // 2 % 2)

    def period(self, ndim, axes=None):
        return tuple(2 if a == (0 if axes is None else axes[0]) else 1 for a in range(ndim))


class _CutsChannels(Rows):
    def split(self, X, axes=None):
        return super().split(X, (X.ndim - 1,))


class _TakesAll(Rows):
    def get_n_splits(self, X, axes=None):
        return self.n_splits


class _WithoutEquality(Rows):
    __eq__ = object.__eq__
    __hash__ = object.__hash__


class _StandsInForItself(Rows):
    def stand_in(self, X, hidden):
        return X[hidden]


class _HidesTheCentreAlone(BlindSpotPartition):
    def split(self, X, axes=None):
        for _, scored in super().split(X, axes):
            yield scored, scored


class _DrawnAnew(Rows):
    def labels(self, X, axes):
        labels = super().labels(X, axes)
        return np.random.default_rng().permuted(labels, axis=0)


@dataclass(frozen=True)
class Mean(Fill):
    """The mean of what is visible: not broken."""

    def values(self, X, visible, where, axes):
        return np.full_like(X, X[visible].mean())[where]


class _ShowsHidden(Mean):
    def values(self, X, visible, where, axes):
        return np.nan_to_num(X[where])


class _FillsInPlace(Mean):
    def values(self, X, visible, where, axes):
        X[where] = super().values(X, visible, where, axes)
        return X[where]


class _GivesNaN(Mean):
    def values(self, X, visible, where, axes):
        return np.nan * super().values(X, visible, where, axes)


class _GivesDouble(Mean):
    def values(self, X, visible, where, axes):
        return super().values(X, visible, where, axes).astype(np.float64)


class _TransposesSlices(Mean):
    def values(self, X, visible, where, axes):
        return super().values(X, visible, where, axes) + isinstance(where, tuple)


class _DrawsAnew(Mean):
    def values(self, X, visible, where, axes):
        return super().values(X, visible, where, axes) + np.random.default_rng().normal()


class _SaysOne(Mean):
    reach = 1


class _OtherThanItsCopy(Mean):
    __eq__ = object.__eq__
    __hash__ = object.__hash__


def _mean_loss(target, prediction):
    return np.nanmean((target - prediction) ** 2)


def _double_loss(target, prediction):
    return (target - prediction).astype(np.float64) ** 2


def _scores_missing(target, prediction):
    return np.nan_to_num((target - prediction) ** 2)


def _writing_loss(target, prediction):
    target -= prediction
    return target**2


def _score(target, prediction):
    return -np.abs(target - prediction)


class _Negative(NoiseModel):
    def variance(self, signal):
        return -super().variance(signal)


class _SaysVarying(NoiseModel):
    is_uniform = False


class _TooLoud(NoiseModel):
    def sample(self, signal, random_state=None):
        return 1.5 * super().sample(signal, random_state)


class _Shifts(NoiseModel):
    def sample(self, signal, random_state=None):
        return np.ones_like(signal)


class _IgnoresSeeds(NoiseModel):
    def sample(self, signal, random_state=None):
        return super().sample(signal)


class _NeverCut(NoiseModel):
    def within(self, part):
        return self


class _UnlikeItsCopy(NoiseModel):
    __eq__ = object.__eq__
    __hash__ = None


class _WithoutText(NoiseModel):
    __repr__ = object.__repr__


class Smooth(BaseDenoiser):
    """A Gaussian filter: not broken."""

    def __init__(self, sigma=1.0, noise=None):
        self.sigma = sigma
        self.noise = noise

    def fit(self, X, y=None):
        array = self._as_data(X)
        self._remember(X, array)
        return self

    def _denoise(self, X):
        missing = np.isnan(X)
        return gaussian(MeanFill()(X, missing) if missing.any() else X, sigma=self.sigma)

    def output_and_divergence(self, X, noise):
        output = self._denoise(X)
        return output, probed_divergence(self._denoise, X, output, noise)


class _Double(Smooth):
    def _denoise(self, X):
        return super()._denoise(X).astype(np.float64)


class _WritesIntoX(Smooth):
    def _denoise(self, X):
        X += 1
        return super()._denoise(X)


class _Scales(Smooth):
    def _as_data(self, X):
        return super()._as_data(X) / (255 if np.asarray(X).dtype == np.uint8 else 1)


class _LeavesNaN(Smooth):
    def _denoise(self, X):
        return gaussian(X)


class _PredictsOther(Smooth):
    def predict(self, X):
        return self.transform(X) + 1


class _NoDivergence(Smooth):
    def output_and_divergence(self, X, noise):
        return self._denoise(X), np.zeros(())


class _Unseeded(Smooth):
    def _denoise(self, X):
        return super()._denoise(X) + np.random.default_rng().normal()


class _ChangesSigma(Smooth):
    def fit(self, X, y=None):
        self.sigma = 2.0
        return super().fit(X)


class _WithAddress(Smooth):
    __repr__ = object.__repr__


class _TakesAnyAxes(Smooth):
    def transform(self, X):
        return self._denoise(self._as_data(X))


class _AlwaysTheFirst(Smooth):
    def axes(self, ndim):
        return Axes(None, None, (0,))


class _NotBlind(Smooth):
    is_j_invariant = True

    def output_and_divergence(self, X, noise):
        return self._denoise(X), np.zeros(())


class _BlindWithDivergence(Smooth):
    is_j_invariant = True


class _Leaky(JInvariantWrapper):
    def predict_view(self, view):
        return super().predict_view(view) + 1e-4 * view.target


class _MixesItems(JInvariantWrapper):
    def _denoise(self, X):
        return super()._denoise(X) + X.mean()


class _ForgetsNames(Smooth):
    def fit(self, X, y=None):
        return super().fit(np.asarray(X))


class _Computes(Smooth):
    def _as_data(self, X):
        return super()._as_data(np.asarray(X))


class _RefusesWithoutAWord(Smooth):
    def _as_data(self, X):
        if type(X).__module__.startswith("dask"):
            raise TypeError("no.")
        return super()._as_data(X)


BROKEN = [
    (denoisers.check_shape_and_dtype_stay, _double, "must return finite values of that dtype"),
    (denoisers.check_input_is_not_written_to, _writes, "writes into its data"),
    (denoisers.check_memory_layout_does_not_matter, _in_order_of_memory, "for Fortran-ordered"),
    (denoisers.check_memory_layout_does_not_matter, _writes, "for read-only data"),
    (denoisers.check_integers_and_lists_are_read_as_floats, _from_0_to_1, "for integers"),
    (denoisers.check_integers_and_lists_are_read_as_floats, _arrays_only, "for lists"),
    (denoisers.check_answers_are_repeatable, _random, "differently for the same data"),
    (denoisers.check_blank_data_stay_finite, _standardised, "0.0 everywhere"),
    (denoisers.check_masks_leak_nothing, _remembers, "it remembers"),
    (denoisers.check_pickles_inside_a_wrapper, lambda X: 1.0 * np.asarray(X), "top level"),
    (denoisers.check_channels_may_lie_along_any_axis, _channels_last, "another axis"),
    (denoisers.check_nothing_beyond_the_reach_counts, _wraps, "more than 1 away along axis 0"),
    (denoisers.check_nothing_beyond_the_reach_counts, _far, "more than 1 away along axis 0"),
    (denoisers.check_exact_form_keeps_shape_and_dtype, _double_form, "its exact form returns"),
    (denoisers.check_exact_form_does_not_write, _writing_form, "for read-only data"),
    (denoisers.check_exact_form_is_j_invariant, _peeking, "is not J-invariant"),
    (
        denoisers.check_exact_form_is_on_the_scale_of_the_denoiser,
        _off_by_a_hundredth,
        "is off by 0.03",
    ),
    (denoisers.check_exact_form_leaves_missing_entries_out, _spreading, "spread"),
    (denoisers.check_exact_form_leaves_missing_entries_out, _darkening, "for blank data"),
    (partitions.check_scored_sets_are_disjoint_and_cover, _SameTwice(), "and 56 in several"),
    (partitions.check_scored_entries_are_hidden, _HidesAnother(), "must hide what it scores"),
    (partitions.check_n_splits_is_the_number_of_sets, _OneMore(), "yields 3 sets .* returns 4"),
    (partitions.check_totals_are_sums_over_the_sets, _TotalsTwice(), "returns other totals"),
    (partitions.check_sets_repeat_themselves_by_the_period, _PeriodOfTwo(), "after 2 entries"),
    (partitions.check_a_piece_is_divided_as_the_whole, _CountsFromTheEnd(2), "divides a piece"),
    (partitions.check_axes_that_may_not_be_cut_stay_whole, _CutsChannels(), "cuts axis 2"),
    (partitions.check_what_does_not_fit_is_refused, _TakesAll(), "and takes it"),
    (partitions.check_copies_are_equal, _WithoutEquality(), "frozen dataclass"),
    (partitions.check_what_stands_in_is_not_hidden, _StandsInForItself(), "stand in for"),
    (partitions.check_a_wrapper_with_it_is_j_invariant, _StandsInForItself(), "not J-invariant"),
    (
        partitions.check_a_prediction_does_not_depend_on_its_footprint,
        _HidesTheCentreAlone(1),
        "shows entries of the footprint",
    ),
    (partitions.check_sets_are_the_same_at_every_call, _DrawnAnew(), "random_state"),
    (fills.check_hidden_entries_do_not_count, _ShowsHidden(), "hidden entries are 1000"),
    (fills.check_visible_entries_stay, _FillsInPlace(), "or the data themselves"),
    (fills.check_values_are_finite, _GivesNaN(), "leaves NaN"),
    (fills.check_float32_stays, _GivesDouble(), "gives float64 for float32"),
    (fills.check_slices_and_masks_give_the_same_values, _TransposesSlices(), "by slices and by"),
    (fills.check_values_are_repeatable, _DrawsAnew(), "other values at each call"),
    (fills.check_nothing_beyond_the_reach_counts, _SaysOne(), "further than 1"),
    (fills.check_copies_are_equal, _OtherThanItsCopy(), "frozen dataclass"),
    (fills.check_a_wrapper_with_it_is_j_invariant, _ShowsHidden(), "is not J-invariant"),
    (losses.check_one_value_for_each_entry, _mean_loss, "one loss for each entry"),
    (losses.check_float32_stays, _double_loss, "returns float64 for float32"),
    (losses.check_a_missing_target_is_not_scored, _scores_missing, "NaN where the target is"),
    (losses.check_arguments_are_not_written_to, _writing_loss, "writes into its arguments"),
    (losses.check_the_truth_has_the_smallest_loss, _score, "return minus a score"),
    (noise.check_variance_is_finite_and_fits, _Negative(1.0), "negative"),
    (noise.check_properties_say_what_the_variance_does, _SaysVarying(1.0), "variances say True"),
    (noise.check_samples_have_the_variance, _TooLoud(1.0), "variance is 2.2"),
    (noise.check_samples_have_the_variance, _Shifts(1.0), "of mean 1"),
    (noise.check_samples_follow_the_seed, _IgnoresSeeds(1.0), "follow random_state"),
    (noise.check_a_part_has_the_noise_of_the_whole, _NeverCut(np.linspace(1, 2, 14)), "must cut"),
    (noise.check_copies_are_equal, _UnlikeItsCopy(1.0), "does not equal a deep copy"),
    (noise.check_text_has_no_address, _WithoutText(1.0), "in plain words"),
    (estimators.check_shape_and_dtype_stay, _Double(), "returns float64 .* for float32"),
    (estimators.check_input_is_not_written_to, _WritesIntoX(), "writes into its data"),
    (estimators.check_integers_and_lists_are_read_as_floats, _Scales(), "for integers"),
    (estimators.check_missing_entries_are_filled, _LeavesNaN(), "does not fill missing"),
    (estimators.check_transform_predict_and_the_contract_agree, _PredictsOther(), "by predict"),
    (estimators.check_estimated_error_is_the_true_error, _NoDivergence(), r"one by -0\.\d"),
    (estimators.check_clones_and_pickles_give_the_same_output, _Unseeded(), "a clone answer"),
    (estimators.check_fit_leaves_parameters_as_they_are, _ChangesSigma(), r"\['sigma'\]"),
    (estimators.check_text_has_no_address, _WithAddress(), "shows an address"),
    (estimators.check_other_axes_are_refused, _TakesAnyAxes(), "before it is fitted"),
    (estimators.check_axes_are_named_once, _AlwaysTheFirst(), r"names the axes \[0\]"),
    (estimators.check_output_does_not_depend_on_its_own_entry, _NotBlind(), "moved by"),
    (
        estimators.check_output_does_not_depend_on_its_own_entry,
        _BlindWithDivergence(),
        "and has a divergence",
    ),
    (estimators.check_predictions_are_j_invariant, _Leaky(median), "is not J-invariant"),
    (estimators.check_items_are_independent, _MixesItems(median), "if another item changes"),
    (estimators.check_column_names_stay, _ForgetsNames(), "loses the names"),
    (estimators.check_dask_arrays_are_refused_or_lazy, _Computes(), "computes a dask array"),
    (estimators.check_dask_arrays_are_refused_or_lazy, _RefusesWithoutAWord(), "saying so"),
]


@pytest.mark.parametrize(
    ("one", "thing", "message"),
    BROKEN,
    ids=[f"{k}-{one.__name__}" for k, (one, *_) in enumerate(BROKEN)],
)
def test_what_is_broken_on_purpose_is_found(one, thing, message):
    assert one in list(checks_of(thing))
    with pytest.raises(AssertionError, match=message):
        one(thing)


def test_each_check_is_shown_to_fail():
    kinds = (denoisers, partitions, fills, losses, noise, estimators)
    every = {
        value
        for kind in kinds
        for value in vars(kind).values()
        if inspect.isfunction(value)
        and value.__module__ == kind.__name__
        and value.__name__.startswith("check_")
    }
    assert {one for one, *_ in BROKEN} == every


@pytest.mark.parametrize("thing", [Rows(), Mean(), Smooth()], ids=str)
def test_what_the_broken_ones_are_made_of_is_not_broken(thing):
    check(thing)


def test_a_function_is_known_by_its_parameters():
    def fill(X, hidden):
        return np.nanmean(X)

    assert fills.check_values_are_finite in list(checks_of(fill))
    assert losses.check_float32_stays in list(checks_of(lambda target, prediction: target))
    assert denoisers.check_shape_and_dtype_stay in list(checks_of(np.asarray))
    check(fill)


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (GridPartition, "GridPartition must be .* an instance"),
        (Ridge(), "wrap other estimators in a JInvariantWrapper"),
        ("mean", "'mean' must be"),
        (lambda X, a, b: X, r"has the parameters \['X', 'a', 'b'\] without a default"),
    ],
)
def test_what_there_are_no_checks_for_says_so(thing, message):
    with pytest.raises(TypeError, match=message):
        checks_of(thing)


def test_a_denoiser_says_what_it_takes():
    def fails(X):
        raise IndexError("too many")

    def refuses(X):
        raise ValueError("no")

    with pytest.raises(AssertionError, match="fails fails for data with 2 axes .* ValueError"):
        check(fails)
    with pytest.raises(AssertionError, match="refuses takes no data"):
        check(refuses)


def test_importing_the_checks_does_not_import_pytest():
    source = Path(inspect.getfile(check)).parent
    for path in source.glob("*.py"):
        assert "\nimport pytest" not in path.read_text()


CONTRIBUTING = (Path(__file__).parents[1] / ".github" / "CONTRIBUTING.md").read_text()


def test_what_contributing_shows_passes_the_checks(tmp_path, monkeypatch):
    """Each block is a file of its own, as it says: what it defines can be pickled."""
    monkeypatch.syspath_prepend(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", CONTRIBUTING, flags=re.DOTALL)
    assert len(blocks) == 7
    for k, block in enumerate(blocks):
        (tmp_path / f"contributed_{k}.py").write_text(block)
        importlib.import_module(f"contributed_{k}")


def test_contributing_names_every_room_in_their_order():
    rooms = re.findall(r"^\| `(\w+)` \|", CONTRIBUTING, flags=re.MULTILINE)
    assert rooms == [room for room in ROOMS if not room.startswith("__")]


def test_a_partition_that_ignores_axes_is_told_so_before_what_follows_from_it():
    with pytest.raises(AssertionError, match="cut only along axes"):
        check(_CutsChannels())
