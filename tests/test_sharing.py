"""Candidates share what they have in common, while a search runs and no longer."""

import gc
import weakref

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import fft

from sk_n2s import JInvariantWrapper, SelfSupervisedSearchCV
from sk_n2s.denoisers import butterworth, wiener
from sk_n2s.denoisers._sharing import _shelf, shared, sharing


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_one_transform_serves_all_candidates(n_jobs, noisy, monkeypatch):
    times = []
    transform = fft.dctn

    def counted(X, *args, type=2, **kwargs):
        times.append(type)
        return transform(X, *args, type=type, **kwargs)

    monkeypatch.setattr("sk_n2s.denoisers.frequency.fft.dctn", counted)
    grid = [
        {"denoiser": [butterworth], "cutoff": [0.05, 0.1, 0.2]},
        {"denoiser": [wiener], "cutoff": [0.05, 0.1]},
    ]
    search = SelfSupervisedSearchCV(JInvariantWrapper(wiener), grid, n_jobs=n_jobs, refit=False)
    found = search.fit(noisy).cv_results_["mean_test_score"]
    assert times.count(2) == 1  # and one of another type for the weights of each candidate
    for params, score in zip(search.cv_results_["params"], found, strict=True):
        wrapper = JInvariantWrapper(**params).fit(noisy)
        assert wrapper.score(noisy) == pytest.approx(score, rel=1e-12)
    again = search.fit(noisy * 2).cv_results_["mean_test_score"]
    np.testing.assert_allclose(again, 4 * found)


def test_nothing_is_kept_and_nothing_stale_is_used():
    X = np.arange(6.0)
    calls = []

    def total(X, k):
        calls.append(k)
        return X.sum() + k

    assert shared(total, X, 1) == shared(total, X, 1) == 16 and len(calls) == 2
    with sharing():
        assert shared(total, X, 1) == shared(total, X.view(), 1) == 16 and len(calls) == 3
        assert shared(total, X, 2) == 17
        assert shared(total, X[:3], 2) == 5 and shared(total, X[::2], 2) == 8
        with pytest.raises(ZeroDivisionError), sharing():
            1 / 0  # noqa: B018
        assert shared(total, X[::2], 2) == 8 and len(calls) == 6
        kept = weakref.ref(X)
        del X
        gc.collect()
        assert kept() is not None  # no other array can take its place in memory
    gc.collect()
    assert kept() is None and not _shelf.results
    X = np.ones(4)
    with sharing():
        assert shared(total, X, 0) == 4
    X += 1
    with sharing():
        assert_array_equal(shared(total, X, 0), 8)
