import pickle
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_n2s import JInvariantWrapper, SelfSupervisedSearchCV
from sk_n2s.denoisers import gaussian, median, tv
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
    assert set(display.lines_) == {"radius"} and set(display.lines_["radius"]) == {"loss"}
    x, y = display.lines_["radius"]["loss"].get_data()
    np.testing.assert_array_equal(x, list(RADII))
    np.testing.assert_array_equal(y, -search.cv_results_["mean_test_score"])
    chosen = display.axes_[0].lines[-1]
    assert chosen.get_label() == "chosen"
    assert chosen.get_xdata()[0] == search.best_params_["radius"]
    assert chosen.get_ydata()[0] == -search.best_score_
    assert display.axes_[0].get_xlabel() == "radius"


def test_the_true_errors_of_invariant_and_plain(search, noisy, clean):
    display = SelfSupervisedCurveDisplay.from_search(search, clean)
    expected = {
        "invariant": [np.mean((median.exact(noisy, radius=r) - clean) ** 2) for r in RADII],
        "plain": [np.mean((median(noisy, radius=r) - clean) ** 2) for r in RADII],
        "plain_loss": [np.mean((median(noisy, radius=r) - noisy) ** 2) for r in RADII],
        "loss": [np.mean((median.exact(noisy, radius=r) - noisy) ** 2) for r in RADII],
    }
    assert set(display.lines_["radius"]) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(display.lines_["radius"][name].get_ydata(), values)


def test_it_draws_where_it_is_told_and_again(search, noisy, clean):
    _, ax = plt.subplots()
    display = SelfSupervisedCurveDisplay.from_search(search, ax=ax)
    assert display.axes_.tolist() == [ax]
    assert display.plot().axes_[0] is not ax
    again = pickle.loads(pickle.dumps(search))
    with pytest.raises(ValueError, match="noisy=None"):
        SelfSupervisedCurveDisplay.from_search(again, clean)
    found = SelfSupervisedCurveDisplay.from_search(again, clean, noisy=noisy)
    np.testing.assert_allclose(found.errors["plain"], true_errors(search, clean)["plain"])
    with pytest.raises(ValueError, match="clean has shape"):
        SelfSupervisedCurveDisplay.from_search(search, clean[1:])


def test_a_grid_has_a_curve_over_each_parameter(noisy, clean):
    grid = {"weight": [0.05, 0.1, 0.2], "num_iter": [2, 5, 200]}
    search = SelfSupervisedSearchCV(JInvariantWrapper(tv), grid).fit(noisy)
    display = SelfSupervisedCurveDisplay.from_search(search, clean)
    assert [ax.get_xlabel() for ax in display.axes_] == ["num_iter", "weight"]
    losses = np.reshape(display.loss, (3, 3))
    params = search.cv_results_["params"]
    assert [p["num_iter"] for p in params] == [2] * 3 + [5] * 3 + [200] * 3
    np.testing.assert_array_equal(
        display.lines_["num_iter"]["loss"].get_data(), [[2, 5, 200], losses.min(axis=1)]
    )
    np.testing.assert_array_equal(display.lines_["weight"]["loss"].get_ydata(), losses.min(axis=0))
    best = losses.argmin(axis=0) * 3 + np.arange(3)  # the true error is that of the same
    np.testing.assert_array_equal(
        display.lines_["weight"]["plain"].get_ydata(), display.errors["plain"][best]
    )
    assert [ax.get_xscale() for ax in display.axes_] == ["log", "linear"]
    for ax, name in zip(display.axes_, ("num_iter", "weight")):
        assert ax.lines[-1].get_xdata()[0] == search.best_params_[name]
    one = SelfSupervisedCurveDisplay.from_search(search, names=["num_iter"])
    assert len(one.axes_) == 1
    with pytest.raises(ValueError, match="no candidate has 'sigma', but .'num_iter', 'weight'"):
        one.plot(names=["sigma"])


def test_a_choice_between_denoisers_is_named(noisy, clean):
    grid = [{"denoiser": [median], "radius": [1, 2]}, {"denoiser": [gaussian], "sigma": [1.0]}]
    search = SelfSupervisedSearchCV(JInvariantWrapper(median), grid).fit(noisy)
    display = SelfSupervisedCurveDisplay.from_search(search, clean)
    assert list(display.lines_) == ["denoiser", "radius"]
    names = [label.get_text() for label in display.axes_[0].get_xticklabels()]
    assert names == ["median", "gaussian"]
    loss = display.lines_["denoiser"]["loss"].get_ydata()
    np.testing.assert_array_equal(loss, [display.loss[:2].min(), display.loss[2]])
    assert np.isfinite(display.errors["plain"]).all()
    single = SelfSupervisedSearchCV(JInvariantWrapper(gaussian), {"sigma": [1.0]}).fit(noisy)
    assert list(SelfSupervisedCurveDisplay.from_search(single).lines_) == ["sigma"]


def test_a_pipeline_has_a_curve_but_no_truth(noisy, clean):
    pipeline = make_pipeline(StandardScaler(), JInvariantWrapper(median))
    search = SelfSupervisedSearchCV(pipeline, {"jinvariantwrapper__radius": [1, 2]}).fit(noisy)
    assert list(SelfSupervisedCurveDisplay.from_search(search).lines_) == [
        "jinvariantwrapper__radius"
    ]
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
