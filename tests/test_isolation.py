"""Denoisers with a memory: the search is not deceived, and what remains is found."""

import gc
import threading
import weakref
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
from scipy import ndimage
from sklearn.base import BaseEstimator, TransformerMixin

from sk_n2s import JInvariantWrapper, SelfSupervisedSearchCV, check_j_invariance
from sk_n2s.denoisers import DENOISERS, gaussian, median
from sk_n2s.denoisers.isolation import fresh_copy

CACHE = {}
last = None


class First:
    """Returns what it saw first."""

    def __init__(self):
        self.seen = {}

    def __call__(self, X):
        return self.seen.setdefault("first", X.copy())

    def method(self, X):
        return self(X)


class WarmStart(BaseEstimator, TransformerMixin):
    """An estimator that goes on from where it was; clones begin anew."""

    def fit(self, X, y=None):
        self.mean_ = X if not hasattr(self, "mean_") else (self.mean_ + X) / 2
        return self

    def transform(self, X):
        return self.mean_


def _closure():
    seen = []

    def remember(X):
        seen.append(X.copy())
        return np.mean(seen, axis=0)

    return remember


def _rebinding():
    seen = None

    def remember(X):
        nonlocal seen
        seen = X.copy() if seen is None else seen
        return seen

    return remember


def _in_a_default(X, *, _seen={}):  # noqa: B006
    return _seen.setdefault("first", X.copy())


def _in_an_attribute(X):
    if not hasattr(_in_an_attribute, "seen"):
        _in_an_attribute.seen = X.copy()
    return _in_an_attribute.seen


def _in_a_global(X):
    return CACHE.setdefault(X.shape, X.copy())


def _sets_a_global(X):
    global last
    last = X.copy() if last is None else last
    return last


def _through_a_helper(X):
    return _in_a_global(X)


def _in_an_argument(X, *, store):
    return store.setdefault("first", X.copy())


MEMORIES = {
    "object": First(),
    "method": First().method,
    "closure": _closure(),
    "nonlocal": _rebinding(),
    "default": _in_a_default,
    "attribute": _in_an_attribute,
    "global": _in_a_global,
    "set global": _sets_a_global,
    "helper": _through_a_helper,
    "partial": partial(_in_an_argument, store={}),
    "estimator": WarmStart(),
}


@pytest.mark.parametrize("memory", MEMORIES.values(), ids=MEMORIES)
def test_a_search_is_not_deceived_by_a_memory(memory, noisy):
    """Left alone, each of them would have the loss of a mean that holds the entry itself."""
    X = noisy[:32, :32]
    grid = {"denoiser": [memory, gaussian]}
    search = SelfSupervisedSearchCV(JInvariantWrapper(median), grid, n_splits=None).fit(X)
    assert search.best_params_["denoiser"] is gaussian
    fill_alone = JInvariantWrapper(lambda X: X).fit(X).score(X)
    np.testing.assert_allclose(search.cv_results_["mean_test_score"][0], fill_alone)
    check_j_invariance(JInvariantWrapper(memory), X, random_state=0)
    assert not CACHE and last is None


class InTheClass:
    """Keeps its state where it cannot be copied."""

    seen: dict = {}

    def __call__(self, X):
        return self.seen.setdefault(type(self), X.copy())


class Averaging(InTheClass):
    def __call__(self, X):
        calls = self.seen.setdefault("calls", [])
        calls.append(X.copy())
        return np.mean(calls, axis=0)


@pytest.mark.parametrize(
    ("memory", "message"),
    [(InTheClass(), "same predictions for other data"), (Averaging(), "J-invariant|asked again")],
    ids=["first", "average"],
)
def test_a_memory_that_cannot_be_copied_is_found(memory, message, rng):
    InTheClass.seen.clear()
    with pytest.raises(AssertionError, match=message):
        check_j_invariance(JInvariantWrapper(memory), rng.normal(size=(8, 8)), 0)


def test_what_has_no_state_is_not_copied():
    scale = 2.0
    constants = np.ones(3)
    constants.setflags(write=False)
    for denoiser in (*DENOISERS.values(), lambda X: scale * X + constants[0], np.abs):
        with fresh_copy(denoiser, {"weight": 1.0}) as (fresh, params):
            assert fresh is denoiser and params == {"weight": 1.0}


def test_state_that_is_to_be_shared_says_so():
    class Counter(list):
        def __deepcopy__(self, memo):
            return self

    calls = Counter()

    def counting(X):
        calls.append(1)
        return X

    JInvariantWrapper(counting).fit_transform(np.arange(8.0))
    assert len(calls) == 4


def test_a_copy_is_the_same_function():
    def outer(power=2, *, shift=[1]):  # noqa: B006
        offset = [10]

        def inner(X, factor=3):
            """Docs."""
            return inner.__defaults__[0] * X**power + offset[0] + shift[0] + factor

        return inner

    function = outer()
    with fresh_copy(function, {}) as (copy, _):
        assert copy is not function
        assert copy(2) == function(2) == 3 * 4 + 10 + 1 + 3
        assert (copy.__name__, copy.__module__) == (function.__name__, function.__module__)


# Ordinary denoisers stay what they are --------------------------------------------------


def _in_a_buffer():
    padded = np.zeros((36, 36))
    inside = padded[2:-2, 2:-2]

    def box(X):
        inside[...] = X
        return ndimage.uniform_filter(padded, 3)[2:-2, 2:-2]

    return box


def _in_a_buffer_of_a_dict():
    store = {"padded": np.zeros((36, 36))}
    store["inside"] = store["padded"][2:-2, 2:-2]

    def box(X):
        store["inside"][...] = X
        return ndimage.uniform_filter(store["padded"], 3)[2:-2, 2:-2]

    return box


class _Plan:
    """What cannot be copied, and works on a buffer that can."""

    def __init__(self, buffer):
        self.buffer, self.lock = buffer, threading.Lock()

    def run(self):
        return ndimage.uniform_filter(self.buffer, 3)[2:-2, 2:-2]


def _with_a_plan():
    padded = np.zeros((36, 36))
    plan = _Plan(padded)

    def box(X):
        padded[2:-2, 2:-2] = X
        return plan.run()

    return box


@pytest.mark.parametrize("make", [_in_a_buffer, _in_a_buffer_of_a_dict, _with_a_plan])
def test_arrays_that_share_memory_stay_together(make, noisy):
    X = noisy[:32, :32]
    expected = JInvariantWrapper(lambda X: ndimage.uniform_filter(np.pad(X, 2), 3)[2:-2, 2:-2])
    np.testing.assert_array_equal(
        JInvariantWrapper(make()).fit_transform(X), expected.fit_transform(X)
    )


@dataclass(frozen=True, slots=True)
class Settings:
    gain: float = 0.5


SETTINGS, SENTINEL = Settings(), object()


def _with_settings(X):
    return X * SETTINGS.gain


class _Ask:
    def scale(self, X, factor):
        return X * 0.5 if factor is SENTINEL else X * factor


def _with_a_sentinel(X, *, factor=SENTINEL):
    return _Ask().scale(X, factor)


@pytest.mark.parametrize("denoiser", [_with_settings, _with_a_sentinel])
def test_constants_are_told_by_what_they_are(denoiser, noisy):
    found = JInvariantWrapper(denoiser).fit_transform(noisy)
    np.testing.assert_array_equal(found, JInvariantWrapper(lambda X: X * 0.5).fit_transform(noisy))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_parameters_are_fresh_for_each_view(n_jobs, noisy):
    def shake(X, *, size=1.0, rng=None, store=None):
        store.append(X)
        return np.mean(store, axis=0) + size * rng.normal(size=X.shape)

    X = noisy[:16, :16]
    wrapper = JInvariantWrapper(shake, rng=np.random.default_rng(0), store=[])
    search = SelfSupervisedSearchCV(wrapper, {"size": [0.1, 0.5]}, n_jobs=n_jobs, n_splits=None)
    scores = search.fit(X).cv_results_["mean_test_score"]
    once = [wrapper.set_params(size=size).fit(X).score(X) for size in (0.1, 0.5)]
    np.testing.assert_allclose(scores, once)
    check_j_invariance(wrapper, X, random_state=0)


def test_no_copy_outlives_its_view():
    class Kept:
        alive = weakref.WeakSet()

        def __init__(self):
            self.alive.add(self)

        def __deepcopy__(self, memo):
            return Kept()

    kept = Kept()

    def denoiser(X):
        return X if kept else X

    gc.disable()
    try:
        JInvariantWrapper(denoiser, channel_axis=0).fit_transform(np.ones((1, 8, 8)))
        assert list(Kept.alive) == [kept]
    finally:
        gc.enable()


def test_a_loss_cannot_write_into_the_data(noisy):
    def careless(target, prediction):
        target -= prediction
        return target**2

    X = noisy.copy()
    wrapper = JInvariantWrapper(gaussian)
    with pytest.raises(ValueError, match="read-only"):
        SelfSupervisedSearchCV(wrapper, {"sigma": [0.5, 1.0]}, scoring=careless).fit(X)
    np.testing.assert_array_equal(X, noisy)
