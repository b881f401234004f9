"""Chained linear combinations of patches, against their definition."""

import numpy as np
import pytest
from skimage.data import astronaut, camera

from sk_n2s.denoisers import lichi, nl_ridge
from sk_n2s.denoisers._channels import Channels
from sk_n2s.denoisers._multiscale import _resized


def _psnr(a, b):
    return -10 * np.log10(np.mean((a - b) ** 2))


def _patch(A, p, size):
    return A[p[0] : p[0] + size, p[1] : p[1] + size].ravel()


def _groups(X, size, count, step):
    """Return the groups of all reference patches, in a window that is the whole."""
    n = [k - size + 1 for k in X.shape]
    places = [(i, j) for i in range(n[0]) for j in range(n[1])]
    rows, columns = (sorted({*range(0, q, step), q - 1}) for q in n)
    for p in ((i, j) for i in rows for j in columns):
        far = [np.sum((_patch(X, q, size) - _patch(X, p, size)) ** 2) for q in places]
        yield [places[k] for k in np.argsort(far, kind="stable")[:count]]


def _weights(basis, added, removed):
    """I − (YYᵀ + aD)⁻¹rD for weights that sum to one; D is `added` and `removed` with a and r."""
    k = len(basis)
    A = np.linalg.inv(basis @ basis.T + added * np.eye(k))
    A -= np.outer(A.sum(axis=0), A.sum(axis=0)) / A.sum()
    return np.eye(k) - removed * A


def _average(shape, size, groups, estimates, weights, shares):
    total, count, share = np.zeros((3, *shape))
    for group, rows, w, a in zip(groups, estimates, weights, shares, strict=True):
        for p, row, v in zip(group, rows, w, strict=True):
            place = np.s_[p[0] : p[0] + size, p[1] : p[1] + size]
            total[place] += v * row.reshape(size, size)
            count[place] += v
            share[place] += v * a
    return total / count, share / count


def _by_definition(X, sigma, sizes, counts, n_steps, step):
    size, n = sizes[0], sizes[0] ** 2
    groups = list(_groups(X, size, counts[0], step))
    estimates, weights = [], []
    for group in groups:
        Y = np.stack([_patch(X, p, size) for p in group])
        theta = _weights(Y - Y.mean(axis=0), n * sigma**2 / 4, 1.25 * n * sigma**2)
        estimates.append(theta.T @ Y)
        weights.append(1 / np.sum(theta**2, axis=0))
    pilot, _ = _average(X.shape, size, groups, estimates, weights, [0] * len(groups))
    size, n, left = sizes[1], sizes[1] ** 2, X
    for m in range(1, n_steps + 1):
        tau = 0.75 * (1 - m / n_steps)
        if (m - 1) % 3 == 0:
            groups = list(_groups(left, size, counts[1], step))
        estimates, weights, shares = [], [], []
        for group in groups:
            Z, P, Y = (np.stack([_patch(A, p, size) for p in group]) for A in (left, pilot, X))
            t = max(1 - np.std(Y - Z) / sigma, tau, 0.3)
            power = n * (t * sigma) ** 2
            theta = _weights(P - P.mean(axis=0), power, power)
            estimates.append(theta.T @ Z)
            weights.append(1 / np.sum(theta**2, axis=0))
            shares.append(tau / t)
        pilot, share = _average(X.shape, size, groups, estimates, weights, shares)
        left = pilot + share * (left - pilot)
    return left


@pytest.mark.parametrize("n_steps", [1, 2, 4])
def test_the_steps_are_what_the_paper_defines(n_steps, rng, monkeypatch):
    X = np.kron(rng.normal(size=(4, 4)), np.ones((5, 5))) + rng.normal(scale=0.3, size=(20, 20))
    params = {"patch_size": (4, 3), "group_size": (6, 12), "window": 20, "n_steps": n_steps}
    monkeypatch.setattr("sk_n2s.denoisers._noise_units._SINGLE", 0)
    expected = _by_definition(X, 0.3, (4, 3), (6, 12), n_steps, 3)
    found = lichi(X, sigma=0.3, n_scales=1, **params)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)


def test_photographs_come_out_better_than_by_one_refinement():
    for clean in (camera()[60:188, 130:258] / 255, astronaut()[80:208, 160:288, 1] / 255):
        for sigma in (0.05, 0.1, 0.2):
            noisy = clean + np.random.default_rng(5).normal(scale=sigma, size=clean.shape)
            found = lichi(noisy.astype(np.float32), sigma=sigma)
            assert found.dtype == np.float32
            assert _psnr(found, clean) > _psnr(nl_ridge(noisy, sigma=sigma), clean) + 0.1
    one = lichi(noisy, sigma=0.2, n_scales=1)  # of the strongest noise
    assert _psnr(found, clean) > _psnr(one, clean) + 0.05


def test_little_noise_does_not_blow_up(clean):
    for sigma in (1e-3, 1e-6):
        X = clean[:64, :64] + np.random.default_rng(0).normal(scale=sigma, size=(64, 64))
        assert np.std(lichi(X, sigma=sigma) - X) < 1.2 * sigma


def test_a_map_of_the_noise(clean):
    X = clean[:96, :96]
    level = np.where(np.arange(96) < 48, 0.03, 0.15) * np.ones((96, 1))
    noisy = X + level * np.random.default_rng(0).normal(size=X.shape)
    one = float(np.sqrt(np.mean(level**2)))
    told = _psnr(lichi(noisy, sigma=level), X)
    assert told > _psnr(lichi(noisy, sigma=one), X) + 0.5
    assert told > _psnr(nl_ridge(noisy, sigma=level), X)
    same = lichi(noisy, sigma=np.full((1, 96), one))
    np.testing.assert_array_equal(same, lichi(noisy, sigma=one))


def test_colours(rng):
    clean = astronaut()[80:176, 160:256] / 255
    noisy = clean + rng.normal(scale=0.1, size=clean.shape)
    found = lichi(noisy, sigma=0.1, channel_axis=-1)
    alone = np.stack([lichi(c, sigma=0.1) for c in np.moveaxis(noisy, -1, 0)], axis=-1)
    assert _psnr(found, clean) > _psnr(alone, clean) + 0.5
    first = lichi(np.moveaxis(noisy, -1, 0), sigma=0.1, channel_axis=0)
    np.testing.assert_array_equal(np.moveaxis(first, 0, -1), found)
    # Channels of different noise, in their own units, are each denoised as well.
    scale = np.array([1.0, 10.0, 0.1])
    uneven = lichi(noisy * scale, sigma=0.1 * scale, channel_axis=-1)
    np.testing.assert_allclose(uneven / scale, found, atol=5e-3)


def test_channels_that_have_nothing_in_common_are_not_mixed_up(rng):
    clean = np.stack([camera()[100:196, 200:296], astronaut()[300:396, 100:196, 0]]) / 255
    noisy = clean + rng.normal(scale=0.1, size=clean.shape)
    found = lichi(noisy, sigma=0.1, channel_axis=0)
    alone = np.stack([lichi(noisy[k], sigma=0.1) for k in range(2)])
    np.testing.assert_allclose(found, alone, atol=2e-3)


def test_the_turn_of_channels_can_be_undone(rng):
    values = rng.normal(size=(4, 20, 30)) * np.array([1, 2, 3, 50]).reshape(4, 1, 1)
    values += values[:1]
    variance = rng.uniform(1, 2, size=values.shape)
    channels = Channels(values, variance)
    np.testing.assert_allclose(channels.restored(channels.turned(values)), values)
    noise = rng.normal(size=(20000, 4, 1)) * np.sqrt(variance[:, 3, 4].reshape(4, 1))
    turned = np.stack([channels.turned(n) for n in noise])
    np.testing.assert_allclose(
        turned.var(axis=0).ravel(), channels.variance(variance)[:, 3, 4], rtol=0.05
    )


@pytest.mark.parametrize("shape", [(64, 64), (65, 50), (7,)])
def test_coarser_data_have_the_same_values(shape, rng):
    half = tuple((n + 1) // 2 for n in shape)
    ramp = np.linspace(3, 9, shape[0]).reshape(1, -1, *(1,) * (len(shape) - 1)) + np.zeros(shape)
    coarse = _resized(ramp, half)
    assert coarse.shape == (1, *half)
    assert abs(coarse.mean() - ramp.mean()) < 1e-9
    np.testing.assert_allclose(_resized(_resized(coarse, shape), half), coarse, atol=1e-9)
    white = rng.normal(size=(500, *shape))
    share = np.prod(half) / np.prod(shape)
    np.testing.assert_allclose(_resized(white, half).var(axis=0).mean(), share, rtol=0.05)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"sigma": -1.0}, "sigma=-1.0 must be a finite number"),
        ({"n_steps": 0}, "n_steps=0 must be"),
        ({"n_scales": 0}, "n_scales=0 must be"),
        ({"correlation": np.ones((2, 3))}, "correlation of shape"),
        ({"correlation": np.ones(3)}, "must have an axis for each of the 2 axes"),
    ],
)
def test_bad_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        lichi(np.eye(16), **{"sigma": 0.1, **params})
