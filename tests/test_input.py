"""What counts as data: tables, objects, views of files; and what comes out of them."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_n2s import (
    AutoDenoiser,
    GeneralizedAnscombe,
    JInvariantWrapper,
    OutlierMasker,
    RandomPartition,
    SelfSupervisedSearchCV,
    SelfSupervisedStacker,
    WholeArray,
)
from sk_n2s._utils.arrays import as_float_array
from sk_n2s.denoisers import RegressionDenoiser, gaussian, median
from sk_n2s.noise import LogTransform

CLEAN = np.add.outer(np.sin(np.arange(40) / 9), np.cos(np.arange(12) / 7))
NOISY = CLEAN + 0.3 * np.random.default_rng(0).normal(size=CLEAN.shape)
TABLE = pd.DataFrame(NOISY, columns=list("abcdefghijkl"))

GAPS = np.array([[1.0, np.nan], [2.0, 3.0]])


@pytest.mark.parametrize(
    ("X", "dtype"),
    [
        (pd.DataFrame(GAPS).convert_dtypes(), np.float64),
        (pd.DataFrame(GAPS, dtype="Float32"), np.float32),
        (pd.DataFrame(GAPS, dtype="float32"), np.float32),
        (np.array([[1, None], [2.0, 3]], dtype=object), np.float64),
        (np.array([[1, pd.NA], [np.float32(2), 3]], dtype=object), np.float64),
        (np.ma.masked_invalid(GAPS), np.float64),
        (GAPS.tolist(), np.float64),
        (list(np.ma.masked_invalid(GAPS)), np.float64),
        ([[1.0, np.ma.masked], [2.0, 3.0]], np.float64),
        (list(np.ma.masked_invalid(GAPS).astype(np.float32)), np.float32),
        (np.ma.array([[1, 9], [2, 3]], mask=[[0, 1], [0, 0]]), np.float64),
        (np.ma.array([[1, "?"], [2.0, 3]], mask=[[0, 1], [0, 0]], dtype=object), np.float64),
        (np.ma.array([[1, np.inf], [2, 3]], mask=[[0, 1], [0, 0]]), np.float64),
    ],
    ids=[
        "nullable",
        "Float32",
        "float32",
        "objects",
        "NA",
        "masked",
        "lists",
        "list of masked",
        "masked in a list",
        "list of masked float32",
        "masked integers",
        "masked objects",
        "infinity under a mask",
    ],  # fmt: skip
)
def test_numbers_in_any_dress(X, dtype):
    found = as_float_array(X)
    assert found.dtype == dtype
    assert_array_equal(found, GAPS)
    assert JInvariantWrapper(gaussian).fit(X).method_ == "exact"


def test_masks_in_lists_reach_the_denoiser_as_gaps():
    masked = list(np.ma.array(NOISY, mask=NOISY > 1))
    gaps = np.where(NOISY > 1, np.nan, NOISY)
    for estimator in (JInvariantWrapper(gaussian), make_pipeline(JInvariantWrapper(gaussian))):
        name = "sigma" if isinstance(estimator, JInvariantWrapper) else "jinvariantwrapper__sigma"
        search = SelfSupervisedSearchCV(estimator, {name: [0.5, 1.0]})
        assert_array_equal(search.fit(masked).transform(masked), search.fit(gaps).transform(gaps))


class _Broken:
    def __array__(self, dtype=None, copy=None):
        raise ValueError("the disk is gone")


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.array([np.complex128(1 + 2j), 1.0], dtype=object), ValueError, "Complex data"),
        (np.array([1j, 1.0], dtype=object), ValueError, "Complex data"),
        (np.array([np.datetime64("2020-01-01"), 1], dtype=object), TypeError, "numpy.datetime64"),
        (np.array([np.timedelta64(3, "D"), 1], dtype=object), TypeError, "numpy.timedelta64"),
        (np.array(["1.5", 1], dtype=object), TypeError, "holds objects of <class 'str'>"),
        ([10**400, 1], ValueError, "X holds an integer that is too large for float64"),
        (_Broken(), ValueError, "^the disk is gone$"),
        ([_Broken(), _Broken()], ValueError, "^the disk is gone$"),
        ([[1, 2], [3]], ValueError, "its rows differ in length"),
    ],
    ids=["complex128", "complex", "dates", "times", "text", "huge", "broken", "in list", "ragged"],
)
def test_what_is_no_number_is_refused(X, error, message):
    with pytest.raises(error, match=message):
        as_float_array(X)


def test_floats_are_not_copied_and_reversed_views_are():
    """joblib maps arrays of files for other processes, and reads reversed views wrongly."""
    assert as_float_array(NOISY) is NOISY
    assert np.shares_memory(as_float_array(NOISY[::2, 1:]), NOISY)
    for view in (NOISY[::-1], NOISY[:, ::-1]):
        found = as_float_array(view)
        assert min(found.strides) > 0
        assert_array_equal(found, view)


@pytest.mark.filterwarnings("ignore:The noise is correlated")  # tiles repeat it
def test_a_reversed_map_of_a_file_in_other_processes(tmp_path):
    path = tmp_path / "noisy.npy"
    np.save(path, np.tile(NOISY, (20, 10)))  # large enough for joblib to map
    X = np.load(path, mmap_mode="r")[::-1]

    def slow(X, *, sigma):  # a function of the user's runs in processes
        return gaussian(X, sigma=sigma)

    search = SelfSupervisedSearchCV(JInvariantWrapper(slow), {"sigma": [0.5, 1.0]})
    one, two = (sklearn.clone(search).set_params(n_jobs=n).fit(X) for n in (1, 2))
    assert_array_equal(two.cv_results_["mean_test_score"], one.cv_results_["mean_test_score"])


ESTIMATORS = {
    "wrapper": JInvariantWrapper(gaussian),
    "blend": JInvariantWrapper(gaussian, output="blend"),
    "search": SelfSupervisedSearchCV(JInvariantWrapper(gaussian), {"sigma": [0.5, 1.0]}),
    "stacker": SelfSupervisedStacker([("a", JInvariantWrapper(gaussian))]),
    "auto": AutoDenoiser("fast"),
    "regression": RegressionDenoiser(Ridge(), random_state=0),
    "anscombe": GeneralizedAnscombe(),
    "outliers": OutlierMasker(),
    "logarithm": LogTransform(0.1),
}


@pytest.mark.filterwarnings("ignore:No candidate is better")  # of two copies, which do not differ
@pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
def test_a_table_comes_out_as_a_table(estimator):
    arrays = sklearn.clone(estimator).fit(TABLE)
    tables = sklearn.clone(estimator).set_output(transform="pandas").fit(TABLE)
    found = tables.transform(TABLE)
    assert isinstance(found, pd.DataFrame)
    assert list(found.columns) == list(TABLE.columns) == list(tables.get_feature_names_out())
    assert_array_equal(found.to_numpy(), arrays.transform(TABLE))
    assert_array_equal(tables.fit_transform(TABLE).to_numpy(), found.to_numpy())
    if hasattr(estimator, "score"):
        assert tables.score(TABLE, CLEAN) == arrays.score(TABLE, CLEAN)
        assert tables.score(TABLE) == arrays.score(TABLE)
    for X in (NOISY[:, 0], np.stack([NOISY, NOISY])):  # which have no columns
        out = sklearn.clone(estimator).set_output(transform="pandas").fit_transform(np.abs(X))
        assert isinstance(out, np.ndarray) and out.shape == X.shape


def test_the_ground_truth_of_tables():
    wrapper = JInvariantWrapper(gaussian).set_output(transform="pandas")
    search = GridSearchCV(wrapper, {"sigma": [0.5, 1.0, 2.0]}, cv=WholeArray()).fit(TABLE, CLEAN)
    expected = [-np.mean((gaussian.exact(NOISY, sigma=s) - CLEAN) ** 2) for s in (0.5, 1, 2)]
    assert_allclose(search.cv_results_["mean_test_score"], expected)


def test_the_steps_of_a_wrapped_pipeline_hand_each_other_arrays():
    inner = make_pipeline(StandardScaler(), PCA(3)).set_output(transform="pandas")
    expected = JInvariantWrapper(make_pipeline(StandardScaler(), PCA(3))).fit_transform(NOISY)
    assert_array_equal(JInvariantWrapper(inner).fit_transform(NOISY), expected)
    with sklearn.config_context(transform_output="pandas"):
        found = JInvariantWrapper(make_pipeline(StandardScaler(), PCA(3))).fit_transform(TABLE)
    assert isinstance(found, pd.DataFrame)
    assert_array_equal(found.to_numpy(), expected)


@pytest.mark.parametrize("denoiser", [median, gaussian], ids=["median", "gaussian"])
@pytest.mark.parametrize("method", ["exact", "mask"])
def test_of_three_entries_one_may_be_missing(denoiser, method):
    found = JInvariantWrapper(denoiser, method=method).fit_transform([1.0, np.nan, 3.0])
    assert_allclose(found[[0, 2]], [3, 1])  # each from the other
    assert 1 <= found[1] <= 3
    with pytest.raises(ValueError, match="X holds a single measurement"):
        JInvariantWrapper(denoiser, method=method).fit_transform([np.nan, np.nan, 3.0])
    sparse = np.full(12, np.nan)
    sparse[::4] = [1, 2, 3]
    if method == "mask":
        with pytest.raises(ValueError, match="lie in one set of GridPartition.* RandomPartition"):
            JInvariantWrapper(denoiser, method=method).fit_transform(sparse)
    partition = RandomPartition(3, random_state=0)
    wrapper = JInvariantWrapper(denoiser, method=method, partition=partition)
    found = wrapper.fit_transform(sparse)
    assert (found > 0.9).all() and (found < 3.1).all()


#: Good data, and tables whose names cannot be kept, though all else can.
UNNAMED = TABLE.set_axis([0, *"bcdefghijkl"], axis=1)


@pytest.mark.parametrize("kind", [*ESTIMATORS, "network"])
def test_a_fit_that_fails_leaves_the_last_one_as_it_was(kind):
    if kind == "network":
        pytest.importorskip("skorch")
        nn = pytest.importorskip("sk_n2s.nn")
        estimator = nn.NetworkDenoiser(nn.SingleConvolution, max_epochs=1, random_state=0)
    else:
        estimator = sklearn.clone(ESTIMATORS[kind])
    X = np.abs(TABLE)
    before = estimator.fit(X).transform(X)
    kept = dict(vars(estimator))
    with pytest.raises(TypeError, match="Feature names are only supported"):
        estimator.fit(UNNAMED * 2 + 3)
    assert vars(estimator).keys() == kept.keys()
    assert all(vars(estimator)[name] is value for name, value in kept.items())
    assert_array_equal(estimator.transform(X), before)
    assert estimator.get_feature_names_out().tolist() == list(TABLE.columns)
