import numpy as np
import pytest
from skimage import data

from sk_n2s import AutoDenoiser
from sk_n2s.noise import NoiseCurve, estimate_noise_curve
from sk_n2s.noise._levels import levels_of, measure
from sk_n2s.noise._moments import clipped_moments, rician_moments
from sk_n2s.noise.binning import bin_means, unbin


@pytest.fixture(scope="module")
def camera():
    return data.camera()[60:220, 130:290] / 255


@pytest.mark.parametrize("peak", [0.3, 1, 2, 5, 20, 100])
def test_counts_of_any_peak(camera, peak, rng):
    curve = estimate_noise_curve(rng.poisson(peak * camera) / peak)
    assert curve.is_signal_dependent and not curve.clipped_low
    assert curve[:2] == (pytest.approx(1 / peak, rel=1e-6), 0)


@pytest.mark.parametrize(("gain", "offset"), [(3.8, 3), (7.3, 17), (50, 0), (2.6, 200)])
def test_a_gain_that_is_no_integer_is_seen_in_the_grey_levels(camera, gain, offset, rng):
    X = np.rint(gain * rng.poisson(8 * camera**3) + offset)
    curve = estimate_noise_curve(X)
    assert curve.gain == pytest.approx(gain, rel=0.03)
    assert curve.offset_and_read_noise(X)[0] == pytest.approx(offset, abs=0.05 * gain)
    assert not curve.clipped_low


@pytest.mark.parametrize("gain", [1.0, 0.25])
@pytest.mark.parametrize("base", [1, 4, 20])
@pytest.mark.parametrize("shape", [(16, 80, 80), (8, 48, 48)], ids=str)
def test_counts_of_which_one_brightness_is_seen_are_told_by_their_shape(shape, base, gain):
    """Between sharp cells, all parts without structure are background."""
    z, y, x = np.indices(shape)
    cells = 30 * (np.sin(x / 5) * np.sin(y / 6) * np.cos(z / 3) > 0.3)
    rng = np.random.default_rng(0)
    curve = estimate_noise_curve(gain * rng.poisson(base + cells))
    assert curve[:2] == (pytest.approx(gain, rel=1e-6), 0) and not curve.clipped_low
    # Normal noise of the same variance, rounded, and cut off at 0, is none of counts.
    noisy = base + cells + np.sqrt(base) * rng.normal(size=shape)
    curve = estimate_noise_curve(gain * np.maximum(np.rint(noisy), 0))
    assert curve.gain == 0


@pytest.mark.parametrize("peak", [3, 30])
def test_short_spectra_and_small_images_of_counts(camera, peak):
    channel = np.arange(1500)
    lines = np.exp(-channel / 400) + sum(
        h * np.exp(-0.5 * ((channel - at) / 10) ** 2) for h, at in ((0.9, 300), (0.4, 900))
    )
    for clean in (peak * lines, peak * camera[60:104, 60:104]):
        rng = np.random.default_rng(0)
        curve = estimate_noise_curve(rng.poisson(clean))
        assert curve[:2] == (pytest.approx(1, rel=1e-6), 0)
        noisy = clean + np.sqrt(peak / 3) * rng.normal(size=clean.shape)
        for values in (noisy, np.rint(noisy)):
            curve = estimate_noise_curve(values)
            assert not curve.is_signal_dependent
            assert max(curve.clipped_low, curve.clipped_high) < 0.003


def test_the_curve_of_a_camera(rng):
    camera = data.camera() / 255
    X = 2.3 * rng.poisson(40 * camera) + 100 + 3 * rng.normal(size=camera.shape)
    curve = estimate_noise_curve(np.rint(X).astype(np.uint16))
    assert curve.gain == pytest.approx(2.3, rel=0.08)
    truth = 9 + 2.3**2 * 40 * np.array([0.1, 0.5, 0.9])
    np.testing.assert_allclose(
        curve.variance(100 + 92 * np.array([0.1, 0.5, 0.9])), truth, rtol=0.1
    )


@pytest.mark.parametrize("looks", [1, 4, 25])
def test_multiplicative_noise(camera, looks, rng):
    curve = estimate_noise_curve(camera * rng.gamma(looks, 1 / looks, camera.shape))
    assert curve.is_signal_dependent and curve.gain == curve.rician == 0
    assert curve.relative == pytest.approx(1 / looks, rel=0.15)
    assert curve.variance(2.0) == pytest.approx(4 * curve.relative + curve.intercept)


def test_magnitudes(rng):
    signal = np.maximum(np.add.outer(np.linspace(-0.3, 0.7, 200), np.sin(np.arange(200) / 15)), 0)
    real, imaginary = 0.1 * rng.normal(size=(2, *signal.shape))
    curve = estimate_noise_curve(np.hypot(signal + real, imaginary))
    assert curve.rician == pytest.approx(0.1, rel=0.08)
    assert curve.variance(np.array([0.1 * np.sqrt(np.pi / 2)]))[0] == pytest.approx(
        (2 - np.pi / 2) * 0.01, rel=0.2
    )


def additive(camera, kind, rng):
    noise = rng.normal(size=camera.shape)
    if kind == "six channels":
        levels = np.array([0.02, 0.05, 0.1, 0.15, 0.2, 0.3])
        return camera[..., None] * np.linspace(0.5, 1, 6) + levels * rng.normal(
            size=(*camera.shape, 6)
        )
    return {
        "weak": camera + 0.01 * noise,
        "strong": camera + 0.2 * noise,
        "quantised": np.rint(8 * (camera + 0.03 * noise)),
        "eight bits": np.rint(255 * camera + 10 * noise),
        "uneven": camera + np.linspace(0.02, 0.25, 160) * noise,
        "halves": camera + np.where(np.arange(160) < 80, 0.02, 0.2) * noise,
        "clipped": np.clip(np.rint(255 * camera + 50 * noise), 0, 255),
        "outliers": camera + 0.1 * noise + (rng.random(noise.shape) < 0.01) * 5,
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "weak",
        "strong",
        "quantised",
        "eight bits",
        "uneven",
        "halves",
        "clipped",
        "outliers",
        "six channels",
    ],
)
def test_additive_noise_has_no_curve(camera, kind, rng):
    channel_axis = -1 if kind == "six channels" else None
    for _ in range(3):
        curve = estimate_noise_curve(additive(camera, kind, rng), channel_axis=channel_axis)
        assert not curve.is_signal_dependent
        assert (curve.clipped_low > 0) == (kind == "clipped")


def test_clipping_is_told_from_counts_and_constant_areas(camera, rng):
    noisy = camera + 0.1 * rng.normal(size=camera.shape)
    curve = estimate_noise_curve(np.clip(noisy, 0.1, 0.7))
    assert curve.clipped_low == pytest.approx(np.mean(noisy < 0.1), abs=0.01)
    assert curve.clipped_high == pytest.approx(np.mean(noisy > 0.7), abs=0.01)
    assert curve.intercept == pytest.approx(0.01, rel=0.15)
    noisy[:, :80] = noisy.min()
    assert estimate_noise_curve(noisy).clipped_low == 0
    # All of it is near the end, and looks like counts.
    dark = estimate_noise_curve(
        np.maximum(0.2 * camera - 0.1 + 0.1 * rng.normal(size=(160, 160)), 0)
    )
    assert not dark.is_signal_dependent
    assert np.sqrt(dark.intercept) == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(40_000,), (200, 200), (36, 36, 36), (4, 100, 100)], ids=str)
def test_any_number_of_axes_and_gaps(shape, dtype, rng):
    signal = 20 + 15 * np.sin(np.arange(np.prod(shape)) / (np.prod(shape) / 6)).reshape(shape)
    X = (0.3 * rng.poisson(signal) + 0.1 * rng.normal(size=shape)).astype(dtype)
    X[rng.random(shape) < 0.03] = np.nan
    curve = estimate_noise_curve(X, batch_axis=0 if shape[0] == 4 else None)
    assert curve.is_signal_dependent
    assert curve.gain == pytest.approx(0.3, rel=0.2)


def test_the_moments_of_bent_noise(rng):
    n = rng.normal(size=(2, 400_000))
    for at in (0.0, 0.7, 3.0):
        signal, mean, variance = rician_moments()
        sample = np.hypot(at + n[0], n[1])
        assert np.interp(at, signal, mean) == pytest.approx(sample.mean(), abs=0.01)
        assert np.interp(at, signal, variance) == pytest.approx(sample.var(), abs=0.01)
        for width in (2.5, np.inf):
            signal, mean, variance = clipped_moments(width)
            sample = np.clip(at + n[0], 0, width)
            assert np.interp(at, signal, mean) == pytest.approx(sample.mean(), abs=0.01)
            assert np.interp(at, signal, variance) == pytest.approx(sample.var(), abs=0.01)


def test_levels_tell_where_structure_hides_the_noise(rng):
    X = rng.normal(size=(128, 128))
    X[:, 64:] += 10 + 3 * rng.normal(size=(32, 16)).repeat(4, 0).repeat(4, 1)
    blocks = measure(X, None, None)
    levels = levels_of(blocks, np.ones(len(blocks.power)))
    np.testing.assert_allclose(levels.power[:3].mean(), 1, rtol=0.1)
    assert levels.error[:3].max() < 0.2 < levels.error[-3:].min()


def test_a_curve_of_all_kinds_of_variance():
    curve = NoiseCurve(2.0, 1.0, relative=0.5)
    np.testing.assert_array_equal(curve.variance([0, 2, -1]), [1, 7, 0])
    assert NoiseCurve(0.0, 0.0, rician=2.0).variance(np.float32([1e5])).dtype == np.float32


def test_bins_hold_the_means_of_what_was_measured(rng):
    X = rng.normal(size=(7, 8, 3)).astype(np.float32)
    X[0, 0] = np.nan
    X[2:4, 2:4, 1] = np.nan
    means = bin_means(X, 2, axes=(0, 1))
    assert means.shape == (4, 4, 3) and means.dtype == np.float32
    np.testing.assert_allclose(means[0, 0], np.nanmean(X[:2, :2], axis=(0, 1)), rtol=1e-6)
    assert np.isnan(means[1, 1, 1]) and np.isnan(means).sum() == 1
    ramp = np.add.outer(np.arange(30.0), 2 * np.arange(20.0))
    back = unbin(bin_means(ramp, 3), 3, ramp.shape)
    np.testing.assert_allclose(back[6:-6, 6:-6], ramp[6:-6, 6:-6], atol=0.2)


def test_clipping_is_seen_where_much_was_cut_off_in_dark_parts(rng):
    """The mean of clipped noise is above the signal, so that little seems to be cut off."""
    signal = np.add.outer(np.repeat([-0.15, 0.3], [40, 120]), np.linspace(0, 0.3, 160))
    noisy = np.maximum(signal + rng.normal(scale=0.1, size=signal.shape), 0)
    curve = estimate_noise_curve(noisy)
    assert curve.clipped_low == pytest.approx(np.mean(noisy == 0), abs=0.01)
    assert np.sqrt(curve.intercept) == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("sigma", [4, 8, 15])  # rounded, 3 is like counts of 3.7
@pytest.mark.parametrize("rounded", [False, True])
def test_the_air_around_a_head_tells_the_noise_of_magnitudes(sigma, rounded):
    shape = (16, 64, 64)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    far = np.sqrt((z / 1.1) ** 2 + (y / 0.85) ** 2 + (x / 0.7) ** 2)
    head = np.where(far < 1, 60.0, 0) + (far < 0.9) * (40 + 15 * np.sin(9 * x) * np.cos(8 * y))
    real, imaginary = sigma * np.random.default_rng(0).normal(size=(2, *shape))
    magnitudes = np.hypot(head + real, imaginary)
    values = np.rint(magnitudes).astype(np.uint16) if rounded else magnitudes
    curve = estimate_noise_curve(values)
    assert curve.rician == pytest.approx(sigma, rel=0.03)
    # Nothing like it: noise that is cut off, or of which the absolute value was taken.
    for other in (np.maximum(head + real, 0), np.abs(head + real)):
        assert estimate_noise_curve(other).rician == 0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("side", [48, 128])
@pytest.mark.parametrize("n_values", [2, 4])
def test_of_few_values_no_curve_is_told(side, n_values):
    """Every block holds some of the highest value, so that none is free of clipping."""
    X = np.random.default_rng(0).integers(0, n_values, (side, side))
    for values in (X, 255.0 * X, X > 0):
        curve = estimate_noise_curve(values)
        assert not curve.is_signal_dependent and curve.intercept > 0
    assert np.isfinite(AutoDenoiser("fast").fit_transform(255.0 * X)).all()
