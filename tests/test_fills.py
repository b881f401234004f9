import numpy as np
import pytest
from cases import FILLS
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from sk_n2s.masking.fills import Fill, MeanFill, MedianFill, RandomFill, ZeroFill, check_fill

hidden_masks = hnp.arrays(bool, hnp.array_shapes(max_dims=3, min_side=2, max_side=6)).filter(
    lambda mask: not mask.all()
)


@pytest.mark.parametrize("fill", FILLS, ids=str)
@given(hidden=hidden_masks, seed=st.integers(0, 99))
def test_a_fill_keeps_what_is_visible_and_never_sees_what_is_hidden(fill, hidden, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=hidden.shape)
    before = X.copy()
    filled = fill(X, hidden)
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(filled[~hidden], X[~hidden])
    assert np.isfinite(filled).all()
    X[hidden] = np.nan
    np.testing.assert_array_equal(fill(X, hidden), filled)


@pytest.mark.parametrize("fill", [f for f in FILLS if not isinstance(f, ZeroFill)], ids=str)
@given(hidden=hidden_masks)
def test_a_constant_is_filled_with_itself(fill, hidden):
    filled = fill(np.full(hidden.shape, 3.0), hidden)
    np.testing.assert_allclose(filled, 3.0, rtol=1e-12)


# A random fill draws one number for each entry that it is asked for, and so differs.
@pytest.mark.parametrize("fill", [f for f in FILLS if not isinstance(f, RandomFill)], ids=str)
def test_slices_and_masks_give_the_same_values(fill, rng):
    X = rng.normal(size=(9, 10, 3))
    where = (slice(1, None, 4), slice(2, None, 3), slice(None))
    visible = np.ones(X.shape, dtype=bool)
    visible[where] = False
    by_slices = fill.values(X, visible, where, (0, 1))
    by_mask = fill.values(X, visible, ~visible, (0, 1))
    np.testing.assert_allclose(by_slices.ravel(), by_mask, rtol=1e-12)


def test_mean_is_a_normalised_convolution(rng):
    kernel = np.array([[0.5, 1, 0.5], [1, 0, 1], [0.5, 1, 0.5]])
    X, hidden = rng.normal(size=(12, 15)), rng.random((12, 15)) < 0.4
    total = ndimage.convolve(np.where(hidden, 0, X), kernel, mode="constant")
    weight = ndimage.convolve((~hidden).astype(float), kernel, mode="constant")
    near = hidden & (weight > 0)
    found = MeanFill("square")(X, hidden)[near]
    np.testing.assert_allclose(found, total[near] / weight[near])
    np.testing.assert_array_equal(MeanFill(kernel)(X, hidden), MeanFill("square")(X, hidden))


def test_named_kernels_in_two_and_three_dimensions():
    hidden = np.zeros((3, 3, 3), dtype=bool)
    hidden[1, 1, 1] = True
    faces, corners = np.zeros((3, 3, 3)), np.zeros((3, 3, 3))
    faces[0, 1, 1] = 1.0
    corners[0, 0, 0] = 1.0
    assert MeanFill("cross")(faces, hidden)[1, 1, 1] == pytest.approx(1 / 6)
    assert MeanFill("cross")(corners, hidden)[1, 1, 1] == 0
    # six faces weigh 1, twelve edges 1/2, eight corners 1/3
    assert MeanFill("square")(corners, hidden)[1, 1, 1] == pytest.approx((1 / 3) / (12 + 8 / 3))


def test_a_hole_is_filled_from_around_it():
    X = np.zeros((40, 40))
    X[:, 20:] = 10.0
    hidden = np.zeros(X.shape, dtype=bool)
    hidden[5:15, 3:13] = True  # on the left side
    hidden[20:30, 27:37] = True  # on the right side
    np.testing.assert_allclose(MeanFill()(X, hidden), X, atol=1e-9)


def test_median_resists_an_outlier():
    X = np.array([[1.0, 2.0, 3.0], [4.0, 0.0, 6.0], [7.0, 8.0, 1e6]])
    hidden = np.zeros(X.shape, dtype=bool)
    hidden[1, 1] = True
    assert MedianFill()(X, hidden)[1, 1] == 5.0
    assert MedianFill("cross")(X, hidden)[1, 1] == 5.0  # of 2, 4, 6, 8


def test_random_takes_a_visible_neighbour_by_its_seed(rng):
    X = np.arange(100.0).reshape(10, 10)
    hidden = np.zeros(X.shape, dtype=bool)
    hidden[1::3, 1::3] = True
    steps = np.abs(RandomFill()(X, hidden) - X)[hidden]
    assert set(steps) <= {1, 9, 10, 11}
    assert len(set(steps)) > 1
    np.testing.assert_array_equal(RandomFill()(X, hidden), RandomFill()(X, hidden))
    other = RandomFill(random_state=1)(X, hidden)
    assert not np.array_equal(RandomFill()(X, hidden), other)


@pytest.mark.parametrize("fill", FILLS, ids=str)
def test_float32_stays_float32(fill, rng):
    X = rng.normal(size=(8, 8)).astype(np.float32)
    assert fill(X, rng.random(X.shape) < 0.3).dtype == np.float32


@pytest.mark.parametrize(
    ("fill", "error", "message"),
    [
        ("nearest", ValueError, "fill='nearest' must be one of"),
        (3, TypeError, "fill=3 must be"),
        (MeanFill, TypeError, "must be"),
    ],
)
def test_an_unknown_fill_is_refused(fill, error, message):
    with pytest.raises(error, match=message):
        check_fill(fill)


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        (MeanFill("circle"), "kernel='circle' must be"),
        (MeanFill(np.ones((2, 3))), "odd length"),
        (MeanFill([[-1.0] * 3] * 3), "not negative"),
        (MeanFill([[0, 0, 0], [0, 1, 0], [0, 0, 0]]), "no weight to any neighbour"),
        (MeanFill(border="wrap"), "border='wrap' must be"),
        (check_fill(lambda X, hidden: X), "returned NaN or an infinity"),
    ],
)
def test_a_fill_that_does_not_fit_says_so(fill, message):
    with pytest.raises(ValueError, match=message):
        fill(np.zeros((5, 5)), np.eye(5, dtype=bool))


class _Short(Fill):
    def values(self, X, visible, where, axes):
        return X[where][:-1]


def test_a_fill_of_another_shape_is_refused_in_one_sentence(rng):
    X = rng.normal(size=(8, 8))
    hidden = np.zeros(X.shape, dtype=bool)
    hidden[2::4] = True
    with pytest.raises(ValueError, match=r"fill=.* returned values of shape \(15,\) .* one value"):
        _Short()(X, hidden)
