"""The mathematics: for a J-invariant f, loss = true error + variance of the noise."""

import numpy as np
import pytest
from skimage import data
from skimage.restoration import denoise_invariant, denoise_nl_means, denoise_tv_chambolle
from skimage.restoration import denoise_wavelet as skimage_wavelet

from sk_n2s import GridPartition, JInvariantWrapper, PairPartition, RandomPartition
from sk_n2s.denoisers import gaussian, median, tv, uniform, wavelet
from sk_n2s.masking.fills import MeanFill

SIGMA = 0.2
TRUTH = np.sin(np.linspace(0, 6, 24))[:, None] * np.cos(np.linspace(0, 9, 24))


def _gaps(wrapper, X_of, truth, n_draws=200):
    """Return loss minus true error of the wrapper's output, for each draw of the noise."""
    rng = np.random.default_rng(0)
    gaps = []
    for _ in range(n_draws):
        noisy = X_of(rng)
        denoised = wrapper.fit_transform(noisy)
        gaps.append(np.mean((denoised - noisy) ** 2) - np.mean((denoised - truth) ** 2))
    return np.mean(gaps), np.std(gaps) / np.sqrt(n_draws)


def _noisy(rng):
    return TRUTH + rng.normal(scale=SIGMA, size=TRUTH.shape)


FORMS = [
    JInvariantWrapper(median),
    JInvariantWrapper(gaussian),
    JInvariantWrapper(uniform),
    JInvariantWrapper(tv, weight=0.2, num_iter=10),
    JInvariantWrapper(wavelet, sigma=0.2, max_shifts=0),
    JInvariantWrapper(gaussian, partition=GridPartition(2)),
    JInvariantWrapper(median, partition=RandomPartition(4, random_state=0), fill="random"),
]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_the_loss_is_the_error_plus_the_variance(form):
    mean, error = _gaps(form, _noisy, TRUTH)
    assert abs(mean - SIGMA**2) < 3 * error
    assert 3 * error < 0.05 * SIGMA**2


@pytest.mark.parametrize("form", FORMS[:5], ids=str)
def test_for_a_plain_denoiser_it_is_not(form):
    mean, error = _gaps(form.set_params(output="plain"), _noisy, TRUTH)
    form.set_params(output="invariant")
    assert mean < SIGMA**2 - 20 * error


def test_two_copies_predict_each_other():
    def pair(rng):
        return np.stack([_noisy(rng), _noisy(rng)])

    form = JInvariantWrapper(gaussian, partition=PairPartition(), batch_axis=0)
    mean, error = _gaps(form, pair, np.stack([TRUTH, TRUTH]), n_draws=100)
    assert abs(mean - SIGMA**2) < 3 * error


def test_each_copy_is_denoised_from_the_other(rng):
    X = rng.normal(size=(2, 16, 16))
    form = JInvariantWrapper(gaussian, partition=PairPartition(), batch_axis=0, sigma=1.5)
    expected = np.stack([gaussian(X[1], sigma=1.5), gaussian(X[0], sigma=1.5)])
    np.testing.assert_array_equal(form.fit_transform(X), expected)


def test_a_gap_in_one_copy_is_filled_from_around_it(rng):
    ramp = np.linspace(0, 20, 40)[:, None] + np.zeros((40, 40))
    X = ramp + rng.normal(scale=0.1, size=(2, 40, 40))
    X[1][rng.random((40, 40)) < 0.1] = np.nan
    form = JInvariantWrapper(gaussian, partition=PairPartition(), batch_axis=0)
    inside = (slice(None), slice(5, -5))
    assert np.mean((form.fit_transform(X) - ramp)[inside] ** 2) < 0.005


PARITY = {
    "tv": (denoise_tv_chambolle, {"weight": 0.15}),
    "wavelet": (skimage_wavelet, {"sigma": 0.1}),
    "nl_means": (denoise_nl_means, {"h": 0.1, "patch_size": 3, "patch_distance": 3}),
}


@pytest.mark.parametrize("shape", ["2-D", "3-D", "colour"])
@pytest.mark.parametrize("name", PARITY)
def test_the_masked_form_is_that_of_scikit_image(name, shape, rng):
    denoiser, params = PARITY[name]
    if shape == "2-D":
        X, axis = data.camera()[100:150, 200:261] / 255.0, None
    elif shape == "3-D":
        X, axis = rng.random((9, 8, 10)), None
    else:
        X, axis = data.astronaut()[50:94, 200:237] / 255.0, -1
    X = X + rng.normal(scale=0.1, size=X.shape)
    params_theirs = {**params, "channel_axis": axis}
    theirs = denoise_invariant(X, denoiser, stride=4, denoiser_kwargs=params_theirs)
    fill = MeanFill("cross", border="mirror")
    ours = JInvariantWrapper(
        denoiser, partition=GridPartition(4), fill=fill, channel_axis=axis, **params
    ).fit_transform(X)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-10)
