import numpy as np
import pytest
from scipy import ndimage
from skimage import data

from sk_n2s.denoisers import nl_ridge
from sk_n2s.noise import NoiseMap, estimate_noise, estimate_noise_map

CAMERA = data.camera()[60:220, 130:290] / 255


def _db(X, clean):
    return -10 * np.log10(np.mean((X - clean) ** 2))


@pytest.mark.parametrize("sigma", [2, 10, 50])
@pytest.mark.parametrize("name", ["camera", "grass", "brick", "gravel", "page"])
def test_texture_is_not_taken_for_uneven_noise(name, sigma, rng):
    clean = getattr(data, name)().astype(float)
    found = estimate_noise_map(clean + rng.normal(scale=sigma, size=clean.shape))
    assert found.is_uniform
    assert found.map.size == 1


@pytest.mark.parametrize(
    "noise",
    [
        lambda white: ndimage.uniform_filter(white, 3, mode="wrap"),
        lambda white: ndimage.gaussian_filter(white, 1.2, mode="wrap"),
        lambda white: np.broadcast_to(white[:, :1], white.shape),
    ],
    ids=["box", "Gaussian", "row stripes"],
)
def test_correlated_noise_of_one_level_is_uniform(noise, rng):
    drawn = noise(rng.normal(size=CAMERA.shape))
    assert estimate_noise_map(CAMERA + 0.1 * drawn / drawn.std()).is_uniform


@pytest.mark.parametrize("kind", ["ramp", "halves", "vignetting"])
def test_a_denoiser_told_the_map_comes_close_to_one_told_the_truth(kind, rng):
    clean = CAMERA[:112, :112]
    i, j = np.ogrid[-1:1:112j, -1:1:112j]
    truth = {
        "ramp": 0.135 + 0.115 * j,
        "halves": np.where(i < 0, 0.02, 0.2),
        "vignetting": 0.04 + 0.06 * (i**2 + j**2),
    }[kind] * np.ones(clean.shape)
    X = clean + truth * rng.normal(size=clean.shape)
    found = estimate_noise_map(X)
    assert found.varies == ("places",)
    assert found.map.shape == X.shape
    told = _db(nl_ridge(X, sigma=found.map), clean)
    assert told > _db(nl_ridge(X, sigma=truth), clean) - 0.3
    assert told > _db(nl_ridge(X, sigma=estimate_noise(X)), clean) + 1.5


@pytest.mark.parametrize("axis", [0, -1])
def test_channels_are_looked_at_one_by_one(axis, rng):
    sigma = np.linspace(0.02, 0.3, 6)
    X = CAMERA[..., None] + sigma * rng.normal(size=(*CAMERA.shape, 6))
    found = estimate_noise_map(np.moveaxis(X, -1, axis), channel_axis=axis)
    assert found.varies == ("channels",)
    assert found.map.shape == ((6, 1, 1) if axis == 0 else (1, 1, 6))
    np.testing.assert_allclose(found.map.ravel(), sigma, rtol=0.15)
    assert "channels: standard deviation 0.02" in found.verdict


def test_items_are_looked_at_one_by_one(rng):
    sigma = np.linspace(0.03, 0.25, 20)
    X = CAMERA + sigma[:, None, None] * rng.normal(size=(20, *CAMERA.shape))
    found = estimate_noise_map(X, batch_axis=0)
    assert found.varies == ("items",)
    np.testing.assert_allclose(found.map.ravel(), sigma, rtol=0.15)
    same = CAMERA + 0.1 * rng.normal(size=(20, *CAMERA.shape))
    assert estimate_noise_map(same, batch_axis=0).is_uniform


def test_items_and_channels_in_any_order(rng):
    sigma = np.array([[1, 2, 4], [3, 6, 12]])  # channels, items
    X = sigma[:, None, :, None] * rng.normal(size=(2, 64, 3, 64))
    found = estimate_noise_map(X, channel_axis=0, batch_axis=2)
    assert found.varies == ("items", "channels")
    assert found.map.shape == (2, 1, 3, 1)
    np.testing.assert_allclose(found.map[:, 0, :, 0], sigma, rtol=0.1)


def test_one_item_of_many_may_be_worse(rng):
    X = rng.normal(size=(30, 40, 40))
    X[7] *= 3
    levels = estimate_noise_map(X, batch_axis=0).map.ravel()
    assert np.argmax(levels) == 7
    assert levels[7] == pytest.approx(3, rel=0.15)


def test_channels_and_places_together(rng):
    truth = np.linspace(0.02, 0.2, 128)[:, None, None] * np.array([0.5, 1, 2])
    X = CAMERA[:128, :128, None] + truth * rng.normal(size=(128, 128, 3))
    found = estimate_noise_map(X, channel_axis=-1)
    assert found.varies == ("places", "channels")
    assert found.map.shape == X.shape
    assert np.abs(np.log(found.map / truth)).mean() < 0.15


@pytest.mark.parametrize("shape", [(8192,), (128, 128), (40, 40, 40), (12, 12, 12, 24)], ids=str)
def test_any_number_of_axes(shape, rng):
    truth = np.linspace(1, 8, shape[-1])
    white = rng.normal(size=shape)
    assert estimate_noise_map(white).is_uniform
    found = estimate_noise_map((truth * white).astype(np.float32))
    assert found.varies == ("places",)
    assert found.map.dtype == np.float32
    assert np.abs(np.log(found.map / truth)).mean() < 0.2


def test_gaps_change_little(rng):
    truth = np.linspace(0.02, 0.2, 160)
    X = CAMERA + truth * rng.normal(size=CAMERA.shape)
    X[rng.random(X.shape) < 0.2] = np.nan
    before = X.copy()
    found = estimate_noise_map(X)
    np.testing.assert_array_equal(X, before)
    assert np.abs(np.log(found.map / truth)).mean() < 0.2


def test_an_area_without_noise(rng):
    X = CAMERA + 0.1 * rng.normal(size=CAMERA.shape)
    X[:, :80] = 0
    found = estimate_noise_map(X)
    assert np.all(found.map[:, :78] == 0)
    assert np.all(found.map[:, 82:] > 0.08)
    assert "none in 50 % of the data" in found.verdict


def test_clipped_data_say_nothing_where_they_are_clipped(rng):
    noisy = 255 * CAMERA + rng.normal(scale=50, size=CAMERA.shape)
    assert estimate_noise_map(np.clip(np.rint(noisy), 0, 255).astype(np.uint8)).is_uniform


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("shape", [(1,), (2,), (3, 100), (1, 1), (20, 20), (2, 3, 4, 5)], ids=str)
def test_small_data_are_uniform(shape, rng):
    assert estimate_noise_map(rng.normal(size=shape)).is_uniform


def test_constant_data_hold_no_noise():
    found = estimate_noise_map(np.full((64, 64), 7.0))
    assert found.verdict == "no noise"
    assert found.map.item() == 0


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_the_unit_of_the_data_does_not_matter(unit, rng):
    X = CAMERA + np.linspace(0.02, 0.2, 160) * rng.normal(size=CAMERA.shape)
    np.testing.assert_allclose(
        estimate_noise_map(unit * X).map, unit * estimate_noise_map(X).map, rtol=1e-6
    )


def test_the_verdict_in_words():
    assert NoiseMap(np.array([[0.1]])).verdict == "the same everywhere: standard deviation 0.1"
    uneven = NoiseMap(np.array([0.0, 0.1, 0.2, 0.2]), ("places", "channels")).verdict
    assert uneven == (
        "differs between places and channels: standard deviation 0.1 to 0.2, "
        "none in 25 % of the data"
    )
