from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sk_n2s import (
    CheckerboardPartition,
    ColumnPartition,
    GridPartition,
    PairPartition,
    RandomPartition,
)

shapes = st.lists(st.integers(2, 7), min_size=1, max_size=4).map(tuple)


@st.composite
def cases(draw):
    """A partition, and an array that it fits, with the axes that it may cut."""
    shape = draw(shapes)
    axes = tuple(sorted(draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))))
    kind = draw(st.sampled_from(["grid", "strides", "checkerboard", "random", "column", "pair"]))
    if kind == "grid":
        partition = GridPartition(2)
    elif kind == "strides":
        strides = [draw(st.integers(1, shape[a])) for a in axes]
        strides[0] = max(strides[0], 2)
        partition = GridPartition(tuple(strides))
    elif kind == "checkerboard":
        partition = CheckerboardPartition()
    elif kind == "random":
        n_splits = draw(st.integers(2, min(5, np.prod([shape[a] for a in axes]))))
        partition = RandomPartition(n_splits, random_state=draw(st.integers(0, 9)))
    elif kind == "column":
        partition = ColumnPartition(draw(st.integers(2, shape[axes[-1]])), axis=axes[-1])
    else:
        shape = (2 * shape[0], *shape[1:])
        partition = PairPartition(axis=0)
    return partition, np.zeros(shape), axes


@given(cases())
def test_sets_are_disjoint_and_cover_the_array(case):
    partition, X, axes = case
    times_scored = np.zeros(X.shape, dtype=int)
    sets = list(partition.split(X, axes))
    for hidden, scored in sets:
        times_scored[scored] += 1
        is_hidden = np.zeros(X.shape, dtype=bool)
        is_hidden[hidden] = True
        assert is_hidden[scored].all()
        assert 0 < is_hidden.sum() < X.size
    np.testing.assert_array_equal(times_scored, 1)
    assert len(sets) == partition.get_n_splits(X, axes)


@given(cases())
def test_totals_are_the_sums_over_the_sets(case):
    partition, X, axes = case
    values = np.arange(X.size, dtype=float).reshape(X.shape) ** 2
    one_by_one = [values[scored].sum() for _, scored in partition.split(X, axes)]
    np.testing.assert_allclose(partition.totals(values, axes), one_by_one)


@given(cases(), st.data())
def test_a_piece_at_multiples_of_the_period_is_divided_as_in_the_whole(case, data):
    partition, X, axes = case
    period = partition.period(X.ndim, axes)
    if any(not p for p in period):
        assert isinstance(partition, RandomPartition | PairPartition)
        return
    start = [p * data.draw(st.integers(0, (n - 1) // p)) for p, n in zip(period, X.shape)]
    piece = tuple(slice(s, None) for s in start)
    try:
        parts = list(partition.split(X[piece], axes))
    except ValueError:
        return  # the piece is too small for the partition
    for (hidden, _), (part, _) in zip(partition.split(X, axes), parts, strict=True):
        whole, inside = np.zeros(X.shape, dtype=bool), np.zeros(X[piece].shape, dtype=bool)
        whole[hidden], inside[part] = True, True
        np.testing.assert_array_equal(whole[piece], inside)


@given(cases())
def test_axes_that_may_not_be_cut_are_hidden_whole(case):
    partition, X, axes = case
    if isinstance(partition, ColumnPartition | PairPartition):
        return  # these name the axis that they cut
    others = tuple(a for a in range(X.ndim) if a not in axes)
    for hidden, _ in partition.split(X, axes):
        is_hidden = np.zeros(X.shape, dtype=bool)
        is_hidden[hidden] = True
        np.testing.assert_array_equal(is_hidden.any(axis=others), is_hidden.all(axis=others))


def test_geometry_is_selected_by_strided_slices():
    X = np.zeros((8, 8))
    for partition in (GridPartition(4), ColumnPartition(4), PairPartition()):
        for hidden, _ in partition.split(X):
            assert all(isinstance(part, slice) for part in hidden)


def test_checkerboard_neighbours_have_the_other_colour():
    black = next(CheckerboardPartition().split(np.zeros((5, 6))))[0]
    assert (black[1:] != black[:-1]).all()
    assert (black[:, 1:] != black[:, :-1]).all()


def test_random_sets_have_equal_sizes_and_follow_the_seed():
    X = np.zeros((10, 11))
    first = [h for h, _ in RandomPartition(4, random_state=3).split(X)]
    again = [h for h, _ in RandomPartition(4, random_state=3).split(X)]
    other = [h for h, _ in RandomPartition(4, random_state=4).split(X)]
    assert {int(h.sum()) for h in first} == {27, 28}
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_pair_stands_in_with_the_other_copy():
    X = np.arange(12.0).reshape(3, 4)
    for hidden, _ in PairPartition(axis=1).split(X):
        stand_in = PairPartition(axis=1).stand_in(X, hidden)
        assert set(stand_in.ravel()) == set(X.ravel()) - set(X[hidden].ravel())
        np.testing.assert_array_equal(np.abs(stand_in - X[hidden]), 2)


@pytest.mark.parametrize(
    ("partition", "shape", "message"),
    [
        (GridPartition(4), (3, 8), r"stride=4 .* axis 0 .*stride=\(3, 4\)"),
        (GridPartition((2, 2, 2)), (8, 8), r"stride=\(2, 2, 2\) has 3 values for 2 axes"),
        (GridPartition(1), (8, 8), "stride=1 .* hides all entries"),
        (GridPartition(0), (8, 8), "stride=0 must be an integer of at least 1"),
        (GridPartition(2.5), (8, 8), "stride=2.5 must be an integer"),
        (CheckerboardPartition(), (1, 1), "at least two entries"),
        (RandomPartition(1), (8, 8), "n_splits=1 .* from 2 to 64"),
        (RandomPartition(9), (2, 4), "n_splits=9 .* from 2 to 8"),
        (ColumnPartition(9), (20, 8), "n_splits=9 .* from 2 to 8"),
        (ColumnPartition(2, axis=2), (20, 8), "axis=2 is not an axis"),
        (PairPartition(), (3, 8), "axis=0 .* even length"),
    ],
)
def test_a_partition_that_does_not_fit_says_so(partition, shape, message):
    with pytest.raises(ValueError, match=message):
        partition.get_n_splits(np.zeros(shape))
    with pytest.raises(ValueError, match=message):
        list(partition.split(np.zeros(shape)))


@given(cases())
def test_the_order_has_each_set_once(case):
    partition, X, axes = case
    order = partition.order(X, axes)
    assert sorted(order) == list(range(partition.get_n_splits(X, axes)))


@pytest.mark.parametrize("shape", [(4, 4), (5, 5), (8, 8), (4, 4, 4), (2, 6), (6, 4, 3), (7,)])
def test_the_first_sets_of_a_grid_are_in_each_row_once_and_on_no_diagonal(shape):
    order = GridPartition(shape).order(np.zeros(shape))
    most = max(shape)
    for start in range(0, len(order), most):
        places = np.array(np.unravel_index(order[start : start + most], shape))
        for along, stride in zip(places, shape, strict=True):
            counts = np.bincount(along, minlength=stride)
            assert counts.max() - counts.min() <= (0 if most % stride == 0 else 1)
        if min(shape) == most > 3:
            for a, b in combinations(places, 2):
                assert len(set((a - b) % most)) > 2 and len(set((a + b) % most)) > 2


def test_what_is_random_is_drawn_once():
    X, shown = np.zeros((10, 11)), np.random.RandomState(0)
    for seed in (None, shown):
        drawn = RandomPartition(4, random_state=seed).drawn()
        first, again = ([h for h, _ in drawn.split(X)] for _ in range(2))
        np.testing.assert_array_equal(first, again)
    assert RandomPartition(4, shown).drawn() != RandomPartition(4, shown).drawn()
    for fixed in (RandomPartition(4, 7), GridPartition(2)):
        assert fixed.drawn() is fixed
