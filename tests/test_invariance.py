"""No prediction depends on the entry that it predicts: every partition x fill x denoiser."""

from functools import partial
from itertools import product

import numpy as np
import pytest
from cases import FILLS, MOST_AXES, PARTITIONS

from sk_n2s import (
    CheckerboardPartition,
    ColumnPartition,
    GridPartition,
    JInvariantWrapper,
    RandomPartition,
    check_j_invariance,
)
from sk_n2s.denoisers import (
    DENOISERS,
    RegressionDenoiser,
    declare,
    gaussian,
    get_exact_form,
    median,
    tv,
)
from sk_n2s.masking import MeanFill

SHAPES = [(30,), (8, 9), (4, 3, 3)]
#: Cheaper than the defaults, and no less able to leak.
PARAMS = {
    "bilateral": {"radius": 1},
    "wavelet": {"max_shifts": 0},
    "nl_means": {"patch_size": 3, "patch_distance": 1},
    "lichi": {"patch_size": 2, "group_size": 2, "window": 2, "n_steps": 2},
    "nl_ridge": {"patch_size": 2, "group_size": 2, "window": 2},
    "dct": {"patch_size": 4, "step": 2},
    "tv": {"num_iter": 5},
    "tv_bregman": {"num_iter": 10},
    "median": {"radius": 2},
    "uniform": {"radius": 2},
}
METHODS = [
    (name, method, shape)
    for name, denoiser in DENOISERS.items()
    for shape in SHAPES
    if len(shape) <= MOST_AXES.get(name, len(shape))
    for method in ("mask", "exact")
    if method == "mask" or get_exact_form(denoiser)
]
PAIRS = list(product(PARTITIONS, FILLS))


def _pairs_for(shape):
    """Footprints that name each axis are there for data of two axes."""
    two = len(shape) == 2
    return [(p, f) for p, f in PAIRS if two or not isinstance(getattr(p, "footprint", 0), tuple)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_partition_with_every_fill(shape, rng):
    X = 100 + 10 * rng.normal(size=shape)
    for partition, fill in _pairs_for(shape):
        wrapper = JInvariantWrapper(gaussian, partition=partition, fill=fill, method="mask")
        check_j_invariance(wrapper, X, random_state=0, n_sets=1)


@pytest.mark.parametrize(
    ("name", "method", "shape", "partition", "fill"),
    # Pairs in turn, so that all partitions and all fills occur.
    [
        (*case, *pairs[11 * k % len(pairs)])
        for k, case in enumerate(METHODS)
        for pairs in [_pairs_for(case[-1])]
    ],
    ids=str,
)
def test_every_denoiser_with_a_partition_and_a_fill(name, method, shape, partition, fill, rng):
    wrapper = JInvariantWrapper(
        DENOISERS[name], partition=partition, fill=fill, method=method, **PARAMS.get(name, {})
    )
    X = 100 + 10 * rng.normal(size=shape)
    check_j_invariance(wrapper, X, random_state=0, n_sets=2)


@pytest.mark.parametrize("mode", ["nearest", "reflect", "mirror", "wrap"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    "wrapper",
    [JInvariantWrapper(median, radius=4), JInvariantWrapper(gaussian, sigma=1.5)],
    ids=["median", "gaussian"],
)
def test_borders_leak_nothing(wrapper, shape, mode, rng):
    X = rng.normal(size=shape)
    check_j_invariance(wrapper.set_params(mode=mode), X, random_state=0, n_sets=6)


@pytest.mark.parametrize("method", ["mask", "exact"])
@pytest.mark.parametrize("denoiser", [median, gaussian], ids=["median", "gaussian"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_missing_entries_leak_nothing(denoiser, method, dtype, rng):
    X = rng.normal(size=(14, 15)).astype(dtype)
    X[rng.random(X.shape) < 0.4] = np.nan
    check_j_invariance(JInvariantWrapper(denoiser, method=method), X, random_state=0, n_sets=4)


@pytest.mark.parametrize("partition", PARTITIONS[1:], ids=str)
def test_missing_entries_channels_and_items_leak_nothing_together(partition, rng):
    X = rng.normal(size=(2, 6, 8, 3))
    X[rng.random(X.shape) < 0.2] = np.nan
    if isinstance(partition, ColumnPartition):
        partition = ColumnPartition(3, axis=2)
    for fill in FILLS:
        wrapper = JInvariantWrapper(
            gaussian, partition=partition, fill=fill, channel_axis=-1, batch_axis=0
        )
        check_j_invariance(wrapper, X, random_state=0, n_sets=1)


def test_counts_stay_counts_while_they_are_checked(rng):
    X = rng.poisson(3.0, size=(12, 12))

    def root(X):
        assert (X >= 0).all()
        return gaussian(np.sqrt(X)) ** 2

    check_j_invariance(JInvariantWrapper(root), X, random_state=0)


def test_what_cannot_be_checked_says_so(rng):
    with pytest.raises(TypeError, match="must be a JInvariantWrapper"):
        check_j_invariance(median, rng.normal(size=(8, 8)))
    with pytest.raises(ValueError, match="n_sets=0"):
        check_j_invariance(JInvariantWrapper(median), rng.normal(size=(8, 8)), n_sets=0)


def test_channels_and_items_leak_nothing(rng):
    X = rng.normal(size=(2, 10, 11, 3))
    for denoiser in (partial(tv, num_iter=5), median):
        wrapper = JInvariantWrapper(denoiser, channel_axis=-1, batch_axis=0)
        check_j_invariance(wrapper, X, random_state=0, n_sets=3)


def test_a_partition_that_draws_anew_at_each_call_is_no_leak(rng):
    wrapper = JInvariantWrapper(tv, partition=RandomPartition(3))
    check_j_invariance(wrapper, rng.normal(size=(10, 10)), random_state=0, n_sets=3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("name", ["median", "uniform", "gaussian", "tv", "bilateral"])
def test_no_scale_or_offset_raises_a_false_alarm(name, scale, dtype, rng):
    partition = None if get_exact_form(DENOISERS[name]) else CheckerboardPartition()
    for offset in (0, 1000):
        X = (scale * (offset + rng.normal(size=(14, 15)))).astype(dtype)
        wrapper = JInvariantWrapper(DENOISERS[name], partition=partition)
        check_j_invariance(wrapper, X, random_state=0, n_sets=2)


class _Leaky(JInvariantWrapper):
    """Broken on purpose: a little of what was hidden comes back."""

    def predict_view(self, view):
        return super().predict_view(view) + 1e-4 * view.target


def _peeking_exact(X):
    return 0.9 * median(X, radius=1)


@declare(exact=_peeking_exact)
def _peeking(X):
    return 0.9 * median(X, radius=1)


def _border_leak_exact(X):
    """The usual formula with the same centre weight everywhere: wrong at the border."""
    centre = gaussian(np.eye(1, 41, 20)[0])[20] ** X.ndim
    return (gaussian(X) - centre * X) / (1 - centre)


@declare(exact=_border_leak_exact)
def _border_leak(X):
    return gaussian(X)


@pytest.mark.parametrize(
    "broken",
    [
        _Leaky(median, method="mask"),
        _Leaky(median),
        JInvariantWrapper(_peeking),
        JInvariantWrapper(_border_leak),
    ],
    ids=["leaky mask", "leaky exact", "not a donut", "leaky border"],
)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_what_is_broken_on_purpose_is_found(broken, shape, rng):
    X = rng.normal(size=shape)
    for dtype in (np.float64, np.float32):
        with pytest.raises(AssertionError, match="is not J-invariant"):
            check_j_invariance(broken, X.astype(dtype), random_state=0)


def test_the_plain_output_is_not_what_is_checked(rng):
    check_j_invariance(JInvariantWrapper(tv, output="plain"), rng.normal(size=(12, 12)), 0)


def test_what_hides_no_sets_of_a_partition_is_refused(rng):
    class Other(RegressionDenoiser):
        def view_plan(self, X):
            return super().view_plan(X).__class__(GridPartition(2), MeanFill(), (0, 1), False)

    for estimator in (median, Other()):
        with pytest.raises(TypeError, match="JInvariantWrapper"):
            check_j_invariance(estimator, rng.normal(size=(8, 8)), 0)


@pytest.mark.parametrize(
    "X",
    [[1.0, np.nan, 2.0, np.nan], [1.0, np.nan, 5.0, 2.0], [1, 2, 3, 4], [1, 1, 1, 2]],
    ids=["two of four", "three of four", "four", "two values"],
)
@pytest.mark.parametrize("method", ["mask", "exact"])
def test_few_entries_do_not_make_a_denoiser_one_that_remembers(method, X):
    for denoiser, seed in product((gaussian, median), range(8)):
        check_j_invariance(JInvariantWrapper(denoiser, method=method), X, random_state=seed)


def test_messages_show_the_partition_of_the_user():
    wrapper = JInvariantWrapper(median, method="mask", partition=CheckerboardPartition())
    with pytest.raises(ValueError, match=r"lie in one set of CheckerboardPartition\(\), so"):
        check_j_invariance(wrapper, [1.0, np.nan, 2.0, np.nan], random_state=0)
