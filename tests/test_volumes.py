"""Volumes and films: sizes for each axis, spacing, and which patches win."""

import numpy as np
import pytest

from sk_n2s import AutoDenoiser
from sk_n2s._utils.base import Axes
from sk_n2s.auto._settings import Sides
from sk_n2s.denoisers import lichi, nl_ridge, reach_of


@pytest.fixture(scope="module")
def film():
    """Return frames of a pattern that moves by more than a pixel from one to the next."""
    y, x = np.mgrid[:48, :96] / 4
    pattern = np.sign(np.sin(x + 0.3 * np.sin(y))) * np.cos(0.7 * y)
    return np.stack([pattern[:, 3 * t : 3 * t + 48] for t in range(10)])


@pytest.mark.parametrize("denoiser", [lichi, nl_ridge])
def test_patches_and_windows_of_one_frame_are_frame_by_frame(denoiser, film, rng):
    noisy = film[:3] + rng.normal(scale=0.3, size=film[:3].shape)
    noisy -= noisy.mean(axis=(1, 2), keepdims=True)  # which is taken off before
    sizes = {"patch_size": ((1, 9, 9), (1, 6, 6)), "window": (1, 15, 15), "step": (1, 4, 4)}
    found = denoiser(noisy, sigma=0.3, **sizes)
    alone = {"patch_size": (9, 6), "window": 15, "step": 4}
    expected = np.stack([denoiser(frame, sigma=0.3, **alone) for frame in noisy])
    assert np.quantile(np.abs(found - expected), 0.99) < 0.01 * 0.3


def test_the_reach_is_that_of_each_axis():
    sizes = {"patch_size": ((1, 9, 9), (2, 6, 6)), "window": (3, 15, 15)}
    assert reach_of(nl_ridge, sizes, 3).distance == (6.0, 32.0, 32.0)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"patch_size": ((1, 9), (1, 6))}, r"patch_size=\(1, 9\) has 2 values for 3 axes"),
        ({"window": (3, 15)}, r"window=\(3, 15\) has 2 values for 3 axes"),
        ({"step": (1, 2, 0)}, r"step=\(1, 2, 0\) must be an integer of at least 1"),
    ],
)
def test_sizes_that_do_not_fit(params, message, film):
    with pytest.raises(ValueError, match=message):
        lichi(film, sigma=0.3, **params)


def test_sides_follow_the_spacing():
    axes = Axes(None, None, (0, 1, 2))
    X = np.zeros((8, 20, 20))
    equal = Sides.of(X, axes, (2.0, 2.0, 2.0))
    assert equal.are_equal and equal.patch(5) == 5 and equal.deviation(1.2) == 1.2
    sides = Sides.of(X, axes, (8.0, 1.0, 1.0))
    assert sides.patch(4) == (1, 8, 8)
    assert sides.deviation(1.0) == pytest.approx((0.25, 2, 2))
    assert np.prod(sides.window(11)) == pytest.approx(11**3, rel=0.2)
    film = np.cumsum(np.random.default_rng(0).normal(size=(8, 20, 20)), axis=2)
    assert Sides.of(film.T, axes, None).coarsest in (1, 2)
    assert Sides.of(film, axes, None).flatter().spacing[2] < 1


def test_what_moves_is_denoised_by_flat_patches(film, rng):
    noisy = film + rng.normal(scale=0.4, size=film.shape)
    auto = AutoDenoiser("fast", noise=0.4).fit(noisy)
    error = np.mean((auto.transform(noisy) - film) ** 2)
    assert max(auto.weights_, key=auto.weights_.get) == "lichi, flat patches"
    assert auto.estimated_mse_ == pytest.approx(error, rel=0.15)
    volume = lichi(noisy, sigma=0.4)
    frames = np.stack([lichi(frame, sigma=0.4) for frame in noisy])
    assert error < min(np.mean((other - film) ** 2) for other in (volume, frames))


@pytest.mark.parametrize("spacing", [(1, 1), (1, 0, 1), (1, np.nan, 1), "abc", 3.0])
def test_a_spacing_that_does_not_fit(spacing, film):
    with pytest.raises(ValueError, match="spacing=.* must hold a positive number for each of the"):
        AutoDenoiser(spacing=spacing).fit(film)


@pytest.mark.parametrize("denoiser", [lichi, nl_ridge])
def test_an_axis_of_one_entry_makes_no_volume_of_an_image(denoiser, film, rng):
    noisy = film[0] + rng.normal(scale=0.3, size=film[0].shape)
    expected = denoiser(noisy, sigma=0.3)
    for axis in (0, 1, 2):
        found = denoiser(np.expand_dims(noisy, axis), sigma=0.3).squeeze(axis)
        np.testing.assert_allclose(found, expected, atol=1e-4)
    colours = np.stack([noisy, noisy[::-1]], axis=-1)
    same = denoiser(colours, sigma=0.3, channel_axis=-1)
    found = denoiser(colours[None], sigma=0.3, channel_axis=3)[0]
    np.testing.assert_allclose(found, same, atol=1e-3)


def test_one_slice_is_denoised_as_an_image(film, rng):
    noisy = film[:1] + rng.normal(scale=0.3, size=film[:1].shape)
    auto = AutoDenoiser("balanced", noise=0.3)
    error = np.mean((auto.fit_transform(noisy) - film[0]) ** 2)
    assert "lichi" in auto.weights_
    assert error < 1.1 * np.mean((auto.fit_transform(noisy[0]) - film[0]) ** 2)
