import pickle

import numpy as np
import pytest
from helpers import Shared
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import FitFailedWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sk_n2s import (
    GridPartition,
    JInvariantWrapper,
    PairPartition,
    SelfSupervisedHalvingSearchCV,
    SelfSupervisedSearchCV,
)
from sk_n2s.denoisers import butterworth, gaussian, median, nl_means, tv

HUGE = 10**9
TV = JInvariantWrapper(tv, num_iter=15)


@pytest.fixture(scope="module")
def large():
    """A piecewise smooth image of 320 x 256 with noise of 0.2."""
    y, x = np.mgrid[:320, :256] / 64
    clean = np.sin(3 * x) + (np.sin(2 * y) > 0)
    return clean + np.random.default_rng(0).normal(scale=0.2, size=clean.shape)


def race(denoiser, grid, X, **params):
    wrapper = denoiser if hasattr(denoiser, "fit") else JInvariantWrapper(denoiser)
    return SelfSupervisedHalvingSearchCV(wrapper, grid, **params).fit(X)


@pytest.mark.parametrize(
    ("denoiser", "grid", "params"),
    [
        (tv, {"weight": [0.02, 0.1, 0.2, 0.3, 0.5, 1.0]}, {"num_iter": 15}),
        (gaussian, {"sigma": [0.4, 0.7, 1.0, 1.4, 2.0, 3.0]}, {}),
        (median, {"radius": [1, 3, 6]}, {}),
        (nl_means, {"h": [0.02, 0.1, 0.2, 0.6]}, {"patch_size": 3, "patch_distance": 2}),
        (butterworth, {"cutoff": [0.02, 0.05, 0.1, 0.2, 0.4]}, {}),
    ],
)
@pytest.mark.parametrize("output", ["invariant", "plain"])
def test_it_chooses_what_the_whole_would_choose(denoiser, grid, params, output, large):
    wrapper = JInvariantWrapper(denoiser, output=output, noise=0.2, **params)
    found = SelfSupervisedHalvingSearchCV(wrapper, grid).fit(large)
    assert found.best_params_ == SelfSupervisedSearchCV(wrapper, grid).fit(large).best_params_
    assert found.transform(large).shape == large.shape


def test_little_is_spent_on_what_is_clearly_worse(large):
    search = race(TV, {"weight": [0.01, 0.02, 0.2, 0.21, 2.0]}, large)
    assert search.n_candidates_[0] == 5 and search.n_candidates_[1] == 2
    assert search.n_candidates_ == sorted(search.n_candidates_, reverse=True)
    assert search.n_resources_ == sorted(set(search.n_resources_))
    assert search.min_resources_ == search.n_resources_[0] < search.max_resources_
    assert search.max_resources_ <= large.size
    results = search.cv_results_
    assert len(results["params"]) == sum(search.n_candidates_)
    assert_array_equal(np.bincount(results["iter"]), search.n_candidates_)
    assert_array_equal(np.unique(results["n_resources"]), search.n_resources_)
    assert results["iter"][search.best_index_] == search.n_iterations_ - 1
    assert results["params"][search.best_index_] == search.best_params_
    assert search.best_score_ == results["mean_test_score"][search.best_index_]
    assert search.n_splits_ == 4


def test_the_price_does_not_grow_with_the_data(large):
    sizes = Shared()

    def counting(X, *, weight):
        sizes.append(X.size)
        return gaussian(X, sigma=weight)

    shown = []
    for repeats in (4, 8):
        sizes.clear()
        X = np.tile(large, (repeats, repeats))
        race(counting, {"weight": [0.5, 1.0]}, X, margin=8, max_resources=20_000, refit=False)
        shown.append(sum(sizes))
    assert shown[1] < 1.2 * shown[0] < 2 * X.size


@pytest.mark.parametrize("margin", ["auto", None])
@pytest.mark.parametrize("method", ["exact", "mask"])
def test_all_resources_are_all_of_the_search(method, margin, large):
    X = large[:64, :80]
    # The pieces are aligned with the grid, so that the hidden sets are those of the whole.
    wrapper = JInvariantWrapper(median, method=method, partition=GridPartition(2))
    grid = {"radius": [1, 2]}
    search = race(wrapper, grid, X, margin=margin, min_resources=HUGE)
    whole = SelfSupervisedSearchCV(wrapper, grid, n_splits=None).fit(X)
    assert search.n_resources_ == [X.size]
    if method == "exact" or margin is None:
        expected = whole.cv_results_["mean_test_score"]
        assert_allclose(search.cv_results_["mean_test_score"], expected)


def test_it_does_not_depend_on_the_number_of_jobs(large):
    grid = {"weight": [0.05, 0.2, 0.3]}
    one, two = (race(TV, grid, large, n_jobs=n) for n in (1, 2))
    assert one.best_params_ == two.best_params_
    for name, column in one.cv_results_.items():
        if "time" not in name and name != "params":
            assert_array_equal(column, two.cv_results_[name])


def test_equal_candidates_stay_together(large):
    search = race(median, [{"radius": [3]}, {"radius": [3]}, {"radius": [9]}], large)
    assert search.n_candidates_[1:] == [2] * (search.n_iterations_ - 1)
    assert search.n_remaining_candidates_ == 2
    grid = {"weight": np.linspace(0.19, 0.2, 6)}
    assert race(TV, grid, large).n_candidates_[1] > 2
    assert race(TV, grid, large, aggressive_elimination=True).n_candidates_[1] == 2


def test_exact_and_masked_candidates_score_the_same_entries(large):
    grid = [
        {"denoiser": [gaussian], "sigma": [0.5, 1.5]},
        {"denoiser": [tv], "weight": [0.01, 0.2], "num_iter": [15]},
        {"denoiser": [butterworth], "cutoff": [0.1]},
    ]
    local, mixed = race(median, grid[:2], large), race(median, grid, large)
    assert local.margin_ == 17 and mixed.margin_ is None
    assert local.best_params_ == {"denoiser": tv, "weight": 0.2, "num_iter": 15}
    assert mixed.best_params_ == SelfSupervisedSearchCV(
        JInvariantWrapper(median), grid
    ).fit(large).best_params_  # fmt: skip


def test_sets_that_follow_each_other_do_not_lie_in_one_row():
    """Where the whole is shown, few sets are hidden in turn: stripes must not deceive them."""
    i = np.arange(96)[:, np.newaxis] + np.zeros(96)
    wrapper = JInvariantWrapper(gaussian, method="mask", halo=300)
    grid = {"sigma": [0.4, 0.8, 1.6, 3.0]}
    for stripes in (i, i.T):
        for phase in range(4):
            clean = np.sin(2 * np.pi * (stripes + phase) / 8)
            X = clean + np.random.default_rng(0).normal(scale=0.3, size=clean.shape)
            race_of_few = race(wrapper, grid, X, margin=None, max_resources=X.size // 4)
            assert race_of_few.max_resources_ == X.size // 4
            whole = SelfSupervisedSearchCV(wrapper, grid, n_splits=None).fit(X)
            assert race_of_few.best_params_ == whole.best_params_


def test_estimators_see_the_whole(large):
    wrapper = JInvariantWrapper(PCA(n_components=2), partition=GridPartition(2))
    grid = {"denoiser__n_components": [1, 2, 40]}
    search = race(wrapper, grid, large[:80])
    whole = SelfSupervisedSearchCV(wrapper, grid, n_splits=None).fit(large[:80])
    assert search.margin_ is None and search.best_params_ == whole.best_params_


def test_axes_that_are_not_cut(large):
    films = np.stack([large, large[::-1], -large])
    batch = JInvariantWrapper(tv, batch_axis=0, num_iter=15)
    assert race(batch, {"weight": [0.01, 0.2]}, films).best_params_ == {"weight": 0.2}
    colours = JInvariantWrapper(tv, channel_axis=-1, num_iter=15)
    X = np.moveaxis(films, 0, -1)
    assert race(colours, {"weight": [0.01, 0.2]}, X).best_params_ == {"weight": 0.2}
    clean = gaussian(large, sigma=3.0)
    noise = np.random.default_rng(1).normal(scale=0.2, size=(2, *large.shape))
    pair = JInvariantWrapper(tv, partition=PairPartition(), batch_axis=0, num_iter=15)
    search = race(pair, {"weight": [0.01, 0.2]}, clean + noise)
    assert search.margin_ is None and search.best_params_ == {"weight": 0.2}


def test_missing_entries(large):
    X = large.copy()
    X[:100] = np.nan
    X[np.random.default_rng(0).random(X.shape) < 0.1] = np.nan
    for wrapper in (JInvariantWrapper(median), JInvariantWrapper(median, method="mask")):
        search = race(wrapper, {"radius": [1, 3, 8]}, X)
        assert search.best_params_ == {"radius": 3}
        assert search.max_resources_ <= X.size


def test_a_pipeline_ends_in_the_wrapper(large):
    pipeline = make_pipeline(FunctionTransformer(), JInvariantWrapper(median))
    search = race(pipeline, {"jinvariantwrapper__radius": [1, 3, 8]}, large)
    assert search.best_params_ == {"jinvariantwrapper__radius": 3}
    halves = make_pipeline(StandardScaler(), JInvariantWrapper(median))
    grid = {"standardscaler": [None, FunctionTransformer(lambda X: X[::2])]}
    with pytest.raises(ValueError, match="different shapes"):
        race(halves, grid, large)


def test_failures_leave_the_race(large):
    with pytest.warns(FitFailedWarning, match="radius=-1"):
        search = race(median, {"radius": [-1, 1, 3]}, large)
    assert search.best_params_ == {"radius": 3}
    assert -1 not in [p["radius"] for p in search.cv_results_["params"][3:]]
    with pytest.raises(ValueError, match="All 2 candidates failed"):
        race(median, {"radius": [-1, -2]}, large)
    with pytest.raises(ValueError, match="radius=-1"):
        race(median, {"radius": [-1, 1]}, large, error_score="raise")
    with pytest.raises(ValueError, match=r"param_grid=\[\] is empty"):
        race(median, [], large)
    for name, value in {"factor": 1, "margin": -1, "min_resources": "all"}.items():
        with pytest.raises(ValueError, match=f"'{name}' parameter"):
            race(median, {"radius": [1]}, large, **{name: value})


def test_a_failed_fit_leaves_nothing(large):
    search = SelfSupervisedHalvingSearchCV(JInvariantWrapper(median), {"radius": [-1]})
    with pytest.raises(ValueError, match="failed"):
        search.fit(large)
    assert not [name for name in vars(search) if name.endswith("_") or name.startswith("_")]


def test_it_is_an_estimator(large):
    search = race(median, {"radius": [1, 3]}, large)
    again = pickle.loads(pickle.dumps(search))
    assert_array_equal(again.transform(large), search.transform(large))
    assert clone(search).get_params()["factor"] == 3
    assert clone(search).set_params(estimator__noise=0.2).fit(large).estimated_psnr_ > 20


def test_pieces_do_not_mislead_about_what_does_not_say_how_far_it_looks(large):
    """A filter that is weaker on small arrays: on pieces, its best strength is another."""

    def filtered(X, *, strength):
        return gaussian(X, sigma=strength * (X.shape[0] / len(large)) ** 0.5)

    grid = {"strength": [0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0]}
    whole = SelfSupervisedSearchCV(JInvariantWrapper(filtered), grid).fit(large)
    final = race(filtered, grid, large)
    assert final.best_params_ == whole.best_params_
    assert final.n_candidates_[-1] == 4 and final.n_resources_[-1] == large.size / 16
    pieces = race(filtered, grid, large, max_resources=10**6)  # and no more than pieces
    assert pieces.best_params_["strength"] > whole.best_params_["strength"]
    said = JInvariantWrapper(filtered, halo=24)
    trusted = SelfSupervisedHalvingSearchCV(said, grid).fit(large)
    assert trusted.best_params_ == pieces.best_params_


def test_rare_pieces_that_count_much_are_among_the_first():
    """A few bright stars in a flat sky decide, which most pieces do not show."""
    y, x = np.mgrid[-15:16, -15:16]
    star = 200 * np.exp(-(y**2 + x**2) / 8)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        sky = rng.normal(size=(768, 768))
        for i, j in rng.integers(20, 740, size=(4, 2)):
            sky[i - 15 : i + 16, j - 15 : j + 16] += star
        assert race(gaussian, {"sigma": [0.7, 2, 8]}, sky).best_params_ == {"sigma": 0.7}
