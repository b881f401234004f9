"""scikit-learn's callbacks hear of every evaluation, wherever it runs."""

import pickle

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from sk_n2s import (
    AutoDenoiser,
    JInvariantWrapper,
    SelfSupervisedHalvingSearchCV,
    SelfSupervisedRandomizedSearchCV,
    SelfSupervisedSearchCV,
    SelfSupervisedStacker,
    WholeArray,
)
from sk_n2s.denoisers import median

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn has no callbacks yet")
X = np.random.default_rng(0).normal(size=(40, 40))


class Diary:
    """Writes down what it is told, into a file, so that other processes can as well."""

    def __init__(self, path):
        self.path = path

    def _write(self, event, context):
        with open(self.path, "a") as file:
            file.write(f"{event} {context.task_name} {context.max_subtasks}\n")

    def setup(self, estimator, context):
        self._write("setup", context)

    def on_fit_task_begin(self, estimator, context):
        self._write("begin", context)

    def on_fit_task_end(self, estimator, context):
        self._write("end", context)

    def teardown(self, estimator, context):
        self._write("teardown", context)

    def lines(self):
        return self.path.read_text().splitlines()


@pytest.mark.parametrize("denoiser", [median, lambda X, *, radius=1: X], ids=["threads", "loky"])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_every_evaluation_is_told(denoiser, n_jobs, tmp_path):
    diary = Diary(tmp_path / "diary")
    wrapper = JInvariantWrapper(denoiser, method="mask")
    search = SelfSupervisedSearchCV(wrapper, {"radius": [1, 2, 3]}, n_jobs=n_jobs)
    search.set_callbacks(diary).fit(X)
    lines = diary.lines()
    assert lines[:3] == ["setup fit None", "begin fit None", "begin candidates 12"]
    assert lines.count("begin evaluation 0") == lines.count("end evaluation 0") == 12
    assert lines.count("end refit-with-best-params 0") == 1
    assert lines[-2:] == ["end fit None", "teardown fit None"]
    assert search.best_params_ == search.set_callbacks().fit(X).best_params_
    assert diary.lines() == lines  # they were taken off


@pytest.mark.parametrize(
    ("search", "rounds"),
    [(SelfSupervisedHalvingSearchCV, 3), (SelfSupervisedRandomizedSearchCV, 1)],
)
def test_the_other_searches(search, rounds, tmp_path):
    diary = Diary(tmp_path / "diary")
    grid = {"radius": [1, 2, 3, 4]}
    params = {"n_iter": 3, "random_state": 0}
    if search is SelfSupervisedHalvingSearchCV:
        params = {"min_resources": 400, "margin": 4}
    fitted = search(JInvariantWrapper(median), grid, **params).set_callbacks(diary).fit(X)
    lines = diary.lines()
    told = [int(line.split()[2]) for line in lines if line.startswith("begin candidates")]
    assert len(told) == rounds == getattr(fitted, "n_iterations_", 1)
    assert lines.count("end evaluation 0") == sum(told)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_every_member_of_a_stacker_is_told(n_jobs, tmp_path):
    diary = Diary(tmp_path / "diary")
    members = [(str(r), JInvariantWrapper(median, radius=r)) for r in (1, 2, 3)]
    SelfSupervisedStacker(members, n_jobs=n_jobs).set_callbacks(diary).fit(X)
    lines = diary.lines()
    assert lines[:3] == ["setup fit None", "begin fit None", "begin members 3"]
    assert lines.count("begin member 0") == lines.count("end member 0") == 3
    assert lines[-2:] == ["end fit None", "teardown fit None"]
    SelfSupervisedStacker(members).set_callbacks(diary).fit_transform(X)
    assert diary.lines().count("end member 0") == 6


def test_every_denoiser_that_races_is_told(tmp_path):
    diary = Diary(tmp_path / "diary")
    auto = AutoDenoiser("fast", noise=1.0).set_callbacks(diary).fit(X)
    lines = diary.lines()
    assert lines.count("end member 0") == len(auto.scores_)
    assert lines[-2:] == ["end fit None", "teardown fit None"]


def test_failures_take_nothing_with_them(tmp_path):
    diary = Diary(tmp_path / "diary")
    search = SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": [-1]})
    with pytest.raises(ValueError, match="failed"):
        search.set_callbacks(diary).fit(X)
    assert diary.lines()[-1] == "teardown fit None"
    left = [name for name in vars(search) if name.startswith("_") or name.endswith("_")]
    assert left == ["_skl_callbacks"]


def test_the_wrapper_passes_them_on(tmp_path, recwarn):
    diary = Diary(tmp_path / "diary")
    diary.max_propagation_depth = None  # which makes scikit-learn propagate it
    grid = {"radius": [1, 2]}
    search = GridSearchCV(JInvariantWrapper(median), grid, cv=WholeArray(), error_score="raise")
    search.set_callbacks(diary).fit(X)
    assert diary.lines().count("end fit 0") == 3  # two candidates, and the refit
    assert not [w for w in recwarn if "callbacks" in str(w.message)]
    pickle.loads(pickle.dumps(search))


def test_the_progress_bar(capsys, monkeypatch):
    pytest.importorskip("rich")
    monkeypatch.setenv("COLUMNS", "120")
    search = SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": [1, 2]})
    search.set_callbacks(callback.ProgressBar()).fit(X)
    printed = capsys.readouterr().out
    assert "SelfSupervisedSearchCV - candidates" in printed and "100%" in printed
