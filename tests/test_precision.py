"""float32 data are worked on as float32 throughout: they take half the memory."""

import tracemalloc
import warnings

import numpy as np
import pytest

from sk_n2s import GridPartition, JInvariantWrapper, SelfSupervisedSearchCV
from sk_n2s.denoisers import DENOISERS

PARAMS = {
    "bilateral": {"sigma_color": 0.3, "radius": 1},
    "dct": {"sigma": 0.2, "patch_size": 4},
    "nl_means": {"h": 0.2, "patch_size": 3, "patch_distance": 2},
    "lichi": {"sigma": 0.2, "step": 6, "n_steps": 1},
    "nl_ridge": {"sigma": 0.2, "step": 8, "n_refinements": 0},
    "tv": {"weight": 0.2, "num_iter": 5},
    "tv_bregman": {"weight": 3.0, "num_iter": 5},
    "wavelet": {"sigma": 0.2},
}
#: What more than half is due to: scikit-image sums patches in double precision; the places
#: of similar patches are whole numbers, whatever the data are; SciPy's rank filter copies.
LIMITS = {"nl_means": 0.82, "lichi": 1.0, "nl_ridge": 1.0, "median": 0.65}
SLOW = ("lichi", "nl_ridge")


def peak(function):
    """Return the largest number of bytes that are held at a time during a call."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        function()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.filterwarnings("ignore:No candidate is better")
@pytest.mark.parametrize(
    ("name", "output"),
    # The masks are the same for those that are slow as for the others.
    [(n, o) for n in DENOISERS for o in ("invariant", "plain", "blend") if n not in SLOW]
    + [(n, "plain") for n in SLOW],
)
def test_single_precision_takes_half_the_memory(name, output, monkeypatch):
    # Which takes the same 2 MB, whatever the data are.
    monkeypatch.setattr("sk_n2s.search._evaluator.warn_of_noise", lambda groups, loss: None)
    side = 256 if name in LIMITS else 192
    double = np.random.default_rng(0).normal(size=(side, side))
    single = double.astype(np.float32)
    wrapper = JInvariantWrapper(DENOISERS[name], output=output, noise=0.2, **PARAMS.get(name, {}))
    if name == "dct" and output != "plain":  # slow
        wrapper.set_params(partition=GridPartition((1, 2)))
    limit = LIMITS.get(name, 0.6)
    wrapper.fit(double).transform(double[:64, :64])  # what is loaded or cached once
    found = [peak(lambda X=X: wrapper.fit(X).transform(X)) for X in (single, double)]
    assert found[0] < limit * found[1]
    search = SelfSupervisedSearchCV(wrapper, {"fill": ["mean"]}, n_splits=1, refit=False)
    search.fit(double[:64, :64])
    found = [peak(lambda X=X: search.fit(X)) for X in (single, double)]
    assert found[0] < limit * found[1]


def test_memory_does_not_grow_with_candidates_or_masks():
    """Beyond what the denoiser itself takes, no more than four arrays of the data's size."""
    X = np.random.default_rng(0).normal(size=(384, 384))

    def nothing(X, *, k=0):
        return X

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for params in ({}, {"n_splits": None}, {"scoring": "sure"}):
            for output in ("invariant", "plain", "blend"):
                wrapper = JInvariantWrapper(nothing, output=output, noise=1.0)
                search = SelfSupervisedSearchCV(wrapper, {"k": range(8)}, refit=False, **params)
                search.fit(X[:64, :64])
                assert peak(lambda search=search: search.fit(X)) < 4 * X.nbytes
