"""scikit-learn's own checks, and its own searches over the wrapper."""

import numpy as np
import pytest
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, RandomizedSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from sk_n2s import (
    AutoDenoiser,
    GeneralizedAnscombe,
    JInvariantWrapper,
    OutlierMasker,
    SelfSupervisedHalvingSearchCV,
    SelfSupervisedRandomizedSearchCV,
    SelfSupervisedSearchCV,
    SelfSupervisedStacker,
    WholeArray,
)
from sk_n2s.denoisers import (
    ConditionalGaussianDenoiser,
    DiffusionDenoiser,
    LowRankDenoiser,
    RegressionDenoiser,
    gaussian,
    median,
    tv,
)

try:
    from sk_n2s.nn import Masker, NetworkDenoiser, SingleConvolution
except ImportError:  # the extra is not installed
    NETWORKS = []
else:
    NETWORKS = [NetworkDenoiser(SingleConvolution, masker=Masker(2), max_epochs=1, random_state=0)]

# What learns from samples does all that scikit-learn asks for.
TABLES = [LowRankDenoiser(), ConditionalGaussianDenoiser(), DiffusionDenoiser(n_neighbors=4)]

_ROWS = "rows are neighbours in an array, and not independent samples"
_WIDTH = "columns are no features: what was calibrated on one image denoises one of any width"
_CLEAN = "y is the clean array, of the shape of X, and not one label for each row"
EXPECTED = {
    "check_methods_sample_order_invariance": _ROWS,
    "check_methods_subset_invariance": _ROWS,
    "check_n_features_in_after_fitting": _WIDTH,
    "check_transformer_general": _WIDTH,
    "check_fit_score_takes_y": _CLEAN,
    "check_pipeline_consistency": _CLEAN,
    "check_fit1d": "a signal is data of one axis",
}
ESTIMATORS = [
    JInvariantWrapper(median),
    JInvariantWrapper(gaussian, method="mask", output="blend"),
    JInvariantWrapper(tv, output="plain"),
    SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": [1, 2]}),
    SelfSupervisedHalvingSearchCV(JInvariantWrapper(median), {"radius": [1, 2]}),
    SelfSupervisedRandomizedSearchCV(JInvariantWrapper(median), {"radius": [1, 2]}, n_iter=2),
    SelfSupervisedStacker([("median", JInvariantWrapper(median))]),
    AutoDenoiser("fast"),
    RegressionDenoiser(Ridge(), radius=1, scales=(1,)),
    GeneralizedAnscombe(),
    GeneralizedAnscombe(gain=None),
    OutlierMasker(),
    JInvariantWrapper(LowRankDenoiser(), kind="table"),
    AutoDenoiser("fast", kind="table"),
    *TABLES,
    *NETWORKS,
]


def _expected(estimator):
    """Return the checks that an estimator is to fail, and why."""
    if estimator in TABLES:
        return {}
    passed = set()
    if not hasattr(estimator, "score"):
        passed |= {name for name, why in EXPECTED.items() if why == _CLEAN}
    if isinstance(estimator, GeneralizedAnscombe | OutlierMasker):  # which work entry by entry
        passed |= {name for name, why in EXPECTED.items() if why == _ROWS}
    if estimator in NETWORKS:  # which take images
        passed.add("check_fit1d")
    return {name: why for name, why in EXPECTED.items() if name not in passed}


@pytest.mark.filterwarnings("ignore:No candidate is better than the noisy data")
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=_expected)
def test_scikit_learn(estimator, check):
    check(estimator)


GRID = {"radius": range(1, 7)}


def test_ground_truth_is_a_grid_search_with_the_clean_data(noisy, clean):
    search = GridSearchCV(JInvariantWrapper(median), GRID, cv=WholeArray()).fit(noisy, clean)
    expected = [-np.mean((median.exact(noisy, radius=r) - clean) ** 2) for r in GRID["radius"]]
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], expected)
    ours = SelfSupervisedSearchCV(JInvariantWrapper(median), GRID).fit(noisy)
    assert ours.best_params_ == search.best_params_
    gap = search.cv_results_["mean_test_score"] - ours.cv_results_["mean_test_score"]
    np.testing.assert_allclose(gap, np.mean((noisy - clean) ** 2), rtol=0.05)


@pytest.mark.parametrize("cv", [WholeArray(), 3], ids=["whole", "stripes"])
@pytest.mark.parametrize("denoiser", ["median", "tv"])
def test_grid_search_without_a_target_uses_the_self_supervised_loss(denoiser, cv, noisy):
    wrapper = JInvariantWrapper(median if denoiser == "median" else tv)
    grid = GRID if denoiser == "median" else {"weight": [0.02, 0.1, 0.5]}
    search = GridSearchCV(wrapper, grid, cv=cv).fit(noisy)
    ours = SelfSupervisedSearchCV(wrapper, grid, n_splits=None).fit(noisy)
    assert search.best_params_ == ours.best_params_
    if not isinstance(cv, int):
        np.testing.assert_allclose(
            search.cv_results_["mean_test_score"], ours.cv_results_["mean_test_score"]
        )


def test_randomized_search(noisy):
    search = RandomizedSearchCV(
        JInvariantWrapper(median), GRID, n_iter=6, cv=WholeArray(), random_state=0
    ).fit(noisy)
    ours = SelfSupervisedSearchCV(JInvariantWrapper(median), GRID).fit(noisy)
    assert search.best_params_ == ours.best_params_
    assert search.best_score_ == pytest.approx(ours.best_score_)


def test_halving_search_races_on_stripes_of_neighbouring_rows(noisy):
    ours = SelfSupervisedSearchCV(JInvariantWrapper(median), GRID).fit(noisy)
    for seed in range(3):
        search = HalvingGridSearchCV(
            JInvariantWrapper(median), GRID, cv=WholeArray(), random_state=seed
        ).fit(noisy)
        assert search.best_params_ == ours.best_params_
        assert search.n_resources_[0] < len(noisy)
        # shuffled rows would have no neighbours to predict from, and a far larger loss
        np.testing.assert_allclose(search.best_score_, ours.best_score_, rtol=0.1)


def test_any_draw_of_rows_is_a_run_of_rows(rng):
    ((rows, _),) = WholeArray().split(np.zeros((50, 4)))
    for n in (1, 7, 50):
        drawn = rows[rng.permutation(50)[:n]]
        np.testing.assert_array_equal(np.diff(drawn), 1)
        assert len(drawn) == n
        assert 0 <= drawn[0] <= drawn[-1] < 50
    np.testing.assert_array_equal(rows, np.arange(50))


@pytest.mark.filterwarnings("ignore")  # of Optuna's, who would rather have several splits
def test_optuna_searches_over_the_wrapper(noisy, clean):
    integration = pytest.importorskip("optuna_integration")
    from optuna.distributions import FloatDistribution

    space = {"weight": FloatDistribution(0.01, 1.0, log=True)}
    search = integration.OptunaSearchCV(
        JInvariantWrapper(tv), space, cv=WholeArray(), n_trials=12, random_state=0
    ).fit(noisy)
    weights = np.geomspace(0.01, 1.0, 9)
    scores = [JInvariantWrapper(tv, weight=w).fit(noisy).score(noisy) for w in weights]
    assert search.best_score_ > max(scores) * (1 + 0.005)  # scores are negative
    assert search.transform(noisy).shape == noisy.shape
