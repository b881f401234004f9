"""The tests that every denoiser of the package runs through, and the exact forms."""

from functools import partial, wraps
from itertools import product

import numpy as np
import pytest
from cases import MOST_AXES
from scipy import ndimage
from skimage.filters import median as skimage_median
from skimage.morphology import disk

from sk_n2s import JInvariantWrapper
from sk_n2s.denoisers import (
    DENOISERS,
    bilateral,
    butterworth,
    dct,
    exact_form_of,
    gaussian,
    get_exact_form,
    median,
    nl_means,
    nl_ridge,
    tv,
    tv_bregman,
    uniform,
    wavelet,
    wiener,
)

EXACT = {name: g for name, g in DENOISERS.items() if get_exact_form(g)}
MODES = ("nearest", "reflect", "mirror", "wrap")
every_denoiser = pytest.mark.parametrize("denoiser", DENOISERS.values(), ids=DENOISERS)
GAPPY = {name: g for name, g in EXACT.items() if g.exact.handles_missing}
every_form_for_gaps = pytest.mark.parametrize("denoiser", GAPPY.values(), ids=GAPPY)
every_exact_form = pytest.mark.parametrize("denoiser", EXACT.values(), ids=EXACT)


def test_the_rank_and_the_linear_filters_have_exact_forms():
    assert set(EXACT) == {"median", "uniform", "gaussian", "butterworth", "wiener"}


@pytest.mark.parametrize(
    ("denoiser", "shape"),
    [
        (g, shape)
        for name, g in DENOISERS.items()
        for shape in [(64,), (24, 20), (10, 12, 11)]
        if len(shape) <= MOST_AXES.get(name, len(shape))
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shape_and_dtype_stay_and_the_input_is_not_written_to(denoiser, shape, dtype, rng):
    X = rng.normal(size=shape).astype(dtype)
    X.setflags(write=False)
    result = denoiser(X.copy())
    assert result.shape == X.shape
    assert result.dtype == dtype
    shown = X.copy()
    denoiser(shown)
    np.testing.assert_array_equal(shown, X)


@every_denoiser
@pytest.mark.parametrize("scale", [1e-20, 1e-3, 65535.0, 1e20])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_defaults_follow_the_scale_of_the_data(denoiser, scale, dtype, rng):
    X = np.kron(rng.normal(size=(4, 4)), np.ones((8, 8))) + 0.1 * rng.normal(size=(32, 32))
    expected = denoiser(X) - 5
    scaled = (scale * (X - 5)).astype(dtype)
    found = denoiser(scaled) / scale
    if denoiser is nl_ridge:  # the last digit may decide which patches form a group
        assert np.mean(np.abs(found - expected)) < 1e-2
    else:
        np.testing.assert_allclose(found, expected, atol=5e-3)


@every_denoiser
@pytest.mark.parametrize("value", [0.0, 1e6, 1 / 3])
def test_a_blank_array_stays_blank(denoiser, value):
    for shape in [(40,), (16, 16), (1, 20), (2,)]:
        np.testing.assert_allclose(denoiser(np.full(shape, value)), value)


def test_cycle_spinning_is_the_mean_over_shifted_arrays(rng):
    X = rng.normal(size=(20, 24))
    expected = np.zeros_like(X)
    for step in product(range(3), range(2)):
        once = wavelet(np.roll(X, step, axis=(0, 1)), sigma=1.0, max_shifts=0)
        expected += np.roll(once, [-s for s in step], axis=(0, 1)) / 6
    found = wavelet(X, sigma=1.0, max_shifts=(2, 1))
    np.testing.assert_allclose(found, expected)
    assert not np.allclose(found, wavelet(X, sigma=1.0, max_shifts=0))


@every_denoiser
def test_noise_becomes_smaller(denoiser, noisy, clean):
    before = np.mean((noisy - clean) ** 2)
    assert np.mean((denoiser(noisy.copy()) - clean) ** 2) < 0.6 * before


@pytest.mark.parametrize("denoiser", [bilateral, dct, nl_means, tv, tv_bregman, wavelet])
def test_channels_may_lie_along_any_axis(denoiser, rng):
    X = rng.normal(size=(16, 18, 3))
    expected = denoiser(X, channel_axis=-1)
    moved = denoiser(np.moveaxis(X, -1, 0).copy(), channel_axis=0)
    np.testing.assert_allclose(np.moveaxis(moved, 0, -1), expected, atol=1e-6)


@pytest.mark.parametrize("radius", [1, 2, 4])
def test_median_is_the_one_of_scikit_image(radius, noisy):
    expected = skimage_median(noisy, disk(radius))
    np.testing.assert_array_equal(median(noisy, radius=radius), expected)


@pytest.mark.parametrize("shape", [(20,), (7, 9), (4, 5, 6)], ids=str)
def test_bilateral_is_the_weighted_mean_of_its_definition(shape, rng):
    X = rng.normal(size=shape)
    places = np.moveaxis(np.indices(shape), 0, -1)
    expected = np.empty(shape)
    for entry in np.ndindex(shape):
        steps = places - entry
        weight = np.exp(-0.5 * (steps**2).sum(-1) / 1.5**2 - 0.5 * ((X - X[entry]) / 0.8) ** 2)
        weight[(np.abs(steps) > 2).any(-1)] = 0
        expected[entry] = (weight * X).sum() / weight.sum()
    found = bilateral(X, sigma_color=0.8, sigma_spatial=1.5, radius=2)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(13,), (9, 8), (5, 6, 5)], ids=str)
@pytest.mark.parametrize("linear", [partial(uniform, radius=2), partial(gaussian, sigma=1.2)])
def test_a_linear_exact_form_is_the_fixed_point_of_its_filter(linear, shape, mode, rng):
    """Leaving an entry out is the same as putting its own prediction in its place."""
    X = rng.normal(size=shape)
    predicted = get_exact_form(linear)(X, mode=mode)
    for entry in [(0,) * X.ndim, tuple(n // 2 for n in shape), tuple(n - 1 for n in shape)]:
        replaced = X.copy()
        replaced[entry] = predicted[entry]
        assert linear(replaced, mode=mode)[entry] == pytest.approx(predicted[entry])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("shape", "radius"), [((12,), 3), ((7, 6), 2), ((4, 5, 4), 1)], ids=str)
def test_the_exact_median_is_that_of_the_others_in_the_ball(shape, radius, mode, rng):
    X = rng.normal(size=shape)
    X[tuple(rng.integers(n, size=3) for n in shape)] = np.nan
    number = np.arange(X.size).reshape(shape)
    pad_mode = {"nearest": "edge", "reflect": "symmetric", "mirror": "reflect", "wrap": "wrap"}
    padded = np.pad(number, radius, mode=pad_mode[mode])
    steps = [
        s
        for s in product(range(-radius, radius + 1), repeat=X.ndim)
        if sum(d * d for d in s) <= radius**2
    ]
    expected = np.full(shape, np.nan)
    for entry in np.ndindex(shape):
        around = [padded[tuple(e + radius + d for e, d in zip(entry, s))] for s in steps]
        values = sorted(v for n in around if n != number[entry] and (v := X.flat[n]) == v)
        if values:
            expected[entry] = values[len(values) // 2]
    np.testing.assert_array_equal(median.exact(X, radius=radius, mode=mode), expected)


@pytest.mark.parametrize("radius", range(1, 7))
def test_the_donut_median_of_a_photograph(radius, noisy):
    """Away from the border it is a rank filter whose footprint has a hole."""
    donut = disk(radius)
    donut[radius, radius] = 0
    expected = ndimage.median_filter(noisy, footprint=donut, mode="nearest")
    inside = (slice(1, -1), slice(1, -1))
    np.testing.assert_array_equal(median.exact(noisy, radius=radius)[inside], expected[inside])


@pytest.mark.parametrize("radius", [1, 3, 10])
def test_the_exact_median_of_a_signal_is_that_of_a_row(radius, rng):
    X = rng.integers(5, size=50).astype(float)  # with ties
    row = median.exact(X[np.newaxis], radius=(0, radius))[0]
    np.testing.assert_array_equal(median.exact(X, radius=radius), row)


@every_form_for_gaps
def test_an_exact_form_leaves_missing_entries_out(denoiser, rng):
    X = rng.normal(size=(20, 20))
    missing = rng.random(X.shape) < 0.3
    X[missing] = np.nan
    predicted = denoiser.exact(X)
    lone = np.isnan(predicted)
    assert lone.mean() < 0.1
    constant = np.where(missing, np.nan, 7.0)
    np.testing.assert_allclose(denoiser.exact(constant)[~lone], 7.0)


@every_form_for_gaps
def test_an_exact_form_without_missing_entries_does_not_change_when_one_is_far(denoiser, rng):
    X = rng.normal(size=(40, 40))
    gap = X.copy()
    gap[0, 0] = np.nan
    far = (slice(10, None), slice(10, None))
    np.testing.assert_allclose(denoiser.exact(gap)[far], denoiser.exact(X)[far], rtol=1e-10)


def test_exact_forms_are_seen_through_partial_objects():
    form = get_exact_form(partial(median, radius=2))
    X = np.random.default_rng(0).normal(size=(8, 8))
    np.testing.assert_array_equal(form(X), median.exact(X, radius=2))
    assert form.handles_missing
    assert get_exact_form(tv) is None
    assert get_exact_form(partial(tv, weight=1.0)) is None
    assert get_exact_form("median") is None


def test_a_decorated_function_does_not_inherit_an_exact_form(rng):
    @wraps(uniform)
    def stabilised(X, **params):
        return uniform(np.sqrt(X), **params) ** 2

    assert get_exact_form(stabilised) is None

    @exact_form_of(stabilised)
    def stabilised_exact(X, **params):
        return uniform.exact(np.sqrt(X), **params) ** 2

    assert get_exact_form(stabilised) is stabilised_exact
    assert get_exact_form(uniform) is uniform.exact


def test_users_register_their_own_exact_form():
    def smooth(X, *, k=1):
        return (np.roll(X, k) + X + np.roll(X, -k)) / 3

    @exact_form_of(smooth)
    def smooth_exact(X, *, k=1):
        return (np.roll(X, k) + np.roll(X, -k)) / 2

    assert get_exact_form(smooth) is smooth_exact
    assert not smooth_exact.handles_missing


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (partial(median, radius=0), "radius=0 must be at least 1"),
        (partial(median, radius=1.5), "radius=1.5 must be an integer"),
        (partial(median, radius=(1, 1, 1)), "has 3 values for 2 axes"),
        (partial(median, mode="constant"), "mode='constant' must be one of"),
        (partial(uniform, radius=-1), "radius=-1 must be an integer of at least 0"),
        (partial(gaussian, sigma=-1), "sigma=-1 must be finite and not negative"),
        (partial(gaussian, sigma=(1, 2, 3)), "sigma=.* has 3 values for 2 axes"),
        (partial(gaussian, truncate=0), "truncate=0 must be a positive number"),
        (partial(gaussian.exact, sigma=0.1), "sigma=0.1 gives the neighbours no weight"),
        (partial(tv, weight=-1), "weight=-1 must be"),
        (partial(wavelet, shrinkage="sure"), "shrinkage='sure' must be one of"),
        (partial(wavelet, max_shifts=-1), "max_shifts=-1 must be"),
        (partial(bilateral, sigma_color=np.nan), "sigma_color=nan must be"),
        (partial(bilateral, radius=0), "radius=0 must be"),
        (partial(nl_means, h=-0.1), "h=-0.1 must be"),
        (partial(nl_means, patch_size=0), "patch_size=0 must be"),
        (partial(tv, num_iter=0), "num_iter=0 must be"),
        (partial(bilateral, sigma_spatial=None), "sigma_spatial=None must be"),
        (partial(nl_means, channel_axis=0, fast_mode=False), None),
    ],
)
def test_a_parameter_that_does_not_fit_is_named(call, message):
    X = np.random.default_rng(0).normal(size=(8, 8))
    if message is None:
        assert call(X).shape == X.shape
        return
    with pytest.raises(ValueError, match=message):
        call(X)


def test_nl_means_says_how_many_axes_it_takes():
    with pytest.raises(ValueError, match="has 5 axes.*at most 4"):
        nl_means(np.zeros((2,) * 5))


def test_anisotropic_parameters(rng):
    X = rng.normal(size=(9, 30))
    rows = np.stack([median(row, radius=3) for row in X])
    np.testing.assert_array_equal(median(X, radius=(0, 3)), rows)
    rows = np.stack([gaussian.exact(row, sigma=2.0) for row in X])
    np.testing.assert_allclose(gaussian.exact(X, sigma=(0.0, 2.0)), rows)


@pytest.mark.parametrize("sigma", [0.35, 1.0])
def test_an_offset_costs_an_exact_form_no_more_digits_than_the_data(sigma, rng):
    X = (1e6 + rng.normal(size=(40, 40))).astype(np.float32)
    expected = gaussian.exact(X.astype(float), sigma=sigma)
    assert np.abs(gaussian.exact(X, sigma=sigma) - expected).max() < 0.2


def test_zero_strength_changes_nothing(rng):
    X = rng.normal(size=(12, 12))
    for call in (
        partial(tv, weight=0),
        partial(tv_bregman, weight=0),
        partial(dct, threshold=0),
        partial(dct, sigma=0),
        partial(wavelet, sigma=0),
        partial(bilateral, sigma_color=0),
        partial(nl_means, h=0),
    ):
        np.testing.assert_array_equal(call(X), X)


@pytest.mark.parametrize("shape", [(9,), (8,), (5, 6), (4, 1, 7), (3, 4, 2)], ids=str)
@pytest.mark.parametrize("denoiser", [butterworth, wiener])
def test_frequency_filters_leave_an_entry_out_exactly(denoiser, shape, rng):
    n = int(np.prod(shape))
    matrix = np.stack([denoiser(e.reshape(shape)).ravel() for e in np.eye(n)], axis=1)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)  # a constant stays
    own = np.diag(matrix)
    X = rng.normal(size=shape)
    expected = (matrix @ X.ravel() - own * X.ravel()) / (1 - own)
    np.testing.assert_allclose(denoiser.exact(X).ravel(), expected)
    stacked = np.stack([X, 2 * X], axis=1)
    found = denoiser.exact(stacked, channel_axis=1)
    both = np.stack([expected, 2 * expected]).reshape(2, *shape)
    np.testing.assert_allclose(np.moveaxis(found, 1, 0), both)


def test_a_frequency_filter_that_keeps_everything_has_no_exact_form(rng):
    with pytest.raises(ValueError, match="cutoff=1e\\+20 leaves each entry as it is"):
        butterworth.exact(rng.normal(size=(8, 8)), cutoff=1e20)
    assert butterworth(rng.normal(size=8), cutoff=0.0).std() < 1e-12
    for params in ({"cutoff": -1.0}, {"order": np.nan}):
        with pytest.raises(ValueError, match="must be a finite number that is not negative"):
            butterworth(np.ones(4), **params)


def test_half_of_the_power_is_left_at_the_cutoff():
    X = np.cos(np.pi * 16 * (np.arange(64) + 0.5) / 64)  # 16/128 cycles per entry
    np.testing.assert_allclose(butterworth(X, cutoff=0.125), X / np.sqrt(2), atol=1e-12)
    np.testing.assert_allclose(wiener(X, cutoff=0.125), X / 2, atol=1e-12)


@pytest.mark.parametrize("mode", ["reflect", "nearest", "mirror", "wrap"])
@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_medians_of_windows_wider_than_a_signal(n, mode, rng):
    X = rng.normal(size=n)
    names = {"reflect": "symmetric", "nearest": "edge", "mirror": "reflect", "wrap": "wrap"}
    for radius in (1, n - 1, n, 2 * n, 8):
        place = np.pad(np.arange(n), radius, mode=names[mode])
        windows = [place[i : i + 2 * radius + 1] for i in range(n)]
        np.testing.assert_array_equal(
            median(X, radius=radius, mode=mode), [np.median(X[w]) for w in windows]
        )
        others = [np.sort(X[w[w != i]]) for i, w in enumerate(windows)]
        np.testing.assert_array_equal(
            median.exact(X, radius=radius, mode=mode),
            [o[len(o) // 2] if len(o) else np.nan for o in others],
        )


def test_an_item_without_measurements_warns_of_nothing(recwarn):
    X = np.zeros((2, 20), dtype=np.float32)
    X[1] = np.nan
    JInvariantWrapper(gaussian, sigma=0.4, batch_axis=0).fit(X).transform(X)
    assert not [str(w.message) for w in recwarn if issubclass(w.category, RuntimeWarning)]
