"""Whether searches say what makes their loss choose wrongly."""

import pickle
import re
import warnings

import numpy as np
import pytest
from scipy import ndimage
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_n2s import (
    BlindSpotPartition,
    JInvariantWrapper,
    OutlierMasker,
    RandomPartition,
    SelfSupervisedHalvingSearchCV,
    SelfSupervisedRandomizedSearchCV,
    SelfSupervisedSearchCV,
)
from sk_n2s.denoisers import gaussian
from sk_n2s.noise import NoiseAssumptionWarning, NoiseModel
from sk_n2s.noise.assumptions import check_assumptions

GRID = {"sigma": [0.5, 1.0, 2.0]}


@pytest.fixture(scope="module")
def camera():
    from skimage import data

    return data.camera()[128:384, 128:384] / 255


@pytest.fixture(scope="module")
def in_rows(camera):
    """Noise of which neighbours in a row share a half."""
    white = np.random.default_rng(0).normal(scale=0.1, size=camera.shape)
    return camera + ndimage.convolve1d(white, [1, 1], axis=1) / np.sqrt(2)


@pytest.fixture(scope="module")
def with_hits(camera):
    """White noise, and cosmic rays in one of a hundred entries."""
    rng = np.random.default_rng(0)
    X = camera + rng.normal(scale=0.1, size=camera.shape)
    hit = rng.random(X.shape) < 0.01
    X[hit] += rng.uniform(1, 3, np.count_nonzero(hit))
    return X


def said(X, estimator=None, search=SelfSupervisedSearchCV, **params):
    """Return what a fit says of the noise."""
    estimator = JInvariantWrapper(gaussian) if estimator is None else estimator
    name = "jinvariantwrapper__sigma" if hasattr(estimator, "steps") else "sigma"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        search(estimator, {name: GRID["sigma"]}, **params).fit(X)
    return [w for w in caught if w.category is NoiseAssumptionWarning]


@pytest.mark.parametrize(
    "search",
    [
        SelfSupervisedSearchCV,
        SelfSupervisedHalvingSearchCV,
        SelfSupervisedRandomizedSearchCV,
    ],
)
def test_a_search_says_once_that_the_noise_is_correlated(in_rows, search):
    more = {"n_iter": 2, "random_state": 0} if "Randomized" in search.__name__ else {}
    (warning,) = said(in_rows, search=search, **more)
    message = str(warning.message)
    assert "correlated along axis 1 over 1 entry:" in message and "axis 0" not in message
    assert 'partition="auto"' in message and "BlindSpotPartition" in message
    assert "outliers" not in message
    assert warning.filename == __file__


def test_a_search_says_once_that_there_are_outliers(with_hits):
    (warning,) = said(with_hits)
    message = str(warning.message)
    share = re.match(r"About (\S+) % of the entries are outliers", message)
    assert share and 0.5 < float(share[1]) < 1.5
    assert "OutlierMasker" in message and "neg_mean_absolute_error" in message
    assert "correlated" not in message


def test_white_noise_counts_and_uneven_noise_are_no_reason(camera):
    rng = np.random.default_rng(0)
    ramp = np.linspace(0.02, 0.2, camera.shape[1])
    for X in (
        camera + rng.normal(scale=0.1, size=camera.shape),
        rng.poisson(10 * camera),
        camera * rng.gamma(4, 1 / 4, camera.shape),
        camera + ramp * rng.normal(size=camera.shape),
    ):
        assert not said(X)


@pytest.mark.parametrize(
    "partition", ["auto", BlindSpotPartition((0, 1)), RandomPartition(random_state=0)]
)
def test_a_partition_that_was_chosen_for_the_noise_is_no_reason(in_rows, partition):
    assert not said(in_rows, JInvariantWrapper(gaussian, partition=partition))


def test_what_the_last_step_sees_is_looked_at(in_rows, with_hits):
    assert not said(with_hits, make_pipeline(OutlierMasker(), JInvariantWrapper(gaussian)))
    halved = make_pipeline(FunctionTransformer(lambda X: X / 2), JInvariantWrapper(gaussian))
    assert len(said(in_rows, halved)) == 1


def test_a_loss_says_what_it_assumes(in_rows, with_hits):
    assert not said(with_hits, scoring="neg_mean_absolute_error")
    assert len(said(in_rows, scoring="neg_mean_absolute_error")) == 1
    # Of an output, by the covariance of the noise.
    known = NoiseModel(0.1, correlation=[[0.5, 1.0, 0.5]])
    plain = JInvariantWrapper(gaussian, output="plain", noise=0.1)
    assert len(said(in_rows, plain)) == 1
    assert not said(in_rows, plain.set_params(noise=known))
    assert not said(in_rows, plain.set_params(noise=None))  # the model tells


def test_lines_that_share_an_offset_are_named(camera):
    rng = np.random.default_rng(0)
    X = camera + rng.normal(scale=0.1, size=camera.shape)
    (found,) = check_assumptions(X + rng.normal(scale=0.1, size=(len(X), 1)))
    assert "along axis 1 over whole lines" in found.text


def test_of_dask_arrays_a_small_part_is_looked_at(in_rows):
    da = pytest.importorskip("dask.array")
    assert len(said(da.from_array(in_rows, chunks=100))) == 1


def test_channels_and_items_are_no_neighbours(rng):
    X = ndimage.convolve1d(rng.normal(size=(200, 200, 3)), [1, 1], axis=0)
    (found,) = check_assumptions(X, channel_axis=2)
    assert "along axis 0 over 1 entry:" in found.text
    items = np.repeat(rng.normal(size=(10, 128, 128)), 2, axis=0)
    assert not check_assumptions(items, batch_axis=0)


@pytest.mark.parametrize(
    "X",
    [
        np.ones(1),
        np.arange(5.0),
        np.zeros((64, 64)),
        np.ones((64, 64)),
        np.full((64, 64), np.nan),
        np.full((3, 4, 5, 6), np.inf),
        np.eye(40),
        np.pad(np.full((200, 200), np.nan), 50, constant_values=3.0),
        1e300 * np.random.default_rng(0).normal(size=(64, 64)),
        1e-310 * np.random.default_rng(0).normal(size=(64, 64)),
    ],
)
def test_of_odd_data_nothing_is_said(X):
    before = X.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_assumptions(X) == []
    assert np.array_equal(X, before, equal_nan=True)


def test_a_search_that_warned_is_pickled_and_runs_in_processes(in_rows):
    search = SelfSupervisedSearchCV(JInvariantWrapper(gaussian), GRID, n_jobs=2)
    with pytest.warns(UserWarning) as warned:
        search.fit(in_rows)
    assert [w.category for w in warned].count(NoiseAssumptionWarning) == 1
    # The noise is larger than it looks at a glance, and what is left of it is less than all.
    assert not any("No candidate is better" in str(w.message) for w in warned)
    assert pickle.loads(pickle.dumps(search)).best_params_ == search.best_params_


def test_a_warning_that_is_an_error_leaves_nothing_behind(in_rows):
    search = SelfSupervisedSearchCV(JInvariantWrapper(gaussian), GRID)
    with warnings.catch_warnings():
        warnings.simplefilter("error", NoiseAssumptionWarning)
        with pytest.raises(NoiseAssumptionWarning, match="correlated"):
            search.fit(in_rows)
    assert not hasattr(search, "best_params_")


@pytest.mark.parametrize("steps", [(1, 0), (0, 1), (1, 1), (1, -1)])
def test_a_pattern_is_no_noise(rng, steps):
    i, j = np.indices((192, 192))
    clean = np.sin(2 * np.pi * (steps[0] * i + steps[1] * j) / 8)
    assert not check_assumptions(clean + rng.normal(scale=0.3, size=clean.shape))
