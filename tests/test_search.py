import copy
import os
import pickle
import subprocess
import sys
import threading
import warnings
from functools import partial

import joblib
import numpy as np
import pandas as pd
import pytest
from helpers import Shared
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.metrics import make_scorer, mean_squared_error
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sk_n2s import (
    GridPartition,
    JInvariantWrapper,
    RandomPartition,
    SelfSupervisedHalvingSearchCV,
    SelfSupervisedRandomizedSearchCV,
    SelfSupervisedSearchCV,
    WholeArray,
)
from sk_n2s.denoisers import declare, gaussian, median, nl_means, tv, uniform
from sk_n2s.losses import absolute_error, poisson_deviance, squared_error
from sk_n2s.masking.fills import MeanFill
from sk_n2s.noise import NoiseModel


def test_it_chooses_what_the_truth_would_choose(noisy, clean):
    for wrapper, grid in [
        (JInvariantWrapper(median), {"radius": range(1, 7)}),
        (JInvariantWrapper(gaussian), {"sigma": [0.4, 0.7, 1.0, 1.5, 2.5]}),
        (JInvariantWrapper(tv, num_iter=20), {"weight": [0.02, 0.05, 0.1, 0.2, 0.4]}),
        (JInvariantWrapper(nl_means, patch_distance=3), {"h": [0.03, 0.08, 0.2]}),
    ]:
        search = SelfSupervisedSearchCV(wrapper, grid, n_splits=None).fit(noisy)
        truth = [
            -clone(wrapper).set_params(**p).fit(noisy).score(noisy, clean)
            for p in ParameterGrid(grid)
        ]
        assert search.best_index_ == np.argmin(truth)
        gap = -search.cv_results_["mean_test_score"] - truth
        assert_allclose(gap, np.mean((noisy - clean) ** 2), rtol=0.05)


def test_the_scores_are_those_of_the_wrapper(noisy):
    for wrapper, grid in [
        (JInvariantWrapper(median), {"radius": [1, 2]}),
        (JInvariantWrapper(tv, num_iter=20), {"weight": [0.1, 0.2]}),
    ]:
        search = SelfSupervisedSearchCV(wrapper, grid, n_splits=None).fit(noisy)
        expected = [
            clone(wrapper).set_params(**p).fit(noisy).score(noisy) for p in ParameterGrid(grid)
        ]
        assert_allclose(search.cv_results_["mean_test_score"], expected, rtol=1e-12)
        assert search.n_splits_ == 16
        assert search.score(noisy) == pytest.approx(search.best_score_)
        assert_array_equal(search.transform(noisy), search.best_estimator_.transform(noisy))
        assert_array_equal(search.predict(noisy), search.transform(noisy))


def test_cv_results_are_a_table(noisy):
    grid = [{"denoiser": [median], "radius": [1, 2]}, {"denoiser": [tv], "weight": [0.1]}]
    search = SelfSupervisedSearchCV(JInvariantWrapper(median), grid).fit(noisy)
    table = pd.DataFrame(search.cv_results_)
    assert search.n_splits_ == 4  # one candidate needs masks, and all are scored alike
    splits = table[[f"split{j}_test_score" for j in range(4)]]
    assert_allclose(table["mean_test_score"], splits.mean(axis=1), rtol=1e-12)
    assert_allclose(table["std_test_score"], splits.std(axis=1, ddof=0), rtol=1e-9)
    assert table["params"].tolist() == list(ParameterGrid(grid))
    radius = search.cv_results_["param_radius"]
    assert radius.dtype == int
    assert radius.mask.tolist() == [False, False, True]
    assert search.cv_results_["param_denoiser"].tolist() == [median, median, tv]
    assert sorted(table["rank_test_score"]) == [1, 2, 3]
    assert (table[["mean_fit_time", "mean_score_time"]] >= 0).all(axis=None)
    like = GridSearchCV(JInvariantWrapper(median), grid, cv=WholeArray()).fit(noisy)
    assert {k for k in like.cv_results_ if "split" not in k} <= set(table.columns)
    for name, column in like.cv_results_.items():
        if name.startswith("param_"):
            assert column.dtype == search.cv_results_[name].dtype
            assert column.mask.tolist() == search.cv_results_[name].mask.tolist()


def test_candidates_of_the_same_partition_see_the_same_hidden_entries(noisy):
    """The exact form of a linear filter and its masked form are scored on the same sets."""
    grid = {"denoiser": [median], "radius": [2], "method": ["exact", "mask"]}
    search = SelfSupervisedSearchCV(JInvariantWrapper(median), grid, n_splits=3).fit(noisy)
    splits = np.array([search.cv_results_[f"split{j}_test_score"] for j in range(3)])
    assert np.corrcoef(splits.T)[0, 1] > 0.9
    one = JInvariantWrapper(median, radius=2).fit_transform(noisy)
    first = -np.mean((one - noisy)[1::4, 1::4] ** 2)
    assert splits[0, 0] == pytest.approx(first)


def test_large_arrays_are_compared_in_blocks_with_the_same_result(rng):
    X = rng.normal(size=(703, 301))
    X[rng.random(X.shape) < 0.1] = np.nan
    wrapper = JInvariantWrapper(gaussian, partition=GridPartition((5, 3)), method="exact")
    search = SelfSupervisedSearchCV(wrapper, {"sigma": [1.0]}, n_splits=None).fit(X)
    losses = (search.transform(X) - X) ** 2
    for split, (_, scored) in enumerate(GridPartition((5, 3)).split(X)):
        found = search.cv_results_[f"split{split}_test_score"][0]
        assert found == pytest.approx(-np.nanmean(losses[scored]), rel=1e-12)


def test_the_mean_counts_entries_and_not_sets(rng):
    X = rng.normal(size=(9, 9))  # the 16 grids hold 9, 6 or 4 entries
    X[:, 0] = np.nan
    wrapper = JInvariantWrapper(gaussian)
    search = SelfSupervisedSearchCV(wrapper, {"sigma": [1.0]}).fit(X)
    assert search.best_score_ == pytest.approx(wrapper.fit(X).score(X))


def test_fewer_splits_are_in_each_row_and_column_once():
    seen = Shared()

    def spy(X):
        seen.append(X)
        return X

    SelfSupervisedSearchCV(JInvariantWrapper(spy), {"fill": ["zero"]}, refit=False).fit(
        np.ones((8, 8))
    )
    hidden = np.array([np.argwhere(X == 0)[0] for X in seen])
    assert hidden.tolist() == [[0, 0], [1, 1], [2, 3], [3, 2]]


@pytest.mark.filterwarnings("ignore:No candidate is better")  # finer stripes are as strong as noise
@pytest.mark.parametrize("period", [6, 8, 12])
@pytest.mark.parametrize("sign", [1, -1])
def test_stripes_do_not_deceive_a_choice_by_few_sets(period, sign):
    i, j = np.mgrid[:96, :96]
    rng = np.random.default_rng(0)
    wrapper = JInvariantWrapper(gaussian, method="mask")
    grid = {"sigma": [0.4, 0.6, 0.8, 1.0, 1.4, 2.0, 3.0]}
    for phase in range(period):
        clean = 0.5 + 0.5 * np.sin(2 * np.pi * (i + sign * j + phase) / period)
        X = clean + rng.normal(scale=0.2, size=clean.shape)
        few, whole = (
            SelfSupervisedSearchCV(wrapper, grid, n_splits=n).fit(X).score(X, clean)
            for n in ("auto", None)
        )
        assert 10 * np.log10(few / whole) < 0.1


def test_sets_are_drawn_once_for_all_candidates(noisy):
    """Also without a seed, for masks and exact forms, for copies of a partition, and in a race."""
    np.random.seed(0)  # which a seed of None goes on from
    for seed in (None, np.random.RandomState(0)):
        sets = {"partition": [RandomPartition(8, seed), RandomPartition(8, seed)]}
        exact = {"denoiser": [gaussian, partial(gaussian)], "method": ["exact"], **sets}
        grid = [exact, {"denoiser": [gaussian], "method": ["mask"], **sets}]
        for search in (
            SelfSupervisedSearchCV(JInvariantWrapper(median), grid, n_splits=None, refit=False),
            SelfSupervisedHalvingSearchCV(JInvariantWrapper(median), grid, refit=False),
        ):
            table = search.fit(noisy).cv_results_
            splits = np.array([table[f"split{j}_test_score"] for j in range(search.n_splits_)])
            splits = splits[~np.isnan(splits).any(axis=1)]
            assert_array_equal(splits[:, :4], splits[:, [0]] * np.ones(4))
            assert_array_equal(splits[:, 4], splits[:, 5])
            assert len(set(splits[:, 0])) == len(splits)
            assert len(splits) < 8 or np.corrcoef(splits[:, [0, 4]].T)[0, 1] > 0.9


def test_the_fill_and_the_partition_can_be_searched(noisy):
    grid = {"partition": [GridPartition(2), GridPartition(4)], "fill": ["mean", "random"]}
    search = SelfSupervisedSearchCV(JInvariantWrapper(tv, weight=0.1), grid, n_splits=None)
    search.fit(noisy)
    assert search.best_params_ == {"partition": GridPartition(4), "fill": "mean"}
    assert search.n_splits_ == 16
    coarse = [p["partition"] == GridPartition(2) for p in search.cv_results_["params"]]
    assert np.isnan(search.cv_results_["split15_test_score"][coarse]).all()
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize("partition", [None, RandomPartition(4, np.random.RandomState(0))])
def test_views_are_made_once_for_all_candidates(partition, noisy):
    calls = Shared()

    class Spy(MeanFill):
        def values(self, *args):
            calls.append(1)
            return super().values(*args)

    wrapper = JInvariantWrapper(tv, fill=Spy(np.ones((3, 3))), partition=partition)
    search = SelfSupervisedSearchCV(wrapper, {"weight": [0.05, 0.1, 0.2]}, refit=False)
    search.fit(noisy)
    assert len(calls) == search.n_splits_ == 4


# Pipelines -----------------------------------------------------------------------------


def test_inside_a_pipeline(noisy):
    pipeline = Pipeline(
        [("scale", FunctionTransformer(lambda X: 255 * X)), ("denoise", JInvariantWrapper(median))]
    )
    grid = {"denoise__radius": range(1, 5)}
    search = SelfSupervisedSearchCV(pipeline, grid).fit(noisy)
    alone = SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": range(1, 5)}).fit(noisy)
    assert_allclose(
        search.cv_results_["mean_test_score"], 255**2 * alone.cv_results_["mean_test_score"]
    )
    assert search.best_params_ == {"denoise__radius": alone.best_params_["radius"]}
    assert_allclose(search.transform(noisy), 255 * alone.transform(noisy))


def test_the_steps_before_are_fitted_once_for_those_that_agree_on_them(noisy):
    fits = Shared()

    def scale(X, by=1.0):
        fits.append(by)
        return by * X

    pipeline = Pipeline(
        [("scale", FunctionTransformer(scale)), ("denoise", JInvariantWrapper(median))]
    )
    grid = {"scale__kw_args": [{"by": 1.0}, {"by": 2.0}], "denoise__radius": [1, 2]}
    search = SelfSupervisedSearchCV(pipeline, grid, refit=False).fit(noisy)
    assert fits == [1.0, 2.0]
    mean = search.cv_results_["mean_test_score"].reshape(2, 2)
    assert_allclose(4 * mean[:, 0], mean[:, 1])


def test_a_pipeline_within_a_pipeline(noisy):
    inner = Pipeline(
        [("scale", FunctionTransformer(lambda X: 10 * X)), ("denoise", JInvariantWrapper(median))]
    )
    outer = Pipeline([("scale", FunctionTransformer(lambda X: 10 * X)), ("inner", inner)])
    search = SelfSupervisedSearchCV(outer, {"inner__denoise__radius": [1, 2]}).fit(noisy)
    alone = SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": [1, 2]}).fit(noisy)
    assert search.best_score_ == pytest.approx(1e4 * alone.best_score_)
    assert search.score(noisy) == pytest.approx(search.best_score_)


def test_around_a_pipeline_and_within_one(rng):
    X = rng.normal(size=(80, 3)) @ rng.normal(size=(3, 40)) + 0.3 * rng.normal(size=(80, 40))
    whole = Pipeline([("scale", StandardScaler()), ("pca", PCA())])
    grid = {"denoiser__pca__n_components": [1, 2, 3, 4, 6, 20]}
    search = SelfSupervisedSearchCV(JInvariantWrapper(whole), grid)
    outer = Pipeline([("identity", FunctionTransformer()), ("search", search)]).fit(X)
    assert outer.named_steps["search"].best_params_ == {"denoiser__pca__n_components": 3}
    assert outer.transform(X).shape == X.shape


def test_a_pipeline_gets_the_data_as_they_are_and_may_not_harm_them(clean):
    image = (255 * clean).astype(np.uint8)

    def scale(X):
        assert X.dtype == np.uint8
        X //= 2
        return X / 255

    pipeline = Pipeline([("scale", FunctionTransformer(scale)), ("denoise", JInvariantWrapper(tv))])
    search = SelfSupervisedSearchCV(pipeline, {"denoise__weight": [0.02, 9.0]}, refit=False)
    before = image.copy()
    assert search.fit(image).best_params_ == {"denoise__weight": 0.02}
    assert_array_equal(image, before)


def test_a_table_reaches_a_pipeline_with_its_names(rng):
    table = pd.DataFrame(rng.normal(size=(20, 4)), columns=list("abcd"))
    pick = ColumnTransformer([("pick", "passthrough", ["a", "c"])])
    pipeline = Pipeline([("pick", pick), ("denoise", JInvariantWrapper(median))])
    search = SelfSupervisedSearchCV(pipeline, {"denoise__radius": [1, 2]}).fit(table)
    assert search.transform(table).shape == (20, 2)
    assert search.score(table) == pytest.approx(search.best_score_)
    alone = SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": [1]}).fit(table)
    assert alone.feature_names_in_.tolist() == list("abcd")


def test_what_is_masked_stays_unseen_behind_a_pipeline(noisy, rng):
    mask = rng.random(noisy.shape) < 0.1
    X = np.ma.MaskedArray(np.where(mask, 1e6, noisy), mask)
    pipeline = Pipeline([("scale", StandardScaler()), ("denoise", JInvariantWrapper(tv))])
    search = SelfSupervisedSearchCV(pipeline, {"denoise__weight": [0.1, 0.5]}, n_splits=None).fit(X)
    assert np.abs(search.transform(X)).max() < 10
    assert search.score(X) == pytest.approx(search.best_score_)


def test_settings_of_a_head_that_compare_alike_are_told_apart(noisy):
    def scale(X, w=None):
        return X * np.sum(w) * (3 if w is True else 1)

    pipeline = Pipeline([("s", FunctionTransformer(scale)), ("d", JInvariantWrapper(median))])
    values = [np.ones(2), np.ones(3), 1, True]
    grid = {"s__kw_args": [{"w": w} for w in values]}
    search = SelfSupervisedSearchCV(pipeline, grid, refit=False).fit(noisy)
    scores = search.cv_results_["mean_test_score"]
    assert_allclose(scores / scores[2], [4, 9, 1, 9])


# Losses --------------------------------------------------------------------------------


def test_losses(rng):
    target, prediction = rng.poisson(5.0, size=50).astype(float), rng.uniform(1, 9, size=50)
    from sklearn.metrics import mean_absolute_error, mean_poisson_deviance, mean_squared_error

    for ours, theirs in [
        (squared_error, mean_squared_error),
        (absolute_error, mean_absolute_error),
        (poisson_deviance, mean_poisson_deviance),
    ]:
        assert np.mean(ours(target, prediction)) == pytest.approx(theirs(target, prediction))


@pytest.mark.parametrize(
    ("scoring", "loss"),
    [
        ("neg_mean_squared_error", squared_error),
        ("neg_mean_absolute_error", absolute_error),
        (lambda t, p: np.abs(t - p) ** 3, lambda t, p: np.abs(t - p) ** 3),
    ],
    ids=["squared", "absolute", "callable"],
)
def test_scoring(scoring, loss, noisy):
    search = SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": [1, 2]}, scoring=scoring)
    search.fit(noisy)
    expected = [-np.mean(loss(noisy, median.exact(noisy, radius=r))) for r in (1, 2)]
    assert_allclose(search.cv_results_["mean_test_score"], expected)


def test_the_deviance_of_counts_fails_candidates_that_predict_none(rng):
    X = rng.poisson(2.0, size=(32, 32))
    grid = [{"denoiser": [gaussian], "sigma": [1.0, 2.0]}, {"denoiser": [lambda X: X - 99]}]
    search = SelfSupervisedSearchCV(
        JInvariantWrapper(gaussian), grid, scoring="neg_mean_poisson_deviance"
    )
    with pytest.warns(FitFailedWarning, match="loss of split 0 is inf"):
        search.fit(X)
    assert search.best_params_["sigma"] == 2.0


# Failures ------------------------------------------------------------------------------


def _fails(X, *, how="raise"):
    if how == "raise":
        raise RuntimeError("out of luck")
    return {"nan": X * np.nan, "inf": X + np.inf, "shape": X[1:], "fine": gaussian(X)}[how]


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("error_score", [np.nan, 0.0])
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("raise", "RuntimeError: out of luck"),
        ("nan", "returned NaN or an infinity for 16384 of 16384"),
        ("inf", "returned NaN or an infinity"),
        ("shape", "must keep the shape"),
    ],
)
def test_a_candidate_that_fails_is_ranked_last_and_named(how, reason, error_score, n_jobs, noisy):
    search = SelfSupervisedSearchCV(
        JInvariantWrapper(_fails), {"how": [how, "fine"]}, error_score=error_score, n_jobs=n_jobs
    )
    with pytest.warns(FitFailedWarning, match=reason) as caught:
        search.fit(noisy)
    assert len(caught) == 1
    assert f"{{'how': '{how}'}}" in str(caught[0].message)
    assert search.best_params_ == {"how": "fine"}
    assert search.cv_results_["rank_test_score"].tolist() == [2, 1]
    assert_array_equal(search.cv_results_["mean_test_score"][0], error_score)
    assert_array_equal(search.cv_results_["split3_test_score"][0], error_score)


def test_a_partition_that_does_not_fit_fails_its_candidate(noisy):
    grid = {"partition": [GridPartition(1000), GridPartition(4)]}
    search = SelfSupervisedSearchCV(JInvariantWrapper(median), grid)
    with pytest.warns(FitFailedWarning, match="stride=1000"):
        search.fit(noisy)
    assert search.best_params_ == {"partition": GridPartition(4)}


@pytest.mark.parametrize("fill", [MeanFill(np.ones((3, 3, 3))), lambda X, hidden: X])
def test_views_that_cannot_be_made_fail_their_candidates(fill, noisy):
    search = SelfSupervisedSearchCV(JInvariantWrapper(tv), {"fill": [fill, "mean"]})
    with pytest.warns(FitFailedWarning, match="1 of 2 candidates"):
        search.fit(noisy)
    assert search.best_params_ == {"fill": "mean"}
    with pytest.raises(ValueError, match="kernel of shape|returned NaN"):
        search.set_params(error_score="raise").fit(noisy)


def test_errors_are_raised_where_asked(noisy):
    search = SelfSupervisedSearchCV(
        JInvariantWrapper(_fails), {"how": ["raise", "fine"]}, error_score="raise"
    )
    with pytest.raises(RuntimeError, match="out of luck"):
        search.fit(noisy)
    grid = {"partition": [GridPartition(1000)]}
    search = SelfSupervisedSearchCV(JInvariantWrapper(median), grid, error_score="raise")
    with pytest.raises(ValueError, match="stride=1000"):
        search.fit(noisy)


def test_if_all_fail_the_first_failure_is_told_in_a_line(noisy):
    search = SelfSupervisedSearchCV(JInvariantWrapper(_fails), {"how": ["raise", "nan"]})
    with pytest.raises(ValueError) as caught:
        search.fit(noisy)
    assert str(caught.value) == (
        'All 2 candidates failed (error_score="raise" shows the traceback); the first, '
        "{'how': 'raise'}, with RuntimeError: out of luck"
    )
    with pytest.raises(NotFittedError):
        search.transform(noisy)
    assert not [name for name in vars(search) if name.endswith("_")]


@pytest.mark.parametrize(
    ("search", "error", "message"),
    [
        (SelfSupervisedSearchCV(JInvariantWrapper(median), {}), None, None),
        (SelfSupervisedSearchCV(JInvariantWrapper(median), []), ValueError, r"grid=\[\] is empty"),
        (
            SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": []}),
            ValueError,
            "non-empty",
        ),
        (
            SelfSupervisedSearchCV(JInvariantWrapper(median), {"sigma": [1]}),
            ValueError,
            "'sigma'.*it has mode, radius",
        ),
        (SelfSupervisedSearchCV(median, {"radius": [1]}), TypeError, "^estimator=median cannot be"),
        (SelfSupervisedSearchCV(PCA(), {"k": [1]}), TypeError, r"^estimator=PCA\(\) cannot be"),
        (
            SelfSupervisedSearchCV(make_pipeline(PCA()), {}),
            TypeError,
            r"^estimator=PCA\(\) cannot be scored without clean data: search over JInv",
        ),
        (SelfSupervisedSearchCV(3, {}), TypeError, "^estimator=3 cannot be scored"),
        (
            SelfSupervisedSearchCV(SelfSupervisedSearchCV(JInvariantWrapper(median), {}), {}),
            TypeError,
            "^estimator=SelfSupervisedSearchCV.* chooses by itself .* over JInvariantWrapper",
        ),
        (
            SelfSupervisedSearchCV(JInvariantWrapper(median), {}, n_splits=0),
            ValueError,
            "'n_splits' parameter",
        ),
        (
            SelfSupervisedSearchCV(JInvariantWrapper(median), {}, scoring="accuracy"),
            ValueError,
            "scoring='accuracy' must be",
        ),
        (
            SelfSupervisedSearchCV(JInvariantWrapper(median), {}, refit=lambda results: 7),
            ValueError,
            "returned 7",
        ),
    ],
)
def test_a_bad_parameter_is_named(search, error, message, noisy):
    if error is None:
        assert search.fit(noisy).best_params_ == {}
        return
    with pytest.raises(error, match=message):
        search.fit(noisy)


def test_scored_entries_must_exist():
    X = np.full((8, 8), np.nan)
    X[1, :] = np.arange(8)
    search = SelfSupervisedSearchCV(JInvariantWrapper(tv), {"weight": [0.1]}, n_splits=1)
    with pytest.raises(ValueError, match="n_splits=1: none of the entries"):
        search.fit(X)


def test_a_loss_that_is_not_one_for_each_entry_says_so(noisy):
    search = SelfSupervisedSearchCV(
        JInvariantWrapper(median), {"radius": [1]}, scoring=lambda t, p: np.mean((t - p) ** 2)
    )
    with pytest.raises(ValueError, match="must return one loss for each entry"):
        search.fit(noisy)


# The contract --------------------------------------------------------------------------


def test_ties_are_broken_by_order(noisy):
    grid = {"radius": [2, 3], "mode": ["nearest"], "noise": [1.0, 2.0]}
    search = SelfSupervisedSearchCV(JInvariantWrapper(median), grid).fit(noisy)
    ranks = search.cv_results_["rank_test_score"]
    assert sorted(ranks) == [1, 1, 3, 3]
    assert search.best_index_ == list(ranks).index(1)


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_any_backend_gives_the_same_result_bit_for_bit(backend, noisy):
    sigma = 1.5
    grid = [
        {"denoiser": [lambda X, k: k * gaussian(X, sigma=sigma)], "k": [0.9, 1.0]},
        {"denoiser": [partial(tv, weight=0.1), median]},
    ]
    wrapper = JInvariantWrapper(median)
    one = SelfSupervisedSearchCV(wrapper, grid).fit(noisy)
    with joblib.parallel_backend(backend):
        many = SelfSupervisedSearchCV(wrapper, grid, n_jobs=2).fit(noisy)
    for name, column in one.cv_results_.items():
        if "score" in name and "time" not in name:
            assert_array_equal(column, many.cv_results_[name])
    assert many.best_index_ == one.best_index_


def test_jobs_run_beside_each_other(noisy):
    """Two tasks that wait for each other end only if both run at once."""
    barrier = threading.Barrier(2, timeout=30)

    def meet(X, *, k):
        barrier.wait()
        return gaussian(X)

    wrapper = JInvariantWrapper(meet)
    with joblib.parallel_backend("threading"):
        search = SelfSupervisedSearchCV(wrapper, {"k": [1, 2]}, n_jobs=2, refit=False).fit(noisy)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_search_without_refit_forgets_the_last_estimator(noisy):
    search = SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": [1]}).fit(noisy)
    search.set_params(refit=False).fit(noisy)
    assert not hasattr(search, "best_estimator_")
    assert not hasattr(search, "n_features_in_")


def test_a_scorer_is_no_loss(noisy):
    scorer = make_scorer(mean_squared_error)
    search = SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": [1]}, scoring=scorer)
    with pytest.raises(ValueError, match="is a scorer, which needs a target"):
        search.fit(noisy)


def test_refit(noisy):
    grid = {"radius": [1, 2, 3]}
    search = SelfSupervisedSearchCV(JInvariantWrapper(median), grid, refit=False).fit(noisy)
    assert not hasattr(search, "transform")
    assert not hasattr(search, "best_estimator_")
    assert search.best_params_ == {"radius": 2}
    with pytest.raises(AttributeError):
        search.predict(noisy)
    worst = SelfSupervisedSearchCV(
        JInvariantWrapper(median), grid, refit=lambda r: int(np.argmax(r["rank_test_score"]))
    ).fit(noisy)
    assert worst.best_params_ == {"radius": 1}
    assert worst.best_score_ == min(worst.cv_results_["mean_test_score"])


@pytest.mark.parametrize("output", ["invariant", "plain"])
def test_the_error_is_that_of_the_data_as_they_were(output, noisy):
    wrapper = JInvariantWrapper(gaussian, output=output, noise=0.1)
    pipeline = make_pipeline(FunctionTransformer(lambda X: 2 * np.asarray(X)), wrapper)
    inside = {"jinvariantwrapper__sigma": [0.5, 1.0]}
    frozen = noisy.copy()
    frozen.setflags(write=False)
    for estimator, grid in [(wrapper, {"sigma": [0.5, 1.0]}), (pipeline, inside)]:
        expected = SelfSupervisedSearchCV(estimator, grid).fit(frozen).estimated_mse_
        for X in (noisy.copy(), pd.DataFrame(noisy.copy()), noisy.copy()[:, ::-1][:, ::-1]):
            search = SelfSupervisedSearchCV(estimator, grid).fit(X)
            if isinstance(X, pd.DataFrame):
                X.iloc[:] = 0
            else:
                X[:] = 0
            assert search.estimated_mse_ == pytest.approx(expected, rel=1e-12)


def test_data_are_copied_only_where_they_might_change(noisy):
    X = noisy.copy()
    search = SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": [1]}, refit=False)
    assert not np.may_share_memory(search.fit(X)._noisy, X)
    shown = X[1:]
    shown.setflags(write=False)
    assert not np.may_share_memory(search.fit(shown)._noisy, X)  # X can still be written into
    X.setflags(write=False)
    assert search.fit(X)._noisy is X


@pytest.mark.parametrize(
    "kind",
    [
        SelfSupervisedSearchCV,
        partial(SelfSupervisedRandomizedSearchCV, n_iter=2, random_state=0),
        SelfSupervisedHalvingSearchCV,
    ],
    ids=["grid", "randomized", "halving"],
)
@pytest.mark.parametrize("where", ["alone", "pipeline"])
def test_tables_come_out_as_tables(kind, where, rng):
    table = pd.DataFrame(rng.normal(size=(60, 5)), columns=list("abcde"), index=range(3, 63))
    alone, grid = JInvariantWrapper(gaussian), {"sigma": [0.5, 1.0]}
    piped = make_pipeline(StandardScaler(), JInvariantWrapper(gaussian))
    estimator = alone if where == "alone" else piped
    if where == "pipeline":
        grid = {"jinvariantwrapper__sigma": grid["sigma"]}
    expected = kind(clone(estimator), grid).fit(table).transform(table)
    assert isinstance(expected, np.ndarray)
    search = kind(estimator, grid).set_output(transform="pandas").fit(table)
    for found in (search.transform(table), search.predict(table), search.fit_transform(table)):
        pd.testing.assert_frame_equal(
            found, pd.DataFrame(expected, columns=table.columns, index=table.index)
        )
    assert search.get_feature_names_out().tolist() == list("abcde")
    assert isinstance(search.set_output(transform="default").transform(table), np.ndarray)
    search.set_output(transform="pandas").fit(table.to_numpy())
    if where == "alone":
        assert isinstance(search.transform(table.to_numpy()), np.ndarray)  # no names


def test_cloning_and_pickling(noisy):
    search = SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": [1, 2]}).fit(noisy)
    assert not hasattr(clone(search), "best_params_")
    data = pickle.dumps(search)
    assert len(data) < noisy.nbytes / 4
    again = pickle.loads(data)
    assert again.best_params_ == search.best_params_
    assert_array_equal(again.transform(noisy), search.transform(noisy))


def test_integers_and_channels(clean):
    rng = np.random.default_rng(1)
    colour = np.clip(np.stack([clean] * 3, -1) * 255 + 25 * rng.normal(size=(128, 128, 3)), 0, 255)
    X = colour.astype(np.uint8)
    wrapper = JInvariantWrapper(uniform, channel_axis=-1)
    search = SelfSupervisedSearchCV(wrapper, {"radius": [1, 2, 4]}).fit(X)
    assert search.best_params_ == {"radius": 1}
    assert 100 < search.transform(X).max() < 255
    assert X.dtype == np.uint8


def test_the_choice_does_not_depend_on_the_output(noisy):
    for output in ("invariant", "plain", "blend"):
        wrapper = JInvariantWrapper(tv, output=output)
        search = SelfSupervisedSearchCV(wrapper, {"weight": [0.02, 0.1, 0.5]}).fit(noisy)
        assert search.best_params_ == {"weight": 0.1}


def test_verbose_says_what_it_does(noisy, capsys):
    SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": [1, 2]}, verbose=1).fit(noisy)
    assert "Evaluating 2 candidates" in capsys.readouterr().out


@pytest.mark.parametrize("unit", [1e-25, 1.0, 1e15])
def test_single_precision_has_no_favourite_unit(noisy, unit):
    grid = {"sigma": [0.5, 1.0, 2.0]}
    search = SelfSupervisedSearchCV(JInvariantWrapper(gaussian), grid, refit=False)
    scores = search.fit(noisy).cv_results_["mean_test_score"]
    found = search.fit((noisy * unit).astype(np.float32)).cv_results_["mean_test_score"]
    np.testing.assert_allclose(found / unit**2, scores, rtol=1e-4)


# Randomized --------------------------------------------------------------------------------


def test_a_randomized_search_draws_from_distributions(noisy):
    space = [
        {"denoiser": [tv], "weight": loguniform(0.01, 1.0)},
        {"denoiser": [median], "radius": [1, 2, 3]},
    ]
    search = SelfSupervisedRandomizedSearchCV(
        JInvariantWrapper(median), space, n_iter=16, random_state=0, n_splits=2
    ).fit(noisy)
    drawn = search.cv_results_["params"]
    assert len(drawn) == 16
    weights = [p["weight"] for p in drawn if p["denoiser"] is tv]
    assert len(set(weights)) == len(weights) > 4 and 0.01 <= min(weights) <= max(weights) <= 1
    grid = [{name: [value] for name, value in params.items()} for params in drawn]
    whole = SelfSupervisedSearchCV(JInvariantWrapper(median), grid, n_splits=2).fit(noisy)
    assert_array_equal(whole.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"])
    assert search.best_params_ == whole.best_params_
    assert_array_equal(search.transform(noisy), whole.transform(noisy))
    again = clone(search).fit(noisy)
    assert [p.get("weight") for p in again.cv_results_["params"]] == [
        p.get("weight") for p in drawn
    ]


def test_a_randomized_search_says_what_is_wrong(noisy):
    for params, reason in [
        ({"n_iter": 0}, "'n_iter' parameter"),
        ({"param_distributions": 3}, "'param_distributions' parameter"),
        ({"random_state": "now"}, "'random_state' parameter"),
    ]:
        search = SelfSupervisedRandomizedSearchCV(JInvariantWrapper(median), {"radius": [1]})
        with pytest.raises(ValueError, match=reason):
            search.set_params(**params).fit(noisy)


@pytest.mark.parametrize("n_jobs", [2, -1])
def test_threads_give_the_same_result_bit_for_bit(n_jobs, noisy):
    """The package's denoisers run in threads, one core each."""
    grid = [{"denoiser": [tv, nl_means, gaussian, partial(uniform, radius=2)]}]
    one = SelfSupervisedSearchCV(JInvariantWrapper(median), grid).fit(noisy)
    places = Shared()

    @declare(releases_gil=True)
    def here(X):
        places.append(threading.get_ident())
        return X

    many = SelfSupervisedSearchCV(JInvariantWrapper(median), grid, n_jobs=n_jobs).fit(noisy)
    assert_array_equal(one.cv_results_["mean_test_score"], many.cv_results_["mean_test_score"])
    SelfSupervisedSearchCV(JInvariantWrapper(here), {"fill": ["mean"]}, n_jobs=2).fit(noisy)
    assert len(places) == 4  # in this process, as the function declares


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_each_task_has_one_core(n_jobs, noisy):
    def count(X, *, k=0):
        from threadpoolctl import threadpool_info

        most = max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return np.full_like(X, most - 1)

    search = SelfSupervisedSearchCV(JInvariantWrapper(count), {"k": [0, 1]}, n_jobs=n_jobs)
    with pytest.warns(UserWarning, match="No candidate is better"):
        search.fit(noisy)
    assert search.best_score_ == pytest.approx(-np.mean(noisy**2), rel=0.05)  # of zeros


def test_processes_share_the_data(rng):
    """They map the same file into memory, rather than each getting a copy."""
    X = rng.normal(size=(512, 300))

    def exact(X, *, k=0):
        assert isinstance(X, np.memmap) and not X.flags.writeable
        return np.zeros_like(X)

    @declare(exact=exact)
    def denoiser(X, *, k=0):
        return X

    grid = {"k": [0, 1, 2]}
    search = SelfSupervisedSearchCV(JInvariantWrapper(denoiser), grid, n_jobs=2, refit=False)
    assert search.fit(X).best_score_ == pytest.approx(-np.mean(X**2))


def test_warnings_point_to_the_user(noisy):
    for search in (
        SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": [-1, 20]}),
        SelfSupervisedHalvingSearchCV(JInvariantWrapper(median), {"radius": [-1, 20]}),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            search.fit(1000 * noisy)
        assert len(caught) == 2 and {w.filename for w in caught} == {__file__}


OVERLAP = """
import threading
import numpy as np
from threadpoolctl import threadpool_info
from sk_n2s import JInvariantWrapper, SelfSupervisedSearchCV

def limits():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

def waits(X):
    started.release()
    assert goes_on[int(threading.current_thread().name)].wait(30)
    return X

def fit():
    wrapper = JInvariantWrapper(waits)
    SelfSupervisedSearchCV(wrapper, {"fill": ["mean"]}, n_splits=1, refit=False).fit(X)

X = np.random.default_rng(0).normal(size=(20, 20))
started, goes_on = threading.Semaphore(0), [threading.Event(), threading.Event()]
before = limits()
fits = [threading.Thread(target=fit, name=str(k)) for k in range(2)]
for thread in fits:
    thread.start()
    assert started.acquire(timeout=30)
print(set(before), set(limits()))
for thread, event in zip(fits, goes_on):
    event.set()
    thread.join()
print(limits() == before)
"""


def test_limits_of_threads_are_taken_back():
    """Also if searches overlap, and the first to come is the first to go."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", OVERLAP],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"},
    )
    first, second = done.stdout.splitlines()
    assert first in ("{2} {1}", "{1} {1}")  # the latter on a machine of one core
    assert second == "True"


def test_copies_in_memory_keep_the_data(noisy):
    search = SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": [1, 2]}).fit(noisy)
    for copied in (copy.copy(search), copy.deepcopy(search)):
        assert copied.estimated_mse_ == search.estimated_mse_
        assert_array_equal(copied.transform(noisy), search.transform(noisy))
    again = pickle.loads(pickle.dumps(copy.deepcopy(search)))
    assert "_noisy" not in vars(again) and again.estimated_mse_ == search.estimated_mse_


@pytest.mark.parametrize(
    ("scoring", "output", "refused"),
    [
        (None, "invariant", False),
        (None, "blend", True),
        (None, "plain", True),
        ("sure", "invariant", False),
        ("sure", "blend", True),
        ("sure", "plain", True),
        ("gcv", "plain", False),  # whose scores no level of the noise is part of
    ],
)
@pytest.mark.parametrize("where", ["alone", "pipeline", "halving"])
def test_who_assumes_less_noise_does_not_win(scoring, output, refused, where, noisy):
    wrapper = JInvariantWrapper(gaussian, output=output)
    kind, prefix, noises = SelfSupervisedSearchCV, "", [0.1, 0.01, None]
    if where == "halving":
        kind = SelfSupervisedHalvingSearchCV
    elif where == "pipeline":
        wrapper, prefix = make_pipeline(FunctionTransformer(), wrapper), "jinvariantwrapper__"
    grid = {f"{prefix}sigma": [0.3, 0.8], f"{prefix}noise": noises}
    search = kind(wrapper, grid, scoring=scoring)
    if refused:
        with pytest.raises(ValueError, match="assume different noise .*: set noise in the estima"):
            search.fit(noisy)
    else:
        search.fit(noisy)
    same = {**grid, f"{prefix}noise": [0.1, NoiseModel(0.1)]}
    assert search.set_params(param_grid=same).fit(noisy).best_params_[f"{prefix}sigma"] == 0.8


def test_noise_that_is_estimated_differently_is_different_noise(noisy):
    stack = np.stack([noisy, noisy[::-1, ::-1]])
    wrapper = JInvariantWrapper(gaussian, output="plain", sigma=0.8)
    search = SelfSupervisedSearchCV(wrapper, {"batch_axis": [None, 0]})
    with pytest.raises(ValueError, match="assume different noise"):
        search.fit(stack)
    search.set_params(estimator__noise=0.1)
    assert search.fit(stack).best_params_ == {"batch_axis": 0}


def test_names_are_known_behind_a_pipeline_that_was_fitted_before(rng):
    table = pd.DataFrame(rng.normal(size=(60, 5)), columns=list("abcde"), index=range(3, 63))
    few = ColumnTransformer([("few", StandardScaler(), ["b", "e"])])
    for head, names in ((StandardScaler(), list("abcde")), (few, ["few__b", "few__e"])):
        piped = make_pipeline(head, make_pipeline(JInvariantWrapper(gaussian)))
        grid = {"pipeline__jinvariantwrapper__sigma": [0.5, 1.0]}
        search = SelfSupervisedSearchCV(piped, grid).fit(table)
        before = search.transform(table)
        found = search.set_output(transform="pandas").transform(table)
        pd.testing.assert_frame_equal(found, pd.DataFrame(before, columns=names, index=table.index))
        assert search.get_feature_names_out().tolist() == names
    nameless = make_pipeline(FunctionTransformer(np.asarray), JInvariantWrapper(gaussian))
    search = SelfSupervisedSearchCV(nameless, {"jinvariantwrapper__sigma": [0.5]}).fit(table)
    assert isinstance(search.set_output(transform="pandas").transform(table), np.ndarray)
