"""Split Bregman, patches of cosines, both modes of NL-means, and BM3D where it is installed."""

import sys
from functools import partial

import numpy as np
import pytest
from scipy import fft

from sk_n2s._utils.readable import readable
from sk_n2s.denoisers import DENOISERS, bm3d, dct, nl_means, tv, tv_bregman


def psnr(found, clean):
    return -10 * np.log10(np.mean((found - clean) ** 2))


def test_split_bregman_finds_the_optimum_of_a_bar():
    """A long bar of width 8 on a wide ground loses weight / 8 on either side; all else stays."""
    bar = np.zeros((240, 40))
    bar[:, 16:24] = 10.0
    options = {"num_iter": 1000, "isotropic": False}
    for X, unit in ((bar, 1.0), (bar.T, 1e6)):
        found = tv_bregman(unit * X, weight=2.0 * unit, **options) / unit
        np.testing.assert_allclose(found, 0.95 * X, atol=0.1)


def test_split_bregman_agrees_with_chambolle(noisy):
    found, expected = (g(noisy, weight=0.1) for g in (tv_bregman, tv))
    assert np.std(found - expected) < 0.25 * np.std(noisy - expected)
    assert np.std(tv_bregman(noisy, weight=0.2)) < np.std(found)


def test_split_bregman_takes_no_volume():
    with pytest.raises(ValueError, match="has 3 axes, and tv_bregman takes at most 2"):
        tv_bregman(np.zeros((4, 4, 4)))
    with pytest.raises(ValueError, match="weight=-1 must be"):
        tv_bregman(np.zeros((4, 4)), weight=-1)


@pytest.mark.parametrize(
    ("shape", "side", "step"), [((40,), 8, 3), ((9, 12), (4, 5), 2), ((6, 5, 7), 3, 3)], ids=str
)
def test_dct_is_the_weighted_mean_of_its_patches(shape, side, step, rng):
    X = rng.normal(size=shape)
    sides = (side,) * X.ndim if isinstance(side, int) else side
    total, weights = np.zeros(shape), np.zeros(shape)
    for start in np.ndindex(*(n - p + 1 for n, p in zip(shape, sides))):
        if any(s % step and s != n - p for s, n, p in zip(start, shape, sides)):
            continue
        place = tuple(slice(s, s + p) for s, p in zip(start, sides))
        patch = fft.dctn(X[place] - X.mean(), norm="ortho")
        kept = np.abs(patch) > 1.2
        kept[(0,) * X.ndim] = True
        total[place] += fft.idctn(patch * kept, norm="ortho") / kept.sum()
        weights[place] += 1 / kept.sum()
    found = dct(X, sigma=0.6, threshold=2.0, patch_size=side, step=step)
    np.testing.assert_allclose(found, total / weights + X.mean(), atol=1e-12)


def test_dct_in_many_tiles_is_that_in_one(noisy, monkeypatch):
    whole = dct(noisy, sigma=0.1)
    monkeypatch.setattr("sk_n2s.denoisers.cosine._TILE", 7 * 7 * 64)
    np.testing.assert_allclose(dct(noisy, sigma=0.1), whole, atol=1e-12)


@pytest.mark.parametrize("channel_axis", [None, 0, -1])
def test_a_threshold_that_nothing_falls_below_is_the_identity(channel_axis, rng):
    X = rng.normal(size=(9, 10, 11))
    found = dct(X, sigma=1e-12, patch_size=4, channel_axis=channel_axis)
    np.testing.assert_allclose(found, X, atol=1e-9)


def test_a_high_threshold_leaves_the_means_of_the_patches(rng):
    X = rng.normal(size=32)
    found = dct(X, sigma=1e6, patch_size=8, step=8)
    np.testing.assert_allclose(found, np.repeat(X.reshape(4, 8).mean(axis=1), 8), atol=1e-12)


def test_dct_follows_scale_and_offset(noisy):
    expected = 50 * dct(noisy, sigma=0.1) - 3
    np.testing.assert_allclose(dct(50 * noisy - 3, sigma=5.0), expected, atol=1e-9)


def test_channels_that_agree_are_denoised_better_together(noisy, clean):
    channels = clean + 0.1 * np.random.default_rng(1).normal(size=(3, *clean.shape))
    alone = np.stack([dct(c, sigma=0.1) for c in channels])
    together = dct(channels, sigma=0.1, channel_axis=0)
    truth = np.broadcast_to(clean, channels.shape)
    assert psnr(together, truth) > psnr(alone, truth) + 2


def test_dct_and_split_bregman_gain_many_decibels(noisy, clean):
    assert psnr(dct(noisy, sigma=0.1), clean) > psnr(noisy, clean) + 5
    assert psnr(tv_bregman(noisy, weight=0.1), clean) > psnr(noisy, clean) + 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (partial(dct, patch_size=0), "patch_size=0 must be"),
        (partial(dct, step=9), "step=9 must be at most patch_size=8"),
        (partial(dct, threshold=-1), "threshold=-1 must be"),
        (partial(dct, sigma=np.nan), "sigma=nan must be"),
    ],
    ids=readable,
)
def test_a_parameter_that_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.random.default_rng(0).normal(size=(16, 16)))


@pytest.mark.parametrize("fast_mode", [True, False])
@pytest.mark.parametrize("shape", [(200,), (24, 24), (9, 9, 9)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_modes_of_nl_means_follow_scale_and_offset(fast_mode, shape, dtype, rng):
    X = rng.normal(size=shape)
    call = partial(nl_means, patch_size=3, patch_distance=2, fast_mode=fast_mode)
    expected = call(X, h=1.5)
    assert np.std(expected) < 0.8
    for scale in (1e-20, 1e20):
        found = call((scale * (X + 5)).astype(dtype), h=1.5 * scale)
        assert found.dtype == dtype
        np.testing.assert_allclose(found / scale - 5, expected, atol=5e-3)


def test_nl_means_weighs_patches_by_its_definition(rng):
    """The slow mode: a Gaussian over the patch, no correction for noise; exp is rounded."""
    X, h, expected = rng.normal(size=(11, 12)), 1.5, np.empty((11, 12))
    padded = np.pad(X, 1, mode="reflect")
    kernel = np.exp(-(np.arange(-1, 2) ** 2) / (2 * 0.5**2))
    kernel = np.outer(kernel, kernel) / kernel.sum() ** 2
    for r, c in np.ndindex(X.shape):
        patch, total, weights = padded[r : r + 3, c : c + 3], 0.0, 0.0
        for a in range(max(0, r - 2), min(11, r + 3)):
            for b in range(max(0, c - 2), min(12, c + 3)):
                square = (padded[a : a + 3, b : b + 3] - patch) ** 2
                weight = np.exp(-(kernel * square).sum() / h**2)
                total, weights = total + weight * X[a, b], weights + weight
        expected[r, c] = total / weights
    found = nl_means(X, h=h, patch_size=3, patch_distance=2, fast_mode=False)
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_bm3d_is_never_a_default_and_says_what_it_needs(monkeypatch):
    assert "bm3d" not in DENOISERS
    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(ImportError, match="pip install bm3d"):
        bm3d(np.zeros((16, 16)))


def test_bm3d_works_in_any_unit(noisy, clean):
    pytest.importorskip("bm3d")
    noisy, clean = noisy[:64, :64], clean[:64, :64]
    expected = bm3d(noisy, sigma=0.1)
    assert psnr(expected, clean) > psnr(noisy, clean) + 4
    found = bm3d((1000 * noisy - 200).astype(np.float32), sigma=100.0)
    assert found.dtype == np.float32
    np.testing.assert_allclose((found + 200) / 1000, expected, atol=1e-3)
    with pytest.raises(ValueError, match="has 3 axes, and bm3d takes images of 2"):
        bm3d(np.zeros((8, 8, 8)))
    channels = bm3d(np.stack([noisy[:32, :32]] * 2), sigma=0.1, channel_axis=0)
    assert channels.shape == (2, 32, 32)
    np.testing.assert_array_equal(bm3d(np.ones((16, 16))), 1.0)
