"""Stein's unbiased risk estimate, and what rests upon it: no clean data in any choice."""

import pickle
import warnings

import numpy as np
import pytest
from skimage import data
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_n2s import ColumnPartition, JInvariantWrapper, SelfSupervisedSearchCV
from sk_n2s.denoisers import gaussian, median, nl_means, tv, wavelet
from sk_n2s.noise import NoiseCurve, NoiseModel, estimate_noise
from sk_n2s.risk.blending import blend
from sk_n2s.risk.error_estimate import ratio_of_means, summarise
from sk_n2s.risk.sure import probed_divergence

SIGMA = 0.2
TRUTH = np.sin(np.linspace(0, 6, 24))[:, None] * np.cos(np.linspace(0, 9, 24))


def test_the_divergence_of_a_linear_filter_is_its_trace(rng):
    X = rng.normal(size=(200, 200))
    centre = gaussian(np.eye(1, 81, 40)[0], sigma=1.0)[40] ** 2
    smoothed = gaussian(X, sigma=1.0)
    divergence = probed_divergence(lambda x: gaussian(x, sigma=1.0), X, smoothed, NoiseModel(2))
    error = divergence.std() / 200
    assert abs(divergence.mean() - 2 * 4.0 * centre) < 4 * error
    assert error < 0.02 * divergence.mean()
    np.testing.assert_allclose(probed_divergence(lambda x: x, X, X, NoiseModel(2)), 8.0)
    np.testing.assert_array_equal(probed_divergence(np.zeros_like, X, 0 * X, NoiseModel(2)), 0)
    np.testing.assert_array_equal(probed_divergence(lambda x: x, X, X, NoiseModel(0)), 0)


def test_the_divergence_heeds_where_the_noise_is_strong():
    X, variance = np.zeros((8, 8)), np.linspace(0, 1, 64).reshape(8, 8)
    noise = NoiseModel(np.sqrt(variance))
    np.testing.assert_allclose(probed_divergence(lambda x: x / 2, X, X, noise), variance)
    X = X.astype(np.float32)
    single = probed_divergence(lambda x: x, X, X, NoiseModel(1))
    np.testing.assert_allclose(single, 2, rtol=1e-5)


FORMS = [
    JInvariantWrapper(median, radius=1, output="plain"),
    JInvariantWrapper(gaussian, sigma=0.7, output="plain"),
    JInvariantWrapper(tv, weight=0.2, output="plain"),
    JInvariantWrapper(wavelet, sigma=0.2, max_shifts=0, output="plain"),
    JInvariantWrapper(gaussian, sigma=0.7, output="blend", noise=SIGMA),
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.denoiser.__name__}-{form.output}")
def test_loss_and_divergence_are_the_error_plus_the_variance(form):
    rng, gaps = np.random.default_rng(0), []
    for seed in range(150):
        noisy = TRUTH + rng.normal(scale=SIGMA, size=TRUTH.shape)
        output, divergence = form.fit(noisy).output_and_divergence(noisy, NoiseModel(SIGMA))
        np.testing.assert_array_equal(output, form.transform(noisy))
        if form.output == "plain":  # the mean over probes, too
            divergence = probed_divergence(
                form.transform, noisy, output, NoiseModel(SIGMA), random_state=seed
            )
        loss = np.mean((output - noisy) ** 2 + divergence)
        gaps.append(loss - np.mean((output - TRUTH) ** 2))
    error = np.std(gaps) / np.sqrt(len(gaps))
    # The weights of a blend depend a little on the data, which its divergence leaves out.
    tolerance = 3 * error + (0.05 * SIGMA**2 if form.output == "blend" else 0)
    assert abs(np.mean(gaps) - SIGMA**2) < tolerance
    assert 3 * error < 0.06 * SIGMA**2


def test_an_invariant_output_has_no_divergence(noisy):
    output, divergence = (
        JInvariantWrapper(median).fit(noisy).output_and_divergence(noisy, NoiseModel(0.1))
    )
    np.testing.assert_array_equal(output, median.exact(noisy))
    assert not divergence.any()


# Summaries ------------------------------------------------------------------------------


def test_the_summary_of_losses(rng):
    losses, output = 3.0 + rng.normal(size=(160, 160)), np.array([0.0, 10.0])
    X, one = np.zeros_like(losses), NoiseModel(1.0)
    found = summarise(losses, X, output, one)
    assert found.mse == pytest.approx(losses.mean() - 1)
    low, high = found.interval
    assert high - low == pytest.approx(2 * 1.96 / 160, rel=0.2)
    assert found.psnr == pytest.approx(10 * np.log10(100 / found.mse))
    assert found.psnr_interval[0] < found.psnr < found.psnr_interval[1]
    for wider in (
        summarise(losses, X, output, one, error=0.5),
        summarise(losses, X, output, NoiseModel(1.0, level_error=0.25)),
    ):
        assert np.diff(wider.interval)[0] == pytest.approx(2 * 1.96 * 0.5, rel=0.01)
    gaps = np.where(rng.random(losses.shape) < 0.3, np.nan, losses)
    assert summarise(gaps, X, output, one).mse == pytest.approx(np.nanmean(gaps) - 1)
    # Less than nothing was measured: the error is small, but not known to be 0.
    assert 0 < summarise(losses, X, output, NoiseModel(np.sqrt(5))).mse < 1e-4
    nothing = summarise(np.zeros((40, 40)), X, output, NoiseModel(0.0))
    assert nothing.mse == 0
    assert nothing.psnr == np.inf


def test_an_estimate_says_what_it_rests_upon_and_is_unknown_where_that_fails():
    X = np.zeros((40, 40))
    found = summarise(1 + X, X, X, NoiseModel(0.5, level_error=0.01))
    assert found.is_known
    assert "independent between entries" in found.assumptions[1]
    assert "as estimated: standard deviation 0.5" in found.assumptions[2]
    unknown = summarise(1 + X, X, X, NoiseModel(0.5, doubts=["the level cannot be told"]))
    assert not unknown.is_known
    assert unknown.doubts == ("the level cannot be told",)
    assert np.isnan([unknown.mse, unknown.psnr, *unknown.interval, *unknown.psnr_interval]).all()


@pytest.mark.parametrize("channel", [None, 0])
def test_the_error_of_a_ratio_of_means(channel):
    rng, found = np.random.default_rng(0), []
    for _ in range(200):
        below = rng.exponential(size=(2, 32, 32)) * np.array([1.0, 3.0])[:, None, None]
        above = 0.5 * below + rng.normal(scale=0.2, size=below.shape)
        ratio, error = ratio_of_means(above, below, channel)
        found.append((ratio.ravel() - 0.5) / error.ravel())
    assert np.shape(found) == (200, 1 if channel is None else 2)
    np.testing.assert_allclose(np.std(found, axis=0), 1, atol=0.15)


def test_the_interval_covers_the_truth(clean):
    """95 % of the intervals do, where neighbours' errors are dependent."""
    inside = []
    for seed in range(40):
        noisy = clean + np.random.default_rng(seed).normal(scale=0.1, size=clean.shape)
        search = SelfSupervisedSearchCV(JInvariantWrapper(median, noise=0.1), {"radius": [1]}).fit(
            noisy
        )
        low, high = search.error_estimate_.interval
        inside.append(low <= np.mean((search.transform(noisy) - clean) ** 2) <= high)
    assert np.mean(inside) >= 0.9


@pytest.mark.parametrize("output", ["invariant", "plain", "blend"])
@pytest.mark.parametrize("given", [0.1, None], ids=["given", "estimated"])
def test_a_search_estimates_the_error_of_what_it_returns(output, given, noisy, clean):
    wrapper = JInvariantWrapper(tv, output=output, noise=given)
    search = SelfSupervisedSearchCV(wrapper, {"weight": [0.05, 0.1]}).fit(noisy)
    truth = np.mean((search.transform(noisy) - clean) ** 2)
    assert search.estimated_mse_ == pytest.approx(truth, abs=0.03 * 0.01 if given else 0.06 * 0.01)
    assert search.estimated_mse_ == search.error_estimate_.mse
    assert search.estimated_psnr_ == pytest.approx(
        10 * np.log10(np.ptp(search.transform(noisy)) ** 2 / search.estimated_mse_)
    )
    assert search.estimated_psnr_interval_[0] < search.estimated_psnr_
    assert search.noise_.level == pytest.approx(0.1, rel=0.025)
    assert pickle.loads(pickle.dumps(search)).estimated_mse_ == search.estimated_mse_


def test_without_the_data_or_an_estimator_there_is_no_estimate(noisy):
    search = SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": [1]})
    assert not hasattr(search, "estimated_mse_")
    search.fit(noisy)
    with pytest.raises(AttributeError, match="before this search was pickled"):
        _ = pickle.loads(pickle.dumps(search)).estimated_mse_
    first = search.estimated_mse_
    assert search.fit(2 * noisy).estimated_mse_ == pytest.approx(4 * first)
    search.set_params(refit=False).fit(noisy)
    assert not hasattr(search, "estimated_mse_")


def test_the_estimate_behind_a_pipeline_is_of_what_the_last_step_sees(noisy):
    double = FunctionTransformer(lambda X: 2 * X)
    search = SelfSupervisedSearchCV(
        make_pipeline(double, JInvariantWrapper(median)), {"jinvariantwrapper__radius": [1, 2]}
    ).fit(noisy)
    alone = SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": [1, 2]}).fit(noisy)
    assert search.estimated_mse_ == pytest.approx(4 * alone.estimated_mse_)


# What is chosen --------------------------------------------------------------------------

TEXTURED = {name: getattr(data, name)()[100:196, 100:196] / 255 for name in ("brick", "gravel")}
GRIDS = {
    "wavelet": (wavelet, {"sigma": [0.0, 1e-4, 0.3, 0.7, 1.0, 1.5]}),
    "nl_means": (nl_means, {"h": [1e-4, 0.1, 0.4, 0.7, 1.0], "patch_distance": [4]}),
    "tv": (tv, {"weight": [1e-5, 1e-2, 0.3, 0.6, 1.0, 2.0]}),
    "gaussian": (gaussian, {"sigma": [0.05, 0.3, 0.5, 0.8, 1.5]}),
}


def _psnr(a, b):
    return -10 * np.log10(np.mean((a - b) ** 2))


@pytest.mark.parametrize("level", [10, 25, 50])
@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("texture", TEXTURED)
def test_no_search_returns_the_noisy_data_as_its_plain_output(texture, name, level):
    """The identity trap: under masks, doing nothing scores as well as the fill does."""
    clean = TEXTURED[texture]
    noisy = clean + np.random.default_rng(3).normal(scale=level / 255, size=clean.shape)
    denoiser, grid = GRIDS[name]
    scaled = {
        k: v if k == "patch_distance" else [x * level / 255 for x in v] for k, v in grid.items()
    }
    if denoiser is gaussian:
        scaled = grid
    wrapper = JInvariantWrapper(denoiser, output="plain", noise=level / 255)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # some beat nothing on gravel
        told = SelfSupervisedSearchCV(wrapper, scaled).fit(noisy)
        alone = SelfSupervisedSearchCV(clone(wrapper).set_params(noise=None), scaled)
        alone.fit(noisy)
    every = [
        _psnr(wrapper.set_params(**params).fit(noisy).transform(noisy), clean)
        for params in told.cv_results_["params"]
    ]
    assert every[told.best_index_] > max(every) - 0.3
    if max(every) > _psnr(noisy, clean) + 3:
        assert every[alone.best_index_] > _psnr(noisy, clean) + 1


def test_masks_alone_would_fall_into_the_trap():
    clean = TEXTURED["brick"]
    noisy = clean + np.random.default_rng(3).normal(scale=0.02, size=clean.shape)
    grid = {"sigma": [0.0, 0.02]}
    wrapper = JInvariantWrapper(wavelet, output="plain")
    blind = SelfSupervisedSearchCV(wrapper, grid, scoring="neg_mean_squared_error").fit(noisy)
    scores = blind.cv_results_["mean_test_score"]
    assert scores[0] > 1.2 * scores[1]  # by less than a fifth, though one of them does nothing
    seeing = SelfSupervisedSearchCV(wrapper, grid).fit(noisy)
    assert seeing.best_params_ == {"sigma": 0.02}


def test_outputs_are_ranked_on_one_scale(noisy, clean):
    grid = {"weight": [0.03, 0.06, 0.1], "output": ["invariant", "plain", "blend"]}
    search = SelfSupervisedSearchCV(JInvariantWrapper(tv, noise=0.1), grid, scoring="sure").fit(
        noisy
    )
    scores = search.cv_results_["mean_test_score"]
    truth = [
        -np.mean((JInvariantWrapper(tv, noise=0.1, **p).fit_transform(noisy) - clean) ** 2)
        for p in search.cv_results_["params"]
    ]
    assert truth[search.best_index_] > max(truth) - 1e-4
    assert np.corrcoef(scores, truth)[0, 1] > 0.95
    np.testing.assert_allclose(np.array(truth) - scores, 0.01, rtol=0.1)
    kinds = [p["output"] for p in search.cv_results_["params"]]
    plain = [s for s, kind in zip(scores, kinds, strict=True) if kind == "plain"]
    by_default = SelfSupervisedSearchCV(
        JInvariantWrapper(tv, noise=0.1, output="plain"), {"weight": grid["weight"]}
    ).fit(noisy)
    assert by_default.n_splits_ == 16  # one call answers for all sets
    assert max(plain) == pytest.approx(by_default.best_score_, rel=0.05)
    assert by_default.best_score_ == pytest.approx(by_default.score(noisy))


@pytest.mark.parametrize("sigma", [0.03, 0.1])
def test_a_blend_is_chosen_by_its_own_error(sigma, rng):
    clean = np.repeat([0.0, 1.0, 0.3, 0.8, 0.5, 0.1], 300)
    noisy = clean + rng.normal(scale=sigma, size=clean.size)
    wrapper = JInvariantWrapper(gaussian, output="blend", noise=sigma)
    search = SelfSupervisedSearchCV(wrapper, {"sigma": [0.7, 1.5, 3.0, 6.0, 12.0]}).fit(noisy)
    errors = [
        np.mean((wrapper.set_params(**p).fit(noisy).transform(noisy) - clean) ** 2)
        for p in search.cv_results_["params"]
    ]
    assert errors[search.best_index_] < 1.05 * min(errors)
    by_prediction = SelfSupervisedSearchCV(
        wrapper.set_params(output="invariant"), search.param_grid
    )
    assert by_prediction.fit(noisy).best_params_["sigma"] < search.best_params_["sigma"]


def test_a_partition_or_the_noise_says_that_neighbours_are_dependent(rng):
    clean = np.sin(np.arange(60) / 4) * np.ones((60, 1))
    stripes = clean + rng.normal(size=60)  # whole columns have the same error
    grid = {"sigma": [0.2, 2.0]}
    blind = JInvariantWrapper(gaussian, output="plain", partition=ColumnPartition(4))
    assert not blind.scores_output
    assert SelfSupervisedSearchCV(blind, grid).fit(stripes).best_params_ == {"sigma": 2.0}
    columns = NoiseModel(1.0, correlation=np.ones((119, 1)))
    one_by_one = JInvariantWrapper(gaussian, output="plain", noise=columns)
    assert one_by_one.scores_output
    search = SelfSupervisedSearchCV(one_by_one, grid).fit(stripes)
    assert search.best_params_ == {"sigma": 2.0}
    # Within columns nothing differs: told that noise is white, a search finds none of it.
    white = clone(one_by_one).set_params(noise=estimate_noise(stripes))
    told_white = SelfSupervisedSearchCV(white, grid).fit(stripes)
    assert told_white.best_params_ == {"sigma": 0.2}
    right, wrong = (np.mean((s.transform(stripes) - clean) ** 2) for s in (search, told_white))
    assert right < 0.4 * wrong


def test_who_does_not_beat_the_noise_is_told_so(rng):
    checks = np.indices((64, 64)).sum(axis=0) % 2 * 10.0
    noisy = checks + rng.normal(scale=0.5, size=checks.shape)
    for output in ("plain", "invariant"):
        wrapper = JInvariantWrapper(gaussian, output=output, noise=0.5)
        with pytest.warns(UserWarning, match="No candidate is better than the noisy data"):
            SelfSupervisedSearchCV(wrapper, {"sigma": [1.0, 2.0]}).fit(noisy)
    flat = rng.normal(size=checks.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": [1, 2]}).fit(flat)


# Blends ----------------------------------------------------------------------------------


def test_a_blend_trusts_an_entry_where_its_noise_is_weak(rng):
    X, invariant = rng.normal(size=(40, 40)), np.zeros((40, 40))
    variance = np.ones((40, 40))
    variance[:20] = 0.0
    mixed = blend(X, invariant, NoiseModel(variance))
    np.testing.assert_array_equal(mixed.output[:20], X[:20])
    np.testing.assert_array_equal(mixed.own[:20], 1)
    assert mixed.own[20:].mean() < 0.5


def test_a_noise_curve_is_evaluated_at_the_prediction(rng):
    signal = np.repeat([4.0, 100.0], 200)[:, None] * np.ones(40)
    counts = rng.poisson(signal).astype(float)
    curve = NoiseCurve(1.0, 0.0, 0.01)
    mixed = blend(counts, signal, NoiseModel(curve=curve))
    np.testing.assert_allclose(mixed.variance, signal)
    wrapper = JInvariantWrapper(gaussian, sigma=3.0, output="blend", noise=NoiseModel(curve=curve))
    white = JInvariantWrapper(gaussian, sigma=3.0, output="blend", noise=np.sqrt(52.0))
    error, worse = (np.mean((w.fit_transform(counts) - signal) ** 2) for w in (wrapper, white))
    assert error < worse
    assert wrapper.noise_.curve is curve


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-25, 1e-12, 1e12, 1e22])
def test_scores_of_all_outputs_are_on_the_scale_of_the_data(scale, dtype, noisy):
    def scores(unit):
        wrapper = JInvariantWrapper(gaussian, noise=0.1 * unit)
        grid = {"output": ["invariant", "plain", "blend"]}
        search = SelfSupervisedSearchCV(wrapper, grid, scoring="sure")
        return search.fit((noisy * unit).astype(dtype)).cv_results_["mean_test_score"] / unit**2

    np.testing.assert_allclose(scores(scale), scores(1.0), rtol=1e-5)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("denoiser", [gaussian, tv], ids=["gaussian", "tv"])
def test_where_entries_are_missing_the_probe_goes_through_the_fill(denoiser, share, noisy, clean):
    X = np.where(np.random.default_rng(1).random(noisy.shape) < share, np.nan, noisy)
    wrapper = JInvariantWrapper(denoiser, output="plain", noise=0.1).fit(X)
    truth = np.mean((wrapper.transform(X) - clean)[~np.isnan(X)] ** 2)
    assert -wrapper.score(X) - 0.01 == pytest.approx(truth, rel=0.15)


CORRELATED = NoiseModel(SIGMA, correlation=[[0.2, 0.3, 0.2], [0.4, 1.0, 0.4], [0.2, 0.3, 0.2]])


@pytest.mark.parametrize("output", ["invariant", "plain"])
def test_of_correlated_noise_the_divergence_asks_for_the_covariance(output):
    form = JInvariantWrapper(gaussian, sigma=0.7, output=output)
    gaps, told_white = [], []
    for seed in range(150):
        drawn = CORRELATED.sample(TRUTH, seed)
        noisy = TRUTH + drawn
        for noise, found in ((CORRELATED, gaps), (NoiseModel(SIGMA), told_white)):
            result, divergence = form.fit(noisy).output_and_divergence(noisy, noise)
            if noise.is_correlated:  # the mean over probes, too
                divergence = probed_divergence(
                    form.transform, noisy, result, noise, random_state=seed + 1000
                )
            loss = np.mean((result - noisy) ** 2 + divergence) - np.mean(drawn**2)
            found.append((loss - np.mean((result - TRUTH) ** 2)) / SIGMA**2)
    assert abs(np.mean(gaps)) < 3 * np.std(gaps) / np.sqrt(len(gaps)) + 0.02
    assert np.mean(told_white) < -0.3  # which takes most of the noise for signal


def test_generalised_cross_validation_needs_no_level(noisy, clean):
    grid = {"weight": [0.02, 0.04, 0.06, 0.08, 0.1, 0.13, 0.2]}

    def chosen(scoring, level):
        wrapper = JInvariantWrapper(tv, noise=level, output="plain")
        search = SelfSupervisedSearchCV(wrapper, grid, scoring=scoring).fit(noisy)
        return search.best_params_["weight"]

    errors = [
        np.mean((JInvariantWrapper(tv, weight=w, output="plain").fit_transform(noisy) - clean) ** 2)
        for w in grid["weight"]
    ]
    best = grid["weight"].index(grid["weight"][int(np.argmin(errors))])
    for level in (0.05, 0.1, 0.2):
        assert abs(grid["weight"].index(chosen("gcv", level)) - best) <= 1
    assert chosen("sure", 0.2) == 0.2  # takes half of the signal for noise
    assert chosen("sure", 0.05) == 0.02


def test_generalised_cross_validation_is_its_formula(noisy):
    wrapper = JInvariantWrapper(gaussian, noise=0.1, output="plain")
    search = SelfSupervisedSearchCV(wrapper, {"sigma": [0.0, 0.6, 1.2]}, scoring="gcv")
    with pytest.warns(FitFailedWarning, match="it is the data themselves"):
        scores = search.fit(noisy).cv_results_["mean_test_score"]
    assert np.isnan(scores[0])
    for sigma, score in zip([0.6, 1.2], scores[1:], strict=True):
        output, divergence = wrapper.set_params(sigma=sigma).output_and_divergence(
            noisy, NoiseModel(0.1)
        )
        expected = np.mean((output - noisy) ** 2) / (1 - np.mean(divergence) / 0.02) ** 2
        assert score == pytest.approx(-expected)


def test_what_the_level_does_not_tell_is_bounded_and_said(rng):
    X = rng.normal(size=(64, 64))
    estimate = summarise(np.ones_like(X) * 1.01, X, 0 * X, NoiseModel(1.0, level_error=0.02))
    assert not estimate.is_known
    assert np.isnan(estimate.mse)
    # 0.01 and 1.96 standard errors, of 2 · 0.02 of the variance.
    assert estimate.doubts[0].endswith("below 0.088")
    X[:5] = np.nan
    losses = np.where(np.isnan(X), np.nan, 1.5)
    estimate = summarise(losses, X, np.zeros_like(X), NoiseModel(1.0, level_error=0.02))
    assert estimate.mse == pytest.approx(0.5)
    assert estimate.interval == pytest.approx((0.5 - 1.96 * 0.04, 0.5 + 1.96 * 0.04), rel=1e-3)
    assert any("that were measured" in text for text in estimate.assumptions)
