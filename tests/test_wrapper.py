import pickle
import re
from functools import partial

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage, sparse
from skimage.restoration import denoise_tv_bregman, denoise_tv_chambolle
from sklearn import config_context
from sklearn.base import clone
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sk_n2s import (
    BlindSpotPartition,
    ColumnPartition,
    GridPartition,
    JInvariantWrapper,
    Partition,
    RandomPartition,
    check_j_invariance,
)
from sk_n2s.denoisers import (
    DENOISERS,
    bilateral,
    declare,
    gaussian,
    median,
    nl_means,
    tv,
    uniform,
    wavelet,
)
from sk_n2s.masking.fills import MeanFill
from sk_n2s.search.splitters import WholeArray


def _masked_by_hand(denoiser, X, stride):
    """The definition, word by word: f(x)_J = g(x with J filled)_J."""
    result = np.empty(X.shape)
    for offset in np.ndindex((stride,) * X.ndim):
        J = tuple(slice(o, None, stride) for o in offset)
        hidden = np.zeros(X.shape, dtype=bool)
        hidden[J] = True
        cross = ndimage.generate_binary_structure(X.ndim, 1).astype(float)
        cross[(1,) * X.ndim] = 0
        total = ndimage.convolve(np.where(hidden, 0, X), cross, mode="constant")
        count = ndimage.convolve((~hidden).astype(float), cross, mode="constant")
        result[J] = denoiser(np.where(hidden, total / np.maximum(count, 1), X))[J]
    return result


@pytest.mark.parametrize("denoiser", [tv, wavelet, median, bilateral], ids=lambda g: g.__name__)
@pytest.mark.parametrize("shape", [(30,), (13, 14), (6, 7, 8)], ids=str)
def test_masking_is_the_definition(denoiser, shape, rng):
    X = rng.normal(size=shape)
    wrapper = JInvariantWrapper(denoiser, partition=GridPartition(3), method="mask")
    assert_allclose(wrapper.fit_transform(X), _masked_by_hand(denoiser, X, 3), atol=1e-10)


def test_the_exact_form_is_what_masks_of_single_entries_would_give(rng):
    """Of a linear filter: hiding one entry at a time, filled with its own prediction."""
    X = rng.normal(size=(6, 7))
    exact = JInvariantWrapper(gaussian).fit(X)
    assert exact.method_ == "exact"
    predicted = exact.transform(X)
    single = JInvariantWrapper(
        gaussian,
        partition=GridPartition((6, 7)),
        method="mask",
        fill=lambda shown, hidden: predicted,
    )
    assert_allclose(single.fit_transform(X), predicted)


# Any denoiser --------------------------------------------------------------------------


def _with_kwargs(X, **kwargs):
    return gaussian(X, **kwargs)


@pytest.mark.parametrize(
    ("denoiser", "params", "same"),
    [
        (denoise_tv_chambolle, {"weight": 0.2}, partial(denoise_tv_chambolle, weight=0.2)),
        (denoise_tv_bregman, {"weight": 2.0}, partial(denoise_tv_bregman, weight=2.0)),
        (partial(gaussian, mode="wrap"), {"sigma": 2}, partial(gaussian, mode="wrap", sigma=2)),
        (lambda X, s: ndimage.gaussian_filter(X, s), {"s": 2}, partial(gaussian, sigma=2)),
        (_with_kwargs, {"sigma": 2}, partial(gaussian, sigma=2)),
        (ndimage.gaussian_filter, {"sigma": 2}, partial(gaussian, sigma=2)),
    ],
    ids=["chambolle", "bregman", "partial", "lambda", "kwargs", "required"],
)
def test_any_function_works_unchanged(denoiser, params, same, rng):
    X = rng.normal(size=(16, 17))
    found = JInvariantWrapper(denoiser, method="mask", **params).fit_transform(X)
    expected = JInvariantWrapper(same, method="mask").fit_transform(X)
    assert_allclose(found, expected, rtol=1e-12)
    plain = JInvariantWrapper(denoiser, output="plain", **params).fit_transform(X)
    assert_allclose(plain, same(X.copy()), rtol=1e-12)


def test_a_denoiser_that_writes_into_its_input_harms_nothing(rng):
    def careless(X):
        X *= 0.5
        return X

    X = rng.normal(size=(8, 8))
    before = X.copy()
    for output in ("invariant", "plain", "blend"):
        JInvariantWrapper(careless, output=output).fit_transform(X)
    assert_array_equal(X, before)
    check_j_invariance(JInvariantWrapper(careless), X, random_state=0)


def test_a_transformer_with_an_inverse_reconstructs(rng):
    X = rng.normal(size=(40, 2)) @ rng.normal(size=(2, 10)) + 0.1 * rng.normal(size=(40, 10))
    wrapper = JInvariantWrapper(PCA(2), output="plain")
    pca = PCA(2).fit(X)
    assert_allclose(wrapper.fit_transform(X), pca.inverse_transform(pca.transform(X)))
    scores = {k: wrapper.set_params(denoiser__n_components=k).fit(X).score(X) for k in (1, 2, 3, 9)}
    assert max(scores, key=scores.get) == 2
    check_j_invariance(JInvariantWrapper(PCA(2)), X, random_state=0)


def test_a_regressor_that_also_transforms_predicts(rng):
    X = rng.normal(size=(30, 2)) @ rng.normal(size=(2, 6)) + 0.1 * rng.normal(size=(30, 6))
    found = JInvariantWrapper(PLSRegression(2), output="plain").fit_transform(X)
    assert_allclose(found, PLSRegression(2).fit(X, X).predict(X))


def test_a_regressor_predicts_the_array_from_itself(rng):
    X = np.repeat(rng.normal(size=(4, 9)), 10, axis=0) + 0.1 * rng.normal(size=(40, 9))
    wrapper = JInvariantWrapper(KNeighborsRegressor(8))
    denoised = wrapper.fit_transform(X)
    assert denoised.shape == X.shape
    assert wrapper.score(X) > -0.1 > -0.2 * np.var(X)
    check_j_invariance(wrapper, X, random_state=0)


def test_a_pipeline_is_made_invariant_whole_and_stays_on_the_scale(rng):
    X = rng.poisson(100, size=(24, 24)).astype(float)
    root = FunctionTransformer(np.arcsinh, inverse_func=np.sinh)
    pipeline = make_pipeline(root, StandardScaler(), FunctionTransformer(gaussian))
    wrapper = JInvariantWrapper(pipeline)
    assert wrapper.fit_transform(X).mean() == pytest.approx(100, rel=0.02)
    check_j_invariance(wrapper, X, random_state=0)
    assert "denoiser__standardscaler__with_mean" in wrapper.get_params()
    # a denoiser without an inverse within a pipeline with one
    inner = make_pipeline(root, JInvariantWrapper(gaussian, output="plain"))
    assert_allclose(
        JInvariantWrapper(inner, output="plain").fit_transform(X), np.sinh(gaussian(np.arcsinh(X)))
    )


# Parameters ----------------------------------------------------------------------------


def _zero(X, hidden):
    return 0.0


@pytest.mark.parametrize(
    ("wrapper", "text"),
    [
        (JInvariantWrapper(gaussian), "JInvariantWrapper(denoiser=gaussian)"),
        (
            JInvariantWrapper(gaussian, sigma=1.5, output="plain"),
            "JInvariantWrapper(denoiser=gaussian, output='plain', sigma=1.5)",
        ),
        (
            JInvariantWrapper(partial(median, radius=3), fill=_zero),
            "JInvariantWrapper(denoiser=partial(median, radius=3), fill=_zero)",
        ),
        (JInvariantWrapper(PCA(3)), "JInvariantWrapper(denoiser=PCA(n_components=3))"),
        (
            JInvariantWrapper(median, noise=np.ones((9, 9)), halo=12, method="mask"),
            "JInvariantWrapper(denoiser=median, halo=12, method='mask', "
            "noise=<array of shape (9, 9)>)",
        ),
    ],
)
@pytest.mark.parametrize("changed_only", [True, False])
def test_estimators_of_scikit_learn_print_a_wrapper_inside(wrapper, text, changed_only):
    outer = [
        make_pipeline(wrapper),
        make_pipeline(StandardScaler(), make_pipeline(wrapper)),
        GridSearchCV(wrapper, {"output": ["plain", "invariant"]}, cv=WholeArray()),
        GridSearchCV(make_pipeline(wrapper), {}),
    ]
    for estimator in outer:
        with config_context(print_changed_only=changed_only):
            found, table = repr(estimator), estimator._repr_html_()
        assert "0x" not in found and not re.search("(at |[.])0x|0x[0-9a-f]{6}", table)
        assert (text in found) is changed_only
        assert "('estimator', " not in found
    assert wrapper.get_params()["denoiser"] is wrapper.denoiser


def test_parameters_of_the_denoiser_are_those_of_the_wrapper():
    wrapper = JInvariantWrapper(median, radius=3)
    assert wrapper.get_params(deep=False)["radius"] == 3
    assert "mode" not in wrapper.get_params(deep=False)
    assert wrapper.get_params()["mode"] == "nearest"
    assert wrapper.get_params()["radius"] == 3
    assert "radius=3" in repr(wrapper)
    assert "radius" in wrapper._repr_html_()
    copy = clone(wrapper)
    assert copy.get_params() == wrapper.get_params()
    assert copy.set_params(radius=5).get_params()["radius"] == 5
    assert wrapper.get_params()["radius"] == 3


def test_a_new_denoiser_starts_from_its_own_defaults(rng):
    wrapper = JInvariantWrapper(bilateral, sigma_color=0.1, radius=4)
    wrapper.set_params(denoiser=median)
    assert wrapper.get_params()["radius"] == 1
    wrapper.set_params(denoiser=gaussian, sigma=2.0)
    assert wrapper.get_params(deep=False)["sigma"] == 2.0
    X = rng.normal(size=(8, 8))
    assert_array_equal(wrapper.fit_transform(X), gaussian.exact(X, sigma=2.0))
    assert wrapper.set_params(denoiser=gaussian).get_params()["sigma"] == 2.0


def test_wrapper_parameters_win_over_those_of_the_denoiser(rng):
    X = rng.normal(size=(12, 12, 3))
    wrapper = JInvariantWrapper(denoise_tv_chambolle, channel_axis=-1, output="plain")
    assert_allclose(wrapper.fit_transform(X), denoise_tv_chambolle(X, channel_axis=-1))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: JInvariantWrapper(median, sigma=1), ValueError, "'sigma'.*median.*mode, radius"),
        (lambda: JInvariantWrapper(lambda X: X, k=1), ValueError, "'k'.*it has none"),
        (lambda: JInvariantWrapper(PCA(), n=1), ValueError, "'n'.*denoiser__name"),
        (lambda: JInvariantWrapper("median"), TypeError, "denoiser='median' must be a function"),
        (lambda: JInvariantWrapper(PCA), TypeError, "denoiser=.*must be a function"),
        (lambda: JInvariantWrapper(ndimage.median_filter, mode=1, q=2), ValueError, "'q'"),
        (lambda: JInvariantWrapper(lambda X, s: X), ValueError, "needs the parameters s"),
        (lambda: JInvariantWrapper(tv, method="exact"), ValueError, 'method="exact".*tv has none'),
        (lambda: JInvariantWrapper(tv, method="fast"), ValueError, "'method' parameter"),
        (lambda: JInvariantWrapper(tv, output="best"), ValueError, "'output' parameter"),
        (lambda: JInvariantWrapper(tv, fill="none"), ValueError, "fill='none' must be one of"),
        (lambda: JInvariantWrapper(tv, partition=4), ValueError, "'partition' parameter"),
        (lambda: JInvariantWrapper(tv, partition=GridPartition(20)), ValueError, "stride=20"),
        (lambda: JInvariantWrapper(tv, channel_axis=2), ValueError, "channel_axis=2 is not"),
        (lambda: JInvariantWrapper(tv, batch_axis=-3), ValueError, "batch_axis=-3 is not"),
        (
            lambda: JInvariantWrapper(tv, batch_axis=0, channel_axis=-2),
            ValueError,
            "are the same axis",
        ),
        (
            lambda: JInvariantWrapper(tv, batch_axis=0, channel_axis=1),
            ValueError,
            "leave no axis",
        ),
        (
            lambda: JInvariantWrapper(tv, output="blend", noise=-1),
            ValueError,
            "noise=-1 must be",
        ),
        (
            lambda: JInvariantWrapper(tv, output="blend", noise=np.ones(5)),
            ValueError,
            "noise of shape",
        ),
        (
            lambda: JInvariantWrapper(tv, output="blend", noise="a"),
            ValueError,
            "noise='a' must be",
        ),
        (
            lambda: JInvariantWrapper(tv, fill=MeanFill(np.ones((3, 3, 3)))),
            ValueError,
            "kernel of shape",
        ),
    ],
)
def test_a_bad_parameter_is_named_at_fit(make, error, message):
    wrapper = make()
    with pytest.raises(error, match=message):
        wrapper.fit(np.zeros((8, 8)))
    with pytest.raises(NotFittedError):
        wrapper.transform(np.zeros((8, 8)))


def test_setting_parameters_happens_whole_or_not_at_all():
    wrapper = JInvariantWrapper(median, radius=3)
    with pytest.raises(ValueError, match="'foo'.*tv"):
        wrapper.set_params(denoiser=tv, foo=1)
    assert wrapper.denoiser is median
    assert wrapper.get_params()["radius"] == 3
    base = JInvariantWrapper(partial(tv, eps=1e-3), weight=0.3)
    assert clone(base).set_params(denoiser=base.denoiser).get_params()["weight"] == 0.3


def test_unknown_parameters_are_refused_by_set_params():
    with pytest.raises(ValueError, match="partition is no estimator"):
        JInvariantWrapper(median).set_params(partition__stride=2)
    with pytest.raises(ValueError, match="'sigma'.*it has mode, radius"):
        JInvariantWrapper(median).set_params(sigma=1)
    with pytest.raises(ValueError, match="denoiser__radius"):
        JInvariantWrapper(median).set_params(denoiser__radius=1)


# Any array -----------------------------------------------------------------------------


@pytest.mark.parametrize("denoiser", [median, tv, uniform], ids=lambda g: g.__name__)
@pytest.mark.parametrize("ndim", [1, 2, 3, 4, 5])
def test_one_to_five_axes(denoiser, ndim, rng):
    X = 10 + rng.normal(size=(5,) * ndim if ndim > 2 else (20,) * ndim)
    wrapper = JInvariantWrapper(denoiser, partition=GridPartition(2))
    denoised = wrapper.fit_transform(X)
    assert denoised.shape == X.shape
    assert np.mean((denoised - 10) ** 2) < 0.9


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i4", "i8", "?", "f2", ">f4", ">f8", "f8"])
@pytest.mark.parametrize("output", ["invariant", "plain", "blend"])
def test_every_real_dtype_keeps_its_scale(dtype, output, rng):
    X = (rng.random((12, 13)) * (1 if dtype == "?" else 200)).round().astype(dtype)
    expected = np.float32 if np.dtype(dtype) in (np.dtype("f2"), np.dtype(">f4")) else np.float64
    wrapper = JInvariantWrapper(tv, output=output)
    found = wrapper.fit_transform(X)
    assert found.dtype == expected
    assert_allclose(found, wrapper.fit_transform(X.astype(expected)), rtol=1e-4)


@pytest.mark.parametrize("output", ["invariant", "plain", "blend"])
@pytest.mark.parametrize("name", DENOISERS)
def test_layout_does_not_matter_and_the_input_stays(name, output, tmp_path, rng):
    X = rng.normal(size=(14, 15))
    wrapper = JInvariantWrapper(DENOISERS[name], output=output)
    expected = wrapper.fit_transform(X)
    on_disk = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", X.dtype, X.shape)
    on_disk[...] = X
    on_disk.flush()
    read_only = X.copy()
    read_only.setflags(write=False)
    strided = np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3]
    reverse = X[::-1, ::-1].copy()[::-1, ::-1]
    for same in (
        np.load(tmp_path / "x.npy", mmap_mode="r"),
        read_only,
        np.asfortranarray(X),
        strided,
        reverse,
        X.tolist(),
    ):
        assert_allclose(wrapper.fit_transform(same), expected, rtol=1e-10, atol=1e-12)
        assert_array_equal(same, X)


def test_channels_are_hidden_together_and_items_apart(rng):
    X = rng.normal(size=(3, 12, 14, 2))  # items, rows, columns, channels
    wrapper = JInvariantWrapper(tv, weight=0.3, channel_axis=-1, batch_axis=0)
    one = JInvariantWrapper(tv, weight=0.3, channel_axis=-1)
    expected = np.stack([one.fit_transform(item) for item in X])
    assert_allclose(wrapper.fit_transform(X), expected)
    moved = JInvariantWrapper(tv, weight=0.3, channel_axis=0, batch_axis=2)
    found = moved.fit_transform(X.transpose(3, 1, 0, 2))
    assert_allclose(found.transpose(2, 1, 3, 0), expected)


def test_a_denoiser_without_channels_sees_one_at_a_time(rng):
    X = rng.normal(size=(12, 14, 3))
    found = JInvariantWrapper(median, channel_axis=-1, method="mask").fit_transform(X)
    each = JInvariantWrapper(median, method="mask")
    expected = np.stack([each.fit_transform(X[..., c]) for c in range(3)], axis=-1)
    assert_allclose(found, expected)


@pytest.mark.parametrize(
    "denoiser", [median, tv, partial(nl_means, h=0.1)], ids=["median", "tv", "nl_means"]
)
@pytest.mark.parametrize("output", ["invariant", "plain", "blend"])
def test_missing_entries_are_filled_and_not_seen(denoiser, output, rng):
    clean = np.sin(np.linspace(0, 6, 80))[:, None] * np.cos(np.linspace(0, 9, 80))
    noisy = clean + rng.normal(scale=0.1, size=clean.shape)
    missing = rng.random(noisy.shape) < 0.2
    missing[40:52, 40:52] = True
    X = np.where(missing, np.nan, noisy)
    wrapper = JInvariantWrapper(denoiser, output=output, partition=RandomPartition(4, 0))
    found = wrapper.fit_transform(X)
    assert np.isfinite(found).all()
    outside = missing.copy()
    outside[36:56, 36:56] = False
    error = np.mean((found - clean)[outside] ** 2)
    assert error < 0.4 * 0.1**2
    masked = np.ma.MaskedArray(np.where(missing, 1e9, noisy), missing)
    assert_array_equal(wrapper.fit_transform(masked), found)


def test_missing_entries_are_not_scored(rng):
    X = rng.normal(size=(64, 64))
    X[rng.random(X.shape) < 0.3] = np.nan
    for method in ("exact", "mask"):
        score = JInvariantWrapper(gaussian, sigma=3.0, method=method).fit(X).score(X)
        assert score == pytest.approx(-1.0, abs=0.08)
    clean = np.zeros(X.shape)
    assert JInvariantWrapper(gaussian, sigma=3.0).fit(X).score(X, clean) > -0.05


def test_a_lone_entry_among_missing_ones_is_predicted_from_the_others():
    X = np.full((20, 20), np.nan)
    X[0, 0], X[10, 10], X[19, 0] = 1.0, 2.0, 6.0
    found = JInvariantWrapper(median).fit_transform(X)
    assert (found[0, 0], found[10, 10], found[19, 0]) == (4.0, 3.5, 1.5)
    check_j_invariance(JInvariantWrapper(median), X, random_state=0)


@pytest.mark.parametrize("method", ["exact", "mask"])
def test_gaps_are_filled_from_their_own_item(method):
    X = np.full((2, 20, 20), np.nan)
    X[0, 3, 3] = X[0, 14, 15] = 1.0
    X[1] = 100.0
    found = JInvariantWrapper(median, batch_axis=0, method=method).fit_transform(X)
    assert_allclose(found[0], 1.0)
    assert_allclose(found[1], 100.0)


def test_a_blank_or_missing_frame_does_not_stop_a_film(rng):
    X = rng.normal(size=(3, 16, 16))
    for blank in (0.0, 5.0, np.nan):
        X[1] = blank
        for denoiser in (tv, wavelet, bilateral, nl_means, median):
            found = JInvariantWrapper(denoiser, batch_axis=0).fit_transform(X)
            assert np.isfinite(found).all()
            if blank == blank:
                assert_allclose(found[1], blank)


@pytest.mark.parametrize("output", ["invariant", "plain", "blend"])
@pytest.mark.parametrize("scale", [1e-26, 1e20])
def test_single_precision_at_any_scale(scale, output, rng):
    X = rng.normal(size=(24, 24))
    wrapper = JInvariantWrapper(gaussian, output=output)
    single = (X * scale).astype(np.float32)
    found = wrapper.fit_transform(single)
    assert found.dtype == np.float32
    assert_allclose(found / np.float32(scale), wrapper.fit_transform(X), atol=1e-4)
    assert wrapper.score(single) / scale**2 == pytest.approx(wrapper.score(X), rel=1e-3)


def test_a_partition_has_to_cover_the_array(rng):
    class Half(Partition):
        def get_n_splits(self, X, axes=None):
            return 1

        def split(self, X, axes=None):
            yield (slice(0, 4),), (slice(0, 4),)

    with pytest.raises(ValueError, match="does not score every entry"):
        JInvariantWrapper(tv, partition=Half()).fit_transform(rng.normal(size=(8, 8)))


def test_a_column_partition_does_not_cut_channels_or_items(rng):
    for kind in ("channel_axis", "batch_axis"):
        wrapper = JInvariantWrapper(tv, partition=ColumnPartition(), **{kind: -1})
        with pytest.raises(ValueError, match="axis=-1 of ColumnPartition is an axis of"):
            wrapper.fit(rng.normal(size=(8, 8, 6)))


def test_a_table_keeps_its_names_where_asked(rng):
    table = pd.DataFrame(rng.normal(size=(9, 3)), columns=["a", "b", "c"])
    pipeline = make_pipeline(StandardScaler(), JInvariantWrapper(median))
    named = pipeline.set_output(transform="pandas").fit_transform(table)
    assert named.columns.tolist() == ["a", "b", "c"]
    with config_context(transform_output="pandas"):
        volume = JInvariantWrapper(median).fit_transform(rng.normal(size=(6, 6, 6)))
        image = JInvariantWrapper(median).fit_transform(table.to_numpy())
    assert isinstance(volume, np.ndarray)
    assert isinstance(image, np.ndarray)


def test_a_fit_that_follows_leaves_nothing_of_the_last_and_one_that_fails_all(rng):
    wrapper = JInvariantWrapper(median, output="blend").fit(rng.normal(size=(8, 8)))
    X = rng.normal(size=(8, 8, 8))
    before = wrapper.set_params(output="invariant").fit(X).transform(X)
    assert {n for n in vars(wrapper) if n.endswith("_")} == {"method_", "n_axes_"}
    mixed = pd.DataFrame(rng.normal(size=(8, 2)), columns=[0, "b"])
    with pytest.raises(TypeError):
        wrapper.fit(mixed)
    assert_array_equal(wrapper.transform(X), before)


def test_an_exact_form_that_cannot_skip_missing_entries_is_not_used(rng):
    @declare(exact=lambda X: gaussian.exact(X))
    def smooth(X):
        return gaussian(X)

    X = rng.normal(size=(8, 8))
    assert JInvariantWrapper(smooth).fit(X).method_ == "exact"
    X[3, 3] = np.nan
    assert JInvariantWrapper(smooth).fit(X).method_ == "mask"
    with pytest.raises(ValueError, match="X holds NaN"):
        JInvariantWrapper(smooth, method="exact").fit(X)


def test_a_given_partition_asks_for_masks(rng):
    X = rng.normal(size=(8, 8))
    assert JInvariantWrapper(median, partition=GridPartition(4)).fit(X).method_ == "mask"
    assert JInvariantWrapper(median, method="mask").fit(X).method_ == "mask"


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.zeros((0, 3)), ValueError, "X is empty"),
        (np.zeros(()), ValueError, "at least one axis"),
        (3.0, ValueError, "at least one axis"),
        (np.zeros((4, 4), complex), ValueError, "Complex data not supported"),
        (np.array([{"a": 1}]), TypeError, "holds objects that are none"),
        ("noisy.tif", TypeError, "X='noisy.tif' must be an array of numbers: read the file"),
        ([[1.0, 2.0], [3.0]], ValueError, "its rows differ in length"),
        (np.array([["a"]]), TypeError, "must hold real numbers"),
        (np.full((4, 4), np.inf), ValueError, "infinity"),
        (np.full((4, 4), np.nan), ValueError, "nothing but NaN"),
        (sparse.csr_array(np.eye(4)), TypeError, "Sparse data was passed as X"),
        (np.zeros((1, 1)), ValueError, "no other entry"),
    ],
)
def test_bad_data_are_refused_in_a_sentence(X, error, message):
    with pytest.raises(error, match=message):
        JInvariantWrapper(median).fit(X)


def test_the_number_of_axes_is_that_of_fit(rng):
    wrapper = JInvariantWrapper(median).fit(rng.normal(size=(8, 8)))
    assert wrapper.transform(rng.normal(size=(20, 9))).shape == (20, 9)
    with pytest.raises(ValueError, match="X has 3 axes.*fitted to data with 2"):
        wrapper.transform(rng.normal(size=(8, 8, 8)))


class _Tensor:
    """What numpy cannot read, as a tensor with a gradient."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.\nMore lines.")


@pytest.mark.parametrize(
    ("denoiser", "message"),
    [
        (lambda X: X[1:], "returned an array of shape"),
        (lambda X: X * np.nan, "returned NaN or an infinity for 64 of 64"),
        (lambda X: X / 0.0, "returned NaN or an infinity"),
        (lambda X: X + 1j, "returned dtype complex128"),
        (lambda X: None, "returned None: a denoiser must return one array"),
        (lambda X: (X, X), "returned a tuple of 2: a denoiser must return one array"),
        (lambda X: _Tensor(), "returned a _Tensor that cannot be read .*requires grad.*detach"),
    ],
)
def test_a_bad_answer_is_refused(denoiser, message, rng):
    for output in ("invariant", "plain"):
        wrapper = JInvariantWrapper(denoiser, output=output).fit(np.ones((8, 8)))
        with np.errstate(all="ignore"), pytest.raises(ValueError, match=message):
            wrapper.transform(np.ones((8, 8)))


# Outputs and scores --------------------------------------------------------------------


def test_scores(noisy, clean):
    wrapper = JInvariantWrapper(median, radius=2).fit(noisy)
    denoised = median.exact(noisy, radius=2)
    assert wrapper.score(noisy) == pytest.approx(-np.mean((denoised - noisy) ** 2))
    assert wrapper.score(noisy, clean) == pytest.approx(-np.mean((denoised - clean) ** 2))
    plain = wrapper.set_params(output="plain").fit(noisy)
    # Of a plain output, that is the distance to the noisy data and what was adapted to them.
    truth = np.mean((plain.transform(noisy) - clean) ** 2) + np.mean((noisy - clean) ** 2)
    assert plain.score(noisy) == pytest.approx(-truth, rel=0.05)
    given = clone(plain).set_params(partition=GridPartition(4), method="exact").fit(noisy)
    assert given.score(noisy) == pytest.approx(-np.mean((denoised - noisy) ** 2))
    expected = -np.mean((median(noisy, radius=2) - clean) ** 2)
    assert plain.score(noisy, clean) == pytest.approx(expected)
    assert_array_equal(plain.predict(noisy), plain.transform(noisy))
    with pytest.raises(ValueError, match="y must be the clean data of shape"):
        plain.score(noisy, clean[1:])


@pytest.mark.parametrize("denoiser", [median, gaussian, tv], ids=lambda g: g.__name__)
@pytest.mark.parametrize("noise", [None, 0.1], ids=["estimated", "given"])
def test_the_blend_is_better_than_what_it_blends(denoiser, noise, noisy, clean):
    def error(output):
        wrapper = JInvariantWrapper(denoiser, output=output, noise=noise)
        return -wrapper.fit(noisy).score(noisy, clean)

    assert error("blend") < min(error("invariant"), 0.01)


def test_the_blend_follows_its_formula(noisy):
    """λ = σ²/(σ² + τ²): all of f without an excess, all of x without noise."""
    f = gaussian.exact(noisy)
    silent = JInvariantWrapper(gaussian, output="blend", noise=0.0)
    assert_allclose(silent.fit_transform(noisy), noisy)
    loud = JInvariantWrapper(gaussian, output="blend", noise=1e3)
    assert_allclose(loud.fit_transform(noisy), f)
    variance = 0.01
    residual = gaussian.exact((f - noisy) ** 2, sigma=6.0)
    weight = variance / np.maximum(residual, variance)
    some = JInvariantWrapper(gaussian, output="blend", noise=np.sqrt(variance))
    expected = weight * f + (1 - weight) * noisy
    assert_allclose(some.fit_transform(noisy), expected)
    everywhere = some.set_params(noise=np.full(noisy.shape, variance**0.5))
    assert_allclose(everywhere.fit_transform(noisy), expected)


def test_a_blend_asked_for_after_fit_was_not_fitted(noisy):
    wrapper = JInvariantWrapper(gaussian).fit(noisy).set_params(output="blend")
    with pytest.raises(NotFittedError):
        wrapper.transform(noisy)
    each = JInvariantWrapper(gaussian, output="blend", noise=np.ones(noisy.shape))
    with pytest.raises(ValueError, match="noise of shape"):
        each.fit(noisy).transform(noisy[:50])


def test_pickling_and_fitting_again(noisy):
    wrapper = JInvariantWrapper(median, radius=2, output="blend").fit(noisy)
    again = pickle.loads(pickle.dumps(wrapper))
    assert_array_equal(again.transform(noisy), wrapper.transform(noisy))
    assert_array_equal(wrapper.fit(noisy).transform(noisy), again.transform(noisy))


def test_one_wrapper_denoises_images_of_any_size(noisy):
    wrapper = JInvariantWrapper(median).fit(noisy)
    assert_array_equal(wrapper.transform(noisy[:50, :70]), median.exact(noisy[:50, :70]))


def test_partials_that_hold_arrays_are_compared_by_their_values():
    def weighted(X, weights, power=1.0):
        return X * weights**power

    def wrapper(weights):
        return JInvariantWrapper(partial(weighted, weights=weights), power=2.0)

    weights = np.array([1.0, np.nan])
    for same in (weights, weights.copy()):
        found = wrapper(weights).set_params(denoiser=partial(weighted, weights=same))
        assert found.denoiser_params == {"power": 2.0}
    for other in (weights + 1, np.ones(3), 1.0):
        found = wrapper(weights).set_params(denoiser=partial(weighted, weights=other))
        assert found.denoiser_params == {}
    assert clone(wrapper(weights)).denoiser_params == {"power": 2.0}


def test_an_auto_partition_hides_what_is_correlated(rng):
    white = rng.normal(size=(128, 128))
    X = ndimage.uniform_filter(white, 3, mode="wrap")
    auto = JInvariantWrapper(gaussian, partition="auto", method="mask", sigma=2.0)
    square = BlindSpotPartition(np.ones((5, 5), bool))
    found = auto.view_plan(X).partition.footprint_for(2)[0]
    assert found.shape == (5, 5)
    assert found[1:4].all() and found[:, 1:4].all()
    # A blind spot that is wide enough makes the loss honest: error + variance of the noise.
    honest = JInvariantWrapper(gaussian, partition=square, sigma=2.0).fit(X)
    error = np.mean(honest.transform(X) ** 2)
    assert -auto.fit(X).score(X) == pytest.approx(X.var() + error, rel=0.1)
    assert -JInvariantWrapper(gaussian, sigma=2.0, method="mask").fit(X).score(X) < 0.7 * X.var()
    assert auto.view_plan(white).partition == GridPartition((4, 4))
    stripes = white + 2 * rng.normal(size=(128, 1))
    assert auto.view_plan(stripes).partition == BlindSpotPartition((0, None))


def test_a_blind_spot_that_does_not_fit_is_refused():
    X = np.zeros((12, 12))
    for partition, message in (
        (BlindSpotPartition(), "is found in the data by JInvariantWrapper"),
        (BlindSpotPartition("none"), "is not known"),
        (BlindSpotPartition(2, stride=4), "leaves nothing to predict from"),
        (BlindSpotPartition(np.ones((2, 3), bool)), "an odd length"),
        (BlindSpotPartition(np.ones(3, bool)), "an odd length"),
    ):
        with pytest.raises(ValueError, match=message):
            partition.get_n_splits(X)
