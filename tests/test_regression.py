"""The denoiser that learns: cross-fitted regression."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeRegressor

from sk_n2s import JInvariantWrapper, SelfSupervisedSearchCV, check_j_invariance
from sk_n2s.denoisers import RegressionDenoiser, gaussian
from sk_n2s.denoisers._windows import Windows
from sk_n2s.denoisers.regression import _fit, _tiles

BOOSTING = HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=5)
#: A tree of full depth remembers each row that it was fitted to, and shows the smallest leak.
TREE = DecisionTreeRegressor()
SMALL = {"scales": (1,), "radius": 1, "random_state": 0}


@pytest.mark.parametrize("regressor", [Ridge(), TREE], ids=["ridge", "tree"])
@pytest.mark.parametrize("missing", [0, 0.3])
@pytest.mark.parametrize("shape", [(60,), (16, 15), (7, 8, 6)], ids=str)
def test_nothing_leaks(regressor, missing, shape, rng):
    X = 100 + 10 * rng.normal(size=shape)
    X[rng.random(shape) < missing] = np.nan
    denoiser = RegressionDenoiser(regressor, **SMALL)
    check_j_invariance(denoiser, X, random_state=0, n_sets=2)
    assert np.isfinite(denoiser.fit_transform(X)).all()


def test_channels_and_items_leak_nothing(rng):
    X = rng.normal(size=(3, 14, 15, 2))
    X[rng.random(X.shape) < 0.1] = np.nan
    denoiser = RegressionDenoiser(TREE, channel_axis=-1, batch_axis=0, **SMALL)
    check_j_invariance(denoiser, X, random_state=0, n_sets=3)
    before = denoiser.fit_transform(X)
    X[1, 7, 7] = 99.0  # all channels together
    np.testing.assert_allclose(denoiser.fit_transform(X)[1, 7, 7], before[1, 7, 7], rtol=1e-12)


def test_boosting_leaks_nothing(rng):
    check_j_invariance(
        RegressionDenoiser(BOOSTING, **SMALL), rng.normal(size=(16, 15)), 0, n_sets=1
    )


def test_no_model_knows_its_tile(rng):
    """Without the margin it would: no change within a tile reaches beyond its windows."""
    X = rng.normal(size=(24, 24))
    denoiser = RegressionDenoiser(TREE, **SMALL)
    before = denoiser.fit_transform(X)
    X[:8, :8] += 5.0
    moved = denoiser.fit_transform(X) != before
    assert moved[:8, :8].any()
    assert not moved[10:12, 10:12].any()  # in the same tile, and its windows are as they were
    assert moved[12:, 12:].any()  # other tiles learn from this one


def test_tiles_cover_the_array_once():
    for shape, n_folds in (((30,), 4), ((10, 9), 4), ((5, 40), 6), ((2, 3), 7), ((6, 7, 5), 8)):
        count = np.zeros(shape, int)
        for tile in _tiles(shape, n_folds):
            count[tile] += 1
        assert (count == 1).all()
    assert len(_tiles((10, 9), 4)) == 4


@pytest.mark.parametrize("missing", [0, 0.1])
def test_it_follows_an_offset_and_a_scale(missing, rng):
    X = rng.normal(size=(20, 22))
    X[rng.random(X.shape) < missing] = np.nan
    denoiser = RegressionDenoiser(Ridge(), **SMALL).fit(X)
    expected = 1000 + 1e-3 * denoiser.transform(X)
    np.testing.assert_allclose(denoiser.transform(1000 + 1e-3 * X), expected, rtol=1e-10)
    denoiser.set_params(regressor=BOOSTING)
    np.testing.assert_array_equal(denoiser.transform(8 * X), 8 * denoiser.transform(X))


def test_better_than_the_best_gaussian(noisy, clean):
    best = min(np.mean((gaussian.exact(noisy, sigma=s) - clean) ** 2) for s in (0.7, 0.9, 1.1))
    found = RegressionDenoiser(
        HistGradientBoostingRegressor(max_iter=30), max_samples=8000, random_state=0
    ).fit(noisy)
    assert -found.score(noisy, clean) < 0.9 * best
    # the self-supervised loss knows: it is the error plus the variance of the noise
    variance = np.mean((noisy - clean) ** 2)
    assert -found.score(noisy) - variance == pytest.approx(-found.score(noisy, clean), abs=3e-4)


def test_colours_help_each_other(noisy, clean, rng):
    X = np.stack([noisy, 2 * clean + 0.1 * rng.normal(size=clean.shape)], axis=-1)[:64, :64]
    error = {
        axes: np.mean(
            (RegressionDenoiser(Ridge(), **axes_of, **SMALL).fit_transform(X)[..., 0]
             - clean[:64, :64]) ** 2
        )
        for axes, axes_of in (("channel", {"channel_axis": 2}), ("batch", {"batch_axis": 2}))
    }  # fmt: skip
    assert error["channel"] < error["batch"]


@pytest.mark.parametrize("regressor", [Ridge(), KNeighborsRegressor()], ids=str)
def test_any_regressor(regressor, rng):
    X = rng.normal(size=(20, 21)).astype(np.float32)
    X.setflags(write=False)
    result = RegressionDenoiser(regressor, **SMALL).fit_transform(X)
    assert result.dtype == np.float32
    assert result.std() < 0.7 * X.std()
    assert not hasattr(regressor, "n_features_in_")  # a clone was fitted


def test_a_seed_gives_the_same_result_whatever_n_jobs(rng):
    X = rng.normal(size=(32, 33))
    denoiser = RegressionDenoiser(TREE, max_samples=50, scales=(1,), random_state=1).fit(X)
    first = denoiser.transform(X)
    np.testing.assert_array_equal(clone(denoiser).set_params(n_jobs=2).fit_transform(X), first)
    assert (denoiser.set_params(random_state=2).transform(X) != first).any()


def test_it_stands_in_a_search_beside_the_wrapper(noisy):
    X = noisy[:48, :48]
    search = SelfSupervisedSearchCV(
        RegressionDenoiser(Ridge(), **SMALL), {"regressor__alpha": [1.0, 1e6], "radius": [1, 2]}
    ).fit(X)
    assert search.best_params_["regressor__alpha"] == 1.0
    assert search.best_score_ == pytest.approx(search.best_estimator_.score(X))
    assert search.n_splits_ == 16
    wrapped = SelfSupervisedSearchCV(JInvariantWrapper(gaussian), {"sigma": [0.5, 1.0]}).fit(X)
    assert search.best_score_ > wrapped.best_score_


def test_too_few_rows_leave_the_local_mean(rng):
    X = rng.normal(size=(6, 5))
    windows = Windows(X[..., None], (2, 2), 1, (1.0,))
    assert _fit(windows, np.arange(5), Ridge(), 0) is None
    expected = gaussian.exact(X, sigma=1.0, truncate=2.0)[2:4, 2]
    result = RegressionDenoiser(Ridge(), **SMALL).fit_transform(X)
    np.testing.assert_allclose(result[2:4, 2], expected)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"scales": (0, 1)}, "scales=\\(0, 1\\)"),
        ({"scales": ()}, "scales=\\(\\)"),
        ({"radius": 0}, "'radius' parameter"),
        ({"n_folds": 1}, "'n_folds' parameter"),
        ({"regressor": 3}, "'regressor' parameter"),
        ({"channel_axis": 5}, "channel_axis=5"),
    ],
    ids=str,
)
def test_errors_name_the_parameter(params, message):
    with pytest.raises(ValueError, match=message):
        RegressionDenoiser(**params).fit(np.zeros((8, 8)))


def test_a_lone_entry_has_nothing_to_be_predicted_from():
    with pytest.raises(ValueError, match="n_samples = 1"):
        RegressionDenoiser().fit(np.zeros((1, 1)))
    with pytest.raises(ValueError, match="no other entry"):
        RegressionDenoiser().fit_transform(np.array([np.nan, 1.0, np.nan]))
