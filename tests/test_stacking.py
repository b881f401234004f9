import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_n2s import JInvariantWrapper, SelfSupervisedSearchCV, SelfSupervisedStacker, WholeArray
from sk_n2s.denoisers import gaussian, median, nl_means, tv, wavelet
from sk_n2s.stacking import simplex_weights

CLASSICAL = {
    "median": (median, {"radius": 1}),
    "gaussian": (gaussian, {"sigma": 1.0}),
    "tv": (tv, {"weight": 0.1}),
    "wavelet": (wavelet, {"sigma": 0.1}),
    "nl_means": (nl_means, {"h": 0.08, "patch_distance": 4}),
}


def _members(output, names=tuple(CLASSICAL)):
    return [
        (name, JInvariantWrapper(CLASSICAL[name][0], output=output, **CLASSICAL[name][1]))
        for name in names
    ]


def test_weights_of_known_problems(rng):
    np.testing.assert_allclose(
        simplex_weights(np.diag([1.0, 3.0]), np.zeros(2)), [0.75, 0.25], atol=1e-5
    )
    np.testing.assert_allclose(simplex_weights(np.eye(3), np.array([0, 9.0, 9.0])), [1, 0, 0])
    np.testing.assert_allclose(simplex_weights(np.ones((2, 2)), np.zeros(2)), [0.5, 0.5])
    np.testing.assert_array_equal(simplex_weights(np.ones((1, 1)), np.ones(1)), [1])
    for scale in (1e-12, 1.0, 1e12):
        noise = rng.normal(size=(4, 500)) * np.array([1, 2, 3, 4])[:, None] * scale
        Q = noise @ noise.T / 500
        w = simplex_weights(Q, np.zeros(4))
        free = np.linalg.solve(Q, np.ones(4))
        np.testing.assert_allclose(w, free / free.sum(), atol=0.01)


@pytest.mark.parametrize("output", ["invariant", "plain", "blend"])
def test_the_average_is_at_least_as_good_as_its_best_member(output, noisy, clean):
    stacker = SelfSupervisedStacker(_members(output)).fit(noisy)
    errors = {
        name: np.mean((member.transform(noisy) - clean) ** 2)
        for name, member in zip(stacker.weights_, stacker.estimators_, strict=True)
    }
    error = np.mean((stacker.transform(noisy) - clean) ** 2)
    assert error < 1.005 * min(errors.values())
    assert min(stacker.weights_.values()) >= 0
    assert sum(stacker.weights_.values()) == pytest.approx(1)
    assert stacker.score(noisy) >= max(stacker.scores_.values()) - 1e-12
    assert stacker.error_estimate_.mse == pytest.approx(error, abs=0.06 * 0.01)
    assert -stacker.score(noisy, clean) == pytest.approx(error)
    # the members' own scores are those of the wrappers
    if output != "blend":
        alone = _members(output)[0][1].fit(noisy).score(noisy)
        assert stacker.scores_["median"] == pytest.approx(alone)


def test_plain_and_blended_outputs_of_one_denoiser(noisy, clean):
    pair = [(output, _members(output, ["tv"])[0][1]) for output in ("plain", "blend")]
    stacker = SelfSupervisedStacker(pair, noise=0.1)
    denoised = stacker.fit_transform(noisy)
    alone = [np.mean((m.transform(noisy) - clean) ** 2) for m in stacker.estimators_]
    assert np.mean((denoised - clean) ** 2) < min(alone)


def test_the_loss_without_some_members_is_that_of_a_stacker_without_them(noisy):
    stacker = SelfSupervisedStacker(_members("plain"), noise=0.1).fit(noisy)
    assert stacker.loss_without([]) == pytest.approx(-stacker.score(noisy), rel=1e-6)
    others = SelfSupervisedStacker(_members("plain", ["gaussian", "wavelet"]), noise=0.1).fit(noisy)
    found = stacker.loss_without(["median", "tv", "nl_means"])
    assert found == pytest.approx(-others.score(noisy), rel=1e-6)


def test_of_j_invariant_members_no_noise_level_is_needed(noisy):
    stacker = SelfSupervisedStacker(_members("invariant")).fit(noisy)
    assert not hasattr(stacker, "noise_")
    residuals = np.array([(m.transform(noisy) - noisy).ravel() for m in stacker.estimators_])
    weights = np.array(list(stacker.weights_.values()))
    gradient = residuals @ (weights @ residuals)
    used = weights > 0
    np.testing.assert_allclose(gradient[used], gradient[used][0], rtol=1e-3)
    assert (gradient[~used] > 0.999 * gradient[used][0]).all()


def test_the_same_whatever_the_jobs_and_after_pickling(noisy):
    one = SelfSupervisedStacker(_members("plain", ["tv", "wavelet"])).fit(noisy)
    two = clone(one).set_params(n_jobs=2)
    np.testing.assert_array_equal(two.fit_transform(noisy), one.transform(noisy))
    assert one.weights_ == two.weights_
    again = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(again.transform(noisy), one.transform(noisy))
    assert again.score(noisy) == one.score(noisy)
    other = noisy[:64, :64]
    assert again.score(other) == pytest.approx(one.score(noisy), rel=0.2)


def test_missing_entries_and_single_precision(noisy, clean, rng):
    X = noisy.astype(np.float32)
    X[rng.random(X.shape) < 0.05] = np.nan
    stacker = SelfSupervisedStacker(_members("plain", ["median", "gaussian"]))
    denoised = stacker.fit_transform(X)
    assert denoised.dtype == np.float32
    assert np.isfinite(denoised).all()
    assert np.mean((denoised - clean) ** 2) < 0.5 * 0.01
    assert np.isfinite(stacker.score(X))


def test_bad_members():
    X = np.ones((8, 8))
    for members in ([], None, [1, 2]):
        with pytest.raises(ValueError, match="must be a list of pairs"):
            SelfSupervisedStacker(members).fit(X)
    with pytest.raises(TypeError, match="'m' is .* wrap a denoiser in a JInvariantWrapper"):
        SelfSupervisedStacker([("m", median)]).fit(X)
    wrapper = JInvariantWrapper(median)
    with pytest.raises(ValueError, match="must differ from each other"):
        SelfSupervisedStacker([("m", wrapper), ("m", wrapper)]).fit(X)


def test_the_noise_is_that_of_items(clean):
    items = np.stack([clean, 5 + clean[::-1], clean.T - 5])
    noisy = items + np.random.default_rng(0).normal(scale=0.1, size=items.shape)
    wrapper = JInvariantWrapper(gaussian, sigma=1.0, output="plain", batch_axis=0)
    stacker = SelfSupervisedStacker([("a", wrapper)]).fit(noisy)
    search = SelfSupervisedSearchCV(wrapper, {"sigma": [1.0]}).fit(noisy)
    assert stacker.noise_ == search.noise_
    np.testing.assert_allclose(stacker.error_estimate_.interval, search.error_estimate_.interval)


def _nothing(X):
    return X


def _plain(denoiser, **params):
    return JInvariantWrapper(denoiser, output="plain", **params)


ASKED_THROUGH = {
    "search": SelfSupervisedSearchCV(_plain(gaussian), {"sigma": [0.2]}),
    "grid search": GridSearchCV(_plain(_nothing), {"output": ["plain"]}, cv=WholeArray()),
    "pipeline": make_pipeline("passthrough", _plain(_nothing)),
    "search in a pipeline": make_pipeline(
        FunctionTransformer(), SelfSupervisedSearchCV(_plain(gaussian), {"sigma": [0.2]})
    ),
    "stacker": SelfSupervisedStacker([("nothing", _plain(_nothing))]),
}


@pytest.mark.filterwarnings("ignore:No candidate is better")  # as it should be
@pytest.mark.parametrize("member", ASKED_THROUGH.values(), ids=ASKED_THROUGH)
def test_what_has_seen_the_entry_is_not_taken_for_blind(member, noisy, clean):
    """Each of these does next to nothing: as a blind member it would have no error at all."""
    good = _plain(tv, weight=0.1)
    stacker = SelfSupervisedStacker([("nothing", member), ("good", good)]).fit(noisy)
    assert not stacker.is_j_invariant
    assert stacker.weights_["nothing"] < 0.15
    error = np.mean((stacker.transform(noisy) - clean) ** 2)
    assert error < 1.005 * np.mean((good.fit_transform(noisy) - clean) ** 2)
    assert stacker.error_estimate_.mse == pytest.approx(error, rel=0.2)


@pytest.mark.parametrize("unit", [1e-25, 1e-12, 1.0, 1e18])
def test_weights_of_single_precision_at_any_scale(unit, noisy):
    members = [
        ("small", JInvariantWrapper(gaussian, sigma=0.7)),
        ("large", JInvariantWrapper(gaussian, sigma=2.0)),
        ("plain", _plain(gaussian, sigma=1.0)),
    ]
    X = noisy[:64, :64].astype(np.float32)
    one = SelfSupervisedStacker(members, noise=0.1).fit(X)
    scaled = SelfSupervisedStacker(members, noise=0.1 * unit).fit(X * np.float32(unit))
    np.testing.assert_allclose(
        list(scaled.weights_.values()), list(one.weights_.values()), atol=2e-3
    )
    assert len({round(w, 3) for w in one.weights_.values()}) > 1


def test_what_holds_an_estimator_is_not_taken_for_a_search(noisy):
    member = MultiOutputRegressor(JInvariantWrapper(gaussian))
    with pytest.raises(TypeError, match="'m' is MultiOutputRegressor.*, which is no denoiser"):
        SelfSupervisedStacker([("m", member)]).fit(noisy)
    search = GridSearchCV(JInvariantWrapper(gaussian), {"sigma": [1.0]}, cv=WholeArray())
    assert SelfSupervisedStacker([("m", search)]).fit(noisy).weights_ == {"m": 1.0}


def test_a_search_without_an_estimator_is_no_member(noisy):
    wrapper = JInvariantWrapper(gaussian, sigma=20.0)
    for member in (
        SelfSupervisedSearchCV(wrapper, {"sigma": [1.0]}, refit=False),
        GridSearchCV(wrapper, {"sigma": [1.0]}, cv=WholeArray(), refit=False),
    ):
        with pytest.raises(TypeError, match="(?s)'m' is .* no estimator to ask: set refit=True"):
            SelfSupervisedStacker([("m", member)]).fit(noisy)


def test_searches_as_members_keep_their_data_whatever_the_jobs(noisy):
    search = SelfSupervisedSearchCV(JInvariantWrapper(gaussian), {"sigma": [0.5, 1.0]})
    inner = SelfSupervisedStacker([("a", search), ("b", JInvariantWrapper(median))])
    piped = make_pipeline(FunctionTransformer(), search)
    stacker = SelfSupervisedStacker([("search", search), ("piped", piped), ("inner", inner)])
    one, two = (clone(stacker).set_params(n_jobs=n).fit(noisy) for n in (1, 2))
    for fitted in (one, two):
        first, second, third = fitted.estimators_
        found = [s.estimated_mse_ for s in (first, second[-1], third.estimators_[0])]
        assert found == pytest.approx([search.fit(noisy).estimated_mse_] * 3)
        np.testing.assert_array_equal(first._noisy, noisy)
