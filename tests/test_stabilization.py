import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_n2s import GeneralizedAnscombe, JInvariantWrapper, SelfSupervisedSearchCV
from sk_n2s.denoisers import tv
from sk_n2s.noise import (
    ClippedNoise,
    LogTransform,
    NoiseCurve,
    NoiseModel,
    RicianNoise,
    stabilizer_for,
)

NOISES = [(1.0, 0.0, 0.0), (2.0, 100.0, 5.0), (0.5, 0.0, 0.1)]


@pytest.mark.parametrize("noise", NOISES, ids=str)
@pytest.mark.parametrize("mean", [0.1, 1.0, 4.0, 30.0, 190.0, 400.0])
def test_the_noise_is_white_and_the_inverse_is_unbiased(mean, noise, rng):
    gain, offset, read_noise = noise
    n = 200_000
    X = gain * rng.poisson(mean, n) + offset + read_noise * rng.normal(size=n)
    transformer = GeneralizedAnscombe(*noise).fit(X)
    stable = transformer.transform(X)
    if mean >= 4:
        assert stable.var() == pytest.approx(1, abs=0.06)
    level = transformer.variance(np.array([gain * mean + offset]))[0]
    assert stable.var() == pytest.approx(level, abs=0.05)
    expectation = np.array([stable.mean()])
    found = (transformer.inverse_transform(expectation)[0] - offset) / gain
    slope = (transformer.inverse_transform(expectation + 1e-3)[0] - offset) / gain - found
    assert abs(found - mean) < 4 * stable.std() / np.sqrt(n) * slope / 1e-3 + 1e-3
    # The algebraic inverse reads too low where counts are few.
    if mean == 1.0:
        spread = read_noise / gain
        assert expectation[0] ** 2 / 4 - 3 / 8 - spread**2 < 0.9 * mean


def test_the_inverse_rises_without_a_jump():
    transformer = GeneralizedAnscombe().fit(np.ones(3))
    places = np.linspace(0, 60, 6001)
    steps = np.diff(transformer.inverse_transform(places))
    assert (steps >= 0).all()
    assert np.abs(np.diff(steps[200:])).max() < 0.02  # where counts begin it is flat
    assert transformer.inverse_transform(np.array([0.0]))[0] == 0


def test_the_slope_is_the_derivative(rng):
    transformer = GeneralizedAnscombe(2.0, 10.0, 1.0).fit(np.ones(3))
    X = rng.uniform(12, 300, size=50)
    change = transformer.transform(X + 1e-4) - transformer.transform(X - 1e-4)
    np.testing.assert_allclose(transformer.slope(X), change / 2e-4, rtol=1e-5)


def test_the_noise_is_read_from_the_data(rng, clean):
    X = np.kron(clean, np.ones((2, 2)))
    counts = 3.0 * rng.poisson(30 * X)
    found = GeneralizedAnscombe(gain=None).fit(counts)
    assert found.gain_ == pytest.approx(3, rel=0.1)
    white = X + rng.normal(scale=0.1, size=X.shape)
    found.fit(white)
    assert found.gain_ == 0
    assert found.transform(white - X).std() == pytest.approx(1, rel=0.05)
    np.testing.assert_allclose(found.inverse_transform(found.transform(white)), white)


def test_gaps_and_single_precision(rng):
    X = rng.poisson(5.0, size=(20, 20)).astype(np.float32)
    X[3, 4] = np.nan
    transformer = GeneralizedAnscombe()
    stable = transformer.fit_transform(X)
    assert stable.dtype == np.float32
    assert np.isnan(stable[3, 4])
    assert transformer.inverse_transform(stable).dtype == np.float32
    for gain in (0.0, -1.0):
        with pytest.raises(ValueError, match="'gain' parameter"):
            GeneralizedAnscombe(gain=gain).fit(X)
    with pytest.raises(ValueError, match="fitted to data with 2"):
        transformer.transform(X[0])


def test_inside_a_wrapped_pipeline_the_loss_is_on_the_scale_of_the_data(rng):
    signal = np.repeat([2.0, 20.0, 5.0, 40.0], 100)
    counts = rng.poisson(signal).astype(float)
    smooth = FunctionTransformer(tv, kw_args={"weight": 2.0})
    noise = NoiseModel(curve=NoiseCurve(1.0, 0.0))  # too few to tell it from them
    wrapper = JInvariantWrapper(make_pipeline(GeneralizedAnscombe(), smooth), noise=noise)
    grid = {"denoiser__functiontransformer__kw_args": [{"weight": w} for w in (0.1, 1.0, 3.0)]}
    search = SelfSupervisedSearchCV(wrapper, grid, n_splits=None).fit(counts)
    truth = np.mean((search.transform(counts) - signal) ** 2)
    assert -search.best_score_ == pytest.approx(truth + signal.mean(), rel=0.15)
    assert search.best_params_ != {"denoiser__functiontransformer__kw_args": {"weight": 0.1}}


def noisy_of(kind, signal, n, rng):
    """Return noise of that kind about a signal, and what stabilises it."""
    if kind == "rician":
        return np.hypot(signal + 2 * rng.normal(size=n), 2 * rng.normal(size=n)), RicianNoise(2.0)
    if kind == "clipped":
        noisy = signal + 2 * rng.normal(size=n)
        return np.clip(noisy, 0, 7), ClippedNoise(2.0, 0.0, 7.0)
    if kind == "clipped above":
        noisy = signal + 2 * rng.normal(size=n)
        return np.minimum(noisy, 7), ClippedNoise(2.0, high=7.0)
    looks = int(kind.split()[0])
    read_noise = 0.5 if "read" in kind else 0.0
    noisy = signal * rng.gamma(looks, 1 / looks, n) + read_noise * rng.normal(size=n)
    return noisy, LogTransform(1 / looks, read_noise)


@pytest.mark.parametrize("signal", [0.3, 2.0, 6.5])
@pytest.mark.parametrize(
    "kind", ["1 look", "25 looks", "4 looks, read", "rician", "clipped", "clipped above"]
)
def test_other_noise_is_stabilised_and_comes_back_unbiased(kind, signal, rng):
    n = 200_000
    X, transformer = noisy_of(kind, signal, n, rng)
    stable = transformer.fit(X).transform(X)
    variance = transformer.variance(np.array([signal]))[0]
    assert stable.var() == pytest.approx(variance, rel=0.03)
    assert variance < 1.01
    mean = np.array([stable.mean(), stable.mean() + 1e-3])
    found = transformer.inverse_transform(mean)
    slope = (found[1] - found[0]) / 1e-3
    assert found[0] == pytest.approx(signal, abs=5 * slope * stable.std() / np.sqrt(n) + 2e-3)
    places = np.array([0.5, 3.0])
    change = np.diff([transformer.transform(places + e) for e in (-1e-4, 1e-4)], axis=0)[0]
    np.testing.assert_allclose(transformer.slope(places), change / 2e-4, rtol=1e-5)
    single = transformer.transform(np.array([1, np.nan], np.float32))
    assert single.dtype == transformer.inverse_transform(single).dtype == np.float32
    assert np.isnan(transformer.inverse_transform(single)).tolist() == [False, True]


def test_far_beyond_the_tables(rng):
    log = LogTransform(1.0).fit(np.ones(3))
    signal = np.geomspace(1e3, 1e8, 5)
    expected = (np.log(2 * signal / log.scale_) - np.euler_gamma) / (np.pi / np.sqrt(6))
    np.testing.assert_allclose(log.inverse_transform(expected), signal, rtol=0.01)
    assert log.inverse_transform(np.array([-50.0]))[0] == 0
    clipped = ClippedNoise(1.0, low=0.0).fit(np.ones(3))
    np.testing.assert_allclose(clipped.inverse_transform([1e4]), 1e4)
    with pytest.raises(ValueError, match="low=2.0 has to be less than high=1.0"):
        ClippedNoise(1.0, 2.0, 1.0).fit(np.ones(3))


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        (NoiseCurve(2.0, 4.0), "GeneralizedAnscombe(gain=2.0, read_noise=2.0)"),
        (NoiseCurve(2.0, 4.0, is_signal_dependent=False), "None"),
        (NoiseCurve(0.0, 0.0, relative=0.25), "LogTransform(0.25)"),
        (NoiseCurve(0.0, 0.0, rician=3.0), "RicianNoise(3.0)"),
        (
            NoiseCurve(0.0, 4.0, 0.0, False, clipped_low=0.1),
            "ClippedNoise(2.0, low=1.0)",
        ),
    ],
    ids=str,
)
def test_each_noise_has_its_stabiliser(curve, expected):
    assert repr(stabilizer_for(curve, np.arange(1.0, 9.0))) == expected
