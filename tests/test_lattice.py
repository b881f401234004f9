from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sk_n2s import GridPartition, JInvariantWrapper, SelfSupervisedSearchCV, check_j_invariance
from sk_n2s.denoisers import RegressionDenoiser, declare, gaussian, uniform
from sk_n2s.masking import LatticePartition
from sk_n2s.masking.lattice import default_partition, good_steps

shapes = st.lists(st.integers(1, 6), min_size=3, max_size=5).map(tuple)


def sets_of(partition, shape, axes=None):
    """Return the number of the set of each entry, after a look at whether each has one."""
    labels, times = np.full(shape, -1), np.zeros(shape, dtype=int)
    for j, (hidden, scored) in enumerate(partition.split(np.zeros(shape), axes)):
        assert hidden is scored and 0 < labels[hidden].size < labels.size
        labels[scored] = j
        times[scored] += 1
    assert (times == 1).all() and j + 1 == partition.get_n_splits(np.zeros(shape), axes)
    return labels


def shortest(labels, reach):
    """Return the least squared distance of two entries of a set, by looking at all pairs."""
    least = np.inf
    for step in product(range(-reach, reach + 1), repeat=labels.ndim):
        if step <= (0,) * labels.ndim:
            continue
        here = tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(step, labels.shape))
        there = tuple(slice(max(0, s), n - max(0, -s)) for s, n in zip(step, labels.shape))
        if (labels[here] == labels[there]).any():
            least = min(least, np.square(step).sum())
    return least


@settings(deadline=None)
@given(shapes)
def test_default_sets_are_disjoint_and_cover_data_of_any_lengths(shape):
    if max(shape) == 1:
        with pytest.raises(ValueError, match="no other entry"):
            default_partition(np.zeros(shape), tuple(range(len(shape))))
        return
    partition = default_partition(np.zeros(shape), tuple(range(len(shape))))
    labels = sets_of(partition, shape)
    longer = sum(n > 1 for n in shape)
    assert isinstance(partition, GridPartition if longer <= 2 else LatticePartition)
    assert labels.max() < 16
    assert sorted(partition.order(np.zeros(shape))) == list(range(labels.max() + 1))
    values = np.random.default_rng(0).normal(size=shape)
    np.testing.assert_allclose(
        partition.totals(values), [values[labels == j].sum() for j in range(labels.max() + 1)]
    )
    # Direct neighbours of a hidden entry are visible.
    for axis in range(len(shape)):
        assert (np.diff(labels, axis=axis) != 0).all()


@pytest.mark.parametrize("shape", [(1, 9, 6), (9, 1, 1, 2), (12,), (3, 9)])
def test_along_two_axes_or_one_the_default_is_the_grid_of_stride_4(shape):
    found = default_partition(np.zeros(shape), tuple(range(len(shape))))
    assert found == GridPartition(tuple(min(4, n) for n in shape))


@pytest.mark.parametrize(("ndim", "least"), [(2, 16), (3, 6), (4, 4), (5, 3)])
def test_entries_of_a_set_are_far_apart(ndim, least):
    labels = sets_of(LatticePartition(), (6,) * ndim)
    assert shortest(labels, 4 if ndim == 2 else 2) == least


@pytest.mark.parametrize("shape", [(5, 6, 7), (5, 5, 2), (4, 3, 4, 3), (2, 2, 2), (3, 3, 3, 1)])
def test_all_adjacent_entries_are_visible_along_up_to_four_axes(shape):
    labels = sets_of(default_partition(np.zeros(shape), tuple(range(len(shape)))), shape)
    found = [
        np.lib.stride_tricks.sliding_window_view(labels, tuple(min(2, n) for n in shape)).reshape(
            -1, int(np.prod([min(2, n) for n in shape]))
        )
    ][0]
    assert all(len(set(box)) == len(box) for box in found)


def test_steps_are_the_best_there_are():
    for n_splits in (8, 12, 16):
        best = 0
        for rest in product(range(1, n_splits), repeat=2):
            labels = np.tensordot((1, *rest), np.indices((6, 6, 6)), 1) % n_splits
            best = max(best, shortest(labels, 3))
        assert shortest(sets_of(LatticePartition(n_splits), (6, 6, 6)), 3) == best


def test_many_axes_are_quick_and_short_ones_take_no_part():
    assert len(good_steps(16, (16,) * 9)) == 9
    assert good_steps(16, (0, 16, 0, 16, 16)) == (0, 1, 0, 3, 5)


@settings(deadline=None)
@given(shapes, st.integers(2, 20), st.data())
def test_a_piece_at_multiples_of_the_period_is_divided_as_in_the_whole(shape, n_splits, data):
    partition = LatticePartition(n_splits)
    period = partition.period(len(shape))
    shape = tuple(n + data.draw(st.integers(0, p)) for n, p in zip(shape, period))
    if np.prod(shape) > 20000:
        return
    start = [p * data.draw(st.integers(0, (n - 1) // p)) for p, n in zip(period, shape)]
    piece = tuple(slice(s, None) for s in start)
    try:
        whole, part = sets_of(partition, shape), sets_of(partition, np.zeros(shape)[piece].shape)
    except ValueError as error:
        assert "leaves sets without any entry" in str(error)
        return
    np.testing.assert_array_equal(whole[piece], part)


def test_axes_that_may_not_be_cut_stay_whole():
    labels = sets_of(LatticePartition(), (5, 6, 3, 7), (0, 1, 3))
    assert (labels == labels[:, :, :1]).all()
    assert LatticePartition().period(4, (0, 1, 3))[2] == 1


@pytest.mark.parametrize(
    ("partition", "shape", "message"),
    [
        (LatticePartition(1), (4, 4), "n_splits=1 of LatticePartition must be an integer"),
        (LatticePartition(2.5), (4, 4), "n_splits=2.5 of LatticePartition must be an integer"),
        (LatticePartition(16), (2, 2, 3), "n_splits=16 .* without any entry .* give fewer"),
        (LatticePartition(4, (1, 2, 3)), (4, 4), r"steps=\(1, 2, 3\) .* tuple of 2 integers"),
        (LatticePartition(4, (2, 2)), (4, 4), "leaves sets without any entry"),
    ],
)
def test_what_does_not_fit_is_refused(partition, shape, message):
    for way in (partition.get_n_splits, lambda X: list(partition.split(X))):
        with pytest.raises(ValueError, match=message):
            way(np.zeros(shape))


@pytest.mark.parametrize("ndim", [3, 4, 5])
def test_a_denoiser_is_called_16_times_and_sees_nothing_of_what_it_predicts(ndim):
    X = np.random.default_rng(0).normal(size=(9, 7, 5, 4, 3)[:ndim])
    wrapper = JInvariantWrapper(gaussian, sigma=0.7, method="mask")
    views = list(wrapper.view_plan(X).views(X))
    assert len(views) == 16
    check_j_invariance(wrapper, X, random_state=0, n_sets=3)
    labels = sets_of(default_partition(X, tuple(range(ndim))), X.shape)
    for j, view in enumerate(views):
        np.testing.assert_array_equal(view.input != X, labels == j)


@pytest.mark.parametrize("shape", [(8, 8, 8), (5, 6, 4, 5), (4, 4, 4, 4, 4), (20, 30)])
def test_the_first_sets_see_each_phase_of_a_texture_as_often(shape):
    X = np.zeros(shape)
    order = np.array(LatticePartition().order(X))
    for count in (4, 8, 12):
        np.testing.assert_array_equal(np.bincount(order[:count] % 4, minlength=4), count // 4)
    assert sorted(j % 3 for j in LatticePartition(15).order(X)[:3]) == [0, 1, 2]


def test_the_first_sets_tell_the_loss_where_a_texture_is():
    losses = np.indices((24, 24, 24)).sum(axis=0) % 2 * 5.0
    losses += np.random.default_rng(0).exponential(size=losses.shape)
    of_sets = np.array([losses[scored].mean() for _, scored in LatticePartition().split(losses)])
    first = LatticePartition().order(losses)[:4]
    assert abs(of_sets[first].mean() - losses.mean()) < 0.1
    # Sets that are as far apart as possible see one colour of the checkerboard.
    assert abs(of_sets[[0, 2, 6, 12]].mean() - losses.mean()) > 1


def test_a_search_chooses_by_some_of_the_sets():
    rng = np.random.default_rng(0)
    clean = np.cumsum(np.cumsum(rng.normal(size=(12, 12, 12)), 0), 1) / 10
    noisy = clean + rng.normal(size=clean.shape)
    search = SelfSupervisedSearchCV(
        JInvariantWrapper(uniform, method="mask"), {"radius": [1, 2]}
    ).fit(noisy)
    assert search.n_splits_ == 4


@pytest.mark.parametrize("chunks", [(16, 20, 10), (7, 9, 10), (40, 5, 3)])
def test_blocks_of_dask_are_divided_as_the_whole(chunks):
    da = pytest.importorskip("dask.array")
    X = np.random.default_rng(0).normal(size=(40, 36, 10)).astype(np.float32)
    smooth = declare(reach=1)(lambda X: uniform(X, radius=1))
    wrapper = JInvariantWrapper(smooth, method="mask").fit(X)
    whole = wrapper.transform(X)
    blocks = wrapper.transform(da.from_array(X, chunks=chunks)).compute(scheduler="synchronous")
    np.testing.assert_allclose(blocks, whole, atol=1e-5)
    assert blocks.dtype == np.float32


def test_what_is_predicted_by_regression_is_scored_by_as_many_sets():
    X = np.zeros((6, 7, 8))
    assert RegressionDenoiser().view_plan(X).get_n_splits(X) == 16
