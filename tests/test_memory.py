"""A search remembers what it has evaluated, and never uses what is stale."""

import copy
import io
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections import defaultdict
from functools import partial, singledispatch, wraps

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.interpolate import CubicSpline
from sklearn.decomposition import PCA
from sklearn.exceptions import FitFailedWarning
from sklearn.frozen import FrozenEstimator

from sk_n2s import (
    GridPartition,
    JInvariantWrapper,
    SelfSupervisedHalvingSearchCV,
    SelfSupervisedSearchCV,
)
from sk_n2s.denoisers import declare, median, tv
from sk_n2s.masking.fills import MeanFill
from sk_n2s.search._keys import key_of


@pytest.fixture
def calls(tmp_path):
    """A denoiser that leaves a mark for each of its calls, and how many there are."""
    marks = tmp_path / "marks"
    marks.mkdir()

    def shift(X, *, by=0.0):
        (marks / str(len(list(marks.iterdir())))).touch()
        return X + by

    return shift, lambda: len(list(marks.iterdir()))


X = np.random.default_rng(0).normal(size=(24, 20))


def search(denoiser, grid, memory, **params):
    wrapper = JInvariantWrapper(denoiser, partition=GridPartition(2))
    return SelfSupervisedSearchCV(wrapper, grid, memory=memory, **params)


def test_nothing_is_evaluated_twice(calls, tmp_path):
    shift, count = calls
    first = search(shift, {"by": [0.0, 1.0]}, tmp_path / "m").fit(X)
    assert count() == 2 * 4
    again = search(shift, {"by": [1.0, 0.0, 2.0]}, str(tmp_path / "m")).fit(X.copy())
    assert count() == 3 * 4  # only the new one, whatever its place
    names = [f"split{k}_test_score" for k in range(4)]
    for name in [*names, "mean_fit_time"]:
        assert_array_equal(again.cv_results_[name][:2], first.cv_results_[name][::-1])
    plain = search(shift, {"by": [1.0, 0.0, 2.0]}, None).fit(X)
    for name in [*names, "rank_test_score", "mean_test_score"]:
        assert_array_equal(again.cv_results_[name], plain.cv_results_[name])


def test_what_differs_is_evaluated(calls, tmp_path):
    shift, count = calls
    memory = joblib.Memory(tmp_path / "m", verbose=0)
    wrapper = JInvariantWrapper(shift, partition=GridPartition(2))
    grid = {"by": [0.0]}

    def fit(data=X, estimator=wrapper, **params):
        before = count()
        SelfSupervisedSearchCV(estimator, grid, memory=memory, **params).fit(data)
        return count() - before

    def with_params(**params):
        return JInvariantWrapper(shift, **{"partition": GridPartition(2), **params})

    changed = X.copy()
    changed[3, 4] += 1e-9
    assert fit() == 4 and fit() == 0
    assert fit(changed) == 4
    assert fit(X.astype(np.float32)) == 4
    assert fit(estimator=with_params(fill="zero")) == 4
    assert fit(estimator=with_params(fill=MeanFill("square"))) == 4
    assert fit(estimator=with_params(partition=GridPartition((2, 1)))) == 2
    assert fit(scoring="neg_mean_absolute_error") == 4
    assert fit() == 0


def test_halving_remembers(calls, tmp_path):
    shift, count = calls
    wrapper = JInvariantWrapper(shift)
    race = SelfSupervisedHalvingSearchCV(
        wrapper, {"by": [0.0, 1.0, 2.0]}, memory=tmp_path / "m", margin=2
    )
    first = race.fit(X).cv_results_
    before = count()
    again = race.fit(X).cv_results_
    assert count() == before
    assert_array_equal(again["mean_test_score"], first["mean_test_score"])


def test_failures_are_tried_again(tmp_path):
    state = {"broken": True}

    def denoiser(X, *, by=0.0):
        if state["broken"]:
            raise OSError("the disk is full")
        return X + by

    # A joblib.Memory without a place remembers nothing, as everywhere in scikit-learn.
    for memory in (tmp_path / "m", joblib.Memory(None)):
        state["broken"] = True
        with pytest.raises(ValueError, match="disk is full"):
            search(denoiser, {"by": [0.0]}, memory).fit(X)
        state["broken"] = False
        assert search(denoiser, {"by": [0.0]}, memory).fit(X).best_score_ < 0


class Opaque:
    """What can be copied, but neither pickled nor looked into."""

    __slots__ = ()

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        raise TypeError("no")


def test_what_cannot_be_remembered_says_so(tmp_path):
    with pytest.raises(TypeError, match="memory=3 must be the path of a folder"):
        search(median, {"radius": [1]}, 3).fit(X)

    def denoiser(X, *, how=None):
        return X

    with pytest.raises(ValueError, match="memory cannot tell .*Opaque.* from other objects"):
        search(denoiser, {"how": [Opaque()]}, tmp_path).fit(X)


def _function(text, **names):
    scope = {"np": np, "__name__": "__main__", **names}
    exec(textwrap.dedent(text), scope)
    return scope["f"]


def _decorated(k):
    def decorate(f):
        @wraps(f)
        def inner(X):
            return k * f(X)

        return inner

    return decorate(np.median)


def _with_attribute(k):
    def f(X):
        return X * f.k

    f.k = k
    return f


def _with_exact_form(shift):
    def f(X):
        return X

    return declare(exact=lambda X: np.roll(X, shift))(f)


class Level(float):
    """A number whose value pickle keeps elsewhere than in its attributes."""


class Model:
    def __init__(self, gain):
        self.gain, self.lock, self.me = gain, threading.Lock(), self


def _dispatched(k):
    @singledispatch
    def f(X):
        return X

    f.register(np.ndarray)(lambda X: X * k)
    return f


PAIRS = {
    "decorated": (_decorated(1), _decorated(2)),
    "attribute": (_with_attribute(1), _with_attribute(2)),
    "exact form": (_with_exact_form(1), _with_exact_form(2)),
    "dispatch": (_dispatched(1), _dispatched(2)),
    "subclass": (Level(1.0), Level(0.1)),
    "slots": (CubicSpline([0, 1, 2], [0, 1, 2]), CubicSpline([0, 1, 2], [0, 1, 3])),
    "buffer": (io.BytesIO(b"1"), io.BytesIO(b"2")),
    "factory": (defaultdict(list), defaultdict(dict)),
    "lock inside": (Model(1), Model(2)),
    "global with a lock": (
        _function("def f(X):\n    return M.gain * X", M=Model(1)),
        _function("def f(X):\n    return M.gain * X", M=Model(2)),
    ),
    "same names": (
        (_with_attribute(1), _with_attribute(2), _with_attribute(1)),
        (_with_attribute(1), _with_attribute(2), _with_attribute(2)),
    ),
    "frozen": (FrozenEstimator(PCA(1).fit(X)), FrozenEstimator(PCA(1).fit(X * X))),
    "set": ({"a", "b"}, {"a", "c"}),
    "objects": (np.array([1, "a"], dtype=object), np.array([1, "b"], dtype=object)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_keys_see_what_is_hidden(name):
    one, other = PAIRS[name]
    assert key_of(one) != key_of(other)
    assert key_of(one) == key_of(one)


HELPERS = """
__version__ = "1.0"
def helper(X):
    return X * {gain}
"""

ASKS = """
import logging, re, sys
import numpy as np
sys.path.insert(0, {folder!r})
import package.inner
import package.inner as other
from package.inner import helper
from sk_n2s import JInvariantWrapper
from sk_n2s.search._keys import key_of

log = logging.getLogger(__name__)

def by_module(X, mode="a"):
    log.debug("called")
    if mode in {{"a", "b", "c", "dd"}} and re.match("x", "y"):
        return X
    return package.inner.helper(X)

def by_name(X):
    return helper(X)

def by_string(X):
    return getattr(other, "helper")(X)

def inside(X):
    from package.inner import helper
    return helper(X)

held = {{by_module, by_name, helper, np.sqrt, frozenset({{1, "a"}}), frozenset({{2, "b"}})}}

def from_a_set(X):
    return [one(X) for one in held]

functions = (by_module, by_name, by_string, inside, from_a_set)
print(*(key_of(JInvariantWrapper(f)) for f in functions))
"""


def test_keys_are_the_same_in_another_process_unless_a_helper_has_changed(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    script = tmp_path / "script.py"
    script.write_text(ASKS.format(folder=str(tmp_path)))
    keys = []
    for gain, seed in ((1, "1"), (1, "2"), (2, "1")):
        (tmp_path / "package" / "inner.py").write_text(HELPERS.format(gain=gain))
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, script], capture_output=True, text=True, check=True, env=environment
        )
        keys.append(done.stdout.split())
    assert keys[0] == keys[1]
    assert not set(keys[1]) & set(keys[2]) and len(set(keys[2])) == 5


def test_keys_tell_code_apart():
    """Functions of the user, whose names are the same, by all that their code is made of."""
    plain = "def f(X, *, a=1):\n    return X + a"
    versions = {
        "plain": _function(plain),
        "constant": _function(plain.replace("X + a", "X + a + 1")),
        "default": _function(plain.replace("a=1", "a=2")),
        "operation": _function(plain.replace("+", "-")),
        "global": _function(plain.replace("X + a", "X + b"), b=1),
        "other global": _function(plain.replace("X + a", "X + b"), b=2),
        "global function": _function(plain.replace("X + a", "g(X)"), g=_function(plain)),
        "other global function": _function(
            plain.replace("X + a", "g(X)"), g=_function(plain.replace("a=1", "a=3"))
        ),
        "inner": _function("def f(X):\n    def g():\n        return 1\n    return X + g()"),
        "other inner": _function("def f(X):\n    def g():\n        return 2\n    return X + g()"),
        "closure": (lambda c: lambda X: X + c)(1),
        "other closure": (lambda c: lambda X: X + c)(2),
        "partial": partial(_function(plain), a=1),
        "other partial": partial(_function(plain), a=2),
        "class": _function("class f:\n    def g(self):\n        return 1"),
        "other class": _function("class f:\n    def g(self):\n        return 2"),
        "instance": _function("class f:\n    def __init__(self, a):\n        self.a = a")(1),
        "other instance": _function("class f:\n    def __init__(self, a):\n        self.a = a")(2),
        "recursive": _function("def f(X):\n    return f(X)"),
        "library": np.median,
        "other library": np.mean,
        "compiled": np.sqrt,
        "array": np.arange(3),
        "other array": np.arange(3.0),
        "wrapper": JInvariantWrapper(median, radius=2),
        "other wrapper": JInvariantWrapper(median, radius=3),
        "wrapper of another": JInvariantWrapper(tv),
    }
    keys = {name: key_of(thing) for name, thing in versions.items()}
    assert len(set(keys.values())) == len(keys)
    assert key_of(_function("\n\n# moved\n" + plain)) == keys["plain"]
    assert key_of(JInvariantWrapper(median).set_params(radius=2)) == keys["wrapper"]


SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from sk_n2s import JInvariantWrapper, SelfSupervisedSearchCV

def shift(X, *, by=0):
    marks = Path(sys.argv[1])
    if by == 5 and sys.argv[2] == "wait":
        (marks / "waiting").touch()
        import time
        time.sleep(600)
    (marks / f"done-{by}-{len(list(marks.iterdir()))}").touch()
    return X + by

X = np.random.default_rng(0).normal(size=(24, 20))
search = SelfSupervisedSearchCV(
    JInvariantWrapper(shift), {"by": list(range(8))}, n_splits=1, memory=sys.argv[3]
).fit(X)
print(search.best_params_["by"])
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a signal of POSIX")
def test_a_search_that_was_killed_goes_on(tmp_path):
    (tmp_path / "marks").mkdir()
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)

    def command(what):
        return [sys.executable, script, tmp_path / "marks", what, tmp_path / "memory"]

    with subprocess.Popen(command("wait")) as killed:
        while not (tmp_path / "marks" / "waiting").exists():
            assert killed.poll() is None
        killed.send_signal(signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    done = {p.name.split("-")[1] for p in (tmp_path / "marks").glob("done-*")}
    assert done == set("01234")
    after = subprocess.run(command("go on"), capture_output=True, text=True, check=True)
    assert after.stdout.strip() == "0"
    marks = [p.name.split("-")[1] for p in (tmp_path / "marks").glob("done-*")]
    assert sorted(marks) == list("01234567")  # each of them once


def test_the_memory_is_shared_by_processes(tmp_path):
    kwargs = {"memory": tmp_path, "n_jobs": 2}
    slow = lambda X, *, by=0: X + by  # noqa: E731
    two = search(slow, {"by": [0, 1, 2]}, **kwargs).fit(X)
    stored = sum(path.name == "output.pkl" for path in tmp_path.rglob("*"))
    assert stored == 12
    one = search(slow, {"by": [0, 1, 2]}, tmp_path).fit(X)
    assert_array_equal(one.cv_results_["mean_fit_time"], two.cv_results_["mean_fit_time"])


def test_a_warning_of_failures_is_given_each_time(tmp_path):
    for _ in range(2):
        with pytest.warns(FitFailedWarning, match="radius=-1"):
            search(median, {"radius": [-1, 1]}, tmp_path).fit(X)


def _cached(text):
    return _function("import functools\n" + textwrap.dedent(text))


BEHIND = {
    "lru_cache": "@functools.lru_cache\ndef g(X):\n    return X * {k}\ndef f(X):\n    return g(X)",
    "cache": "@functools.cache\ndef f(X):\n    return X * {k}",
    "class method": """
        class g:
            @classmethod
            def h(cls, X):
                return X * {k}
        def f(X):
            return g.h(X)
        """,
    "static method": """
        class g:
            @staticmethod
            def h(X):
                return X * {k}
        def f(X):
            return g.h(X)
        """,
    "property": """
        class g:
            @property
            def h(self):
                return {k}
        def f(X):
            return X * g().h
        """,
    "cached property": """
        class g:
            @functools.cached_property
            def h(self):
                return {k}
        def f(X):
            return X * g().h
        """,
    "base class": """
        class a:
            def h(self, X):
                return X * {k}
        class g(a):
            pass
        def f(X):
            return g().h(X)
        """,
    "handler": """
        def f(X):
            try:
                return X
            except ValueError:
                return X * {k}
        """,
    "fitted estimator": """
        from sklearn.preprocessing import StandardScaler
        s = StandardScaler().fit([[0.0], [{k}]])
        def f(X):
            return s.transform(X)
        """,
    "fitted estimator in a partial": """
        from sklearn.preprocessing import StandardScaler
        def g(X, s):
            return s.transform(X)
        f = functools.partial(g, s=StandardScaler().fit([[0.0], [{k}]]))
        """,
    "key of a dict": """
        def g(X):
            return X * {k}
        d = {g: 1}
        def f(X):
            return list(d)[0](X)
        """,
    "member of a set": """
        def g(X):
            return X * {k}
        d = {g}
        def f(X):
            return list(d)[0](X)
        """,
    "order of a dict": """
        d = {"a": 1, "b": 2} if {k} == 2 else {"b": 2, "a": 1}
        def f(X):
            return X * next(iter(d.values()))
        """,
    "decorator that is a class": """
        class D:
            def __init__(self, g):
                functools.update_wrapper(self, g)
            def __call__(self, X):
                return self.__wrapped__(X) * {k}
        @D
        def f(X):
            return X
        """,
    "wraps a partial": """
        def g(X, a):
            return X * a
        def named(X):
            pass
        f = functools.wraps(named)(functools.partial(g, a={k}))
        """,
    "metaclass": """
        class M(type):
            def h(cls, X):
                return X * {k}
        class A(metaclass=M):
            pass
        def f(X):
            return A.h(X)
        """,
    "bound by hand": """
        def g(self, X):
            return X * {k}
        import types
        f = types.MethodType(g, "owner")
        """,
    "fitted estimators in a set": """
        from sklearn.preprocessing import StandardScaler
        s = {StandardScaler().fit([[0.0], [{k}]])}
        def f(X):
            return [one.transform(X) for one in s]
        """,
    "fitted estimator in a parameter that is copied": """
        from collections import OrderedDict
        from sklearn.preprocessing import FunctionTransformer, StandardScaler
        held = OrderedDict(s=StandardScaler().fit([[0.0], [{k}]]))
        f = FunctionTransformer(kw_args=held)
        """,
    "register that holds what names it": """
        d = set()
        def g(X):
            return X * {k} * len(d)
        def f(X):
            return [one(X) for one in d if one is not f]
        d |= {f, g, len}
        """,
    "kinds of arguments": """
        f = (lambda *a: a) if {k} == 2 else (lambda a: a)
        """,
    "generic class": """
        import typing
        T = typing.TypeVar("T")
        class A(typing.Generic[T]):
            def h(self, X):
                return X * {k}
        def f(X):
            return A().h(X)
        """,
    "class made elsewhere": """
        from dataclasses import make_dataclass
        A = make_dataclass("A", ["a"], namespace={"h": lambda self: {k}})
        def f(X):
            return X * A(1).h()
        """,
    "mask": """
        m = np.ma.array([1, 2, 3], mask=[0, 1, {k} == 3])
        def f(X):
            return X * m.sum()
        """,
    "method of an object": """
        f = np.random.default_rng({k}).normal
        """,
    "a long chain": """
        lines = [f"def g{i}(X): return g{i + 1}(X)" for i in range(99)]
        exec("\\n".join(lines))
        def g99(X):
            return X * {k}
        f = g0
        """,
}


@pytest.mark.parametrize("text", BEHIND.values(), ids=BEHIND)
def test_keys_see_code_behind_decorators_and_classes(text):
    one, same, other = (_cached(text.replace("{k}", k)) for k in "223")
    assert key_of(one) == key_of(same) != key_of(other)


IMPORTED = {
    "from .v import h": "from .v import h; return h(X)",
    "from . import v": "from . import v; return v.h(X)",
    "from own import v": "from own import v; return v.h(X)",
    "import own.v": "import own.v; return own.v.h(X)",
    "import own.v as w": "import own.v as w; return w.h(X)",
    "what is imported imports": "from .w import h; return h(X)",
    "a module and a function of one name": "from . import h; return h.h(X)",
    "what is not there": """
    try:
        import nothing_of_this_name as v
    except ImportError:
        from . import v
    return v.h(X)""",
    "a module handed on": "from . import f, v; return f.call(v, X)",
    "a module looked into": "from . import v; return getattr(v, 'h')(X)",
}


@pytest.mark.parametrize("line", IMPORTED.values(), ids=IMPORTED)
def test_keys_see_code_that_is_imported_inside_functions(line, tmp_path, monkeypatch):
    keys = []
    for k in "223":
        for name in [n for n in sys.modules if n.partition(".")[0] == "own"]:
            monkeypatch.delitem(sys.modules, name)
        folder = tmp_path / str(len(keys))
        (folder / "own").mkdir(parents=True)
        (folder / "own/__init__.py").touch()
        (folder / "own/v.py").write_text(f"def h(X):\n    return X * {k}\n")
        (folder / "own/w.py").write_text("def h(X):\n    from .v import h\n    return h(X)\n")
        (folder / "own/h.py").write_text(f"def h(X):\n    return X * {k}\n")
        call = "def call(module, X):\n    return module.h(X)\n"
        (folder / "own/f.py").write_text(f"{call}def f(X):\n    {line}\n")
        with monkeypatch.context() as inside:
            inside.syspath_prepend(folder)
            from own.f import f

            keys.append(key_of(f))
    assert keys[0] == keys[1] != keys[2]


def test_copies_leave_the_key_of_a_class_as_it_is():
    f = _function("class f:\n    def __call__(self, X):\n        return X")()
    before = key_of(f)
    copy.deepcopy(f)
    assert key_of(f) == before


def test_an_estimator_that_is_cloned_is_what_its_clone_is():
    fitted, named = PCA(1).fit(X), PCA(1).set_output(transform="pandas")
    keys = [key_of(JInvariantWrapper(denoiser)) for denoiser in (PCA(1), fitted, named)]
    assert keys[0] == keys[1] != keys[2]
    assert key_of([PCA(1)]) == key_of([fitted]) != key_of([partial(np.dot, fitted)])


def test_tensors_are_told_by_their_values():
    torch = pytest.importorskip("torch")
    one, same, other = (torch.full((3,), v, dtype=torch.bfloat16) for v in (1.0, 1.0, 2.0))
    assert key_of(one) == key_of(same) != key_of(other)
    assert key_of(one) != key_of(one.float())


def test_a_method_of_an_estimator_is_code_too():
    text = """
        from sklearn.base import BaseEstimator, TransformerMixin
        class f(TransformerMixin, BaseEstimator):
            def fit(self, X, y=None):
                return self
            def transform(self, X):
                return X * {k}
        """
    one, same, other = (JInvariantWrapper(_function(text.replace("{k}", k))()) for k in "223")
    assert key_of(one) == key_of(same) != key_of(other)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of modules that pickle looks into
def test_a_ufunc_of_a_function_is_refused():
    with pytest.raises(ValueError, match="memory cannot tell .*vectorized.*: set memory=None"):
        key_of(np.frompyfunc(lambda x: x, 1, 1))


OUTSIDE = """
import sys
from sk_n2s.search._keys import key_of
from sk_n2s.search._releases import release_of_place
import numpy, installed, own

def f(X):
    return numpy.median(installed.helper(own.helper(X)))

places = [release_of_place(m.__name__, m.__file__) for m in (installed, own)]
print(*places, key_of(f))
"""


def test_what_is_installed_may_lie_anywhere(tmp_path):
    """In a folder of PYTHONPATH, there with the record of its installation, or without one."""
    record = tmp_path / "anywhere" / "installed-2.5.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: installed\nVersion: 2.5\n")
    (record / "RECORD").write_text("installed.py,,\n")
    (record / "top_level.txt").write_text("installed\n")
    script = tmp_path / "script.py"
    script.write_text(OUTSIDE)
    found = []
    for gain in (1, 2):
        for name in ("installed", "own"):
            if name == "own" or gain == 1:
                text = f"def helper(X):\n    return X * {gain}\n"
                (tmp_path / "anywhere" / f"{name}.py").write_text(text)
        path = os.pathsep.join(filter(None, [str(tmp_path / "anywhere"), *sys.path]))
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, script], capture_output=True, text=True, check=True, env=environment
        )
        found.append(done.stdout.split())
    assert found[0][:2] == found[1][:2] == ["2.5", "None"]
    assert found[0][2] != found[1][2]


def test_a_damaged_file_is_one_line_and_is_made_anew(calls, tmp_path):
    shift, count = calls
    first = search(shift, {"by": [0.0]}, tmp_path / "m").fit(X)
    for path in (tmp_path / "m").rglob("output.pkl"):
        path.write_bytes(path.read_bytes()[:20])
    with pytest.warns(UserWarning, match="is damaged") as record:
        again = search(shift, {"by": [0.0]}, tmp_path / "m").fit(X)
    texts = [str(w.message) for w in record if "damaged" in str(w.message)]
    assert len(texts) == 4 and all("\n" not in text and len(text) < 200 for text in texts)
    assert again.best_score_ == first.best_score_ and count() == 8
    search(shift, {"by": [0.0]}, tmp_path / "m").fit(X)
    assert count() == 8
