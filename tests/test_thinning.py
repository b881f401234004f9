"""Thinning: two parts of one measurement that are independent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import NMF, TruncatedSVD
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from sk_n2s import JInvariantWrapper, SelfSupervisedHalvingSearchCV, SelfSupervisedSearchCV
from sk_n2s.denoisers import DiffusionDenoiser, LowRankDenoiser, gaussian, median
from sk_n2s.masking import (
    BinomialThinning,
    GammaThinning,
    GaussianThinning,
    NegativeBinomialThinning,
)
from sk_n2s.noise import NoiseModel

RANKS = {"denoiser__rank": [1, 2, 3, 4, 5, 6, 8]}
PLAIN = {"kind": "table", "output": "plain"}


def counts(n=600, m=200, rank=4, mean=1.0, seed=0):
    rng = np.random.default_rng(seed)
    rate = rng.gamma(1, size=(n, rank)) @ rng.gamma(1, size=(rank, m))
    rate *= mean / rate.mean()
    return rate, rng.poisson(rate).astype(float)


def parts(thinning, X, noise=None):
    return thinning.thin(X, np.random.default_rng(0), lambda: noise)


FLAT = np.full((400, 300), 6.0)
CASES = [
    (BinomialThinning(0.7), lambda rng: rng.poisson(FLAT)),
    (NegativeBinomialThinning(0.5, 0.7), lambda rng: rng.negative_binomial(2, 2 / (2 + FLAT))),
    (GammaThinning(4.0, 0.7), lambda rng: rng.gamma(4.0, FLAT / 4.0)),
]


@pytest.mark.parametrize(("thinning", "draw"), CASES, ids=lambda v: type(v).__name__)
def test_parts_are_independent_and_add_up(thinning, draw):
    X = draw(np.random.default_rng(1)).astype(float)
    shown, rest = parts(thinning, X)
    np.testing.assert_allclose(shown + rest, X)
    assert shown.mean() == pytest.approx(0.7 * 6, rel=0.02)
    assert rest.mean() == pytest.approx(thinning.factor * shown.mean(), rel=0.02)
    assert abs(np.corrcoef(shown.ravel(), rest.ravel())[0, 1]) < 4 / np.sqrt(X.size)


def test_parts_of_counts_that_vary_more_are_not_independent_for_the_wrong_family():
    X = CASES[1][1](np.random.default_rng(1)).astype(float)
    shown, rest = parts(BinomialThinning(0.7), X)
    assert np.corrcoef(shown.ravel(), rest.ravel())[0, 1] > 0.3


def test_normal_parts_are_independent():
    X = FLAT + 2 * np.random.default_rng(1).normal(size=FLAT.shape)
    shown, rest = parts(GaussianThinning(alpha=0.5), X, NoiseModel(2.0))
    assert shown.var() == pytest.approx(4 * 1.25, rel=0.03)
    assert rest.var() == pytest.approx(4 * 5, rel=0.03)
    assert abs(np.corrcoef(shown.ravel(), rest.ravel())[0, 1]) < 4 / np.sqrt(X.size)


def test_an_overdispersion_for_each_feature():
    spread = np.array([0.0, 2.0])
    rng = np.random.default_rng(0)
    X = np.stack([rng.poisson(5.0, 50_000), rng.negative_binomial(0.5, 0.5 / 5.5, 50_000)], axis=1)
    shown, rest = parts(NegativeBinomialThinning(spread, 0.5), X.astype(float))
    for j in (0, 1):
        assert abs(np.corrcoef(shown[:, j], rest[:, j])[0, 1]) < 0.02


@given(st.floats(0.1, 0.9), st.integers(0, 10**6))
def test_sparse_and_dense_parts_are_of_the_same_law(fraction, seed):
    rng = np.random.default_rng(seed)
    X = rng.poisson(0.5, (20, 30)).astype(np.float32)
    for kind in (sparse.csr_array, sparse.csr_matrix):
        shown, rest = BinomialThinning(fraction).thin(kind(X), rng, None)
        assert sparse.issparse(shown)
        assert shown.dtype == np.float32
        np.testing.assert_array_equal((shown + rest).toarray(), X)
        assert shown.data.min(initial=1) > 0  # what is 0 is not stored


@pytest.mark.parametrize(
    ("thinning", "X", "message"),
    [
        (BinomialThinning(), [[1.0, -2.0]], "holds negative values, down to -2"),
        (BinomialThinning(), [[1.0, 2.5]], "holds fractions, such as 2.5"),
        (BinomialThinning(1.5), [[1.0, 2.0]], "fraction=1.5 of BinomialThinning must lie"),
        (BinomialThinning(n_splits=0), [[1.0, 2.0]], "n_splits=0 of BinomialThinning"),
        (NegativeBinomialThinning(-1.0), [[1.0, 2.0]], "overdispersion=-1.0 .* not be negative"),
        (NegativeBinomialThinning([1, 1, 1]), [[1.0, 2.0]], "one for each of the 2 features"),
        (GammaThinning(0.0), [[1.0, 2.0]], "shape=0.0 .* must be positive"),
        (GammaThinning(1.0), [[1.0, -2.0]], "values down to -2"),
        (GaussianThinning(alpha=0), [[1.0, -2.0]], "alpha=0 of GaussianThinning must be pos"),
    ],
)
def test_what_cannot_be_thinned(thinning, X, message):
    wrapper = JInvariantWrapper(TruncatedSVD(1), partition=thinning, **PLAIN)
    with pytest.raises(ValueError, match=message):
        wrapper.fit(np.array(X))
    if np.min(X) < 0 and isinstance(thinning, BinomialThinning):
        with pytest.raises(ValueError, match=message):
            wrapper.fit(sparse.csr_array(np.array(X)))


@pytest.mark.parametrize(
    ("params", "message"),
    [({"output": "invariant"}, 'set output="plain"'), ({"method": "exact"}, 'method="exact"')],
)
def test_no_output_is_blind_to_what_was_thinned(params, message):
    wrapper = JInvariantWrapper(median, partition=BinomialThinning(), output="plain")
    with pytest.raises(ValueError, match=message):
        wrapper.set_params(**params).fit(np.ones((5, 5)))


@pytest.mark.parametrize("kind", [np.array, sparse.csr_array, sparse.csc_matrix])
@pytest.mark.parametrize("mean", [0.3, 2.0])
def test_the_rank_of_counts(kind, mean):
    rate, X = counts(mean=mean)
    wrapper = JInvariantWrapper(
        LowRankDenoiser(shrinkage=None, center=False), partition=BinomialThinning(), **PLAIN
    )
    search = SelfSupervisedSearchCV(wrapper, RANKS).fit(kind(X))
    assert search.best_params_ == {"denoiser__rank": 4}
    error = np.mean((search.transform(kind(X)) - rate) ** 2)
    assert error < 0.1 * np.mean((X - rate) ** 2)
    if kind is not np.array:
        with pytest.raises(AttributeError, match="error of a sparse table"):
            _ = search.estimated_mse_


def test_scores_do_not_depend_on_how_the_table_is_stored_or_on_n_jobs():
    _, X = counts(200, 80)
    wrapper = JInvariantWrapper(
        LowRankDenoiser(shrinkage=None), partition=GaussianThinning(0.5), **PLAIN
    )
    searches = [SelfSupervisedSearchCV(wrapper, RANKS, n_jobs=n).fit(X) for n in (1, 2)]
    np.testing.assert_array_equal(*(s.cv_results_["mean_test_score"] for s in searches))
    thin = JInvariantWrapper(TruncatedSVD(2, algorithm="arpack"), partition=BinomialThinning(),
                             **PLAIN)  # fmt: skip
    dense = thin.fit(X).score(X)
    search = SelfSupervisedSearchCV(thin, {"denoiser__n_components": [2]}, n_splits=None).fit(X)
    assert search.best_score_ == pytest.approx(dense)
    assert clone(thin).fit(sparse.csr_array(X)).score(sparse.csr_array(X)) == pytest.approx(
        dense, rel=0.05
    )


@pytest.mark.parametrize(
    "denoiser",
    [
        NMF(3, max_iter=300, tol=1e-3, init="nndsvda"),
        make_pipeline(MaxAbsScaler(), TruncatedSVD(3)),
        DiffusionDenoiser(n_neighbors=20, n_components=4),
    ],
    ids=["NMF", "pipeline", "diffusion"],
)
def test_third_parties_on_sparse_counts(denoiser):
    rate, X = counts(rank=3)
    wrapper = JInvariantWrapper(denoiser, partition=BinomialThinning(), **PLAIN)
    X = sparse.csr_array(X)
    found = wrapper.fit(X).transform(X)
    assert np.mean((found - rate) ** 2) < 0.25 * np.mean((X.toarray() - rate) ** 2)
    shown = SelfSupervisedSearchCV(wrapper, {"fill": ["mean"]}, error_score="raise").fit(X)
    assert shown.best_score_ < 0


def test_poisson_deviance_of_predictions_that_are_positive():
    _, X = counts(200, 80, rank=3, mean=3.0)
    positive = NMF(
        3, solver="mu", beta_loss="kullback-leibler", init="nndsvda", max_iter=100, tol=0
    )
    wrapper = JInvariantWrapper(positive, partition=BinomialThinning(), **PLAIN)
    X[:, 5] = 0  # a gene that was never seen
    search = SelfSupervisedSearchCV(
        wrapper,
        {"denoiser__n_components": [1, 3, 6]},
        scoring="neg_mean_poisson_deviance",
        error_score="raise",
    ).fit(sparse.csr_array(X))
    assert search.best_params_ == {"denoiser__n_components": 3}


def test_functions_need_dense_tables():
    X = sparse.csr_array(np.eye(5))
    wrapper = JInvariantWrapper(median, partition=BinomialThinning(), **PLAIN)
    with pytest.raises(TypeError, match="median needs a dense table, and X is sparse"):
        wrapper.fit(X).transform(X)


def test_images_are_thinned_as_well():
    rng = np.random.default_rng(0)
    rate = 20 + 15 * np.sin(np.arange(96) / 9)[:, None] * np.cos(np.arange(96) / 7)
    X = rng.poisson(rate)
    grid = {"sigma": [0.5, 1, 1.5, 2, 3, 4, 6]}
    wrapper = JInvariantWrapper(gaussian, partition=BinomialThinning(), output="plain")
    search = SelfSupervisedSearchCV(wrapper, grid).fit(X)
    errors = [np.mean((gaussian(X.astype(float), sigma=s) - rate) ** 2) for s in grid["sigma"]]
    assert errors[search.best_index_] < 1.05 * min(errors)
    halving = SelfSupervisedHalvingSearchCV(wrapper, grid, error_score="raise").fit(X)
    assert errors[grid["sigma"].index(halving.best_params_["sigma"])] < 1.2 * min(errors)
