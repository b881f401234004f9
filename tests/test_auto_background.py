import numpy as np
import pytest

from sk_n2s import AutoDenoiser
from sk_n2s._utils.base import Axes
from sk_n2s.auto._area import sources_of
from sk_n2s.auto._background import constant_background
from sk_n2s.masking import MeanFill
from sk_n2s.masking._holes import bent, stretched, wide_holes

AXES = Axes(None, None, (0, 1))


def _psnr(a, b):
    return -10 * np.log10(np.mean((a - b) ** 2))


@pytest.fixture(scope="module")
def framed(noisy):
    return np.pad(noisy[:96, :96], 48)


def test_a_frame_of_zeros_changes_nothing(noisy, framed):
    crop = noisy[:96, :96]
    alone, auto = AutoDenoiser("fast").fit(crop), AutoDenoiser("fast").fit(framed)
    found = auto.transform(framed)
    np.testing.assert_array_equal(found[48:-48, 48:-48], alone.transform(crop))
    assert not found[~np.pad(np.ones(crop.shape, bool), 48)].any()
    assert auto.background_.mean() == pytest.approx(0.75)
    assert auto.noise_ == alone.noise_
    assert auto.error_estimate_ == alone.error_estimate_ or not alone.error_estimate_.is_known
    assert "75 % of the entries are a constant background of 0, and were left alone" in (
        auto.summary_
    )
    assert auto.score(framed) == pytest.approx(alone.score(crop), rel=0.02)


@pytest.mark.parametrize("by", ["background", "mask"])
def test_a_disk_is_as_good_as_what_it_is_cut_from(by, noisy, clean):
    y, x = np.mgrid[:128, :128] - 64
    disk = y**2 + x**2 < 55**2
    whole = AutoDenoiser("fast", noise=0.1).fit_transform(noisy)
    shown = np.where(disk, noisy, 0.0 if by == "background" else noisy + 50)
    kept = shown.copy()
    auto = AutoDenoiser("fast", mask=disk if by == "mask" else None).fit(shown)
    found = auto.transform(shown)
    np.testing.assert_array_equal(shown, kept)
    np.testing.assert_array_equal(found[~disk], shown[~disk])
    assert _psnr(found[disk], clean[disk]) > _psnr(whole[disk], clean[disk]) - 0.2
    assert auto.noise_.level == pytest.approx(0.1, rel=0.05)
    error = np.mean((found - clean)[disk] ** 2)
    assert auto.score(shown, clean) == pytest.approx(-error)
    assert (auto.background_ is None) == (by == "mask")


def test_noise_is_no_background(clean, rng):
    noisy = clean + 0.1 * rng.normal(size=clean.shape)
    for X in (
        noisy,
        np.clip(noisy, 0, 1),
        np.clip(1.5 * noisy, 0, 1),
        np.round(50 * np.clip(noisy, 0, 1)),
        rng.poisson(5 * np.clip(clean - 0.3, 0.02, 1)).astype(float),
        np.ones((64, 64)),
        (clean > 0.5).astype(float),
        np.pad(np.ones((40, 40)), 40),
    ):
        assert constant_background(X, AXES) is None


def test_a_volume_and_colours(rng):
    volume = 5 + rng.normal(size=(24, 24, 24))
    found, values = constant_background(np.pad(volume, 8), Axes(None, None, (0, 1, 2)))
    np.testing.assert_array_equal(found, ~np.pad(np.ones(volume.shape, bool), 8))
    assert values == [0.0]
    colour = np.pad(5 + rng.normal(size=(40, 40, 3)), ((20, 20), (20, 20), (0, 0)))
    found, _ = constant_background(colour, Axes(2, None, (0, 1)))
    assert found.mean() == pytest.approx(0.75)


def test_what_is_outside_is_mirrored():
    outside = np.array([True, True, False, False, False, True])
    sources = sources_of(outside, Axes(None, None, (0,)))
    np.testing.assert_array_equal(sources, [4, 3, 3])
    items = np.stack([outside, np.ones(6, bool)])
    np.testing.assert_array_equal(
        sources_of(items, Axes(None, 0, (1,))), [4, 3, 3, 2, 2, 2, 2, 2, 2]
    )


def test_integers_and_maps_of_the_noise(noisy):
    counts = np.pad(np.round(100 * noisy[:64, :64] + 100).astype(int), 32)
    denoised = AutoDenoiser("fast").fit_transform(counts)
    assert denoised.dtype == np.float64
    assert not denoised[:32].any()
    level = np.linspace(0.05, 0.15, 128)
    X = np.pad(noisy[:64, :64], 32)
    auto = AutoDenoiser("fast", noise=level).fit(X)
    assert np.shape(auto.noise_.level) == (1, 128)
    other = X.copy()
    other[40:50] += 0.01
    assert np.isfinite(auto.transform(other)).all()


def test_masks_that_do_not_fit(noisy):
    for mask, said in (
        (np.ones((3, 3), bool), "does not broadcast"),
        (np.ones(noisy.shape), "dtype"),
        (np.zeros(noisy.shape, bool), "nothing to denoise"),
    ):
        with pytest.raises(ValueError, match=said):
            AutoDenoiser("fast", mask=mask).fit(noisy)
    with pytest.raises(ValueError, match="nothing but NaN where mask"):
        mask = np.arange(128) < 40
        AutoDenoiser("fast", mask=mask).fit(np.where(mask, np.nan, noisy))


def test_wide_holes_go_on_with_what_is_around_them():
    y, x = np.mgrid[:40, :40] / 40.0
    plane = 2 * x + y
    holes = np.zeros(plane.shape, bool)
    holes[10:24, 12:26] = True
    visible = ~holes
    assert wide_holes(visible, (0, 1)).sum() == holes.sum()
    membrane = stretched(np.where(holes, np.nan, plane), visible, (0, 1))
    np.testing.assert_array_equal(membrane[visible], plane[visible])
    np.testing.assert_allclose(membrane, plane, atol=0.01)
    bowl = (x - 0.5) ** 2 + (y - 0.5) ** 2  # whose curvature a membrane knows nothing of
    membrane = stretched(np.where(holes, np.nan, bowl), visible, (0, 1))
    plate = bent(membrane, holes, (0, 1))
    np.testing.assert_array_equal(plate[visible], bowl[visible])
    assert np.abs(plate - bowl).max() < 0.6 * np.abs(membrane - bowl).max()
    single = np.zeros(plane.shape, bool)
    single[5, 5] = True
    assert not wide_holes(~single, (0, 1)).any()


def test_a_block_that_is_missing_is_better_than_a_mean(clean, rng):
    noisy = clean + 0.1 * rng.normal(size=clean.shape)
    noisy[50:66, 50:66] = np.nan
    found = AutoDenoiser("fast", noise=0.1).fit_transform(noisy)
    mean = MeanFill()(noisy, np.isnan(noisy))
    hole = np.isnan(noisy)
    error, of_mean = (np.mean((f - clean)[hole] ** 2) for f in (found, mean))
    assert error < 0.8 * of_mean
