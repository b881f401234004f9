import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_n2s import GeneralizedAnscombe, JInvariantWrapper, SelfSupervisedSearchCV
from sk_n2s.denoisers import tv

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
    wrapper = JInvariantWrapper(make_pipeline(GeneralizedAnscombe(), smooth))
    grid = {"denoiser__functiontransformer__kw_args": [{"weight": w} for w in (0.1, 1.0, 3.0)]}
    search = SelfSupervisedSearchCV(wrapper, grid, n_splits=None).fit(counts)
    truth = np.mean((search.transform(counts) - signal) ** 2)
    assert -search.best_score_ == pytest.approx(truth + signal.mean(), rel=0.15)
    assert search.best_params_ != {"denoiser__functiontransformer__kw_args": {"weight": 0.1}}
