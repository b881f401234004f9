import numpy as np
import pytest
from scipy import ndimage
from skimage import data
from skimage.restoration import estimate_sigma

from sk_n2s import AutoDenoiser, JInvariantWrapper
from sk_n2s.denoisers import gaussian, tv
from sk_n2s.noise import (
    NoiseCurve,
    NoiseModel,
    estimate_noise,
    estimate_noise_correlation,
    estimate_noise_curve,
    estimate_noise_map,
    estimate_noise_model,
)
from sk_n2s.risk.noise_level import noise_of


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
    assert wrapper.noise_.level == pytest.approx(1, rel=0.2)


def test_missing_entries_and_constant_areas_are_no_noise(rng):
    X = rng.normal(size=(64, 64))
    X[rng.random(X.shape) < 0.02] = np.nan
    X[:20] = 7.0
    assert estimate_noise(X) == pytest.approx(1, rel=0.15)


def test_the_level_over_texture(rng):
    """Half as far off as the wavelet median, which counts texture as noise everywhere."""
    found, wavelet = [], []
    for name in ("camera", "brick", "coins"):
        clean = getattr(data, name)()[-256:, :256] / 255
        noisy = clean + rng.normal(scale=0.1, size=clean.shape)
        found.append(noise_of(None, noisy).level)
        wavelet.append(estimate_sigma(noisy))
    np.testing.assert_allclose(found, 0.1, rtol=0.02)
    assert np.abs(np.subtract(found, 0.1)).mean() < 0.5 * np.abs(np.subtract(wavelet, 0.1)).mean()


def test_noise_that_does_not_reach_the_ends_of_small_volumes_is_not_overestimated():
    found = [
        estimate_noise(np.random.default_rng(seed).normal(size=(24, 24, 24))) for seed in range(8)
    ]
    assert np.mean(found) == pytest.approx(1, abs=0.015)


@pytest.mark.parametrize("sigma", [15 / 255, 25 / 255])
def test_the_level_in_a_photograph(sigma, clean):
    noise = np.random.default_rng(0).normal(size=clean.shape)
    assert estimate_noise(clean + sigma * noise) == pytest.approx(sigma, rel=0.03)


@pytest.mark.parametrize("shape", [(9,), (4096,), (64, 64), (16, 16, 16)], ids=str)
def test_constant_data_have_no_noise(shape):
    for value in (0.0, 0.1, -3e7, np.float32(0.1), np.uint8(7)):
        assert estimate_noise(np.full(shape, value)) == 0.0


def test_the_level_over_smooth_data_of_any_axes(rng):
    for shape in ((4096,), (80, 80), (20, 20, 20)):
        clean = sum(np.sin(4 * at / n) for at, n in zip(np.indices(shape), shape, strict=True))
        noisy = clean + rng.normal(scale=0.1, size=shape)
        assert estimate_noise(noisy) == pytest.approx(0.1, rel=0.04)


def test_the_level_in_channels_and_items_of_a_photograph(clean):
    rng = np.random.default_rng(0)
    channels = clean[..., None] * [1, 0.5, 0.2] + rng.normal(scale=0.1, size=(128, 128, 3))
    level = estimate_noise(channels, channel_axis=-1)
    assert level == pytest.approx(0.1, rel=0.03)
    assert estimate_noise(np.moveaxis(channels, -1, 0), channel_axis=0) == pytest.approx(level)
    items = clean.reshape(2, 64, 128) + rng.normal(scale=0.1, size=(2, 64, 128))
    assert estimate_noise(items, batch_axis=0) == pytest.approx(0.1, rel=0.03)
    assert estimate_noise(items[::-1], batch_axis=0) == pytest.approx(0.1, rel=0.03)


def test_the_level_of_what_gaps_leave_of_a_photograph(noisy):
    gaps = np.where(np.random.default_rng(9).random(noisy.shape) < 0.05, np.nan, noisy)
    gaps[:30, :30] = np.nan
    assert estimate_noise(gaps) == pytest.approx(0.1, rel=0.05)


def test_the_level_is_on_the_scale_of_the_data(noisy):
    level = estimate_noise(noisy)
    for factor in (1024.0, 2.0**-40, -1.0):
        assert estimate_noise(factor * noisy) == pytest.approx(abs(factor) * level, rel=1e-12)
    assert estimate_noise(noisy + 100) == pytest.approx(level, rel=1e-6)
    assert estimate_noise(noisy.astype(np.float32)) == pytest.approx(level, rel=1e-5)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("gain", [0.5, 20.0])
def test_the_curve_of_counts_with_read_noise(gain, scale, rng):
    signal = 10 * gain * (1 + np.add.outer(np.sin(np.arange(200) / 20), np.linspace(0, 4, 200)))
    noisy = gain * rng.poisson(np.maximum(signal, 0) / gain) + 0.0
    noisy = scale * (noisy + rng.normal(scale=3 * gain, size=signal.shape))
    curve = estimate_noise_curve(noisy)
    assert curve.is_signal_dependent
    assert curve.gain == pytest.approx(gain * scale, rel=0.1)
    assert curve.offset_and_read_noise(noisy)[1] == pytest.approx(3 * gain * scale, rel=0.25)
    truth = scale**2 * (gain * signal + 9 * gain**2)
    error = curve.variance(scale * signal) / truth - 1
    assert np.abs(error).mean() < 0.06


def test_counts_are_known_by_their_steps(rng):
    counts = 0.25 * rng.poisson(np.linspace(0.5, 4, 128) * np.ones((128, 1)))
    assert estimate_noise_curve(counts)[:2] == (0.25, 0)


def test_white_noise_has_no_curve(rng):
    clean = 100 * np.add.outer(np.sin(np.arange(128) / 9), np.linspace(0, 4, 128))
    curve = estimate_noise_curve(clean + rng.normal(scale=5, size=clean.shape))
    assert not curve.is_signal_dependent
    assert curve.variance(clean) == pytest.approx(25, rel=0.2)
    assert not estimate_noise_curve(np.full((64, 64), 3.0)).is_signal_dependent
    camera = data.camera()[-256:, :256] + rng.normal(scale=15, size=(256, 256))
    assert not estimate_noise_curve(camera).is_signal_dependent  # but textured where it is bright


def test_the_variance_of_a_curve_is_not_negative():
    curve = NoiseCurve(2.0, -10.0)
    np.testing.assert_array_equal(curve.variance([0, 5, 10]), [0, 0, 10])
    assert curve.offset_and_read_noise(np.ones(9)) == (5, 0)
    curve = NoiseCurve(2.0, 16.0)
    assert curve.offset_and_read_noise(np.ones(9)) == (0, 4)
    assert curve.offset_and_read_noise(-np.ones(9)) == (-8, 0)


@pytest.mark.parametrize(
    ("width", "verdict"),
    [
        ((1, 1), "independent"),
        ((1, 2), "correlated along axis 1 over 1 entry"),
        ((3, 1), "correlated along axis 0 over 2 entries"),
        ((2, 3), "correlated along axis 0 over 1 entry and along axis 1 over 2 entries"),
    ],
    ids=str,
)
def test_the_correlation_of_noise(width, verdict, rng):
    """That of a moving average over n entries is a triangle, of which a little is lost."""
    clean = ndimage.gaussian_filter(50 * rng.normal(size=(200, 200)), 20)
    noise = ndimage.uniform_filter(rng.normal(size=clean.shape), width)
    found = estimate_noise_correlation(clean + noise)
    assert found.verdict == verdict
    lags = np.abs(np.arange(-4, 5))
    triangles = [np.maximum(1 - lags / n, 0) for n in width]
    np.testing.assert_allclose(found.map, np.multiply.outer(*triangles), atol=0.05)
    assert found.is_told
    assert found.variance == pytest.approx(1 / np.prod(width), rel=0.05)
    far = estimate_noise_correlation(clean + noise, max_lag=20)
    np.testing.assert_array_equal(far.map[16:25, 16:25], found.map)
    assert far.reach == found.reach


@pytest.mark.parametrize("sigma", [2, 5, 20])
@pytest.mark.parametrize("name", ["camera", "brick", "grass", "gravel", "coins"])
def test_texture_is_not_correlated_noise(name, sigma, rng):
    clean = getattr(data, name)()[:256, :256]
    found = estimate_noise_correlation(clean + rng.normal(scale=sigma, size=clean.shape))
    assert found.reach == (0, 0)
    assert not any(found.stripes)
    if name in ("grass", "gravel") and sigma == 2:
        assert not found.is_told
        assert found.verdict == "independent, as far as can be told"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", [(20, 20, 20), (32, 24, 20), (17, 17, 17, 17)], ids=str)
def test_the_correlation_in_small_volumes(shape, rng):
    white = rng.normal(size=shape)
    assert estimate_noise_correlation(white).reach == (0,) * len(shape)
    box = estimate_noise_correlation(ndimage.uniform_filter(white, 2))
    assert box.reach == (1,) * len(shape)
    assert box.is_told


def test_correlated_noise_in_a_photograph(rng):
    clean = data.camera() / 255
    noise = ndimage.uniform_filter(rng.normal(size=clean.shape), 3, mode="wrap")
    found = estimate_noise_correlation(clean + 0.1 * noise / noise.std(), max_lag=8)
    lags = np.maximum(1 - np.abs(np.arange(-8, 9)) / 3, 0)
    np.testing.assert_allclose(found.map, np.multiply.outer(lags, lags), atol=0.12)


@pytest.mark.parametrize("share", [0.2, 0.9])
@pytest.mark.parametrize("axis", [0, 1])
def test_lines_with_an_offset_of_their_own(axis, share, rng):
    clean = data.camera()[100:356, 100:356] / 255
    shape = [256, 256]
    shape[axis] = 1
    offset = np.sqrt(share) * rng.normal(size=shape)
    X = clean + 0.1 * (offset + np.sqrt(1 - share) * rng.normal(size=clean.shape))
    found = estimate_noise_correlation(X, max_lag=30)
    assert found.stripes[axis] == pytest.approx(share, abs=0.2)
    assert found.stripes[1 - axis] == 0
    assert found.reach == ((30, 0) if axis == 0 else (0, 30))
    assert found.blind_spot((0, 1)) == ((None, 0) if axis == 0 else (0, None))
    assert f"of it constant along axis {axis}" in found.verdict
    ramp = np.add.outer(np.arange(256.0), np.arange(256.0))
    assert not any(estimate_noise_correlation(ramp + X).stripes[1 - axis : 2 - axis])


def test_noise_common_to_channels(rng):
    X = rng.normal(size=(128, 128, 1)) + rng.normal(size=(128, 128, 3))
    X[..., 2] = rng.normal(size=(128, 128))
    found = estimate_noise_correlation(X, channel_axis=-1)
    np.testing.assert_allclose(found.channels, [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]], atol=0.05)
    assert found.verdict == "independent"


def test_the_correlation_is_that_within_items_and_channels(rng):
    X = ndimage.uniform_filter1d(rng.normal(size=(3, 64, 64, 2)), 2, axis=2)
    X += 100 * rng.normal(size=(3, 1, 1, 2))
    found = estimate_noise_correlation(X, batch_axis=0, channel_axis=-1)
    assert found.axes == (1, 2)
    assert found.verdict == "correlated along axis 2 over 1 entry"
    with pytest.raises(ValueError, match="too small"):
        estimate_noise_correlation(X[0, :8, :8, 0])
    with pytest.raises(ValueError, match="constant"):
        estimate_noise_correlation(np.ones((64, 64)))


@pytest.mark.parametrize(("share", "tolerance"), [(0.1, 0.1), (0.4, 0.1), (0.7, 0.2)])
def test_what_is_missing_has_no_less_noise(share, tolerance, rng):
    y, x = np.mgrid[:256, :256] / 64
    X = np.sin(3 * x) + (np.sin(2 * y) > 0) + rng.normal(scale=0.2, size=x.shape)
    X[rng.random(X.shape) < share] = np.nan
    X[:80] = np.nan
    assert estimate_noise(X) == pytest.approx(0.2, rel=tolerance)
    ramp = np.arange(64) * np.ones((128, 1)) + rng.normal(size=(128, 64))
    ramp[32:64] = np.nan
    ramp[rng.random(ramp.shape) < share] = np.nan
    assert estimate_noise(ramp) == pytest.approx(1, rel=tolerance)
    assert not estimate_noise_curve(ramp).is_signal_dependent
    if share < 0.5:  # of fewer, no pairs of neighbours are left
        assert estimate_noise_correlation(ramp).reach == (0, 0)


def test_a_model_of_the_noise(rng):
    signal = np.linspace(0, 10, 40_000).reshape(200, 200)
    models = {
        "standard deviation 0.5": NoiseModel(0.5),
        "standard deviation 0.1 to 1": NoiseModel(np.linspace(0.1, 1, 200)),
        "variance 2 · signal + 1": NoiseModel(curve=NoiseCurve(2.0, 1.0)),
    }
    for text, model in models.items():
        assert str(model) == text
        assert (model.is_uniform, model.is_signal_dependent) == ("0.5" in text, "signal" in text)
        noise = model.sample(signal, random_state=0)
        ratio = noise**2 / model.variance(signal)
        np.testing.assert_allclose(ratio.mean(axis=0).mean(), 1, atol=0.03)
        np.testing.assert_allclose(ratio[:, :100].mean(), ratio[:, 100:].mean(), atol=0.05)
        part = (slice(3, 9), slice(50, 60))
        whole = np.broadcast_to(model.variance(signal), signal.shape)
        inside = np.broadcast_to(model.within(part).variance(signal[part]), (6, 10))
        np.testing.assert_array_equal(inside, whole[part])
        assert [model == other for other in models.values()].count(True) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NoiseModel(), "takes a level or a curve"),
        (lambda: NoiseModel(1.0, NoiseCurve(1.0, 0.0)), "takes a level or a curve"),
        (lambda: NoiseModel([1.0, -1.0]), "must be finite and not negative"),
        (lambda: NoiseModel("a"), "noise='a' must be a standard deviation"),
        (lambda: NoiseModel("0.1"), "noise='0.1' must be a standard deviation"),
        (lambda: NoiseModel(True), "noise=True must be a standard deviation"),
        (lambda: NoiseModel([True, False]), "must be a standard deviation"),
        (lambda: NoiseModel(1j), "noise=1j must be a standard deviation"),
        (lambda: NoiseModel(np.ma.masked_equal([1.0, 2.0], 2)), "must be finite and not negative"),
        (lambda: noise_of(NoiseCurve(1.0, 0.0), np.ones(3)), r"give NoiseModel\(curve=\.\.\.\)"),
        (lambda: noise_of([1.0, 2.0], np.ones(3)), r"noise of shape \(2,\) does not broadcast"),
    ],
    ids=[
        "nothing",
        "both",
        "negative",
        "text",
        "number as text",
        "truth",
        "mask",
        "complex",
        "masked",
        "curve",
        "shape",
    ],  # fmt: skip
)
def test_a_bad_model_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_counts_keep_their_curve_whatever_their_unit(rng):
    counts = rng.poisson(np.linspace(5, 50, 128) * np.ones((128, 1)))
    for unit in (1e-18, 1.0, 1e18):
        curve = estimate_noise_model(unit * counts).curve
        assert curve.gain == pytest.approx(unit, rel=1e-6) and curve.is_signal_dependent
    white = 40 * np.sin(np.arange(128) / 9) + rng.normal(size=(128, 128))
    levels = [estimate_noise_model(unit * white).level / unit for unit in (1e-18, 1.0, 1e18)]
    np.testing.assert_allclose(levels, levels[1], rtol=1e-9)


def test_a_model_keeps_its_own_copy():
    level = np.ones(3)
    model = NoiseModel(level)
    level[:] = 9
    np.testing.assert_array_equal(model.level, [1, 1, 1])


@pytest.mark.parametrize("sigma", [2.0, 25.0])
def test_regular_patterns_are_no_noise(sigma, rng):
    i, j = np.mgrid[:128, :128]
    patterns = {
        "checkerboard": (i + j) % 2,
        "lattice": (i % 3 == 0) | (j % 3 == 0),
        "wide lattice": (i % 5 == 0) | (j % 5 == 0),
        "diagonal stripes": (i - j) % 8 < 2,
        "grating": 0.5 + 0.5 * np.sin((i * np.cos(0.3) + j * np.sin(0.3)) / 0.85),
    }
    for name, pattern in patterns.items():
        noisy = 255.0 * pattern + rng.normal(scale=sigma, size=i.shape)
        assert estimate_noise(noisy) == pytest.approx(sigma, rel=0.06), name
        assert estimate_noise(255.0 * pattern) < 1e-6, name
    signal = 30.0 * (np.arange(4096) % 7 < 3) + rng.normal(scale=sigma, size=4096)
    assert estimate_noise(signal) == pytest.approx(sigma, rel=0.15)


@pytest.mark.parametrize("sigma", [25.0, 50.0])
def test_noise_that_saturation_cut_off_is_put_back(sigma, rng):
    clean = data.camera()[-256:, :256]
    noisy = np.clip(clean + rng.normal(scale=sigma, size=clean.shape), 0, 255)
    assert estimate_noise(noisy) == pytest.approx(sigma, rel=0.05)
    rounded = np.rint(noisy).astype(np.uint8)
    assert estimate_noise(rounded) == pytest.approx(sigma, rel=0.05)


def test_a_constant_half_says_nothing_of_the_noise(rng):
    noisy = data.camera()[-256:, :256] - 128.0 + rng.normal(scale=25, size=(256, 256))
    noisy[:, :128] = 0
    level = estimate_noise(noisy)
    assert level == pytest.approx(25, rel=0.06)
    assert estimate_noise(noisy.astype(np.float32)) == pytest.approx(level, rel=1e-3)


def test_samples_have_the_correlation_of_the_model():
    table = np.array([[0.1, 0.2, 0.1], [0.4, 1.0, 0.4], [0.1, 0.2, 0.1]])
    model = NoiseModel(2.0, correlation=table)
    noise = model.sample(np.zeros((400, 500)), 0)
    assert noise.std() == pytest.approx(2.0, rel=0.02)
    for (i, j), expected in np.ndenumerate(table[1:, 1:]):
        pairs = noise[: noise.shape[0] - i, : noise.shape[1] - j] * noise[i:, j:]
        assert pairs.mean() / 4 == pytest.approx(expected, abs=0.02)
    far = noise[:-5] * noise[5:]
    assert abs(far.mean() / 4) < 0.02
    assert model.blind_spot().all()
    assert model.blind_spot().shape == (3, 3)
    # Beyond its ends the values at its ends go on: lines that share an offset.
    lines = NoiseModel(1.0, correlation=[[1.0, 1.0, 1.0]]).sample(np.zeros((40, 30)), 0)
    np.testing.assert_allclose(lines, lines[:, :1] + np.zeros(30), atol=1e-6)


@pytest.mark.parametrize(
    ("correlation", "message"),
    [
        (np.ones((2, 3)), "odd length"),
        ([[0.5]], "be 1 in its centre"),
        ([[2.0, 1.0, 2.0]], "from -1 to 1"),
    ],
)
def test_a_correlation_that_is_none_is_refused(correlation, message):
    with pytest.raises(ValueError, match=message):
        NoiseModel(1.0, correlation=correlation)


@pytest.mark.parametrize("missing", [0.05, 0.2, 0.5])
def test_gaps_do_not_hide_whether_noise_is_correlated(missing, rng):
    X = np.add.outer(np.linspace(0, 5, 160), np.linspace(0, 3, 160))
    white = rng.normal(size=X.shape)
    for noise, is_correlated in (
        (white, False),
        (1.4 * (white + np.roll(white, 1, axis=1)) / 2, True),
        (3 * ndimage.uniform_filter(white, 3, mode="wrap"), True),
    ):
        noisy = np.where(rng.random(X.shape) < missing, np.nan, X + noise)
        found = estimate_noise_correlation(noisy)
        if missing == 0.5 and is_correlated and not any(found.reach):
            assert not found.is_told
            continue
        assert any(found.reach) == is_correlated
        assert found.is_told
        if is_correlated:
            assert found.map[4, 5] == pytest.approx(np.mean(noise[:, 1:] * noise[:, :-1]), abs=0.15)


def test_noise_of_a_box_in_a_small_part_of_a_photograph(rng):
    """Where structure is in most blocks; texture's spectrum falls on and on."""
    crop = data.camera()[60:220, 130:290] / 255
    box = 0.3 * ndimage.uniform_filter(rng.normal(size=crop.shape), 3, mode="wrap")
    found = estimate_noise_correlation(crop + box)
    assert found.reach == (2, 2)
    # A photograph out of focus has fine structure that is smooth, and the noise is white.
    blurred = ndimage.gaussian_filter(crop, 1.5) + 0.02 * rng.normal(size=crop.shape)
    assert estimate_noise_correlation(blurred).reach == (0, 0)


@pytest.mark.parametrize("peak", [20, 200])
def test_the_level_of_counts_is_known_as_well_as_their_gain(peak, clean, rng):
    counts = rng.poisson(peak * clean)
    model = estimate_noise_model(counts)
    assert (model.curve.gain, model.curve.intercept) == (1, 0)
    assert model.level_error < 0.005
    # Read noise that is not known makes it uncertain, by as much as it errs.
    raw = 1.7 * counts + rng.normal(scale=np.sqrt(peak / 4), size=clean.shape)
    model = estimate_noise_model(raw)
    right = 1.7**2 * peak * clean.mean() + peak / 4
    error = np.mean(model.variance(raw)) / right - 1
    assert 0.005 < model.level_error < 0.05
    assert abs(error) < 6 * model.level_error


def test_weak_noise_in_structure_is_less_sure(clean, rng):
    errors = []
    for sigma in (0.02, 0.06, 0.2):
        model = estimate_noise_model(clean + rng.normal(scale=sigma, size=clean.shape))
        errors.append(model.level_error)
        assert model.level == pytest.approx(sigma, rel=3 * model.level_error)
    assert errors == sorted(errors, reverse=True)


def test_rounding_to_coarse_steps_is_part_of_the_noise(rng):
    """Its quietest parts are in the middle of a step, where the noise is not seen."""
    clean = data.camera()[60:220, 130:290] / 255
    for sigma, step in ((0.03, 1 / 16), (0.01, 1 / 16), (0.02, 1 / 10)):
        noisy = np.rint((clean + rng.normal(scale=sigma, size=clean.shape)) / step) * step
        model = estimate_noise_model(noisy)
        right = np.sqrt(np.mean((noisy - clean) ** 2))
        level = np.sqrt(np.mean(model.variance(noisy)))
        assert level == pytest.approx(right, rel=0.25)
        if sigma < 0.4 * step and model.is_uniform:
            assert any("rounded to coarse steps" in doubt for doubt in model.doubts)


def test_channels_that_agree_in_no_block_are_noise(rng):
    scene = data.astronaut()[60:220, 130:290] / 255
    white = 0.1 * rng.normal(size=scene.shape)
    smooth = 2.5 * ndimage.gaussian_filter(white, (0.8, 0.8, 0))
    assert estimate_noise_correlation(scene + smooth, channel_axis=2).reach >= (1, 1)
    assert estimate_noise_correlation(scene + white, channel_axis=2).reach == (0, 0)


def test_of_a_falling_spectrum_little_is_noise(rng):
    grass = data.grass()[150:350, 150:350] / 255
    model = estimate_noise_model(grass + rng.normal(scale=2 / 255, size=grass.shape))
    assert model.level < 1.5 * 2 / 255  # the texture is finer than three times as strong noise
    assert model.doubts
    steepness = estimate_noise_correlation(grass).steepness
    assert steepness > 2
    assert estimate_noise_correlation(rng.normal(size=(200, 200))).steepness == pytest.approx(
        1, abs=0.1
    )


@pytest.mark.parametrize("law", ["normal", "uniform", "two values"])
def test_lines_that_are_all_there_is_are_noise_if_they_are_normal(law, rng):
    draw = {
        "normal": lambda: rng.normal(size=(160, 1)),
        "uniform": lambda: rng.uniform(-1.7, 1.7, size=(160, 1)),
        "two values": lambda: rng.choice([-1.0, 1.0], size=(160, 1)),
    }[law]
    X = draw() + 0.3 * rng.normal(size=(160, 160))
    model = estimate_noise_model(X)
    if law == "normal":
        assert model.lines == (1,)
    else:
        assert not model.lines
        assert model.level == pytest.approx(0.3, rel=0.05)
        assert "lines" in model.doubts[0]


@pytest.mark.parametrize("role", ["batch_axis", "channel_axis"])
def test_an_item_or_a_channel_that_was_not_measured_says_nothing(role, rng):
    measured = rng.normal(scale=2.0, size=(3, 64, 64))
    X = np.insert(measured, 1, np.nan, axis=0)
    assert estimate_noise(X, **{role: 0}) == pytest.approx(2.0, rel=0.04)
    model = estimate_noise_model(X, **{role: 0})
    assert model.level == pytest.approx(2.0, rel=0.04) and not model.is_correlated
    assert estimate_noise_map(X, **{role: 0}).is_uniform
    denoised = AutoDenoiser("fast", **{role: 0}).fit_transform(X)
    assert np.isfinite(denoised).all() and np.mean(denoised[[0, 2, 3]] ** 2) < 0.1 * 4


def test_no_entry_that_was_measured_in_all_channels(rng):
    X = rng.normal(size=(2, 64, 64))
    X[0] = np.nan
    with pytest.raises(ValueError, match="no entry that was measured in all channels"):
        estimate_noise_correlation(X, max_lag=3, channel_axis=0)


def test_noise_that_would_be_negative_and_is_not_is_in_doubt(clean):
    """Of magnitudes without air around them: their mean is not the signal where that is small."""
    real, imaginary = np.random.default_rng(0).normal(scale=0.08, size=(2, *clean.shape))
    doubts = estimate_noise_model(np.hypot(clean + real, imaginary)).doubts
    assert any("never negative" in text or "magnitudes" in text for text in doubts)
    assert not estimate_noise_model(clean + real).doubts
    assert not estimate_noise_model(1 + np.hypot(clean + real, 0)).doubts
