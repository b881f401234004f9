"""Tables: their noise, what is hidden in them, and the denoisers that learn from them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.impute import KNNImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_n2s import (
    AutoDenoiser,
    JInvariantWrapper,
    RandomPartition,
    SelfSupervisedSearchCV,
    check_j_invariance,
)
from sk_n2s._utils.once import Once
from sk_n2s.denoisers import (
    ConditionalGaussianDenoiser,
    DiffusionDenoiser,
    LowRankDenoiser,
    median,
)
from sk_n2s.masking import BlockPartition, ColumnFill, MissingFill
from sk_n2s.noise import NoiseModel, estimate_table_noise
from sk_n2s.noise.table import estimate_table_noise_model

TABLE = {"kind": "table"}
RANKS = {"denoiser__rank": [1, 2, 3, 4, 5, 8]}


def low_rank(n=300, m=60, rank=4, seed=0, offset=0.0):
    rng = np.random.default_rng(seed)
    strengths = np.linspace(1, 0.5, rank)
    clean = (rng.normal(size=(n, rank)) * strengths) @ rng.normal(size=(rank, m))
    return clean + offset * rng.normal(size=m)


@pytest.fixture(scope="module")
def table():
    """A table of rank 4 with feature offsets, and the same with noise of 1."""
    clean = low_rank(offset=5.0)
    return clean, clean + np.random.default_rng(1).normal(size=clean.shape)


@pytest.fixture(scope="module")
def digits():
    clean = load_digits().data / 16
    return clean, clean + 0.2 * np.random.default_rng(0).normal(size=clean.shape)


def mse(a, b):
    return float(np.mean((a - b) ** 2))


# The noise -----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(400, 90), (90, 400), (200, 200), (3000, 20)])
@pytest.mark.parametrize("level", [0.3, 1.0])
def test_level_of_noise_of_low_rank_tables(shape, level):
    clean = low_rank(*shape, offset=10.0)
    noisy = clean + level * np.random.default_rng(1).normal(size=shape)
    assert estimate_table_noise(noisy) == pytest.approx(level, rel=0.02)
    scaled = estimate_table_noise(1e3 * noisy.astype(np.float32) - 7)
    assert scaled == pytest.approx(1e3 * estimate_table_noise(noisy), rel=1e-3)


def test_level_of_noise_beside_weak_structure(digits):
    model = estimate_table_noise_model(digits[1])
    assert model.level == pytest.approx(0.2, rel=0.025)
    assert abs(model.level - 0.2) < 2 * model.level_error * 0.2


def test_features_with_levels_of_their_own(table):
    clean, _ = table
    levels = np.geomspace(0.3, 3, clean.shape[1])
    noisy = clean + levels * np.random.default_rng(2).normal(size=clean.shape)
    found = estimate_table_noise_model(noisy)
    np.testing.assert_allclose(found.level[0], levels, rtol=0.2)
    assert estimate_table_noise_model(table[1]).is_uniform


def test_features_that_are_constant_have_no_part_in_the_level(table):
    # 0.1 is not the mean of many of it, but for rounding.
    noisy = np.insert(table[1], [0, 40], [3.0, 0.1], axis=1)
    assert estimate_table_noise_model(noisy).level == pytest.approx(1, rel=0.02)
    auto = AutoDenoiser("fast", kind="table").fit(noisy)
    error = mse(np.delete(auto.transform(noisy), [0, 41], axis=1), table[0])
    assert error < 1.1 * mse(LowRankDenoiser().fit_transform(table[1]), table[0])
    same = np.full((30, 10), 2.0)
    np.testing.assert_array_equal(AutoDenoiser(kind="table").fit_transform(same), same)


def test_level_of_noise_with_gaps(table):
    noisy = table[1].copy()
    noisy[np.random.default_rng(3).random(noisy.shape) < 0.3] = np.nan
    assert estimate_table_noise(noisy) == pytest.approx(1, rel=0.06)


def test_counts_are_told_from_counts_that_vary_more():
    rng = np.random.default_rng(0)
    rate = rng.gamma(1, size=(800, 3)) @ rng.gamma(1, size=(3, 200))
    poisson = estimate_table_noise_model(rng.poisson(rate))
    np.testing.assert_array_equal(poisson.variance(np.array([0.0, 7.0])), [0.0, 7.0])
    more = rng.negative_binomial(1, 1 / (1 + rate))
    assert not estimate_table_noise_model(more).is_signal_dependent
    assert not estimate_table_noise_model(rng.poisson(rate) + 0.5).is_signal_dependent


# Fills and partitions --------------------------------------------------------------------


@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 10**6))
def test_column_fill_is_the_mean_of_what_is_visible(n, m, seed):
    rng = np.random.default_rng(seed)
    X, hidden = rng.normal(size=(n, m)), rng.random((n, m)) < 0.4
    hidden[0] = False
    shown = np.ma.array(X, mask=hidden)
    for statistic, centre in (("mean", np.ma.mean), ("median", np.ma.median)):
        filled = ColumnFill(statistic)(X, hidden)
        np.testing.assert_allclose(filled, shown.filled(centre(shown, axis=0)))
    np.testing.assert_array_equal(np.isnan(MissingFill()(X, hidden)), hidden)


def test_a_feature_that_is_hidden_whole_takes_the_mean_of_the_others():
    X = np.array([[1.0, 9.0, 2.0], [3.0, 8.0, 4.0]])
    hidden = np.zeros(X.shape, bool)
    hidden[:, 1] = True
    np.testing.assert_allclose(ColumnFill()(X, hidden)[:, 1], 2.5)


@given(st.integers(2, 12), st.integers(2, 12), st.integers(1, 4), st.integers(1, 4))
def test_blocks_cover_a_table_once(n, m, rows, columns):
    rows, columns = min(rows, n), min(columns, m)
    if rows * columns < 2:
        return
    X = np.zeros((n, m))
    partition = BlockPartition((rows, columns))
    for hidden, scored in partition.split(X):
        X[scored] += 1
        # A block is all of some samples by some features.
        shape = hidden.any(axis=1).sum(), hidden.any(axis=0).sum()
        assert hidden.sum() == shape[0] * shape[1]
    np.testing.assert_array_equal(X, 1)
    assert sorted(partition.order(X)) == list(range(partition.get_n_splits(X)))


@pytest.mark.parametrize(
    ("partition", "X", "message"),
    [
        (BlockPartition((5, 2)), np.zeros((4, 4)), "at most 4, the number of samples"),
        (BlockPartition((1, 1)), np.zeros((4, 4)), "hides all entries at once"),
        (BlockPartition((2, 2)), np.zeros(4), "divides tables"),
    ],
)
def test_blocks_that_do_not_fit(partition, X, message):
    with pytest.raises(ValueError, match=message):
        partition.get_n_splits(X)


# The wrapper -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "X", "message"),
    [
        ({}, np.zeros(5), "X has 1 axes, and a table has two"),
        ({"channel_axis": 1}, np.eye(5), "channel_axis=1 has no meaning for a table"),
        ({"fill": "random"}, np.eye(5), "fill='random' must be one of"),
        ({"kind": "rows"}, np.eye(5), "'kind' parameter"),
        ({"n_refills": -1}, np.eye(5), "'n_refills' parameter"),
    ],
)
def test_what_a_table_does_not_take(params, X, message):
    with pytest.raises(ValueError, match=message):
        JInvariantWrapper(PCA(1), **{**TABLE, **params}).fit(X)


def test_sparse_tables_need_a_thinning(table):
    with pytest.raises(TypeError, match=r"partition=BinomialThinning\(\)"):
        JInvariantWrapper(PCA(1), **TABLE).fit(sparse.csr_array(np.eye(5)))


@pytest.mark.parametrize("fill", ["mean", "median", "missing"])
@pytest.mark.parametrize("partition", [BlockPartition((3, 4)), RandomPartition(5, 0)])
def test_tables_are_denoised_j_invariantly(table, partition, fill):
    wrapper = JInvariantWrapper(
        LowRankDenoiser(4), partition=partition, fill=fill, n_refills=1, **TABLE
    )
    check_j_invariance(wrapper, table[1][:30, :12])
    assert mse(wrapper.fit(table[1]).transform(table[1]), table[0]) < 0.3


def test_refills_converge_to_what_leaves_hidden_entries_out(table):
    clean, noisy = table
    wrapper = JInvariantWrapper(PCA(4), **TABLE)
    errors = [
        mse(wrapper.set_params(n_refills=n).fit(noisy).transform(noisy), clean) for n in (0, 2, 8)
    ]
    assert errors[0] > 1.5 * errors[1]
    assert errors[2] == pytest.approx(errors[1], rel=0.05)
    gaps = JInvariantWrapper(LowRankDenoiser(4, shrinkage=None), fill="missing", **TABLE)
    assert errors[2] == pytest.approx(mse(gaps.fit(noisy).transform(noisy), clean), rel=0.03)


def test_imputers_are_shown_what_is_missing(table):
    clean, noisy = table
    wrapper = JInvariantWrapper(KNNImputer(), fill="missing", n_refills=0, **TABLE).fit(noisy)
    assert mse(wrapper.transform(noisy), clean) < mse(clean, clean.mean(axis=0))


@pytest.mark.parametrize(
    ("denoiser", "partition", "output"),
    [
        (PCA(), None, "invariant"),
        (PCA(), None, "plain"),
        (LowRankDenoiser(shrinkage=None), BlockPartition(), "invariant"),
        (LowRankDenoiser(shrinkage=None), None, "plain"),
    ],
    ids=["entries", "SURE", "blocks", "SURE, ours"],
)
def test_the_rank_is_found_told_nothing(denoiser, partition, output):
    clean = low_rank(offset=5.0, seed=3)
    noisy = clean + np.random.default_rng(4).normal(size=clean.shape)
    wrapper = JInvariantWrapper(denoiser, partition=partition, output=output, **TABLE)
    name = "n_components" if isinstance(denoiser, PCA) else "rank"
    search = SelfSupervisedSearchCV(wrapper, {f"denoiser__{name}": RANKS["denoiser__rank"]})
    assert search.fit(noisy).best_params_ == {f"denoiser__{name}": 4}
    error = mse(search.transform(noisy), clean)
    low, high = search.error_estimate_.interval
    assert low < error < high


def test_a_blend_in_a_table_is_better_than_its_prediction(digits):
    clean, noisy = digits
    wrapper = JInvariantWrapper(ConditionalGaussianDenoiser(), **TABLE).fit(noisy)
    blended = JInvariantWrapper(ConditionalGaussianDenoiser(), output="blend", **TABLE).fit(noisy)
    assert mse(blended.transform(noisy), clean) < 0.5 * mse(wrapper.transform(noisy), clean)


# What is learnt ----------------------------------------------------------------------------


def test_low_rank_keeps_what_stands_out_and_shrinks_it(table):
    clean, noisy = table
    denoiser = LowRankDenoiser().fit(noisy)
    assert denoiser.rank_ == 4
    errors = [mse(PCA(r).fit(noisy).inverse_transform(PCA(r).fit_transform(noisy)), clean)
              for r in range(1, 8)]  # fmt: skip
    assert mse(denoiser.transform(noisy), clean) < min(errors)
    rough = LowRankDenoiser(3, shrinkage=None).fit(noisy)
    expected = PCA(3, svd_solver="full").fit(noisy)
    np.testing.assert_allclose(
        rough.transform(noisy), expected.inverse_transform(expected.transform(noisy)), atol=1e-8
    )


def test_low_rank_of_gaps_is_near_to_that_of_all(table):
    clean, noisy = table
    gaps = np.random.default_rng(5).random(noisy.shape) < 0.2
    found = LowRankDenoiser().fit_transform(np.where(gaps, np.nan, noisy))
    whole = mse(LowRankDenoiser().fit_transform(noisy), clean)
    assert mse(found[gaps], clean[gaps]) < 2 * whole
    assert mse(found[~gaps], clean[~gaps]) < 1.5 * whole


@pytest.mark.parametrize("center", [True, False])
def test_sparse_and_dense_tables_have_the_same_directions(center):
    rng = np.random.default_rng(0)
    rate = rng.gamma(1, size=(700, 3)) @ rng.gamma(0.3, size=(3, 600))
    counts = rng.poisson(0.2 * rate).astype(float)
    denoiser = LowRankDenoiser(3, shrinkage=None, center=center)
    dense = denoiser.fit_transform(counts)
    for kind in (sparse.csr_array, sparse.csc_matrix):
        np.testing.assert_allclose(denoiser.fit_transform(kind(counts)), dense, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_tables_larger_than_memory_have_the_same_directions(table, dtype):
    da = pytest.importorskip("dask.array")
    noisy = (table[1] + 100).astype(dtype)
    lazy = da.from_array(noisy, chunks=(70, 25))
    for denoiser in (LowRankDenoiser(), LowRankDenoiser(3, shrinkage=None, center=False)):
        found = denoiser.fit(lazy).transform(lazy)
        assert found.dtype == dtype
        np.testing.assert_allclose(
            found.compute(),
            denoiser.fit_transform(noisy),
            atol=1e-3 if dtype == np.float32 else 1e-8,
        )
    with pytest.raises(TypeError, match="ConditionalGaussianDenoiser needs its table in memory"):
        ConditionalGaussianDenoiser().fit(lazy)
    with pytest.raises(ValueError, match="dask array with NaN"):
        LowRankDenoiser(noise=1.0).fit(da.where(lazy > 105, np.nan, lazy))


def test_more_components_than_are_looked_for_at_first():
    clean = low_rank(700, 600, 90, seed=5)
    noisy = clean + 0.5 * np.random.default_rng(0).normal(size=clean.shape)
    assert LowRankDenoiser().fit(noisy).rank_ == 90


def test_candidates_share_one_decomposition(table):
    known = Once()
    made = [LowRankDenoiser(r).fit_shared(table[1], known) for r in (1, 3, 4)]
    assert len([key for key in known._known if isinstance(key, tuple)]) == 1
    for r, shared in zip((1, 3, 4), made, strict=True):
        alone = LowRankDenoiser(r).fit(table[1])
        np.testing.assert_array_equal(shared.transform(table[1]), alone.transform(table[1]))


@pytest.mark.parametrize(
    ("denoiser", "X", "message"),
    [
        (LowRankDenoiser(9), np.ones((5, 4)) * np.arange(4), "rank=9 of LowRankDenoiser is more"),
        (LowRankDenoiser(), np.array([[1, np.nan], [2, np.nan]]), "Feature 1 of X holds no"),
        (
            ConditionalGaussianDenoiser(),
            np.array([[1, np.nan], [2, np.nan]]),
            "Feature 1 of X holds no",
        ),
        (ConditionalGaussianDenoiser(noise=[1, 2]), np.eye(3), "noise of ConditionalG.* shape"),
        (ConditionalGaussianDenoiser(noise=[1, -2, 1]), np.eye(3), "standard deviations, 0 or"),
        (DiffusionDenoiser(), np.array([[1, np.nan], [2, 1]]), "contains NaN"),
    ],
)
def test_what_cannot_be_learnt(denoiser, X, message):
    with pytest.raises(ValueError, match=message):
        denoiser.fit(X)


def test_all_regressions_come_from_one_inverse(table):
    _, noisy = table
    noisy = noisy[:, :12]
    wrapper = JInvariantWrapper(ConditionalGaussianDenoiser(shrinkage=0.0, n_folds=4), **TABLE)
    found = wrapper.fit(noisy).transform(noisy)
    assert wrapper.method_ == "exact"
    fold = np.arange(len(noisy)) % 4
    for j in (0, 7):
        others = np.delete(noisy, j, axis=1)
        for k in range(4):
            model = LinearRegression().fit(others[fold != k], noisy[fold != k, j])
            np.testing.assert_allclose(
                found[fold == k, j], model.predict(others[fold == k]), atol=1e-6
            )


def test_missing_features_leave_the_regression_of_the_others(table):
    _, noisy = table
    noisy = noisy[:, :12].copy()
    test = noisy[:3].copy()
    test[1, [2, 5]] = np.nan
    shown = np.concatenate([noisy, test])
    wrapper = JInvariantWrapper(ConditionalGaussianDenoiser(shrinkage=0.1), **TABLE)
    check_j_invariance(wrapper, shown)
    found = wrapper.fit(shown).transform(shown)
    assert np.isfinite(found).all()
    assert abs(found[301, 2] - noisy[1, 2]) < 4


def test_a_feature_that_one_fold_has_measured_is_taken_for_like_the_others():
    shown = 40 + np.random.default_rng(0).normal(size=(60, 5))
    shown[:, 2] = np.nan
    shown[3, 2] = 41.0
    wrapper = JInvariantWrapper(ConditionalGaussianDenoiser(), **TABLE)
    check_j_invariance(wrapper, shown)
    assert wrapper.fit(shown).transform(shown)[3, 2] == pytest.approx(40, abs=1)
    with pytest.raises(ValueError, match="Feature 2 of X holds no measurement"):
        wrapper.transform(np.delete(shown, 3, axis=0))


def test_wiener_estimate_of_known_levels():
    rng = np.random.default_rng(0)
    levels = np.linspace(0.2, 2, 30)
    clean = low_rank(3000, 30, 3, seed=1)
    noisy = clean + levels * rng.normal(size=clean.shape)
    told = ConditionalGaussianDenoiser(noise=levels).fit(noisy)
    untold = ConditionalGaussianDenoiser().fit(noisy)
    assert mse(told.transform(noisy), clean) == pytest.approx(
        mse(untold.transform(noisy), clean), rel=0.1
    )
    covariance = clean.T @ clean / len(clean)
    best = covariance @ np.linalg.inv(covariance + np.diag(levels**2))
    assert mse(told.transform(noisy), clean) < 1.25 * mse(noisy @ best.T, clean)


def test_figures_of_digits(digits):
    clean, noisy = digits
    denoiser = ConditionalGaussianDenoiser()
    invariant = JInvariantWrapper(denoiser, **TABLE).fit(noisy).transform(noisy)
    assert -10 * np.log10(mse(invariant, clean)) > 14.5
    assert -10 * np.log10(mse(denoiser.fit_transform(noisy), clean)) > 18.0
    assert -10 * np.log10(mse(LowRankDenoiser().fit_transform(noisy), clean)) > 17.8


def test_longer_walks_over_one_graph(digits):
    clean, noisy = digits
    known = Once()
    errors = []
    for n_steps in (1, 6):
        shared = DiffusionDenoiser(n_steps).fit_shared(noisy, known).transform(noisy)
        np.testing.assert_allclose(shared, DiffusionDenoiser(n_steps).fit_transform(noisy))
        errors.append(mse(shared, clean))
    assert errors[0] < 0.4 * 0.2**2 < errors[1]
    dense = DiffusionDenoiser(2).fit(np.abs(noisy)).transform(np.abs(noisy))
    thin = sparse.csr_array(np.abs(noisy))
    np.testing.assert_allclose(DiffusionDenoiser(2).fit_transform(thin), dense, rtol=1e-4)


# AutoDenoiser --------------------------------------------------------------------------------


def test_auto_denoiser_of_a_table(digits):
    clean, noisy = digits
    auto = AutoDenoiser(kind="table").fit(noisy)
    error = mse(auto.transform(noisy), clean)
    assert -10 * np.log10(error) > 18.5
    low, high = auto.error_estimate_.interval
    assert low < error < high
    assert auto.noise_.level == pytest.approx(0.2, rel=0.03)
    assert mse(auto.transform(noisy[::2]), clean[::2]) < 1.2 * error


def test_auto_denoiser_weighs_features_by_their_noise(table):
    clean, _ = table
    levels = np.geomspace(0.3, 3, clean.shape[1])
    noisy = clean + levels * np.random.default_rng(2).normal(size=clean.shape)
    auto = AutoDenoiser(kind="table").fit(noisy)
    error = mse(auto.transform(noisy), clean)
    assert error < 0.7 * mse(LowRankDenoiser(4).fit_transform(noisy), clean)
    # A hundredth of the level is more than the error, which is therefore said to be unknown.
    assert "the level of the noise is known to 1.1 %" in str(auto.error_estimate_)


def test_auto_denoiser_of_counts_with_gaps():
    rng = np.random.default_rng(0)
    rate = rng.gamma(1, size=(400, 3)) @ rng.gamma(1, size=(3, 100))
    counts = rng.poisson(rate).astype(np.float32)
    whole = AutoDenoiser("fast", kind="table").fit(counts)
    assert whole.noise_.is_signal_dependent
    assert mse(whole.transform(counts), rate) < 0.06 * mse(counts, rate)
    assert whole.transform(counts).dtype == np.float32
    gaps = np.random.default_rng(1).random(counts.shape) < 0.2
    counts[gaps] = np.nan
    found = AutoDenoiser("fast", kind="table").fit(counts).transform(counts)
    assert mse(found[gaps], rate[gaps]) < 0.35 * mse(rate, rate.mean(axis=0))


def test_auto_denoiser_refuses_what_is_no_table():
    with pytest.raises(ValueError, match="a table has two"):
        AutoDenoiser(kind="table").fit(np.ones((3, 4, 5)))


# Third parties ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "denoiser",
    [
        PCA(4),
        TruncatedSVD(5, algorithm="arpack"),
        make_pipeline(StandardScaler(), PCA(4)),
    ],
    ids=["PCA", "SVD", "pipeline"],
)
def test_any_transformer_with_an_inverse(table, denoiser):
    clean, noisy = table
    wrapper = JInvariantWrapper(denoiser, **TABLE).fit(noisy)
    assert mse(wrapper.transform(noisy), clean) < 0.3


def test_functions_see_tables_as_arrays(table):
    wrapper = JInvariantWrapper(median, radius=1, kind="table", method="mask").fit(table[1])
    assert wrapper.transform(table[1]).shape == table[1].shape
    assert isinstance(NoiseModel(1.0), NoiseModel)
