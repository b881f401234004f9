import copy
import pickle

import numpy as np
import pytest
from skimage import data
from sklearn.base import clone

from sk_n2s import AutoDenoiser
from sk_n2s._utils.base import Axes
from sk_n2s._utils.tiling import middle
from sk_n2s.auto._gaps import DenoisedFill
from sk_n2s.denoisers import nl_ridge, tv
from sk_n2s.noise import NoiseCurve, NoiseModel


@pytest.fixture(scope="module")
def fitted(noisy):
    return AutoDenoiser("fast").fit(noisy)


def _psnr(a, b, peak=1.0):
    return 10 * np.log10(peak**2 / np.mean((a - b) ** 2))


def test_told_nothing_it_is_as_good_as_who_is_told_the_noise(fitted, noisy, clean):
    found = _psnr(fitted.transform(noisy), clean)
    told = _psnr(nl_ridge(noisy, sigma=0.1), clean)
    assert found > told - 0.1
    assert found > max(_psnr(tv(noisy, weight=w), clean) for w in (0.05, 0.1, 0.15))


def test_it_says_what_it_chose_and_how_good_that_is(fitted, noisy, clean):
    truth = np.mean((fitted.transform(noisy) - clean) ** 2)
    assert fitted.estimated_mse_ == pytest.approx(truth, abs=0.06 * 0.01)
    low, high = fitted.error_estimate_.interval
    assert low < truth < high
    assert sum(fitted.weights_.values()) == pytest.approx(1)
    assert fitted.weights_.keys() <= fitted.scores_.keys()
    best = min(fitted.scores_, key=fitted.scores_.get)
    assert best == "lichi"
    assert fitted.time_ > 0
    dropped = fitted.scores_["as it is"] / fitted.scores_[best]
    for text in (
        f"as it is ({10 * np.log10(dropped):+.1f} dB)",
        best,
        "Noise (estimated)",
        f"{fitted.estimated_psnr_:.2f} dB",
    ):
        assert text in fitted.summary_


def test_the_result_is_kept_and_can_be_made_again(fitted, noisy):
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_allclose(again.transform(noisy), fitted.transform(noisy), atol=1e-5)
    first = fitted.transform(noisy)
    first[:] = 0  # a copy
    assert fitted.transform(noisy).any()
    assert again.transform(noisy[:50, :60]).shape == (50, 60)
    two = clone(fitted).set_params(n_jobs=2).fit(noisy)
    np.testing.assert_array_equal(two.transform(noisy), fitted.transform(noisy))


def test_scale_and_offset_are_the_users(fitted, noisy):
    other = AutoDenoiser("fast").fit(1024.0 * noisy + 4096.0)
    assert other.weights_ == pytest.approx(fitted.weights_, abs=1e-3)
    expected = 1024.0 * fitted.transform(noisy) + 4096.0
    np.testing.assert_allclose(other.transform(1024.0 * noisy + 4096.0), expected, rtol=1e-3)
    single = AutoDenoiser("fast").fit(noisy.astype(np.float32))
    assert single.transform(noisy.astype(np.float32)).dtype == np.float32


def test_counts_are_stabilised(clean):
    signal = 20 * clean
    counts = np.random.default_rng(0).poisson(signal)
    auto = AutoDenoiser("fast").fit(counts)
    assert auto.stabilizer_ is not None
    assert auto.noise_.curve.gain == pytest.approx(1, rel=0.1)
    denoised = auto.transform(counts)
    white = AutoDenoiser("fast", noise=np.sqrt(signal.mean())).fit(counts)
    assert white.stabilizer_ is None
    assert _psnr(denoised, signal, 20) > _psnr(white.transform(counts), signal, 20) + 0.2
    assert abs(denoised.mean() - signal.mean()) < 0.02 * signal.mean()
    told = AutoDenoiser("fast", noise=NoiseModel(curve=NoiseCurve(1.0, 0.0, 0.0))).fit(counts)
    assert _psnr(told.transform(counts), signal, 20) > _psnr(denoised, signal, 20) - 0.2
    truth = np.mean((told.transform(counts) - signal) ** 2)
    assert told.estimated_mse_ == pytest.approx(truth, rel=0.25)
    low, high = auto.error_estimate_.interval  # wide, as the level is estimated
    assert low < np.mean((denoised - signal) ** 2) < high < 2 * truth


def test_a_signal_a_volume_colours_items_and_gaps(rng, clean):
    line = np.repeat([0.0, 1.0, 0.3], 300)
    volume = np.zeros((20, 20, 20))
    volume[5:15, 5:15, 5:15] = 1.0
    colour = np.stack([clean[:48, :48], clean[:48, :48] ** 2], axis=-1)
    for truth, axes in (
        (line, {}),
        (volume, {}),
        (colour, {"channel_axis": -1}),
        (np.stack([clean[:40, :40], clean[40:80, :40]]), {"batch_axis": 0}),
    ):
        noisy = truth + rng.normal(scale=0.1, size=truth.shape)
        noisy[(1,) * truth.ndim] = np.nan
        kept = noisy.copy()
        denoised = AutoDenoiser("fast", **axes).fit(noisy).transform(noisy)
        np.testing.assert_array_equal(noisy, kept)
        assert np.isfinite(denoised).all()
        assert np.mean((denoised - truth) ** 2) < 0.5 * 0.01


def test_large_data_race_on_a_part(rng):
    assert middle((100, 100), 2**16) == (slice(0, 100), slice(0, 100))
    part = middle((1000, 2000), 2**16)
    assert part == (slice(372, 628), slice(872, 1128))
    part = middle((9, 300, 300, 3), 2**16, 3, 0)
    assert [s.stop - s.start for s in part] == [1, 256, 256, 3]
    assert [s.stop - s.start for s in middle((9, 100, 100), 2**16, None, 0)] == [6, 100, 100]
    assert [s.stop - s.start for s in middle((10**6,), 2**16)] == [2**16]
    part = middle((5, 10**4, 10**4), 2**16)
    assert [s.stop - s.start for s in part] == [5, 114, 114]
    ramp = np.linspace(0, 1, 280)[:, None] * np.ones(280)
    for counts in (False, True):
        noisy = rng.poisson(20 * ramp) / 20 if counts else ramp + rng.normal(0, 0.1, ramp.shape)
        curve = NoiseModel(curve=NoiseCurve(0.05, 0.0))
        auto = AutoDenoiser("fast", noise=curve if counts else 0.1).fit(noisy)
        denoised = auto.transform(noisy)
        assert denoised.shape == ramp.shape
        error = np.mean((denoised - ramp) ** 2)
        assert error < 0.06 * np.mean((noisy - ramp) ** 2)
        assert auto.estimated_mse_ == pytest.approx(error, abs=0.05 * np.mean((noisy - ramp) ** 2))


def test_bad_input(fitted, noisy):
    with pytest.raises(ValueError, match="effort"):
        AutoDenoiser("slow").fit(noisy)
    with pytest.raises(ValueError, match="noise"):
        AutoDenoiser(noise=-1).fit(noisy)
    with pytest.raises(ValueError, match="fitted to data with 2"):
        fitted.transform(noisy[0])


def test_counts_with_an_offset_below_zero():
    y, x = np.mgrid[:96, :96]
    clean = 10 + 10.0 * ((y - 48) ** 2 + (x - 48) ** 2 < 900)
    counts = np.random.default_rng(0).poisson(clean).astype(float)
    expected = AutoDenoiser("fast").fit_transform(counts)
    assert np.mean((expected - clean) ** 2) < 1
    for offset in (15, 1000):
        shifted = AutoDenoiser("fast").fit_transform(counts - offset) + offset
        assert np.mean((shifted - clean) ** 2) < 1.2 * np.mean((expected - clean) ** 2)


def test_a_variance_that_broadcasts_is_that_of_every_entry(clean):
    clean = clean[:64]
    deviation = np.linspace(0.02, 0.2, clean.shape[1])
    noisy = clean + deviation * np.random.default_rng(0).normal(size=clean.shape)
    full = np.broadcast_to(deviation, clean.shape)
    expected = AutoDenoiser("fast", noise=full).fit_transform(noisy)
    for given in (deviation, deviation[np.newaxis]):
        auto = AutoDenoiser("fast", noise=given)
        np.testing.assert_allclose(auto.fit_transform(noisy), expected, rtol=1e-10)
    auto.fit(np.tile(noisy, (6, 1)))  # of which a part is raced on
    with pytest.raises(ValueError, match="does not broadcast"):
        auto.transform(noisy[:, :40])


@pytest.mark.parametrize("role", ["batch_axis", "channel_axis"])
def test_items_and_channels_of_different_noise(role, clean, rng):
    levels = np.array([0.02, 0.2])[:, np.newaxis, np.newaxis]
    scene = clean[:96, :96]
    truth = np.stack([scene, clean[32:, 32:] if role == "batch_axis" else scene**2])
    noisy = truth + levels * rng.normal(size=truth.shape)
    told = AutoDenoiser("fast", noise=levels, **{role: 0}).fit(noisy)
    denoised = told.transform(noisy)
    np.testing.assert_allclose(told.stabilizer_.scale, levels)
    for level, found, right, X in zip(levels.ravel(), denoised, truth, noisy, strict=True):
        alone = AutoDenoiser("fast", noise=float(level)).fit_transform(X)
        assert _psnr(found, right) > _psnr(alone, right) - 0.3
    error = np.mean((denoised - truth) ** 2)
    low, high = told.error_estimate_.interval
    assert low < error < high
    assert told.estimated_mse_ == pytest.approx(error, rel=0.3)


def test_what_is_set_after_the_fit_does_not_change_it(noisy):
    auto = AutoDenoiser("fast").fit(noisy)
    expected = auto.transform(noisy + 0.5)
    np.testing.assert_array_equal(auto.set_params(effort="best").transform(noisy + 0.5), expected)


@pytest.mark.parametrize("unit", [1e-25, 1e18])
def test_single_precision_at_any_scale(unit, noisy):
    X = noisy[:64, :64].astype(np.float32)
    one = AutoDenoiser("fast").fit_transform(X)
    scaled = AutoDenoiser("fast").fit_transform(X * np.float32(unit))
    assert scaled.dtype == np.float32
    assert np.std(scaled / np.float64(unit) - one) < 0.02 * 0.1  # of the noise


@pytest.mark.parametrize("effort", ["balanced", "best"])
def test_more_effort_lets_more_denoisers_race(effort, noisy, clean):
    X = noisy[:40, :40]
    fast, auto = (AutoDenoiser(e).fit(X) for e in ("fast", effort))
    assert len(auto.scores_) > len(fast.scores_)
    assert {"nl_means", "dct"} < auto.scores_.keys()
    errors = [np.mean((a.transform(X) - clean[:40, :40]) ** 2) for a in (auto, fast)]
    assert errors[0] < 1.1 * errors[1] < 0.5 * 0.01


def test_the_score_is_minus_the_estimated_error_and_the_variance(fitted, noisy, clean, rng):
    variance = fitted.noise_.variance(noisy)
    assert fitted.score(noisy) == pytest.approx(-(fitted.estimated_mse_ + variance), rel=1e-3)
    error = np.mean((fitted.transform(noisy) - clean) ** 2)
    assert fitted.score(noisy, clean) == pytest.approx(-error)
    assert fitted.score(noisy) == pytest.approx(-(error + 0.1**2), rel=0.05)
    other = clean + rng.normal(scale=0.1, size=clean.shape)
    assert fitted.score(other) == pytest.approx(fitted.score(other, clean) - 0.1**2, rel=0.05)
    assert pickle.loads(pickle.dumps(fitted)).score(noisy) == fitted.score(noisy)
    with pytest.raises(ValueError, match="y must be the clean data of shape"):
        fitted.score(noisy, clean[:-1])


def test_the_score_of_counts_and_of_a_map_of_the_noise(clean, rng):
    signal = 40 * clean + 2
    counts = rng.poisson(signal)
    auto = AutoDenoiser("fast").fit(counts)
    assert auto.stabilizer_ is not None
    true = auto.score(counts, signal) - signal.mean()
    assert auto.score(counts) == pytest.approx(true, rel=0.05)
    level = np.linspace(0.05, 0.2, 128)
    noisy = clean + level * rng.normal(size=clean.shape)
    auto = AutoDenoiser("fast", noise=level).fit(noisy)
    true = auto.score(noisy, clean) - np.mean(level**2)
    assert auto.score(noisy) == pytest.approx(true, rel=0.05)
    with pytest.raises(ValueError, match="does not broadcast"):
        auto.score(noisy[:, :64])


def test_copies_in_memory_keep_the_result(fitted, noisy):
    copied = copy.deepcopy(fitted)
    np.testing.assert_array_equal(copied._known[1], fitted._known[1])
    assert "_known" not in vars(pickle.loads(pickle.dumps(copied)))


def test_correlated_noise_is_denoised_as_what_it_is(clean):
    noise = NoiseModel(0.1, correlation=[[0.5, 1.0, 0.5]])
    noisy = clean + noise.sample(clean, 0)
    auto = AutoDenoiser("fast").fit(noisy)
    assert auto.noise_.is_correlated
    assert auto.noise_.level == pytest.approx(0.1, rel=0.15)
    white = AutoDenoiser("fast", noise=0.1).fit_transform(noisy)
    assert _psnr(auto.transform(noisy), clean) > _psnr(noisy, clean) + 4
    assert _psnr(auto.transform(noisy), clean) > _psnr(white, clean) + 0.3
    told = AutoDenoiser("fast", noise=noise).fit(noisy)
    error = np.mean((told.transform(noisy) - clean) ** 2)
    low, high = told.error_estimate_.interval
    assert low < error < high


def test_outliers_are_replaced_and_counted(clean, rng):
    noisy = clean + rng.normal(scale=0.05, size=clean.shape)
    hit = rng.random(clean.shape) < 0.01
    spoilt = np.where(hit, 30.0, noisy)
    auto = AutoDenoiser("fast").fit(spoilt)
    assert auto.n_outliers_ == np.count_nonzero(hit)
    assert f"{auto.n_outliers_} outliers" in auto.summary_
    alone = AutoDenoiser("fast", noise=0.05).fit_transform(noisy)
    assert _psnr(auto.transform(spoilt), clean) > _psnr(alone, clean) - 0.5


def test_few_counts_are_denoised_in_bins(clean):
    counts = np.random.default_rng(0).poisson(clean).astype(float)
    auto = AutoDenoiser("fast").fit(counts)
    assert not auto.error_estimate_.is_known
    assert "bins of side 2" in auto.summary_
    denoised = auto.transform(counts)
    assert _psnr(denoised, clean) > 19
    assert abs(denoised.mean() - clean.mean()) < 0.03
    again = pickle.loads(pickle.dumps(auto))
    np.testing.assert_allclose(again.transform(counts), denoised, atol=1e-6)


def test_speckle_is_stabilised_by_the_logarithm(clean, rng):
    noisy = clean * rng.gamma(16, 1 / 16, size=clean.shape)
    auto = AutoDenoiser("fast").fit(noisy)
    assert auto.noise_.curve.relative == pytest.approx(1 / 16, rel=0.2)
    assert _psnr(auto.transform(noisy), clean) > _psnr(noisy, clean) + 8


@pytest.mark.parametrize("sigma", [0, 2, 25])
@pytest.mark.parametrize("width", [1, 3])
def test_regular_patterns_are_no_noise(sigma, width):
    i, j = np.mgrid[:96, :96] // width
    truth = ((i + j) % 2).astype(float)
    noisy = truth + sigma / 255 * np.random.default_rng(0).normal(size=truth.shape)
    auto = AutoDenoiser("fast").fit(noisy)
    assert auto.noise_.level == pytest.approx(sigma / 255, rel=0.08)
    allowed = 1.02 * np.mean((noisy - truth) ** 2) + 1e-20  # rounding
    assert np.mean((auto.transform(noisy) - truth) ** 2) <= allowed


def test_weak_noise_in_texture_is_not_overdone():
    for name in ("grass", "brick"):
        truth = getattr(data, name)()[100:196, 100:196] / 255
        noisy = truth + 2 / 255 * np.random.default_rng(0).normal(size=truth.shape)
        auto = AutoDenoiser("fast").fit(noisy)
        assert _psnr(auto.transform(noisy), truth) > _psnr(noisy, truth) - 0.1


@pytest.mark.parametrize("sigma", [1, 2])
def test_fine_texture_is_not_made_worse(sigma, rng):
    texture = data.grass()[150:300, 150:300] / 255
    noisy = texture + rng.normal(scale=sigma / 255, size=texture.shape)
    denoised = AutoDenoiser("fast").fit_transform(noisy)
    assert _psnr(denoised, texture) > _psnr(noisy, texture) - 0.1


def test_a_single_bright_detail_stays_and_what_is_out_of_range_does_not(rng):
    noisy = np.add.outer(np.linspace(0, 1, 80), np.linspace(0, 1, 80))
    noisy += rng.normal(scale=1e-3, size=noisy.shape)
    noisy[20, 20] = 1.5  # of a range of 0 to 2
    auto = AutoDenoiser("fast").fit(noisy)
    assert auto.n_outliers_ == 0
    assert auto.transform(noisy)[20, 20] > 1.2
    noisy[20, 20] = 3.0
    auto = AutoDenoiser("fast").fit(noisy)
    assert auto.n_outliers_ == 1
    assert auto.transform(noisy)[20, 20] == pytest.approx(40 / 79, abs=0.05)


@pytest.mark.parametrize("peak", [4, 40])
def test_the_error_of_counts_is_what_it_is_on_average(peak, clean, rng):
    ratios = []
    for _ in range(4):
        counts = rng.poisson(peak * clean[:96, :96]).astype(float)
        auto = AutoDenoiser("fast", noise=NoiseModel(curve=NoiseCurve(1.0, 0.0))).fit(counts)
        error = np.mean((auto.transform(counts) - peak * clean[:96, :96]) ** 2)
        ratios.append(auto.estimated_mse_ / error)
    assert np.mean(ratios) == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("axis", [0, 1])
def test_lines_are_freed_from_offsets_of_their_own(axis, clean, rng):
    scene = clean[:128, :128]
    offsets = 0.1 * np.expand_dims(rng.normal(size=128), axis)
    noisy = (scene + offsets + rng.normal(scale=0.03, size=scene.shape)).astype(np.float32)
    auto = AutoDenoiser("fast").fit(noisy)
    assert auto.noise_.lines == (axis,)
    denoised = auto.transform(noisy)
    assert denoised.dtype == np.float32
    assert _psnr(denoised, scene) > _psnr(noisy, scene) + 6
    # It is far better than to take the offsets for noise of a correlation, and no more.
    assert _psnr(denoised, scene) > _psnr(auto._core.way.steps[0].denoise(noisy), scene) + 1
    assert "offsets" in auto.error_estimate_.doubts[-1]
    # Other data with such noise are denoised in the same steps; the same ones by what is kept.
    again = pickle.loads(pickle.dumps(auto))
    np.testing.assert_allclose(again.transform(noisy), denoised, atol=1e-4)
    other = scene.T + np.roll(offsets, 7) + rng.normal(scale=0.03, size=scene.shape)
    assert _psnr(auto.transform(other), scene.T) > _psnr(other, scene.T) + 4


@pytest.mark.parametrize("sigma", [0, 0.1])
def test_a_scene_of_lines_and_nothing_else_stays(sigma, rng):
    lines = rng.random((128, 1)) * np.ones((1, 128))
    noisy = lines + rng.normal(scale=sigma, size=lines.shape)
    auto = AutoDenoiser("fast").fit(noisy)
    assert np.mean((auto.transform(noisy) - lines) ** 2) <= 0.3 * sigma**2 + 1e-9
    assert not auto.noise_.is_correlated
    if sigma:
        assert any("lines" in doubt for doubt in auto.noise_.doubts)


def test_rare_values_of_heavy_tailed_noise_are_replaced(clean):
    scene = clean[:96, :96]
    rng = np.random.default_rng(2)
    noisy = scene + 0.06 * rng.standard_t(3, scene.shape)
    auto = AutoDenoiser("fast").fit(noisy)
    assert 10 < auto.n_outliers_ < 0.01 * noisy.size
    assert not auto.error_estimate_.is_known
    level = auto.noise_.replace(doubts=[])
    told = AutoDenoiser("fast", noise=level).fit_transform(noisy)  # nothing is replaced
    assert _psnr(auto.transform(noisy), scene) > _psnr(told, scene) + 0.5
    # Other data with such noise lose their rare values as well.
    other = scene + 0.06 * rng.standard_t(3, scene.shape)
    again = auto.transform(other)
    assert _psnr(again, scene) > _psnr(
        AutoDenoiser("fast", noise=level).fit_transform(other), scene
    )
    normal = AutoDenoiser("fast").fit(scene + 0.1 * rng.normal(size=scene.shape))
    assert normal.n_outliers_ == 0


@pytest.mark.parametrize("share", [0.35, 0.6])
def test_what_is_missing_is_filled_by_what_is_made_of_it(share, clean, rng, monkeypatch):
    scene = clean[:96, :96]
    gaps = rng.random(scene.shape) < share
    X = np.where(gaps, np.nan, scene + 0.1 * rng.normal(size=scene.shape))
    auto = AutoDenoiser("fast", noise=0.1).fit(X)
    denoised = auto.transform(X)
    low, high = auto.error_estimate_.interval
    assert low < np.mean((denoised - scene)[~gaps] ** 2) < high
    # Other data may have other gaps.
    other = np.where(gaps[::-1], np.nan, scene)
    assert np.mean((auto.transform(other) - scene) ** 2) < np.mean((denoised - scene) ** 2)
    monkeypatch.setattr("sk_n2s.auto._race._MANY_GAPS", 1.0)
    by_means = AutoDenoiser("fast", noise=0.1).fit_transform(X)
    errors = [np.mean((found - scene)[gaps] ** 2) for found in (denoised, by_means)]
    assert errors[0] < 0.95 * errors[1]


def test_a_fill_that_is_kept_is_that_of_the_visible_entries(clean, rng):
    X = clean[:48, :48] + 0.1 * rng.normal(size=(48, 48))
    hidden = rng.random(X.shape) < 0.5
    axes = Axes(None, None, (0, 1))
    fill = DenoisedFill(0.1, 0.01, axes)
    first = fill(X, hidden)
    np.testing.assert_array_equal(first[~hidden], X[~hidden])
    np.testing.assert_array_equal(fill(np.where(hidden, 1e3, X), hidden), first)
    assert np.abs(fill(X + 1, hidden) - first - 1).max() < 0.01
    assert len(fill._known) == 2
    np.testing.assert_array_equal(fill(X - 1, hidden)[~hidden], X[~hidden] - 1)
    assert len(fill._known) == 2  # no more are kept
    np.testing.assert_array_equal(DenoisedFill(0.1, 0.01, axes)(X, hidden), first)


def test_a_hole_in_the_middle_is_not_what_is_raced_on(clean, rng):
    scene = np.pad(clean, 60, mode="reflect")
    noisy = scene + 0.1 * rng.normal(size=scene.shape)
    noisy[30:-30, 30:-30] = np.nan
    denoised = AutoDenoiser("fast", noise=0.1).fit_transform(noisy)
    measured = ~np.isnan(noisy)
    assert np.isfinite(denoised).all()
    assert np.mean((denoised - scene)[measured] ** 2) < 0.3 * 0.01


def test_a_single_measurement_is_refused_in_one_sentence():
    X = np.full((64, 64), np.nan)
    X[3, 4] = 1.0
    with pytest.raises(ValueError, match="single measurement|no other"):
        AutoDenoiser("fast").fit(X)
