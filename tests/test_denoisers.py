"""The tests that every denoiser of the package runs through, and the exact forms."""

import copy
import pickle
import warnings
from functools import partial, wraps
from itertools import product

import numpy as np
import pytest
from cases import MOST_AXES
from joblib import wrap_non_picklable_objects
from scipy import ndimage
from skimage.filters import median as skimage_median
from skimage.morphology import disk
from skimage.restoration import denoise_wavelet

from sk_n2s import JInvariantWrapper
from sk_n2s._utils.readable import readable
from sk_n2s.denoisers import (
    DENOISERS,
    bilateral,
    butterworth,
    dct,
    declare,
    gaussian,
    get_exact_form,
    lichi,
    median,
    nl_means,
    nl_ridge,
    traits_of,
    tv,
    tv_bregman,
    uniform,
    wavelet,
    wiener,
)

EXACT = {name: g for name, g in DENOISERS.items() if get_exact_form(g)}
MODES = ("nearest", "reflect", "mirror", "wrap")
every_denoiser = pytest.mark.parametrize("denoiser", DENOISERS.values(), ids=DENOISERS)
GAPPY = {name: g for name, g in EXACT.items() if traits_of(g).handles_missing}
every_form_for_gaps = pytest.mark.parametrize("denoiser", GAPPY.values(), ids=GAPPY)
every_exact_form = pytest.mark.parametrize("denoiser", EXACT.values(), ids=EXACT)


def test_the_rank_and_the_linear_filters_have_exact_forms():
    assert set(EXACT) == {"median", "uniform", "gaussian", "butterworth", "wiener"}


@pytest.mark.parametrize(
    ("denoiser", "shape"),
    [
        (g, shape)
        for name, g in DENOISERS.items()
        for shape in [(64,), (24, 20), (7, 8, 9)]
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
    if denoiser in (lichi, nl_ridge):  # the last digit may decide which patches form a group
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


@pytest.mark.parametrize(
    "denoiser", [bilateral, dct, nl_means, tv, tv_bregman, wavelet], ids=readable
)
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
@pytest.mark.parametrize(
    "linear", [partial(uniform, radius=2), partial(gaussian, sigma=1.2)], ids=readable
)
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
    assert traits_of(partial(median, radius=2)).handles_missing
    assert get_exact_form(partial(median, X)) is None
    assert get_exact_form(tv) is None
    assert get_exact_form(partial(tv, weight=1.0)) is None
    assert get_exact_form("median") is None


def test_a_decorated_function_does_not_inherit_an_exact_form(rng):
    @wraps(uniform)
    def stabilised(X, **params):
        return uniform(np.sqrt(X), **params) ** 2

    assert get_exact_form(stabilised) is None

    def stabilised_exact(X, **params):
        return uniform.exact(np.sqrt(X), **params) ** 2

    declare(exact=stabilised_exact)(stabilised)
    assert get_exact_form(stabilised) is stabilised_exact
    assert get_exact_form(uniform) is uniform.exact


def test_what_is_declared_adds_to_what_was_declared():
    def form(X, *, k=1):
        return (np.roll(X, k) + np.roll(X, -k)) / 2

    @declare(reach=2, exactly=False)
    def smooth(X, *, k=1):
        return (np.roll(X, k) + X + np.roll(X, -k)) / 3

    assert traits_of(smooth) == (2, False, None, None, False, False)
    assert declare(exact=form, handles_missing=True)(smooth) is smooth
    assert declare(releases_gil=True)(smooth) is smooth
    assert traits_of(smooth) == (2, False, None, form, True, True)
    assert smooth.exact is form
    wide = declare(reach=9)(partial(smooth, k=3))
    X = np.arange(8.0)
    np.testing.assert_array_equal(get_exact_form(wide)(X), form(X, k=3))
    assert (traits_of(wide).reach, traits_of(smooth).reach) == (9, 2)
    copied = copy.deepcopy(wide)
    assert traits_of(copied).reach == 9 and traits_of(copied).releases_gil
    wrapped = wrap_non_picklable_objects(smooth, keep_wrapper=False)
    carried = pickle.loads(pickle.dumps(wrapped))
    assert carried is not smooth
    assert traits_of(carried).reach == 2 and traits_of(carried).releases_gil


@pytest.mark.parametrize(
    ("what", "denoiser", "error", "message"),
    [
        ({"exact": True}, tv, TypeError, "exact=True must be a function"),
        ({"handles_missing": True}, tv, ValueError, "give exact as well"),
        ({"exactly": False}, tv, ValueError, "give reach as well"),
        ({"reach": 1}, abs, TypeError, "takes no attributes"),
    ],
    ids=["exact", "handles_missing", "exactly", "builtin"],
)
def test_a_declaration_that_makes_no_sense(what, denoiser, error, message):
    with pytest.raises(error, match=message):
        declare(**what)(denoiser)


@every_denoiser
def test_integers_and_lists_are_taken_with_their_values(denoiser, rng):
    whole = rng.integers(0, 50, size=30)
    expected = denoiser(whole.astype(float))
    assert not (expected == expected.round()).all() or denoiser is median
    for X in (whole, whole.tolist(), whole.astype(np.uint8), whole.astype(">f8")):
        found = denoiser(X)
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, expected)
    form = get_exact_form(denoiser)
    if form is not None:
        np.testing.assert_array_equal(form(whole), form(whole.astype(float)))
    assert denoiser(whole.astype(np.float16)).dtype == np.float32
    for X, error, message in (
        (3, ValueError, "got a scalar"),
        (["a", "b"], TypeError, "must hold real numbers"),
        ([1j, 2.0], ValueError, "Complex data not supported"),
    ):
        with pytest.raises(error, match=message):
            denoiser(X)


@pytest.mark.parametrize("denoiser", [gaussian, bilateral], ids=readable)
def test_missing_entries_are_passed_on(denoiser, rng):
    X = rng.normal(size=40)
    whole = denoiser(X, **{"sigma_color": 1.0} if denoiser is bilateral else {})
    X[0] = np.nan
    gap = denoiser(X, **{"sigma_color": 1.0} if denoiser is bilateral else {})
    assert np.isnan(gap[0])
    np.testing.assert_array_equal(gap[8:], whole[8:])


#: The parameters in the unit of the data.
STRENGTH = {
    "bilateral": "sigma_color",
    "dct": "sigma",
    "nl_means": "h",
    "lichi": "sigma",
    "nl_ridge": "sigma",
    "tv": "weight",
    "tv_bregman": "weight",
    "wavelet": "sigma",
}


@every_denoiser
@pytest.mark.parametrize("exponent", [-83, -60, 60], ids=["1e-25", "1e-18", "1e18"])
def test_single_precision_at_any_scale(denoiser, exponent, noisy):
    """No square of a value overflows or vanishes: powers of two change no digit."""
    X, unit = noisy[:40, :40].astype(np.float32), np.float32(2.0**exponent)
    np.testing.assert_array_equal(denoiser(unit * X), unit * denoiser(X))
    if denoiser.__name__ in STRENGTH:
        name = STRENGTH[denoiser.__name__]
        expected = unit * denoiser(X, **{name: 0.1})
        np.testing.assert_array_equal(denoiser(unit * X, **{name: 0.1 * float(unit)}), expected)
    form = get_exact_form(denoiser)
    if form is not None:
        np.testing.assert_array_equal(form(unit * X), unit * form(X))
    if denoiser not in (gaussian, median, uniform):
        both = np.stack([X, X.T])
        expected = unit * denoiser(both, channel_axis=0)
        np.testing.assert_array_equal(denoiser(unit * both, channel_axis=0), expected)


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
        (partial(wavelet, mode="firm"), "mode='firm' must be one of"),
        (partial(wavelet, wavelet_levels=-1), "wavelet_levels=-1 must be"),
        (partial(wavelet, wavelet="db0"), "Unknown wavelet name 'db0'"),
    ],
    ids=readable,
)
def test_a_parameter_that_does_not_fit_is_named(call, message):
    X = np.random.default_rng(0).normal(size=(8, 8))
    with pytest.raises(ValueError, match=message):
        call(X)


def test_the_slow_mode_of_nl_means_takes_channels(rng):
    X = rng.normal(size=(8, 8))
    assert nl_means(X, channel_axis=0, fast_mode=False).shape == X.shape


@pytest.mark.parametrize("shape", [(4096, 3), (2, 64, 64), (5,), (1, 7), (300, 12), (2,)], ids=str)
@pytest.mark.parametrize("levels", [None, 4], ids=["default", "4 levels"])
def test_wavelets_of_thin_arrays_warn_of_nothing(shape, levels):
    rng = np.random.default_rng(0)
    clean = np.add.outer(np.sin(np.arange(shape[0]) / 20), np.zeros(shape[1:])).reshape(shape)
    noisy = clean + 0.3 * rng.normal(size=(max(3, 300 // clean.size), *shape))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = wavelet(noisy, sigma=0.3, wavelet_levels=levels, channel_axis=0)
    assert np.mean((found - clean) ** 2) < 0.75 * 0.3**2


def test_wavelets_make_as_many_levels_as_fit_along_each_axis(noisy, clean):
    for axis in (0, 1):
        place = (slice(40, 56), slice(None))[:: 1 - 2 * axis]
        strip, truth = noisy[place], clean[place]
        few = wavelet(strip, sigma=0.1, wavelet_levels=1)
        assert np.mean((wavelet(strip, sigma=0.1) - truth) ** 2) < np.mean((few - truth) ** 2)
    square = noisy[:64, :64]
    expected = denoise_wavelet(square, sigma=0.1, wavelet="db2", rescale_sigma=False)
    np.testing.assert_allclose(wavelet(square, sigma=0.1, max_shifts=0), expected, rtol=1e-12)
    expected = denoise_wavelet(
        square, sigma=0.1, wavelet="db2", mode="hard", method="VisuShrink", rescale_sigma=False
    )
    found = wavelet(square, sigma=0.1, max_shifts=0, mode="hard", shrinkage="universal")
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(wavelet(square, sigma=0.1, wavelet_levels=(0, 0)), square)


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
@pytest.mark.parametrize("denoiser", [butterworth, wiener], ids=readable)
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
