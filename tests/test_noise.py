import numpy as np
import pytest

from sk_n2s import JInvariantWrapper
from sk_n2s.denoisers import gaussian, tv
from sk_n2s.noise import estimate_noise


@pytest.mark.parametrize("sigma", [1e-9, 0.1, 3.0, 1e9])
@pytest.mark.parametrize("shape", [(4096,), (64, 64), (16, 16, 16)], ids=str)
def test_the_level_of_white_noise(shape, sigma, rng):
    X = 5 * sigma + rng.normal(scale=sigma, size=shape)
    assert estimate_noise(X) == pytest.approx(sigma, rel=0.1)


def test_an_axis_of_one_entry_changes_nothing(rng):
    X = rng.normal(size=(32, 32))
    for same in (X[None], X[..., None], X[:, None]):
        assert estimate_noise(same) == pytest.approx(estimate_noise(X))
        assert tv(same).std() == pytest.approx(tv(X).std(), rel=0.3)
        assert tv(same).std() < 0.3
    assert estimate_noise(np.zeros((1, 1)) + 3.0) == 0.0


def test_channels_and_items_may_differ_in_all_but_the_noise(rng):
    X = rng.normal(size=(5, 40, 40, 3))
    X += 100 * rng.normal(size=(5, 1, 1, 3))
    assert estimate_noise(X, batch_axis=0, channel_axis=-1) == pytest.approx(1, rel=0.1)
    one = X[0]
    level = estimate_noise(one, channel_axis=-1)
    by_default, by_hand = tv(one, channel_axis=-1), tv(one, channel_axis=-1, weight=level)
    np.testing.assert_array_equal(by_default, by_hand)
    assert (by_default - one.mean(axis=(0, 1))).std() < 0.6


def test_a_blend_estimates_the_noise_within_items(rng):
    X = rng.normal(size=(3, 40, 40)) + 100 * rng.normal(size=(3, 1, 1))
    wrapper = JInvariantWrapper(gaussian, output="blend", batch_axis=0).fit(X)
    assert wrapper.noise_variance_ == pytest.approx(1, rel=0.2)


def test_missing_entries_and_constant_areas_are_no_noise(rng):
    X = rng.normal(size=(64, 64))
    X[rng.random(X.shape) < 0.02] = np.nan
    X[:20] = 7.0
    assert estimate_noise(X) == pytest.approx(1, rel=0.15)
