"""AutoDenoiser, the stacker and RegressionDenoiser on dask arrays: pieces tell, blocks follow."""

import numpy as np
import pytest
from helpers import write_zarr
from sklearn.linear_model import Ridge

from sk_n2s import (
    AutoDenoiser,
    JInvariantWrapper,
    SelfSupervisedSearchCV,
    SelfSupervisedStacker,
)
from sk_n2s._utils.lazy import read_zarr
from sk_n2s.auto import _blockwise
from sk_n2s.cli import main
from sk_n2s.denoisers import RegressionDenoiser, gaussian, median
from sk_n2s.noise import NoiseModel

da = pytest.importorskip("dask.array")
pytest.importorskip("zarr")


def error(a, b):
    return float(np.mean((np.asarray(a) - b) ** 2))


@pytest.fixture
def small_pieces(monkeypatch):
    """Pieces of few entries, so that small data have several."""
    monkeypatch.setattr(_blockwise, "_READ", 2**14)


@pytest.fixture(scope="module")
def scene():
    y, x = np.mgrid[:160, :208] / 16
    return (np.sin(2 * x) * np.cos(y) + (np.hypot(x - 6, y - 5) < 3)).astype(np.float32)


def test_blocks_come_out_as_the_whole_does(scene, rng):
    noisy = scene + rng.normal(scale=0.2, size=scene.shape).astype(np.float32)
    whole = AutoDenoiser("fast", noise=0.2).fit(noisy)
    lazy = whole.transform(da.from_array(noisy, chunks=(80, 104)))
    assert lazy.dtype == np.float32 and lazy.chunks == ((80, 80), (104, 104))
    blocks, expected = lazy.compute(), whole.transform(noisy)
    difference = np.abs(blocks - expected) / 0.2
    seam = np.zeros(scene.shape, bool)
    seam[78:82], seam[:, 102:106] = True, True
    # Reference patches lie elsewhere, which changes as much along seams as anywhere.
    assert difference[seam].mean() < 1.5 * difference[~seam].mean() + 0.01 < 0.1
    assert error(blocks, scene) == pytest.approx(error(expected, scene), rel=0.03)


@pytest.mark.parametrize("role", ["alone", "channels", "items"])
def test_pieces_tell_what_all_of_the_data_would(role, scene, rng, small_pieces):
    axis = {"channels": {"channel_axis": 0}, "items": {"batch_axis": 0}}.get(role, {})
    clean = np.stack([scene, 0.5 * scene + 1]) if axis else scene
    noisy = clean + 0.2 * rng.normal(size=clean.shape)
    blocks = da.from_array(noisy, chunks=(1,) * bool(axis) + (80, 104))
    auto = AutoDenoiser("fast", **axis).fit(blocks)
    assert auto.noise_.level == pytest.approx(0.2, rel=0.08)
    assert auto.n_axes_ == clean.ndim and auto.n_outliers_ == 0
    found = auto.transform(blocks)
    assert isinstance(found, da.Array) and found.shape == clean.shape
    told = error(AutoDenoiser("fast", noise=0.2, **axis).fit_transform(noisy), clean)
    assert error(found, clean) < 1.4 * told
    # Data in memory are denoised as well, and scored.
    of_memory = error(auto.transform(noisy), clean)
    assert of_memory < 1.4 * told
    if not axis:
        assert auto.score(blocks, clean) == pytest.approx(-of_memory)


def test_noise_that_differs_between_places_is_looked_at_in_each_block(scene, rng, small_pieces):
    level = np.where(np.arange(208) < 104, 0.05, 0.5)
    noisy = scene + level * rng.normal(size=scene.shape)
    blocks = da.from_array(noisy, chunks=(160, 104))
    auto = AutoDenoiser("fast").fit(blocks)
    assert "each block is looked at" in str(auto.noise_)
    found = auto.transform(blocks).compute()
    for part, sigma in ((np.s_[:, :88], 0.05), (np.s_[:, 120:], 0.5)):
        assert error(found[part], scene[part]) < 0.35 * sigma**2


def test_correlation_gaps_and_outliers(scene, rng, small_pieces):
    white = rng.normal(size=(160, 209))
    rows = NoiseModel(0.2, correlation=[[0.5, 1, 0.5]])
    noisy = scene + 0.2 * (white[:, 1:] + white[:, :-1]) / np.sqrt(2)
    found = AutoDenoiser("fast", noise=rows).fit(da.from_array(noisy, chunks=(80, 104)))
    assert found.noise_.correlation.shape == (1, 3)
    assert error(found.transform(da.from_array(noisy, chunks=(80, 104))), scene) < 0.3 * 0.04

    spoilt = scene + 0.1 * rng.normal(size=scene.shape)
    spoilt[rng.random(scene.shape) < 0.01] = 40.0
    spoilt[40:80, :104] = np.nan
    blocks = da.from_array(spoilt, chunks=(40, 104))
    auto = AutoDenoiser("fast").fit(blocks)
    assert 0.005 < auto.n_outliers_ / scene.size < 0.015
    found = auto.transform(blocks).compute()
    assert np.nanmax(found) < 3
    assert error(found[90:], scene[90:]) < 0.4 * 0.01


def test_few_counts_are_denoised_in_bins(rng):
    counts = rng.poisson(np.full((160, 208), 0.3)).astype(float)
    blocks = da.from_array(counts, chunks=(53, 104))
    few = AutoDenoiser("fast").fit(blocks)
    assert "bins" in few.error_estimate_.doubts[-1]
    assert error(few.transform(blocks), 0.3) < 0.05


def test_what_cannot_be_is_refused(scene):
    blocks = da.from_array(scene, chunks=80)
    with pytest.raises(ValueError, match="is a map over X, which is a dask array"):
        AutoDenoiser(noise=np.ones(scene.shape)).fit(blocks)
    with pytest.raises(ValueError, match="NaN in all of the pieces"):
        AutoDenoiser().fit(da.full((64, 64), np.nan))


def test_a_stacker_is_fitted_to_the_middle(scene, rng):
    noisy = scene + 0.2 * rng.normal(size=scene.shape)
    blocks = da.from_array(noisy, chunks=(80, 104))
    members = [
        ("median", JInvariantWrapper(median, radius=2)),
        ("search", SelfSupervisedSearchCV(JInvariantWrapper(gaussian), {"sigma": [1.0, 2.0]})),
        ("trees", RegressionDenoiser(Ridge(), scales=(1.0,), random_state=0)),
    ]
    whole = SelfSupervisedStacker(members[:2]).fit(noisy)
    lazy = SelfSupervisedStacker(members[:2]).fit(blocks)  # so small that its middle is all
    assert lazy.weights_ == whole.weights_
    np.testing.assert_allclose(lazy.transform(blocks), whole.transform(noisy), atol=1e-12)
    all_three = SelfSupervisedStacker(members).fit_transform(blocks)
    assert isinstance(all_three, da.Array)
    assert error(all_three, scene) < 0.25 * 0.04


def test_regressors_learn_from_each_block_alone(scene, rng):
    noisy = scene + 0.2 * rng.normal(size=scene.shape)
    denoiser = RegressionDenoiser(Ridge(), scales=(1.0, 2.0), random_state=0)
    blocks = da.from_array(noisy, chunks=(80, 208))
    found = denoiser.fit(blocks).transform(blocks).compute()
    assert error(found, scene) < 0.25 * 0.04
    one = da.from_array(noisy, chunks=-1)
    np.testing.assert_allclose(denoiser.transform(one), denoiser.transform(noisy), atol=1e-12)
    changed = noisy.copy()
    changed[79, 50] += 1e3  # beside a seam
    again = denoiser.transform(da.from_array(changed, chunks=(80, 208))).compute()
    assert again[79, 50] == pytest.approx(found[79, 50], abs=1e-9)


def test_a_file_that_is_larger_than_memory(scene, rng, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    noisy = (scene + 0.2 * rng.normal(size=scene.shape)).astype(np.float32)
    write_zarr("noisy.zarr", da.from_array(noisy, chunks=(80, 104)))
    monkeypatch.setattr("sk_n2s._utils.lazy._BLOCK", noisy.nbytes // 4)
    call = ["denoise", "noisy.zarr", "--effort", "fast", "--spacing", "1", "1", "-o", "out.zarr"]
    assert main(call) == 0
    assert "Dropped" in capsys.readouterr().out
    found = read_zarr("out.zarr")
    assert found.dtype == np.float32
    assert error(found, scene) < 0.2 * 0.04
    assert main(["denoise", "noisy.zarr", "--spacing", "1", "--effort", "fast"]) == 2
    assert "spacing=" in capsys.readouterr().err


def test_a_volume_of_uneven_noise_in_pieces(rng, small_pieces):
    scene = np.stack([np.add.outer(np.sin(np.arange(48) / 5), np.cos(np.arange(64) / 7))] * 32)
    level = np.where(np.arange(64) < 32, 0.05, 0.5)
    noisy = scene + level * rng.normal(size=scene.shape)
    blocks = da.from_array(noisy, chunks=(16, 48, 32))
    found = AutoDenoiser("fast").fit(blocks).transform(blocks).compute()
    for part, sigma in ((np.s_[..., :24], 0.05), (np.s_[..., 40:], 0.5)):
        assert error(found[part], scene[part]) < 0.35 * sigma**2


def test_levels_of_the_data_of_the_fit_are_not_those_of_blocks(scene, rng):
    level = np.array([0.05, 0.8])[:, None, None]
    stack = scene[:64, :64] + level * rng.normal(size=(2, 64, 64))
    auto = AutoDenoiser("fast", batch_axis=0).fit(stack)
    with pytest.raises(ValueError, match="noise differs between places or items"):
        auto.transform(da.from_array(stack, chunks=(1, 64, 64)))
    with pytest.raises(ValueError, match="does not broadcast to the shape"):
        auto.transform(np.repeat(stack, 2, axis=0))


def test_a_block_with_a_single_measurement_is_not_filled(scene, rng):
    noisy = np.full(scene.shape, np.nan)
    noisy[:80, :40] = scene[:80, :40] + 0.2 * rng.normal(size=(80, 40))
    noisy[150, 200] = 1.0
    blocks = da.from_array(noisy, chunks=(80, 104))
    for denoiser in (AutoDenoiser("fast"), RegressionDenoiser(Ridge(), random_state=0)):
        found = denoiser.fit(blocks).transform(blocks).compute()
        assert np.isnan(found[80:, 104:]).all() and np.isfinite(found[:80, :104]).all()


def test_a_stacker_knows_the_columns_of_all_of_the_data(scene):
    large = da.from_array(np.tile(scene, (8, 8)), chunks=640)
    members = [("median", JInvariantWrapper(median, radius=1))]
    assert SelfSupervisedStacker(members, noise=0.2).fit(large).n_features_in_ == large.shape[1]
    with pytest.raises(ValueError, match="noise is a map, and X is a dask array"):
        SelfSupervisedStacker(members, noise=np.full(large.shape, 0.2)).fit(large)
    with pytest.raises(ValueError, match="NaN in all of its middle"):
        SelfSupervisedStacker(members).fit(da.full((64, 64), np.nan))
