"""Outliers are found, structure and noise of any kind are not; heavy tails are said."""

import pickle

import numpy as np
import pytest
from scipy import ndimage
from skimage import data
from sklearn.pipeline import make_pipeline

from sk_n2s import JInvariantWrapper, OutlierMasker, SelfSupervisedSearchCV
from sk_n2s.denoisers import gaussian
from sk_n2s.masking import MedianFill
from sk_n2s.noise import estimate_tails, find_outliers, find_rare_values

PHOTO = data.camera()[60:220, 130:290] / 255


def filled(X, where):
    return MedianFill()(X.astype(float), where)


def psnr(X, clean):
    return 10 * np.log10(1 / np.mean((X - clean) ** 2))


def salt_and_pepper(clean, share, rng):
    hit = rng.random(clean.shape)
    return np.where(hit < share / 2, 0.0, np.where(hit < share, 1.0, clean))


def stars(n=160):
    """Points that are blurred as an instrument blurs them, and blocks of 2×2."""
    rng = np.random.default_rng(0)
    points = np.zeros((n, n))
    points[rng.integers(2, n - 2, 120), rng.integers(2, n - 2, 120)] = rng.uniform(2, 9, 120)
    sky = 0.05 + ndimage.gaussian_filter(points, 0.95)
    for i, j in rng.integers(2, n - 4, (60, 2)):
        sky[i : i + 2, j : j + 2] = 0.8
    return sky


def lines(n=160):
    i, j = np.mgrid[:n, :n]
    return 0.2 + 0.6 * ((i % 11 == 0) | (j == 40) | ((i - j) % 23 == 0))


def lattice(n=160):
    i, j = np.mgrid[:n, :n]
    return 0.2 + 0.6 * ((i % 8 == 0) & (j % 8 == 0))


def dots(n=160):
    i, j = np.mgrid[:n, :n]
    return ((i % 8 < 2) & (j % 8 < 2)).astype(float)


def checkerboard(n=160):
    return np.indices((n, n)).sum(axis=0) % 2.0


SCENES = {
    "photo": PHOTO,
    "stars": stars(),
    "lines": lines(),
    "lattice": lattice(),
    "dots": dots(),
    "checkerboard": checkerboard(),
}
NOISES = {
    "none": lambda c, rng: c,
    "none, uint8": lambda c, rng: np.uint8(255 * np.clip(c, 0, 1)),
    "sigma 2": lambda c, rng: c + 2 / 255 * rng.normal(size=c.shape),
    "sigma 25": lambda c, rng: c + 25 / 255 * rng.normal(size=c.shape),
    "uneven": lambda c, rng: c + np.linspace(0.02, 0.25, c.shape[1]) * rng.normal(size=c.shape),
    "Poisson 0.3": lambda c, rng: rng.poisson(0.3 * c),
    "Poisson 3": lambda c, rng: rng.poisson(3 * c),
    "Poisson 20": lambda c, rng: rng.poisson(20 * c),
    "clipped": lambda c, rng: np.uint8(
        np.clip(255 * c + 50 * rng.normal(size=c.shape), 0, 255).round()
    ),
    "quantised": lambda c, rng: np.round(8 * (c + 0.03 * rng.normal(size=c.shape))) / 8,
    "stripes": lambda c, rng: c + 0.1 * rng.normal(size=(len(c), 1)),
    "blurred": lambda c, rng: c + 0.3 * ndimage.gaussian_filter(rng.normal(size=c.shape), 1.2),
    "gaps": lambda c, rng: np.where(
        rng.random(c.shape) < 0.3, np.nan, c + 0.1 * rng.normal(size=c.shape)
    ),
    "Laplace": lambda c, rng: c + 0.1 * rng.laplace(size=c.shape),
    "Student": lambda c, rng: c + 0.1 * rng.standard_t(3, c.shape),
}


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("scene", SCENES)
def test_structure_and_noise_are_no_outliers(scene, noise, rng):
    found = find_outliers(NOISES[noise](SCENES[scene], rng))
    assert np.count_nonzero(found) <= 2


@pytest.mark.parametrize("uint8", [False, True])
@pytest.mark.parametrize(("share", "least"), [(0.01, 44), (0.05, 38), (0.2, 31)])
def test_salt_and_pepper(share, least, uint8, rng):
    """With 5 %, a switching median that is told the values comes to 40.6 dB."""
    noisy = salt_and_pepper(PHOTO, share, rng)
    shown = np.uint8(255 * noisy) if uint8 else noisy
    found = find_outliers(shown)
    assert psnr(filled(noisy, found), PHOTO) > least
    assert np.mean(noisy[found] != PHOTO[found]) > 0.98


def test_hits_of_all_sizes(rng):
    hits = (rng.random(PHOTO.shape) < 0.01) * rng.exponential(5, PHOTO.shape)
    found = find_outliers(PHOTO + 0.1 * rng.normal(size=PHOTO.shape) + hits)
    assert np.mean(found[hits > 0.6]) >= 0.95
    assert np.mean(hits[found] > 0) >= 0.99


@pytest.mark.parametrize("sign", [1, -1])
def test_hot_and_dead_pixels(sign, rng):
    hot = rng.random(PHOTO.shape) < 0.002
    noisy = np.where(hot, 50.0, PHOTO + 0.1 * rng.normal(size=PHOTO.shape))
    np.testing.assert_array_equal(find_outliers(sign * noisy), hot)
    counts = rng.poisson(2 * PHOTO) + 50 * hot
    np.testing.assert_array_equal(find_outliers(sign * counts), hot)


@pytest.mark.parametrize("value", [1e4, -1e4, 1e6, 1e300])
@pytest.mark.parametrize("sigma", [0.0, 0.1])
def test_one_entry_far_from_all_others(sigma, value, rng):
    noisy = PHOTO + sigma * rng.normal(size=PHOTO.shape)
    noisy[50, 60] = value
    assert np.argwhere(find_outliers(noisy)).tolist() == [[50, 60]]


def test_neighbours_that_were_hit_together(rng):
    noisy = rng.normal(size=(64, 64))
    noisy[10, 10:12] = noisy[30, 30] = noisy[31, 31] = noisy[0, 9] = 60.0
    noisy[0, 0] = 60.0  # in a corner it may be where a line ends
    noisy[50:52, 50:52] = 60.0  # a star
    expected = [[0, 9], [10, 10], [10, 11], [30, 30], [31, 31]]
    assert np.argwhere(find_outliers(noisy)).tolist() == expected


def test_a_frame_is_no_row_of_impulses(rng):
    clean = PHOTO.copy()
    clean[0] = clean[:, -1] = clean[:, 70] = 0.0
    noisy = salt_and_pepper(clean, 0.05, rng)
    found = find_outliers(noisy)
    assert np.mean(found[(noisy == 0) & (clean == 0)]) < 0.05
    assert np.mean(found[noisy != clean]) > 0.95


def test_signals_volumes_channels_and_items(rng):
    t = np.arange(2000)
    signal = np.sin(t / 20) + 0.1 * rng.normal(size=t.size)
    assert not find_outliers(signal).any()
    hit = t % 97 == 13
    hit[110] = True
    signal[hit] += 3 * rng.choice([-1, 1], hit.sum())
    spikes = find_outliers(signal[:90])
    assert np.flatnonzero(spikes).tolist() == [13]
    volume = rng.normal(size=(12, 20, 24))
    volume[5, 6, 7] = volume[0, 0, 9] = 40
    assert np.argwhere(find_outliers(volume)).tolist() == [[0, 0, 9], [5, 6, 7]]
    stack = rng.normal(size=(3, 30, 40)) * [[[1e-3]], [[1]], [[1e3]]]
    stack[:, 5, 6] *= 1e3
    stack[0, 5, 6], stack[1, 5, 6] = 0.1, 100.0
    expected = np.stack([find_outliers(image) for image in stack])
    assert expected[:2, 5, 6].all()
    np.testing.assert_array_equal(find_outliers(stack, batch_axis=0), expected)
    last = np.moveaxis(stack, 0, -1)
    np.testing.assert_array_equal(
        find_outliers(last, channel_axis=-1), np.moveaxis(expected, 0, -1)
    )


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
def test_any_unit_and_any_offset(scale, rng):
    noisy = rng.normal(size=(40, 40))
    noisy[3, 4] = 100
    for X in (noisy * scale, np.float32(noisy + 1e5), noisy.astype(np.float32)):
        assert np.argwhere(find_outliers(X)).tolist() == [[3, 4]]


def test_what_tells_nothing_has_none():
    for X in (np.ones((9, 9)), np.arange(5.0), np.full((20, 20), 7), np.eye(30), [1.0, np.nan, 3]):
        assert not find_outliers(X).any()


def test_missing_entries_are_no_outliers(rng):
    noisy = rng.normal(size=(60, 60))
    noisy[rng.random(noisy.shape) < 0.5] = np.nan
    noisy[20:50] = np.nan
    noisy[3, 4] = 80
    before = noisy.copy()
    assert np.argwhere(find_outliers(noisy)).tolist() == [[3, 4]]
    np.testing.assert_array_equal(noisy, before)


def test_more_false_positives_find_smaller_outliers(rng):
    hits = (rng.random((256, 256)) < 0.01) * rng.exponential(10, (256, 256))
    noisy = rng.normal(size=hits.shape) + hits
    strict, free = (find_outliers(noisy, false_positives=n) for n in (1e-6, 1.0))
    assert (free >= strict).all()
    assert np.count_nonzero(free) > 1.1 * np.count_nonzero(strict)
    assert np.count_nonzero(free & (hits == 0)) <= 3


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_masker(dtype, rng):
    noisy = (PHOTO + 0.1 * rng.normal(size=PHOTO.shape)).astype(dtype)
    noisy[3, 4], noisy[20, 30] = 1e4, np.nan
    before = noisy.copy()
    masker = OutlierMasker().fit(noisy)
    assert (masker.n_outliers_, masker.share_) == (1, 1 / (noisy.size - 1))
    assert np.argwhere(masker.outliers_).tolist() == [[3, 4]]
    found = pickle.loads(pickle.dumps(masker)).transform(noisy)
    np.testing.assert_array_equal(noisy, before)
    assert found.dtype == dtype
    assert np.argwhere(np.isnan(found)).tolist() == [[3, 4], [20, 30]]
    kept = ~np.isnan(found)
    np.testing.assert_array_equal(found[kept], noisy[kept])
    other = noisy[:50, ::-1].copy()  # has outliers of its own
    assert np.argwhere(np.isnan(masker.transform(other))).tolist() == [
        [3, noisy.shape[1] - 5],
        [20, noisy.shape[1] - 31],
    ]
    with pytest.raises(ValueError, match="fitted to data with 2"):
        masker.transform(noisy[0])


def test_masker_refuses_what_does_not_fit(rng):
    X = rng.normal(size=(20, 20))
    for rate in (0.0, -1.0, "low"):
        with pytest.raises(ValueError, match="'false_positives' parameter"):
            OutlierMasker(rate).fit(X)
    with pytest.raises(ValueError, match="channel_axis=2"):
        OutlierMasker(channel_axis=2).fit(X)


def test_before_a_search_in_a_pipeline(rng):
    noisy = PHOTO + 0.1 * rng.normal(size=PHOTO.shape)
    grid = {"sigma": [0.5, 0.8, 1.2, 2.0]}
    expected = SelfSupervisedSearchCV(JInvariantWrapper(gaussian), grid).fit(noisy)
    best = np.mean((expected.transform(noisy) - PHOTO) ** 2)
    noisy[rng.random(noisy.shape) < 0.01] = 30.0
    pipeline = make_pipeline(
        OutlierMasker(), SelfSupervisedSearchCV(JInvariantWrapper(gaussian), grid)
    )
    found = pipeline.fit_transform(noisy)
    assert pipeline[-1].best_params_ == expected.best_params_
    assert np.mean((found - PHOTO) ** 2) < 1.05 * best


HEAVY = {
    "Student": lambda c, rng: c + 0.1 / np.sqrt(3) * rng.standard_t(3, c.shape),
    "Laplace": lambda c, rng: c + 0.1 / np.sqrt(2) * rng.laplace(size=c.shape),
}
NORMAL = {
    "sigma 5": lambda c, rng: c + 5 / 255 * rng.normal(size=c.shape),
    "Poisson 5": lambda c, rng: rng.poisson(5 * c),
    "Poisson 100": lambda c, rng: rng.poisson(100 * c),
    "hits": lambda c, rng: (
        c + 0.1 * rng.normal(size=c.shape) + (rng.random(c.shape) < 0.01) * rng.exponential(5)
    ),
    **{k: NOISES[k] for k in ("sigma 25", "uneven", "clipped", "blurred", "gaps")},
}


@pytest.mark.parametrize("kind", [*HEAVY, *NORMAL])
def test_heavy_tails(kind):
    photo = data.camera()[:320, :320] / 255
    for seed in range(3):
        noisy = (HEAVY | NORMAL)[kind](photo, np.random.default_rng(seed))
        tails = estimate_tails(noisy)
        assert tails.is_heavy == (kind in HEAVY)
        assert str(tails).startswith("heavy-tailed" if kind in HEAVY else "no heavy")
        if kind in HEAVY:
            assert 0.2 < tails.excess < 0.5
        else:
            assert abs(tails.excess) < 0.15
        assert 0 < tails.error < 0.1


def test_tails_of_too_few_data():
    assert np.isinf(estimate_tails(np.arange(30.0)).error)
    assert not estimate_tails(np.ones((64, 64))).is_heavy


@pytest.mark.parametrize("image", ["camera", "brick", "grass", "page", "text"])
@pytest.mark.parametrize("sigma", [2, 25])
def test_normal_noise_and_structure_have_few_rare_values(image, sigma, rng):
    clean = getattr(data, image)()[:160, 100:260] / 255
    noisy = clean + rng.normal(scale=sigma / 255, size=clean.shape)
    assert find_rare_values(noisy).mean() < 0.0007


def test_rare_values_are_those_of_the_tails(rng):
    noise = 0.06 * rng.standard_t(3, PHOTO.shape)
    found = find_rare_values(PHOTO + noise)
    assert 0.002 < found.mean() < 0.006
    assert np.abs(noise)[found].mean() > 6 * np.median(np.abs(noise))
    gaps = np.where(rng.random(PHOTO.shape) < 0.1, np.nan, PHOTO + noise)
    assert not find_rare_values(gaps)[np.isnan(gaps)].any()
    stack = np.stack([PHOTO + noise, PHOTO])
    np.testing.assert_array_equal(find_rare_values(stack, batch_axis=0)[0], found)
    with pytest.raises(ValueError, match="beyond=0 must be a positive number"):
        find_rare_values(PHOTO, beyond=0)
