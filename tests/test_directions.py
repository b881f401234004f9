from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from sk_n2s import JInvariantWrapper, SelfSupervisedSearchCV, check_j_invariance
from sk_n2s.denoisers import (
    ConditionalGaussianDenoiser,
    DirectionsDenoiser,
    LowRankDenoiser,
    gaussian,
    nl_ridge,
)
from sk_n2s.denoisers._bands import bands, best_weights, images_of


@pytest.fixture(scope="module")
def decays():
    """Return clean and noisy decays in 24×20×4 places, 12 volumes; and places that hold signal."""
    rng = np.random.default_rng(0)
    y, x, z = np.mgrid[:24, :20, :4]
    rate = 1.5 + np.sin(y / 4) * np.cos(x / 3) + 0.2 * z
    density = 1 + 0.3 * np.cos((x + y) / 5)
    clean = density[..., None] * np.exp(-rate[..., None] * np.linspace(0, 1, 12))
    noisy = clean + 0.1 * rng.normal(size=clean.shape)
    mask = (y - 12) ** 2 + (x - 10) ** 2 < 90
    return clean, noisy, mask


def error(found, clean):
    return float(np.mean((found - clean) ** 2)) / 0.1**2


def test_prediction_is_that_of_one_regression_for_each_volume(decays):
    _, noisy, mask = decays
    found = JInvariantWrapper(DirectionsDenoiser(mask=mask)).fit(noisy).transform(noisy)[mask]
    table = noisy[mask]
    expected = np.empty_like(table)
    for fold in range(5):
        inside = np.arange(len(table)) % 5 == fold
        for k in range(table.shape[1]):
            others = np.column_stack([np.ones(len(table)), np.delete(table, k, axis=1)])
            solved = np.linalg.lstsq(others[~inside], table[~inside, k], rcond=None)[0]
            expected[inside, k] = others[inside] @ solved
    assert_allclose(found, expected, rtol=1e-5)
    alike = ConditionalGaussianDenoiser(0.0)._blind(table)
    assert_allclose(found, alike, rtol=1e-10)


def test_what_is_summed_by_folds_is_what_is_learnt_from_their_samples(decays):
    table = decays[1].reshape(-1, 12) + 1e4  # deviations are small beside the mean
    for shrinkage in (0.0, 0.3):
        found = ConditionalGaussianDenoiser(shrinkage, n_folds=3)._blind(table)
        centred = table[1::3] - np.delete(table, np.s_[1::3], axis=0).mean(axis=0)
        covariance = np.cov(np.delete(table, np.s_[1::3], axis=0).T, bias=True)
        shrunk = (1 - shrinkage) * covariance + shrinkage * np.diag(np.diag(covariance))
        precision = np.linalg.inv(shrunk)
        expected = table[1::3] - centred @ precision / np.diag(precision)
        assert_allclose(found[1::3] - 1e4, expected - 1e4, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_no_entry_has_a_part_in_its_prediction(decays, axis):
    _, noisy, mask = decays
    X = np.moveaxis(noisy, -1, axis)
    wrapper = JInvariantWrapper(DirectionsDenoiser(axis=axis, mask=mask)).fit(X)
    assert wrapper.method_ == "exact"
    check_j_invariance(wrapper, X, random_state=0, n_sets=3)
    before = wrapper.transform(X)
    for place in [(5, 9, 2), (0, 0, 0), (23, 1, 3)]:
        changed = noisy.copy()
        changed[place][4] += 50.0
        after = np.moveaxis(wrapper.transform(np.moveaxis(changed, -1, axis)), axis, -1)
        assert after[place][4] == np.moveaxis(before, axis, -1)[place][4]
        assert not np.array_equal(after[place], np.moveaxis(before, axis, -1)[place])


def test_a_wrapper_scores_what_it_predicts_and_the_output(decays):
    clean, noisy, _ = decays
    blind = JInvariantWrapper(DirectionsDenoiser(noise=0.1)).fit(noisy)
    truth = error(blind.transform(noisy), clean)
    assert_allclose(-blind.score(noisy) / 0.1**2 - 1, truth, atol=0.03)
    plain = JInvariantWrapper(DirectionsDenoiser(noise=0.1), output="plain", noise=0.1).fit(noisy)
    assert_allclose(
        -plain.score(noisy) / 0.1**2 - 1, error(plain.transform(noisy), clean), atol=0.05
    )
    search = SelfSupervisedSearchCV(plain, {"denoiser__rank": [1, 3]}).fit(noisy)
    errors = [error(DirectionsDenoiser(rank=k).fit_transform(noisy), clean) for k in (1, 3)]
    assert search.best_params_ == {"denoiser__rank": (1, 3)[int(np.argmin(errors))]}


def test_without_windows_it_is_the_wiener_filter_of_a_low_rank(decays):
    clean, noisy, mask = decays
    table = noisy[mask]
    found = DirectionsDenoiser((), mask=mask, noise=0.1).fit(noisy)
    low = LowRankDenoiser(noise=0.1).fit(table)
    assert found.rank_ == low.rank_
    assert_allclose(found.weights_, np.diag(np.diag(found.weights_)), atol=1e-8)
    along = (table - found.mean_) @ found.components_.T / 0.1
    expected = 1 - 1 / np.square(along).mean(axis=0)
    assert_allclose(np.diag(found.weights_), expected, rtol=1e-6)
    both = (
        error(found.transform(noisy)[mask], clean[mask]),
        error(low.transform(table), clean[mask]),
    )
    assert_allclose(*both, rtol=0.05)


def test_weights_are_those_of_least_squares_to_the_clean_components():
    rng = np.random.default_rng(0)
    clean = np.stack([gaussian(rng.normal(size=(120, 120)), sigma=s) * s * 9 for s in (2, 4)])
    mask = np.ones((120, 120), dtype=bool)
    noisy = clean + rng.normal(size=clean.shape)
    features, owns = bands(noisy.reshape(2, -1).T, mask, (0.7, 2.0))
    aim = clean.reshape(2, -1).T
    oracle = np.linalg.lstsq(features, aim, rcond=None)[0]
    least = np.mean((features @ oracle - aim) ** 2)
    assert np.mean((features @ best_weights(features, owns) - aim) ** 2) < 1.02 * least


def test_the_share_of_itself_in_a_band_is_its_derivative():
    mask = np.random.default_rng(0).random((7, 6)) < 0.8
    n = int(mask.sum())
    _, owns = bands(np.zeros((n, 1)), mask, (0.5, 1.0))
    traces = np.zeros(3)
    for k in range(n):
        features, _ = bands(np.eye(n)[:, [k]], mask, (0.5, 1.0))
        traces += features[k]
    assert_allclose(owns, traces / n)


def test_windows_and_volumes_together_do_better_than_either(decays):
    clean, noisy, mask = decays
    whole = error(DirectionsDenoiser(mask=mask).fit_transform(noisy)[mask], clean[mask])
    single = error(DirectionsDenoiser((), mask=mask).fit_transform(noisy)[mask], clean[mask])
    space = min(
        error(
            np.stack([gaussian(v, sigma=s) for v in noisy.transpose(3, 0, 1, 2)], -1)[mask],
            clean[mask],
        )
        for s in (0.5, 0.8, 1.2, 2.0)
    )
    blind = JInvariantWrapper(DirectionsDenoiser(mask=mask)).fit(noisy).transform(noisy)
    assert whole < 0.5 * min(single, space)
    assert single < error(blind[mask], clean[mask]) < 1


def test_outside_the_mask_nothing_is_changed_or_learnt_from(decays):
    _, noisy, mask = decays
    denoiser = DirectionsDenoiser(mask=mask).fit(noisy)
    found = denoiser.transform(noisy)
    assert_array_equal(found[~mask], noisy[~mask])
    other = np.where(mask[..., None], noisy, 7.0)
    assert_array_equal(DirectionsDenoiser(mask=mask).fit_transform(other)[mask], found[mask])
    gone = np.where(mask[..., None], noisy, np.nan)
    assert_array_equal(DirectionsDenoiser().fit_transform(gone)[mask], found[mask])
    assert np.isnan(DirectionsDenoiser().fit_transform(gone)[~mask]).all()


def test_components_can_be_denoised_by_any_function(decays):
    clean, noisy, mask = decays

    def together(images, channel_axis):
        assert channel_axis == 0
        levels = images[:, mask].std(axis=1)
        return images if levels.min() > 0.9 else images * np.nan

    kept = DirectionsDenoiser(mask=mask, noise=0.1, denoiser=together).fit_transform(noisy)
    low = LowRankDenoiser(noise=0.1, shrinkage=None).fit(noisy[mask])
    assert_allclose(kept[mask], low.transform(noisy[mask]), rtol=1e-8)
    ridge = DirectionsDenoiser(mask=mask, noise=0.1, denoiser=partial(nl_ridge, sigma=1.0))
    assert error(ridge.fit_transform(noisy)[mask], clean[mask]) < 0.6 * error(
        kept[mask], clean[mask]
    )
    assert ridge.weights_ is None


def test_each_volume_has_its_own_level(decays):
    clean, _, _ = decays
    level = np.linspace(0.05, 0.4, 12)
    noisy = clean + level * np.random.default_rng(1).normal(size=clean.shape)
    told = DirectionsDenoiser(noise=level).fit_transform(noisy)
    alike = DirectionsDenoiser(noise=float(np.sqrt(np.mean(level**2)))).fit_transform(noisy)
    assert error(told, clean) < 0.9 * error(alike, clean)


def test_scale_and_offset_of_the_data_do_not_matter(decays):
    _, noisy, mask = decays
    expected = DirectionsDenoiser(mask=mask, noise=0.1).fit_transform(noisy)
    found = DirectionsDenoiser(mask=mask, noise=100.0).fit_transform(1000 * noisy + 5000)
    assert_allclose((found - 5000) / 1000, expected, rtol=1e-6)
    single = DirectionsDenoiser(mask=mask, noise=0.1).fit_transform(noisy.astype(np.float32))
    assert single.dtype == np.float32
    assert_allclose(single, expected, atol=2e-4)


def test_missing_entries_are_filled(decays):
    clean, noisy, mask = decays
    gone = np.random.default_rng(0).random(noisy.shape) < 0.1
    X = np.where(gone, np.nan, noisy)
    found = DirectionsDenoiser().fit_transform(X)
    assert error(found, clean) < 1.5 * error(DirectionsDenoiser().fit_transform(noisy), clean)
    wrapper = JInvariantWrapper(DirectionsDenoiser()).fit(X)
    assert error(wrapper.transform(X)[gone], clean[gone]) < 0.5


def test_no_noise_and_nothing_but_noise():
    rng = np.random.default_rng(0)
    clean = rng.normal(size=(30, 30, 2)) @ rng.normal(size=(2, 9))
    assert_allclose(DirectionsDenoiser(noise=0.0).fit_transform(clean), clean, atol=1e-5)
    noise = rng.normal(size=(40, 40, 9))
    found = DirectionsDenoiser(noise=1.0).fit(noise)
    assert found.rank_ == 0
    assert_allclose(DirectionsDenoiser().fit(noise).noise_, 1.0, rtol=0.05)
    assert_allclose(found.transform(noise), np.broadcast_to(noise.mean(axis=(0, 1)), noise.shape))
    assert np.isfinite(DirectionsDenoiser().fit_transform(np.ones((6, 6, 3)))).all()


def test_other_data_are_denoised_by_what_was_learnt(decays):
    clean, noisy, _ = decays
    denoiser = DirectionsDenoiser(noise=0.1).fit(noisy[:, :10])
    assert error(denoiser.transform(noisy[:, 10:]), clean[:, 10:]) < 0.1
    both = clone(denoiser).fit_transform(noisy), clone(denoiser).fit(noisy).transform(noisy)
    assert_allclose(*both, rtol=1e-10)
    with pytest.raises(ValueError, match="X has 11 features, .* expecting 12 .* axis=-1"):
        denoiser.transform(noisy[..., 1:])
    with pytest.raises(ValueError, match="X has 3 axes"):
        denoiser.transform(noisy[0])


@pytest.mark.parametrize(
    ("params", "shape", "message"),
    [
        ({}, (9,), "X has 1 axis, and DirectionsDenoiser needs"),
        ({"mask": np.ones((4, 4), bool)}, (5, 4, 3), r"mask .* shape \(4, 4\) .* \(5, 4\)"),
        ({"mask": np.ones((5, 4))}, (5, 4, 3), "dtype float64: give booleans"),
        ({"mask": np.zeros((5, 4), bool)}, (5, 4, 3), "n_samples = 0 places"),
        ({"scales": (1.0, 0.5)}, (5, 4, 3), r"scales=\(1.0, 0.5\) .* positive numbers, rising"),
        ({"scales": (0,)}, (5, 4, 3), r"scales=\(0,\) .* positive"),
        ({"noise": [1.0, 2.0]}, (5, 4, 3), "noise=.* or one for each of the 3 volumes"),
        ({"axis": 3}, (5, 4, 3), "axis=3 is not an axis"),
    ],
)
def test_what_does_not_fit_is_refused(params, shape, message):
    with pytest.raises(ValueError, match=message):
        DirectionsDenoiser(**params).fit(np.random.default_rng(0).normal(size=shape))


def test_images_are_0_outside_of_the_mask():
    mask = np.array([[True, False], [True, True]])
    images = images_of(np.arange(6.0).reshape(3, 2), mask)
    assert_array_equal(images, [[[0, 0], [2, 4]], [[1, 0], [3, 5]]])


@parametrize_with_checks([DirectionsDenoiser()])
def test_it_follows_the_conventions_of_scikit_learn(estimator, check):
    check(estimator)
