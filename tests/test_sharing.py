"""Candidates of a search share what they have in common; nobody else sees it."""

import gc
import pickle
import threading
import weakref

import numpy as np
import pytest
from helpers import Shared
from numpy.testing import assert_array_equal
from scipy import fft

from sk_n2s import JInvariantWrapper, SelfSupervisedSearchCV
from sk_n2s.denoisers import butterworth, declare, wiener
from sk_n2s.denoisers._sharing import Store, shared


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_one_transform_serves_all_candidates(n_jobs, noisy, monkeypatch):
    times = Shared()
    transform = fft.dctn

    def counted(X, *args, type=2, **kwargs):
        if np.shape(X) == noisy.shape:  # and not of the blocks in which the noise is looked at
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


def _iterate(X, *, strength=0.1):
    """Filter three times, in one buffer, as the exact form of a denoiser may do."""
    buffer = X.copy()
    for _ in range(3):
        buffer[...] = butterworth.exact(buffer, cutoff=strength)
    return buffer


@declare(exact=_iterate, releases_gil=True)
def iterate(X, *, strength=0.1):
    buffer = X.copy()
    for _ in range(3):
        buffer[...] = butterworth(buffer, cutoff=strength)
    return buffer


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("method", ["exact", "mask"])
def test_a_denoiser_that_reuses_a_buffer_is_searched_by_its_own_answers(method, n_jobs, noisy):
    wrapper = JInvariantWrapper(iterate, method=method)
    grid = {"strength": [0.05, 0.1, 0.2, 0.3]}
    search = SelfSupervisedSearchCV(wrapper, grid, n_splits=None, n_jobs=n_jobs).fit(noisy)
    expected = [wrapper.set_params(strength=s).fit(noisy).score(noisy) for s in grid["strength"]]
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], expected, rtol=1e-12)
    assert search.best_params_ == {"strength": grid["strength"][int(np.argmax(expected))]}


def test_a_call_in_another_thread_gets_its_own_answer(noisy):
    data, expected = 1.0 * noisy, []
    for change in range(3):
        expected.append(butterworth.exact(noisy + change, cutoff=0.2))
    found = Shared()

    def elsewhere():
        for change in range(3):
            data[...] = noisy + change  # the same place in memory, other values
            found.append(butterworth.exact(data, cutoff=0.2))

    def exact(X, *, cutoff):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        return butterworth.exact(X, cutoff=cutoff)

    wrapper = JInvariantWrapper(declare(exact=exact)(lambda X, *, cutoff: X), cutoff=0.2)
    search = SelfSupervisedSearchCV(wrapper, {"cutoff": [0.1, 0.2]}, refit=False).fit(noisy)
    assert_array_equal(found, 2 * expected)
    scores = search.cv_results_["mean_test_score"]
    for cutoff, score in zip((0.1, 0.2), scores, strict=True):
        own = JInvariantWrapper(butterworth, cutoff=cutoff).fit(noisy)
        assert own.score(noisy) == pytest.approx(score, rel=1e-12)


def test_what_a_store_keeps():
    calls = []

    def total(X, k):
        calls.append(k)
        return X.sum() + k

    def shown(X):
        view = X.view()
        view.flags.writeable = False
        return view

    X, store = np.arange(6.0), Store()
    assert shared(total, shown(X), 1) == shared(total, shown(X), 1) == 16 and len(calls) == 2
    with store.entered(X):
        assert shared(total, shown(X), 1) == shared(total, shown(X), 1) == 16 and len(calls) == 3
        assert shared(total, shown(X), 2) == shared(total, shown(X), 2) == 17 and len(calls) == 4
        # Neither what can be written into, nor parts, nor other arrays.
        assert shared(total, X, 2) == 17 and len(calls) == 5
        assert shared(total, shown(X)[:3], 2) == 5 and shared(total, shown(X)[::2], 2) == 8
        assert shared(total, shown(X.copy()), 2) == 17 and len(calls) == 8
        with pytest.raises(ZeroDivisionError), Store().entered(X):
            assert shared(total, shown(X), 2) == 17 and len(calls) == 9
            1 / 0  # noqa: B018
        assert shared(total, shown(X), 2) == 17 and len(calls) == 9
    with store.entered(np.ones(6)):
        assert shared(total, shown(X), 2) == 17 and len(calls) == 10
    kept = weakref.ref(X)
    with pickle.loads(pickle.dumps(store)).entered(X):
        assert shared(total, shown(X), 2) == 17 and len(calls) == 11
    del X
    gc.collect()
    assert kept() is not None  # no other array can take its place
    del store
    gc.collect()
    assert kept() is None
