"""Denoisers with a memory: the search is not deceived, and what remains is found."""

import gc
import threading
import weakref
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import pytest
from helpers import Shared
from scipy import ndimage
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_n2s import JInvariantWrapper, SelfSupervisedSearchCV, check_j_invariance
from sk_n2s.denoisers import DENOISERS, declare, gaussian, median
from sk_n2s.masking import Fill
from sk_n2s.masking.isolation import fresh_copy

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


class InAGlobal(BaseEstimator, TransformerMixin):
    """Its methods keep in the module what they saw."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return CACHE.setdefault("method", X.copy())

    def __call__(self, X):
        return self.transform(X)


@dataclass(frozen=True)
class Frozen:
    factor: float = 1.0

    def __call__(self, X):
        return CACHE.setdefault("frozen", X.copy()) * self.factor


class Holder:
    """Calls a function that it holds as it is told."""

    def __init__(self, function):
        self.function = function

    def __call__(self, X):
        return self.function(X)


class Slotted(Holder):
    __slots__ = ("seen",)

    def __init__(self):
        self.seen = {}

    def __call__(self, X):
        return self.seen.setdefault("first", X.copy())


@lru_cache
def _buffer(shape):
    return np.full(shape, np.nan)


def _in_a_cached_buffer(X):
    kept = _buffer(X.shape)
    if np.isnan(kept).any():
        kept[...] = X
    return kept


def _listed(function):
    functions = {"all": [(function,)]}
    return lambda X: functions["all"][0][0](X)


def _helper():
    """Does nothing: it is there to have an attribute."""


def _in_the_attribute_of_a_helper(X):
    if not hasattr(_helper, "seen"):
        _helper.seen = X.copy()
    return _helper.seen


def _by_a_method_of_a_list():
    seen = []
    append, get = seen.append, seen.__getitem__

    def remember(X):
        append(X.copy())
        return get(0)

    return remember


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
    "estimator with a global": InAGlobal(),
    "estimator with a function": FunctionTransformer(_closure()),
    "pipeline": make_pipeline(FunctionTransformer(_closure()), "passthrough"),
    "method with a global": InAGlobal().__call__,
    "frozen": Frozen(),
    "slots": Slotted(),
    "function of an object": Holder(_closure()),
    "function in a list": _listed(_closure()),
    "function of a partial": partial(Holder.__call__, Holder(_closure())),
    "cached buffer": _in_a_cached_buffer,
    "attribute of a helper": _in_the_attribute_of_a_helper,
    "methods of a list": _by_a_method_of_a_list(),
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
    assert not CACHE and last is None and not hasattr(_helper, "seen")


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

    def looks_near(ndim):
        return scale

    @declare(reach=looks_near, exact=lambda X: X * scale)
    def declared(X):
        return declared.exact(X)

    plain = (np.abs, partial(gaussian, sigma=scale), partial(declared, mode="x"), declared)
    for denoiser in (*DENOISERS.values(), lambda X: scale * X + constants[0], *plain):
        with fresh_copy(denoiser, {"weight": 1.0}) as (fresh, params):
            assert fresh is denoiser and params == {"weight": 1.0}


def test_state_that_is_to_be_shared_says_so():
    calls = Shared()

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


def _in_a_buffer_seen_read_only():
    padded = np.zeros((36, 36))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))

    def box(X):
        padded[2:-2, 2:-2] = X
        return windows.mean(axis=(2, 3))[1:-1, 1:-1]

    return box


@pytest.mark.parametrize(
    "make", [_in_a_buffer, _in_a_buffer_of_a_dict, _in_a_buffer_seen_read_only, _with_a_plan]
)
def test_arrays_that_share_memory_stay_together(make, noisy):
    X = noisy[:32, :32]
    expected = JInvariantWrapper(lambda X: ndimage.uniform_filter(np.pad(X, 2), 3)[2:-2, 2:-2])
    np.testing.assert_allclose(
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


@pytest.mark.filterwarnings("ignore:No candidate is better")  # it adds noise
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


# What is large is lent -------------------------------------------------------------------

LARGE = 2**17 + 1  # numbers, a little more than 1 MB


def test_a_large_array_is_lent_read_only():
    weights, small = np.ones(LARGE), np.ones(3)
    rows = {"first": weights[:9]}
    tools = Holder(None)
    tools.weights = weights

    def denoiser(X):
        return weights, rows["first"], tools.weights, small

    with fresh_copy(denoiser, {}) as (fresh, _):
        *lent, copied = fresh(None)
    for array in lent:
        assert np.shares_memory(array, weights) and not array.flags.writeable
    assert not np.shares_memory(copied, small) and copied.flags.writeable
    assert weights.flags.writeable
    with fresh_copy(denoiser, {}, size=weights.nbytes) as (fresh, _):  # as large as the data
        assert not np.shares_memory(fresh(None)[0], weights)
    weights.flags.writeable = small.flags.writeable = False
    rows["first"].flags.writeable = False
    tools.weights = rows = None
    with fresh_copy(lambda X: (weights, small), {}) as (fresh, _):
        assert all(a is b for a, b in zip(fresh(None), (weights, small), strict=True))


def _assigns(kept, X):
    kept[: X.size] = X.ravel()


def _by_scipy(kept, X):
    ndimage.gaussian_filter(kept, 1, output=kept)


def _around_the_flag(kept, X):
    kept.base[: X.size] = X.ravel()


@pytest.mark.parametrize("write", [_assigns, _by_scipy, _around_the_flag])
def test_writing_into_a_large_array_is_an_error(write, noisy):
    kept = np.linspace(0, 1, LARGE) ** 2

    def denoiser(X):
        write(kept, X)
        return X

    with pytest.raises(ValueError, match=r"denoiser writes into an array of 1 MB .* in each call"):
        JInvariantWrapper(denoiser).fit_transform(noisy[:32, :32])


@pytest.mark.parametrize("inner", ["weight", "data", None])
def test_large_tensors_are_lent_and_looked_at(inner, noisy):
    torch = pytest.importorskip("torch")
    net = torch.nn.Linear(600, 600)
    pointers = Shared()

    def denoiser(X):
        pointers.append(net.weight.data_ptr())
        with torch.no_grad():
            if inner is not None:
                (net.weight.data if inner == "data" else net.weight).add_(X[0, 0])
            net.bias.add_(X[0, 0])  # which is small
        return X * net.bias[0].item()

    wrapper, X, before = JInvariantWrapper(denoiser), noisy[:32, :32], net.bias.detach().clone()
    if inner is None:
        wrapper.fit_transform(X)
        assert set(pointers) == {net.weight.data_ptr()}
    else:
        with pytest.raises(ValueError, match="writes into an array of 1 MB"):
            wrapper.fit_transform(X)
    assert torch.equal(net.bias, before)


def test_what_is_loaded_for_each_view_is_said_once(recwarn):
    class Lazy:
        weights = None

        def __call__(self, X):
            if self.weights is None:
                self.weights = np.ones(LARGE)
            return X * self.weights[0]

    lazy = Lazy()
    JInvariantWrapper(lazy).fit_transform(np.arange(8.0))
    assert len(recwarn) == 1
    assert "<Lazy> makes 1 MB in a call" in str(recwarn[0].message)
    lazy(np.ones(3))
    JInvariantWrapper(lazy).fit_transform(np.arange(8.0))
    assert len(recwarn) == 1


def test_what_a_cached_function_loads_is_loaded_once():
    loads = []

    @lru_cache
    def load(name, *, size=2):
        loads.append(name)
        return {"weights": np.full(size, 3.0)}

    def denoiser(X):
        assert load("a") is load("a") and load("a")["weights"][0] == 3
        load("a")["weights"][0] = X[0]
        return X

    X = np.arange(8.0)
    np.testing.assert_array_equal(
        JInvariantWrapper(denoiser).fit_transform(X),
        JInvariantWrapper(lambda X: X).fit_transform(X),
    )
    assert loads == ["a"]
    assert load("a")["weights"].tolist() == [3, 3]


def test_what_cannot_be_copied_is_said_once(recwarn):
    numbers = (float(k) for k in range(100))

    def draws(X):
        return X + next(numbers)

    wrapper = JInvariantWrapper(draws)
    wrapper.fit_transform(np.arange(8.0))
    assert [w.category for w in recwarn] == [UserWarning]
    assert "draws keeps what cannot be copied for each view (a generator)" in str(
        recwarn[0].message
    )
    with pytest.raises(AssertionError, match="asked again|J-invariant"):
        check_j_invariance(wrapper, np.arange(8.0), 0)


def test_what_an_estimator_was_fitted_to_is_not_copied():
    class Fitted(BaseEstimator, TransformerMixin):
        def __init__(self, gain=1.0):
            self.gain = gain

        def fit(self, X, y=None):
            return self

        def transform(self, X):
            return X

        def __deepcopy__(self, memo):
            raise AssertionError("a clone is enough")

    class Kept(Fitted):
        def __sklearn_clone__(self):
            return self

        def fit(self, X, y=None):
            self.__dict__.setdefault("seen", []).append(X)
            return self

        def __deepcopy__(self, memo):
            return Kept(self.gain)

    kept, X = Kept(), np.arange(16.0).reshape(4, 4)
    for denoiser in (Fitted(), make_pipeline(Fitted(), kept)):
        answer = JInvariantWrapper(denoiser).fit_transform(X)
        np.testing.assert_array_equal(answer, JInvariantWrapper(lambda X: X).fit_transform(X))
    assert not hasattr(kept, "seen")


# Fills -------------------------------------------------------------------------------------


class RememberingFill(Fill):
    """Fills with what was visible at its first call."""

    def __init__(self):
        self.seen = {}

    def values(self, X, visible, where, axes):
        return self.seen.setdefault("first", np.where(visible, X, 0))[where]


class FillInAGlobal(Fill):
    def values(self, X, visible, where, axes):
        return CACHE.setdefault("fill", np.where(visible, X, 0))[where]


def _remembering_fill():
    seen = []

    def fill(X, hidden):
        seen.append(np.nan_to_num(X))
        return seen[0]

    return fill


@pytest.mark.parametrize("fill", [RememberingFill(), FillInAGlobal(), _remembering_fill()])
def test_a_fill_remembers_nothing(fill, noisy):
    X = noisy[:16, :16].copy()
    wrapper = JInvariantWrapper(lambda X: X, fill=fill)
    np.testing.assert_array_equal(wrapper.fit_transform(X), np.zeros_like(X))
    assert wrapper.get_params()["fill"] is fill
    X[::3, ::3] = np.nan
    np.testing.assert_array_equal(wrapper.fit_transform(X), np.zeros_like(X))
    assert not CACHE


def test_a_fill_cannot_write_into_the_data(noisy):
    class Careless(Fill):
        def values(self, X, visible, where, axes):
            X[where] = 0
            return X[where]

    X = noisy.copy()
    with pytest.raises(ValueError, match="read-only"):
        JInvariantWrapper(gaussian, method="mask", fill=Careless()).fit_transform(X)
    np.testing.assert_array_equal(X, noisy)


def test_a_loss_cannot_write_into_the_data(noisy):
    def careless(target, prediction):
        target -= prediction
        return target**2

    X = noisy.copy()
    wrapper = JInvariantWrapper(gaussian)
    with pytest.raises(ValueError, match="read-only"):
        SelfSupervisedSearchCV(wrapper, {"sigma": [0.5, 1.0]}, scoring=careless).fit(X)
    np.testing.assert_array_equal(X, noisy)


WAITING = [
    threading.Barrier(2, timeout=30),
    threading.BoundedSemaphore(),
    threading.Condition(),
    threading.Event(),
    threading.Lock(),
    threading.RLock(),
    threading.Semaphore(),
]


@pytest.mark.parametrize("shared", WAITING, ids=lambda shared: type(shared).__name__)
def test_what_threads_wait_for_each_other_by_is_shared(shared):
    seen = []

    def wait(X):
        return seen, shared

    with fresh_copy(wait, {"held": {"by": shared}}) as (denoiser, params):
        copied, same = denoiser(None)
    assert same is shared and params["held"]["by"] is shared
    assert copied is not seen
