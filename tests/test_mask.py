"""Where to work: what is outside a mask is neither shown, nor scored, nor changed."""

import numpy as np
import pytest
from sklearn.base import clone

from sk_n2s import JInvariantWrapper, SelfSupervisedSearchCV, check_j_invariance
from sk_n2s.denoisers import gaussian, median, tv


@pytest.fixture
def scene(clean, noisy):
    """A noisy disk in junk, and where it is."""
    rows, columns = np.ogrid[-64:64, -64:64]
    inside = rows**2 + columns**2 < 50**2
    junk = 50 * np.random.default_rng(1).random(noisy.shape)
    return np.where(inside, noisy, junk), inside


@pytest.mark.parametrize("output", ["invariant", "plain", "blend"])
@pytest.mark.parametrize("denoiser", [median, tv])
def test_what_is_outside_stays_and_tells_nothing(scene, clean, denoiser, output):
    X, inside = scene
    params = {"radius": 2} if denoiser is median else {"weight": 0.1}
    wrapper = JInvariantWrapper(denoiser, mask=inside, output=output, noise=0.1, **params)
    found = wrapper.fit(X).transform(X)
    np.testing.assert_array_equal(found[~inside], X[~inside])
    assert np.mean((found - clean)[inside] ** 2) < 0.5 * 0.1**2
    other = np.where(inside, X, 7.0)
    np.testing.assert_array_equal(wrapper.fit(other).transform(other)[inside], found[inside])
    assert wrapper.score(X) == wrapper.score(other)


def test_a_search_within_a_mask(scene, clean):
    X, inside = scene
    grid = {"sigma": [0.4, 0.8, 1.2, 2, 4]}
    search = SelfSupervisedSearchCV(JInvariantWrapper(gaussian, mask=inside), grid).fit(X)
    errors = []
    for sigma in grid["sigma"]:
        model = clone(search.estimator).set_params(sigma=sigma)
        errors.append(np.mean((model.fit(X).transform(X) - clean)[inside] ** 2))
    assert search.best_index_ == int(np.argmin(errors))
    low, high = search.error_estimate_.interval
    assert low < min(errors) < high
    np.testing.assert_array_equal(search.transform(X)[~inside], X[~inside])
    check_j_invariance(search.best_estimator_, np.where(inside, X, np.nan))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((3, 3), bool), "does not broadcast"),
        (np.zeros((128, 128), bool), "False everywhere"),
        (np.ones((128, 128)), "astype"),
    ],
)
def test_masks_that_do_not_fit(noisy, mask, message):
    with pytest.raises(ValueError, match=message):
        JInvariantWrapper(median, mask=mask).fit(noisy)
