"""Arrays that are larger than memory: the result is that of the array in memory."""

import numpy as np
import pytest
from helpers import Shared, write_zarr
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_n2s import (
    CheckerboardPartition,
    ColumnPartition,
    GridPartition,
    JInvariantWrapper,
    PairPartition,
    RandomPartition,
    SelfSupervisedHalvingSearchCV,
    SelfSupervisedSearchCV,
)
from sk_n2s._utils.lazy import read_zarr
from sk_n2s.cli import main
from sk_n2s.denoisers import (
    DENOISERS,
    butterworth,
    gaussian,
    median,
    nl_means,
    reach_of,
    tv,
    uniform,
    wavelet,
)
from sk_n2s.noise import NoiseCurve, NoiseModel

da = pytest.importorskip("dask.array")
pytest.importorskip("zarr")

#: Parameters with which the denoisers estimate nothing from the data they are shown.
SET = {
    "bilateral": {"sigma_color": 0.3, "radius": 2},
    "dct": {"sigma": 0.2, "patch_size": 4},
    "nl_means": {"h": 0.2, "patch_size": 3, "patch_distance": 2},
    "tv": {"weight": 0.2, "num_iter": 6},
}


def is_local(name):
    reach = reach_of(DENOISERS[name], SET.get(name, {}), 2)
    return reach.exactly and max(reach.distance) < np.inf


LOCAL = [name for name in DENOISERS if is_local(name)]


@pytest.fixture(scope="module")
def image():
    y, x = np.mgrid[:101, :87] / 20
    clean = np.sin(3 * x) + (np.sin(2 * y) > 0)
    return clean + np.random.default_rng(0).normal(scale=0.2, size=clean.shape)


def both(wrapper, X, chunks):
    lazy = wrapper.fit(da.from_array(X, chunks=chunks)).transform(da.from_array(X, chunks=chunks))
    assert isinstance(lazy, da.Array) and lazy.shape == X.shape
    found = lazy.compute()
    assert found.dtype == lazy.dtype == wrapper.fit(X).transform(X).dtype
    return found, wrapper.fit(X).transform(X)


@pytest.mark.parametrize("output", ["invariant", "plain", "blend"])
@pytest.mark.parametrize("name", LOCAL)
def test_local_denoisers_give_what_they_give_in_memory(name, output, image):
    wrapper = JInvariantWrapper(DENOISERS[name], output=output, noise=0.2, **SET.get(name, {}))
    # Sums in other orders round differently; NL-means lets go of weights that are too small.
    atol = 1e-7 if name == "nl_means" else 1e-12
    assert_allclose(*both(wrapper, image, (30, 41)), rtol=0, atol=atol)


@pytest.mark.parametrize(
    "partition",
    [None, GridPartition((3, 5)), CheckerboardPartition(), ColumnPartition(7)],
    ids=repr,
)
@pytest.mark.parametrize("chunks", [(1000, 1000), (13, 11), ((1, 60, 40), (5, 82))])
def test_masks_do_not_notice_the_blocks(partition, chunks, image):
    wrapper = JInvariantWrapper(gaussian, method="mask", partition=partition, sigma=0.8)
    assert_allclose(*both(wrapper, image, chunks), rtol=0, atol=1e-12)


def test_other_axes_and_missing_entries(image):
    X = np.stack([image, image + 1, -image], axis=-1).astype(np.float32)
    X[::7, ::5] = np.nan
    X[50] = np.nan
    wrapper = JInvariantWrapper(median, channel_axis=-1, radius=2)
    assert_array_equal(*both(wrapper, X, (40, 40, 2)))
    stack = np.stack([image, image[::-1]])
    wrapper = JInvariantWrapper(tv, batch_axis=0, weight=0.2, num_iter=5, output="plain")
    assert_array_equal(*both(wrapper, stack, (1, 40, 87)))
    pair = JInvariantWrapper(tv, partition=PairPartition(), batch_axis=0, weight=0.2, num_iter=5)
    assert_array_equal(*both(pair, stack, (1, 40, 40)))
    counts = np.random.default_rng(0).poisson(9, size=(60, 60)).astype(np.uint16)
    assert_array_equal(*both(JInvariantWrapper(median), counts, 20))
    gone = image.copy()
    gone[:50] = np.nan
    lazy = JInvariantWrapper(gaussian, sigma=0.5).fit(gone).transform(da.from_array(gone, 20))
    assert np.isnan(lazy.compute()[:20]).all() and not np.isnan(lazy.compute()[50:]).any()


def test_channels_are_shown_together(image):
    X = np.stack([image, image + 1, -image], axis=-1)
    params = {"output": "plain", "h": 0.8, "patch_distance": 2}
    wrapper = JInvariantWrapper(nl_means, channel_axis=-1, **params)
    assert_allclose(*both(wrapper, X, (50, 50, 1)), rtol=0, atol=1e-7)


def test_masked_blocks(image):
    hidden = np.random.default_rng(0).random(image.shape) < 0.2
    X = np.ma.array(np.where(hidden, 1e6, image), mask=hidden)
    lazy = da.from_array(X, chunks=40)
    grid = {"radius": [1, 2]}
    here, there = (
        SelfSupervisedSearchCV(JInvariantWrapper(median), grid).fit(A) for A in (X, lazy)
    )
    assert there.best_params_ == here.best_params_
    assert there.best_score_ == pytest.approx(here.best_score_, rel=0.05)
    assert_array_equal(there.transform(lazy).compute(), here.transform(X))


def test_partitions_that_hide_nothing_do_not_mind_small_blocks(image):
    for partition in (PairPartition(0), GridPartition(9), ColumnPartition(20)):
        X = image[:30, :30]
        for params in ({"output": "plain"}, {"method": "exact"}):
            wrapper = JInvariantWrapper(median, partition=partition, **params)
            assert_array_equal(*both(wrapper, X, (3, 3)))


def test_random_sets_are_drawn_in_each_block(image):
    wrapper = JInvariantWrapper(uniform, method="mask", partition=RandomPartition(4, 0))
    found, expected = both(wrapper, image, (50, 50))
    assert not np.array_equal(found, expected)
    assert np.mean((found - expected) ** 2) < 0.3 * np.mean((image - expected) ** 2)


def test_a_blend_knows_the_variance_of_each_entry(image):
    variance = np.linspace(0.01, 0.2, 87)
    wrapper = JInvariantWrapper(median, output="blend", noise=np.sqrt(variance))
    assert_allclose(*both(wrapper, image, (60, 40)), rtol=0, atol=1e-12)
    wrapper.set_params(noise=NoiseModel(curve=NoiseCurve(0.1, 0.03)))
    assert_allclose(*both(wrapper, np.abs(image), (60, 40)), rtol=0, atol=1e-12)
    lazy = JInvariantWrapper(median, output="blend").fit(da.from_array(image))
    assert lazy.noise_ == JInvariantWrapper(median, output="blend").fit(image).noise_


def test_the_halo_decides_on_what_is_not_local(image):
    """TV with fewer entries than its iterations reach, filters of the whole; wavelets."""
    for denoiser, params, limits in [
        (tv, {"weight": 0.2, "num_iter": 60}, {4: 0.03, 16: 1e-3, 32: 1e-4}),
        (butterworth, {}, {4: 5e-3, 16: 5e-4}),
        (wavelet, {"sigma": 0.2}, {32: 0.2}),
    ]:
        for halo, limit in limits.items():
            wrapper = JInvariantWrapper(denoiser, output="plain", halo=halo, **params)
            found, expected = both(wrapper, image, (50, 50))
            assert np.sqrt(np.mean((found - expected) ** 2)) < limit * 0.2  # of the noise


def test_what_needs_a_halo_says_so(image):
    lazy = da.from_array(image, chunks=40)
    for denoiser, reason in [
        (butterworth, "butterworth looks at all of X"),
        (lambda X: X, "<lambda> does not say how far it looks"),
    ]:
        with pytest.raises(ValueError, match=f"halo=None: {reason}"):
            JInvariantWrapper(denoiser).fit(lazy).transform(lazy)
        with pytest.raises(ValueError, match="its halo|set halo"):
            search = SelfSupervisedSearchCV(JInvariantWrapper(denoiser), {"fill": ["mean"]})
            search.fit(lazy).transform(lazy)
    with pytest.raises(ValueError, match="halo=\\(1, 2, 3\\)"):
        JInvariantWrapper(median, halo=(1, 2, 3)).fit(lazy).transform(lazy)
    with pytest.raises(ValueError, match="infinity"):
        JInvariantWrapper(median).fit(lazy).transform(lazy + np.inf).compute()
    with pytest.raises(TypeError, match="real numbers"):
        JInvariantWrapper(median).fit(lazy.astype(complex))
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        JInvariantWrapper(median).fit(lazy[lazy[:, 0] > 0])


@pytest.mark.parametrize("search", [SelfSupervisedSearchCV, SelfSupervisedHalvingSearchCV])
def test_a_search_looks_at_pieces(search, image):
    seen = Shared()

    def denoiser(X, *, sigma=1.0):
        seen.append(X.size)
        return gaussian(X, sigma=sigma)

    large = np.tile(image, (4, 4))
    grid = {"sigma": [0.4, 0.6, 1.0, 4.0]}
    wrapper = JInvariantWrapper(gaussian, noise=0.2)
    in_memory = search(wrapper, grid).fit(large)
    lazy = search(wrapper, grid).fit(da.from_array(large, chunks=200))
    assert lazy.best_params_ == in_memory.best_params_ == {"sigma": 0.6}
    assert lazy.best_score_ == pytest.approx(in_memory.best_score_, rel=0.02)
    assert isinstance(lazy.transform(da.from_array(large, chunks=200)), da.Array)
    assert lazy.transform(image).shape == image.shape
    assert lazy.estimated_psnr_ == pytest.approx(in_memory.estimated_psnr_, abs=0.3)
    blind = JInvariantWrapper(denoiser, halo=5, noise=0.2)
    search(blind, grid).fit(da.from_array(large, chunks=200))
    assert max(seen) < 150**2
    plain = JInvariantWrapper(tv, output="plain", num_iter=9, noise=0.2)
    lazy = search(plain, {"weight": [0.01, 0.2, 2.0]}).fit(da.from_array(large, chunks=200))
    assert lazy.best_params_ == {"weight": 0.2} and lazy.estimated_psnr_ > 10


def test_all_pieces_are_all_of_the_data(image):
    X = np.tile(image, (2, 2))[:160, :160]
    X[:40] = np.nan
    grid = {"radius": [1, 2]}
    wrapper = JInvariantWrapper(median)
    lazy = SelfSupervisedSearchCV(wrapper, grid, n_splits=None).fit(da.from_array(X, chunks=40))
    expected = SelfSupervisedSearchCV(wrapper, grid, n_splits=None).fit(X)
    for name in ("mean_test_score", "rank_test_score"):
        assert_allclose(lazy.cv_results_[name], expected.cv_results_[name])
    assert lazy.score(da.from_array(X)) == pytest.approx(expected.score(X))


def test_a_pipeline_of_lazy_steps(image):
    lazy = da.from_array(image, chunks=50)
    pipeline = make_pipeline(FunctionTransformer(lambda X: X * 2), JInvariantWrapper(median))
    grid = {"jinvariantwrapper__radius": [1, 2]}
    search = SelfSupervisedSearchCV(pipeline, grid).fit(lazy)
    assert_array_equal(search.transform(lazy).compute(), search.transform(image))


def test_on_a_cluster(image):
    """Candidates run on the workers of a cluster; blocks as well."""
    distributed = pytest.importorskip("distributed")
    import joblib

    grid = {"h": [0.1, 0.2, 0.4]}
    wrapper = JInvariantWrapper(nl_means, patch_size=3, patch_distance=2)
    here = SelfSupervisedSearchCV(wrapper, grid).fit(image)
    odd = JInvariantWrapper(lambda X, *, by=0: X + by)
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
        ) as cluster,
        distributed.Client(cluster),
    ):
        with joblib.parallel_config("dask"):
            there = SelfSupervisedSearchCV(wrapper, grid).fit(image)
            also = SelfSupervisedSearchCV(odd, {"by": [1, 0]}).fit(image)
        lazy = there.transform(da.from_array(image, chunks=50)).compute()
    assert also.best_params_ == {"by": 0}
    assert_array_equal(there.cv_results_["mean_test_score"], here.cv_results_["mean_test_score"])
    assert_allclose(lazy, here.transform(image), rtol=0, atol=1e-7)


# zarr --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
def test_zarr_in_and_out(dtype, image, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X = (image * 100 + 300).astype(dtype)
    write_zarr("noisy.zarr", X)
    assert_array_equal(read_zarr("noisy.zarr").compute(), X)
    assert main(["calibrate", "noisy.zarr", "--jobs", "2"]) == 0
    printed = capsys.readouterr().out
    assert "chosen: radius=" in printed and "wrote noisy_denoised.zarr" in printed
    radius = int(printed.partition("chosen: radius=")[2].split()[0])
    expected = JInvariantWrapper(median, radius=radius).fit(X).transform(X)
    expected = expected.astype(dtype) if dtype == np.float32 else np.rint(expected).astype(dtype)
    found = read_zarr("noisy_denoised.zarr")
    assert found.dtype == expected.dtype
    assert_array_equal(found.compute(), expected)
    assert main(["denoise", "noisy.zarr", "--effort", "fast", "-o", "all.zarr"]) == 0
    assert read_zarr("all.zarr").shape == X.shape
    assert main(["calibrate", "noisy.zarr", "-o", "noisy.npy"]) == 0
    assert_array_equal(np.load("noisy.npy"), expected)
    np.save("some.npy", X)
    assert main(["calibrate", "some.npy", "-o", "some.zarr"]) == 0
    assert_array_equal(read_zarr("some.zarr").compute(), expected)
    left = sorted(p.name for p in tmp_path.iterdir() if not p.name.endswith("calibration.png"))
    assert left == ["all.zarr", "noisy.npy", "noisy.zarr", "noisy_denoised.zarr", "some.npy",
                    "some.zarr"]  # fmt: skip


def test_an_array_within_a_group(image, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_zarr("group.zarr/0", image)
    assert main(["calibrate", "group.zarr/0", "--clean", "group.zarr/0"]) == 0
    assert read_zarr("0_denoised.zarr").shape == image.shape
    assert "true error" in capsys.readouterr().out
    assert main(["calibrate", "group.zarr/0", "-o", "group.zarr/1"]) == 0
    assert read_zarr("group.zarr/1").shape == image.shape
    files = sorted(p.name for p in tmp_path.iterdir())
    assert files == ["0_denoised.zarr", "0_denoised_calibration.png", "1_calibration.png",
                     "group.zarr"]  # fmt: skip


def test_what_is_wrong_with_zarr_files_is_said(image, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_zarr("noisy.zarr", image)
    (tmp_path / "empty.zarr").mkdir()
    (tmp_path / "file.zarr").touch()
    write_zarr("broken.zarr", np.where(image > 1, np.inf, image))
    cases = {
        ("calibrate", "none.zarr"): "none.zarr: there is no such file",
        ("calibrate", "empty.zarr"): "empty.zarr: cannot be read as an array",
        ("calibrate", "noisy.zarr", "-o", "noisy.zarr"): "noisy.zarr: exists, and a folder is not",
        ("calibrate", "noisy.zarr", "-o", "noisy.zarr/x"): "lies within the array noisy.zarr",
        ("calibrate", "noisy.zarr", "-o", "file.zarr"): "file.zarr: exists",
        ("calibrate", "broken.zarr", "-o", "x.zarr"): "infinity",
        ("calibrate", "noisy.zarr", "-o", "x.png"): ".png cannot hold such float64 data",
        ("calibrate", "noisy.zarr", "--denoiser", "wiener", "--param", "cutoff=0.1"): "halo",
    }
    for arguments, reason in cases.items():
        assert main(list(arguments)) == 2
        error = capsys.readouterr().err
        assert reason in error and error.count("\n") == 1
    wiener = ["calibrate", "noisy.zarr", "--denoiser", "wiener", "--param", "cutoff=0.1"]
    assert main([*wiener, "--halo", "16"]) == 0
    assert not (tmp_path / "x.zarr").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_without_the_extra(image, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_zarr("noisy.zarr", image)
    monkeypatch.setitem(__import__("sys").modules, "zarr", None)
    assert main(["calibrate", "noisy.zarr"]) == 2
    assert "pip install 'sk_n2s[dask]'" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["invariant", "blend"])
@pytest.mark.parametrize("method", ["mask", "exact"])
def test_blocks_in_which_nothing_can_be_predicted_do_not_end_the_computation(method, output, image):
    gone = np.full((64, 64), np.nan)
    gone[:32] = image[:32, :64]
    gone[40, 8] = 1.0  # a block with a single measurement
    gone[40:64:4, 40:64:4] = 2.0  # a block with all of them in one set
    wrapper = JInvariantWrapper(
        gaussian, method=method, output=output, noise=0.1, halo=0, sigma=0.7
    )
    blocks = da.from_array(gone, 32)
    found = wrapper.fit(blocks).transform(blocks).compute()
    upper = wrapper.fit(gone[:32, :32]).transform(gone[:32, :32])
    assert_allclose(found[:32, :32], upper, rtol=0, atol=1e-12)
    assert np.isnan(found[32:, :32]).all()
    assert np.isnan(found[32:, 32:]).all() == (method == "mask")
    with pytest.raises(ValueError, match="a single measurement"):
        wrapper.fit(gone[32:, :32]).transform(gone[32:, :32])
    search = SelfSupervisedSearchCV(wrapper.set_params(noise=None), {"sigma": [0.5, 0.7, 4.0]})
    assert search.fit(blocks).best_params_["sigma"] < 4
