import pickle
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_n2s import JInvariantWrapper, SelfSupervisedSearchCV
from sk_n2s.denoisers import gaussian, median
from sk_n2s.plotting import SelfSupervisedCurveDisplay, true_errors

RADII = range(1, 5)


@pytest.fixture
def search(noisy):
    return SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": RADII}).fit(noisy)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_the_curve_of_the_loss_with_the_chosen_one_marked(search):
    display = SelfSupervisedCurveDisplay.from_search(search)
    assert set(display.lines_) == {"loss"}
    x, y = display.lines_["loss"].get_data()
    np.testing.assert_array_equal(x, list(RADII))
    np.testing.assert_array_equal(y, -search.cv_results_["mean_test_score"])
    chosen = display.ax_.lines[-1]
    assert chosen.get_label() == "chosen"
    assert chosen.get_xdata()[0] == search.best_params_["radius"]
    assert chosen.get_ydata()[0] == -search.best_score_
    assert display.ax_.get_xlabel() == "radius"


def test_the_true_errors_of_invariant_and_plain(search, noisy, clean):
    display = SelfSupervisedCurveDisplay.from_search(search, clean)
    expected = {
        "invariant": [np.mean((median.exact(noisy, radius=r) - clean) ** 2) for r in RADII],
        "plain": [np.mean((median(noisy, radius=r) - clean) ** 2) for r in RADII],
        "plain_loss": [np.mean((median(noisy, radius=r) - noisy) ** 2) for r in RADII],
        "loss": [np.mean((median.exact(noisy, radius=r) - noisy) ** 2) for r in RADII],
    }
    assert set(display.lines_) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(display.lines_[name].get_ydata(), values)


def test_it_draws_where_it_is_told_and_again(search, noisy, clean):
    _, ax = plt.subplots()
    display = SelfSupervisedCurveDisplay.from_search(search, ax=ax)
    assert display.ax_ is ax
    assert display.plot().ax_ is not ax
    again = pickle.loads(pickle.dumps(search))
    with pytest.raises(ValueError, match="noisy=None"):
        SelfSupervisedCurveDisplay.from_search(again, clean)
    found = SelfSupervisedCurveDisplay.from_search(again, clean, noisy=noisy)
    np.testing.assert_allclose(found.errors["plain"], true_errors(search, clean)["plain"])
    with pytest.raises(ValueError, match="clean has shape"):
        SelfSupervisedCurveDisplay.from_search(search, clean[1:])


def test_candidates_of_several_parameters_are_named(noisy, clean):
    grid = [{"denoiser": [median], "radius": [1, 2]}, {"denoiser": [gaussian], "sigma": [1.0]}]
    search = SelfSupervisedSearchCV(JInvariantWrapper(median), grid).fit(noisy)
    display = SelfSupervisedCurveDisplay.from_search(search, clean)
    assert display.labels == [
        "denoiser=median, radius=1",
        "denoiser=median, radius=2",
        "denoiser=gaussian, sigma=1",
    ]
    assert np.isfinite(display.errors["plain"]).all()


def test_a_pipeline_has_a_curve_but_no_truth(noisy, clean):
    pipeline = make_pipeline(StandardScaler(), JInvariantWrapper(median))
    search = SelfSupervisedSearchCV(pipeline, {"jinvariantwrapper__radius": [1, 2]}).fit(noisy)
    assert set(SelfSupervisedCurveDisplay.from_search(search).lines_) == {"loss"}
    with pytest.raises(ValueError, match="clean cannot be compared"):
        SelfSupervisedCurveDisplay.from_search(search, clean)


def test_a_candidate_that_failed_leaves_a_gap(noisy, clean):
    search = SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": [0, 1, 2]})
    with pytest.warns(match="radius=0 must be"):
        search.fit(noisy)
    errors = SelfSupervisedCurveDisplay.from_search(search, clean).errors
    assert np.isnan(errors["plain"]).tolist() == [True, False, False]


def test_without_matplotlib_it_names_the_extra(search, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"sk_n2s\[plot\]"):
        SelfSupervisedCurveDisplay.from_search(search)
