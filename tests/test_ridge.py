"""Non-local ridge regression, against its definition."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.data import camera

from sk_n2s.denoisers import nl_ridge
from sk_n2s.denoisers._mixing import RIDGE, SURE, combine, inverse, noisier


def _psnr(a, b):
    return -10 * np.log10(np.mean((a - b) ** 2))


def _by_definition(X, variance, size, count, window, step, pilot=None):
    """One step, patch by patch; the first where there is no pilot."""
    rows, columns = (n - size + 1 for n in X.shape)
    places = [(i, j) for i in range(rows) for j in range(columns)]

    def patch(A, p):
        return A[p[0] : p[0] + size, p[1] : p[1] + size].ravel()

    guide = X if pilot is None else pilot
    total, weights = np.zeros_like(X), np.zeros_like(X)
    n, m = size**2, count if pilot is not None else min(count, size**2 // 2)
    grid = [sorted({*range(0, q, step), q - 1}) for q in (rows, columns)]
    for i in grid[0]:
        for j in grid[1]:
            low = [
                int(np.clip(k - window // 2, 0, q - window)) for k, q in ((i, rows), (j, columns))
            ]
            inside = [p for p in places if all(0 <= c - o < window for c, o in zip(p, low))]
            far = [np.sum((patch(guide, p) - patch(guide, (i, j))) ** 2) for p in inside]
            group = [inside[k] for k in np.argsort(far, kind="stable")[:m]]
            Y = np.stack([patch(X, p) for p in group], axis=1)
            mean = Y.mean()
            B = Y - mean if pilot is None else np.stack([patch(pilot, p) for p in group], 1) - mean
            A = B.T @ B + np.eye(m) * n * variance * (1e-3 if pilot is None else 1)
            A = np.linalg.inv(A)
            ones = np.ones(m)
            A -= np.outer(A @ ones, A @ ones) / (ones @ A @ ones)
            theta = np.eye(m) - n * variance * A
            estimate = (Y - mean) @ theta + mean
            for k, p in enumerate(group):
                w = 1 / (n * variance * np.sum(theta[:, k] ** 2))
                place = np.s_[p[0] : p[0] + size, p[1] : p[1] + size]
                total[place] += w * estimate[:, k].reshape(size, size)
                weights[place] += w
    return total / weights


def test_two_steps_are_what_the_paper_defines(rng, monkeypatch):
    X = (
        3e4
        + np.kron(rng.normal(size=(4, 4)), np.ones((5, 5)))
        + rng.normal(scale=0.3, size=(20, 20))
    )
    first = _by_definition(X, 0.09, 4, 6, 9, 3)
    second = _by_definition(X, 0.09, 3, 8, 9, 3, pilot=first)
    params = {"sigma": 0.3, "patch_size": (4, 3), "group_size": (6, 8), "window": 9}
    # In single precision, the last digit may decide which patches form a group of the second.
    np.testing.assert_allclose(nl_ridge(X, n_refinements=0, **params), first, atol=1e-3 * 0.3)
    monkeypatch.setattr("sk_n2s.denoisers._noise_units._SINGLE", 0)
    np.testing.assert_allclose(nl_ridge(X, **params), second, rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", [1, 2, 12, 13, 31, 60])
def test_the_inverse_by_blocks(order, dtype, rng):
    B = rng.normal(size=(5, order, 2 * order)).astype(dtype)
    A = B @ B.swapaxes(1, 2)
    found, careful = inverse(A, np.ones(5))
    assert not careful.any()
    np.testing.assert_allclose(found @ A, np.broadcast_to(np.eye(order), A.shape), atol=2e-4)


def test_what_is_inverted_too_roughly_is_said(rng):
    B = rng.normal(size=(3, 24, 4)).astype(np.float32)
    A = B @ B.swapaxes(1, 2) + np.eye(24, dtype=np.float32)
    A[1] += 1e9 * B[1] @ B[1].T
    A[2, 0, 0] = np.nan
    found, careful = inverse(A, np.ones(3))
    np.testing.assert_array_equal(careful, [False, True, True])
    np.testing.assert_array_equal(inverse(A[:1], np.array([1e6]))[1], [True])
    singular = np.zeros((2, 24, 24), np.float32)
    singular[1] = np.eye(24)
    np.testing.assert_array_equal(inverse(singular, np.ones(2))[1], [True, True])
    np.testing.assert_allclose(found[0], np.linalg.inv(A[0].astype(float)), atol=1e-5)


def _weights_of(basis, power, noise, risk):
    """Return the weights Θ, from what they make of the unit patches."""
    n = power.shape[1]
    units = np.broadcast_to(np.eye(n), (len(basis), n, n))
    pad = np.zeros((len(basis), n, n))
    # The entries of a group beyond those of the basis take no part in the weights.
    group = np.concatenate([np.zeros_like(basis), units], axis=2)
    wide = np.concatenate([basis, pad], axis=2)
    estimates, spread = combine(group, wide, power, noise, risk)
    return estimates[:, :, basis.shape[2] :].swapaxes(1, 2), spread


@pytest.mark.parametrize("size", [5, 20])
@pytest.mark.parametrize("covariance", [False, True])
def test_weights_sum_to_one_and_are_the_best_that_do(size, covariance, rng):
    basis, power = rng.normal(size=(3, 8, size)), rng.uniform(1, 2, size=(3, 8))
    D = np.stack([np.diag(p) for p in power])
    if covariance:
        D += 0.3 * np.sqrt(power[:, :, None] * power[:, None, :]) * (1 - np.eye(8))
    theta, spread = _weights_of(basis, power, D if covariance else None, RIDGE)
    np.testing.assert_allclose(theta.sum(axis=1), 1)
    np.testing.assert_allclose(spread, np.einsum("nij,nik,nkj->nj", theta, D, theta))

    def cost(t):  # ‖X̂θ − x̂‖² + θᵀDθ
        error = basis[0].T @ t - basis[0].T
        return np.sum(error**2, axis=0) + np.einsum("ij,ik,kj->j", t, D[0], t)

    for _ in range(20):
        step = rng.normal(size=(8, 8)) * 0.01
        assert (cost(theta[0] + step - step.mean(axis=0)) >= cost(theta[0]) - 1e-9).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_smaller_matrix_gives_the_same_weights(dtype, rng):
    """By entries (Woodbury) and by patches, for noise that differs between patches."""
    basis = rng.normal(size=(4, 30, 12)).astype(dtype)
    group = rng.normal(size=(4, 30, 12)).astype(dtype)
    power = rng.uniform(0.5, 4, size=(4, 30)).astype(dtype)
    found = combine(group, basis, power, None, RIDGE)
    full = np.zeros((4, 30, 30), dtype)
    full[:, range(30), range(30)] = power
    expected = combine(group, basis, power, full, RIDGE)
    tolerance = 3e-4  # the floor of a covariance
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0])
def test_weights_of_the_noisier_risk(alpha, rng):
    """I − (1 + α²)(YYᵀ + α²D)⁻¹D, where nothing asks for weights that sum to one."""
    Y, power = rng.normal(size=(2, 6, 40)), np.full((2, 6), 3.0)
    theta, _ = _weights_of(Y, power, None, noisier(alpha))
    centred = Y[0] - Y[0].mean(axis=0)
    P = np.linalg.inv(centred @ centred.T + alpha**2 * np.diag(power[0]))
    P -= np.outer(P.sum(axis=1), P.sum(axis=0)) / P.sum()
    expected = np.eye(6) - (1 + alpha**2) * P @ np.diag(power[0])
    np.testing.assert_allclose(theta[0], expected, atol=1e-4)
    # Less and less noise added: Stein's estimate.
    near, _ = _weights_of(Y, power, None, noisier(0.02))
    np.testing.assert_allclose(near, _weights_of(Y, power, None, SURE)[0], atol=2e-3)


def test_an_offset_moves_the_result_and_a_scale_scales_it(noisy):
    X = noisy[:48, :48]
    expected = nl_ridge(X, sigma=0.1)
    np.testing.assert_allclose(nl_ridge(1024 * X, sigma=102.4) / 1024, expected, atol=1e-6)
    np.testing.assert_allclose(nl_ridge(X + 8, sigma=0.1) - 8, expected, atol=0.02)
    huge = nl_ridge(X + 1e7, sigma=0.1) - 1e7
    np.testing.assert_allclose(huge, expected, atol=0.03)


def _lattice(period, side=48):
    return (np.indices((side, side)) // period).sum(axis=0) % 2 + 0.3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("period", [1, 2, 3, 48])
def test_patches_that_are_the_same_stay_as_they_are(period, scale, dtype):
    X = (scale * _lattice(period)).astype(dtype)
    for sigma in (None, 1e-3 * scale, 1.0 * scale):
        np.testing.assert_allclose(nl_ridge(X, sigma=sigma), X, rtol=0, atol=3e-6 * scale)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("period", [4, 8, 13])
def test_what_noise_cannot_explain_stays(period, dtype):
    """Here groups are of several kinds of patches, each many times."""
    X = _lattice(period).astype(dtype)
    for sigma, most in ((1e-30, 1e-15), (1e-12, 1e-12), (1e-6, 1e-6), (1e-3, 2e-5)):
        rounding = 2 * np.finfo(np.float32).eps if dtype == np.float32 else 0
        assert np.abs(nl_ridge(X, sigma=sigma) - X).max() <= most + rounding
    for sigma in (None, 0.1):
        assert np.abs(nl_ridge(X, sigma=sigma) - X).mean() < 0.05


@pytest.mark.parametrize("sigma", [0.05, 0.005, 0.0005])
def test_single_precision_is_enough(sigma, clean, monkeypatch):
    X = clean[:64, :64] + sigma * np.random.default_rng(0).normal(size=(64, 64))
    found = nl_ridge(X.astype(np.float32), sigma=sigma)
    monkeypatch.setattr("sk_n2s.denoisers._noise_units._SINGLE", 0)
    assert np.sqrt(np.mean((nl_ridge(X, sigma=sigma) - found) ** 2)) < 0.05 * sigma


def test_where_there_is_no_noise_nothing_changes(clean):
    X = clean[:48, :48]
    level = np.where(np.arange(48) < 24, 0, 0.1) * np.ones((48, 1))
    noisy = X + level * np.random.default_rng(0).normal(size=X.shape)
    found = nl_ridge(noisy, sigma=level)
    np.testing.assert_allclose(found[:, :16], X[:, :16], atol=1e-5)
    assert np.std((found - X)[:, 24:]) < 0.06
    np.testing.assert_array_equal(nl_ridge(np.ones((48, 48)), sigma=level), 1.0)


def test_no_noise_is_no_change(noisy):
    assert nl_ridge(noisy, sigma=0.0) is not noisy
    np.testing.assert_array_equal(nl_ridge(noisy, sigma=0.0), noisy)


def test_a_map_of_the_noise(clean):
    X = clean[:96, :96]
    level = np.where(np.arange(96) < 48, 0.03, 0.15) * np.ones((96, 1))
    noisy = X + level * np.random.default_rng(0).normal(size=X.shape)
    one = float(np.sqrt(np.mean(level**2)))
    informed = _psnr(nl_ridge(noisy, sigma=level), X)
    assert informed > _psnr(nl_ridge(noisy, sigma=one), X) + 0.5
    np.testing.assert_array_equal(
        nl_ridge(noisy, sigma=np.full((1, 96), one)), nl_ridge(noisy, sigma=one)
    )


def test_photographs(noisy, clean):
    before, after = _psnr(noisy, clean), _psnr(nl_ridge(noisy, sigma=0.1), clean)
    assert after > before + 8.5
    assert _psnr(nl_ridge(noisy), clean) > after - 0.15
    assert nl_ridge(noisy.astype(np.float32), sigma=0.1).dtype == np.float32


def test_signals_volumes_and_channels(rng):
    line = np.repeat([0.0, 1.0, 0.4, 0.8], 400)
    volume = np.zeros((24, 24, 24))
    volume[6:18, 6:18, 6:18] = 1.0
    for truth, gain in ((line, 10), (volume, 12)):
        noisy = truth + rng.normal(scale=0.2, size=truth.shape)
        assert _psnr(nl_ridge(noisy, sigma=0.2), truth) > _psnr(noisy, truth) + gain
    colour = np.stack([volume[12], 1 - volume[12], 2 * volume[12]])
    noisy = colour + rng.normal(scale=0.2, size=colour.shape)
    joint = nl_ridge(noisy, sigma=0.2, channel_axis=0, patch_size=5)
    assert joint.shape == colour.shape
    alone = np.stack([nl_ridge(c, sigma=0.2) for c in noisy])
    assert _psnr(joint, colour) > _psnr(alone, colour)
    last = nl_ridge(np.moveaxis(noisy, 0, -1), sigma=0.2, channel_axis=-1, patch_size=5)
    np.testing.assert_allclose(np.moveaxis(last, -1, 0), joint, atol=1e-5)


def test_small_and_flat_arrays(rng):
    for shape in [(1,), (3,), (2, 50), (5, 5), (1, 1, 9), (4, 4, 4, 4)]:
        X = rng.normal(size=shape)
        assert np.isfinite(nl_ridge(X, sigma=1.0)).all()
    X = np.zeros((40, 40))
    X[:20] = rng.normal(size=(20, 40))
    np.testing.assert_allclose(nl_ridge(X, sigma=1.0)[32:], 0, atol=0.02)
    assert np.isfinite(nl_ridge(X, sigma=1.0, step=20)).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"sigma": -1.0}, "sigma=-1.0 must be a finite number"),
        ({"sigma": np.ones(5)}, r"sigma of shape \(5,\) must hold finite numbers"),
        ({"sigma": np.full((8, 8), -1.0)}, "sigma of shape"),
        ({"patch_size": (1, 2, 3)}, "patch_size=.* has 3 values for 2"),
        ({"group_size": 1}, "group_size=1 must be an integer of at least 2"),
        ({"window": 0}, "window=0 must be"),
        ({"step": 0}, "step=0 must be"),
        ({"n_refinements": -1}, "n_refinements=-1 must be"),
    ],
)
def test_bad_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        nl_ridge(np.ones((8, 8)), **params)


def test_a_correlation_of_independent_noise_changes_nothing(noisy):
    alone = np.zeros((5, 5))
    alone[2, 2] = 1
    expected = nl_ridge(noisy, sigma=0.1)
    off = np.abs(nl_ridge(noisy, sigma=0.1, correlation=alone) - expected)
    # The last digit may decide which patches form a group of the second step.
    assert np.quantile(off, 0.999) < 2e-3
    assert off.max() < 6e-3


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("weights", [(1, 1), (1, 1, 1), "stripes"])
def test_told_the_correlation_more_of_the_noise_goes(axis, weights, rng):
    clean = camera()[60:156, 130:226] / 255
    white = rng.normal(size=clean.shape)
    if weights == "stripes":
        noise = white.mean(axis=axis, keepdims=True) + 0 * white
        line = np.ones(3)
    else:
        noise = ndimage.convolve1d(white, weights, axis=axis, mode="wrap")
        line = np.convolve(weights, weights) / np.dot(weights, weights)
        line = np.pad(line, 1)  # beyond which it is 0
    noise *= 0.1 / noise.std()
    correlation = np.zeros((len(line), len(line)))
    correlation[len(line) // 2] = line
    correlation = correlation if axis == 1 else correlation.T
    params = {"sigma": 0.1, "patch_size": (13, 10), "group_size": (24, 90), "step": 4}
    told = _psnr(nl_ridge(clean + noise, correlation=correlation, **params), clean)
    gain = {(1, 1): 0.3, (1, 1, 1): 1.0, "stripes": 4.0}[weights]
    assert told > _psnr(nl_ridge(clean + noise, sigma=0.1, step=4), clean) + gain


@pytest.mark.parametrize("bad", [np.ones((2, 3)), np.ones(3), np.full((3, 3), 0.5), [[np.nan]]])
def test_a_correlation_that_is_none_is_refused(bad, noisy):
    with pytest.raises(ValueError, match="correlation of shape"):
        nl_ridge(noisy, sigma=0.1, correlation=bad)
