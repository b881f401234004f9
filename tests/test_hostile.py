"""Malformed and hostile files and arguments: a sentence, exit code 2, and nothing left behind."""

import gzip
import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import textwrap
import zipfile
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.io import mmwrite

from sk_n2s.cli import _interrupts, main
from sk_n2s.cli._options import DENOISERS
from sk_n2s.files import whole
from sk_n2s.files.picture import Refusal

SAID = "sk-n2s: error: "


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def _png(width: int, height: int, bits: int = 8, colours: int = 0) -> bytes:
    """Return a PNG file that says its size, and of which all else is missing."""
    header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(b"0"))


def _npy(shape: str, descr: str = "'<f8'") -> bytes:
    """Return an NPY file that says a shape, and holds no data."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}"
    header = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()


def _cut(path, share=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def _save_arrays(folder, grey):
    rng = np.random.default_rng(0)
    arrays = {
        "axes16": np.zeros((2,) * 16, np.float32),
        "ones16": rng.normal(size=(1,) * 14 + (30, 30)),
        "complex": grey.astype(complex),
        "text": np.array([["a", "b"], ["c", "d"]]),
        "bytes": np.array([[b"a", b"b"]]),
        "dates": np.zeros((4, 4), "datetime64[s]"),
        "records": np.zeros((4, 4), [("x", float), ("y", float)]),
        "huge": np.where(grey > 100, 1e300, 1.0),
        "huge32": np.where(grey > 100, 1e30, 1.0).astype(np.float32),
        "infinite": np.where(grey > 100, np.inf, 1.0),
        "nan": np.full((8, 8), np.nan),
        "constant": np.full((16, 16), 7.0),
        "constant_nan": np.where(grey > 100, np.nan, 7.0),
        "single": np.float64(3),
        "one": np.ones(1),
        "none": np.empty((0, 5)),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    np.save(folder / "objects.npy", np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    (folder / "pickle.npy").write_bytes(pickle.dumps([1, 2, 3]))
    (folder / "claims.npy").write_bytes(_npy("(100000, 100000)"))
    (folder / "overflow.npy").write_bytes(_npy("(4294967296, 4294967296, 4294967296)"))
    (folder / "negative.npy").write_bytes(_npy("(-5, 5)"))
    (folder / "code.npy").write_bytes(_npy("__import__('os').system('true')"))
    (folder / "short.npy").write_bytes(_npy("(10, 10)"))


def _save_texts(folder):
    for name in ("text.mtx", "text.gif", "text.parquet"):
        (folder / name).write_text("this is no table, but a letter to a friend\n" * 20)
    for name, field, size in (
        ("pattern", "pattern", "2 2 1"),
        ("claims", "real", "99999 99999 1"),
        ("stores", "real", "2 2 99999999"),
    ):
        text = f"%%MatrixMarket matrix coordinate {field} general\n{size}\n1 1 1\n"
        (folder / f"{name}.mtx").write_text(text)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Return a folder of files of which none can be denoised, and one that can."""
    folder = tmp_path_factory.mktemp("hostile")
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 255, (24, 30), dtype=np.uint8)
    colour = np.stack([grey] * 3, -1)
    image = Image.fromarray(grey)
    image.save(folder / "good.png")
    _save_arrays(folder, grey)
    (folder / "wide.png").write_bytes(_png(13_000, 13_000))
    (folder / "wider.png").write_bytes(_png(2**31 - 1, 2**31 - 1))
    (folder / "zero.png").write_bytes(_png(0, 10))
    (folder / "deep.png").write_bytes(_png(10, 10, bits=16, colours=2))
    (folder / "text.tif").write_text("this is no image, but a letter to a friend\n" * 20)
    (folder / "text.nii").write_text("this is no volume\n" * 50)
    (folder / "text.csv").write_text("a,b\nno,number\nin,it\n")
    (folder / "ragged.csv").write_text("1,2,3\n4,5\n6,7,8,9,10\n")
    (folder / "binary.csv").write_bytes(bytes(range(256)) * 8)
    for suffix in ("png", "jpg", "webp", "bmp", "tif", "npy", "npz", "csv", "nii", "fits"):
        (folder / f"empty.{suffix}").touch()
        (folder / f"folder.{suffix}").mkdir()
    os.mkfifo(folder / "pipe.tif")
    os.mkfifo(folder / "pipe.npy")
    for suffix in ("png", "jpg", "webp", "bmp", "gif"):
        image.save(folder / f"cut.{suffix}")
    tifffile.imwrite(folder / "cut.tif", grey)
    tifffile.imwrite(folder / "cut_lzw.tif", grey, compression="zlib")
    np.save(folder / "cut.npy", grey)
    np.savez(folder / "cut.npz", grey=grey, other=grey)
    for path in folder.glob("cut*"):
        _cut(path)
    with zipfile.ZipFile(folder / "no_arrays.npz", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    np.savez(folder / "several.npz", first=grey, second=grey)
    np.savez(folder / "objects.npz", a=np.array([None, 1], dtype=object))
    tifffile.memmap(folder / "wide.tif", shape=(20_000, 20_000), dtype=np.uint8)
    tifffile.memmap(folder / "wider.tif", shape=(30_000, 30_000), dtype=np.float32)
    _save_texts(folder)
    tifffile.imwrite(folder / "complex.tif", grey.astype(np.complex64))
    tifffile.imwrite(folder / "cmyk.tif", np.dstack([colour, grey]), photometric="separated")
    tifffile.imwrite(folder / "constant.tif", np.full((16, 16), 7, np.uint8))
    with tifffile.TiffWriter(folder / "series.tif") as tif:
        tif.write(grey)
        tif.write(colour, photometric="rgb")
    Image.fromarray(np.dstack([colour, grey]), "CMYK").save(folder / "cmyk.jpg")
    frames = [Image.fromarray(np.roll(grey, k)) for k in range(3)]
    frames[0].save(folder / "moving.png", save_all=True, append_images=frames[1:])
    (folder / "renamed.png").write_bytes((folder / "text.tif").read_bytes())
    (folder / "params.json").write_text('{"denoiser": "magic", "params": {}, "output": "plain"}')
    (folder / "deep.json").write_text("[" * 100_000)
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "file.zarr").write_text("no folder")
    (folder / "empty.zarr").mkdir()
    return folder


FILES = [
    ("axes16.npy", "has 16 axes, and 7 are the most"),
    ("ones16.npy", "has 16 axes, and 7 are the most"),
    ("complex.npy", "must hold real numbers, and holds complex numbers"),
    ("text.npy", "must hold real numbers, and holds text"),
    ("bytes.npy", "must hold real numbers, and holds text"),
    ("dates.npy", "must hold real numbers, and holds dates"),
    ("records.npy", "must hold real numbers, and holds records"),
    ("objects.npy", "must hold real numbers, and holds Python objects"),
    ("pickle.npy", "cannot be read as an array"),
    ("huge.npy", "holds values as large as 1e+300"),
    ("huge32.npy", "holds values as large as 1e+30"),
    ("infinite.npy", "holds infinity"),
    ("nan.npy", "holds nothing but NaN"),
    ("constant.npy", "there is nothing to denoise, all values are 7"),
    ("constant_nan.npy", "there is nothing to denoise, all values are 7"),
    ("single.npy", "holds a single number"),
    ("one.npy", "there is nothing to denoise"),
    ("none.npy", "is empty, its shape is (0, 5)"),
    ("claims.npy", "more than --memory-limit 8"),
    ("overflow.npy", "more than --memory-limit 8"),
    ("negative.npy", "negative.npy: "),
    ("code.npy", "cannot be read as an array"),
    ("short.npy", "is cut off"),
    ("wide.png", "cannot be read as an array"),
    ("wider.png", "wider.png: "),
    ("zero.png", "zero.png: "),
    ("deep.png", "of which the reader keeps 8; save a TIFF"),
    ("text.tif", "cannot be read as an array"),
    ("text.nii", "cannot be read as an array"),
    ("text.csv", "holds no column of numbers"),
    ("ragged.csv", "cannot be read as an array"),
    ("binary.csv", "binary.csv: "),
    *((f"empty.{s}", "is an empty file") for s in ("png", "jpg", "webp", "bmp", "tif", "npy")),
    *((f"empty.{s}", "is an empty file") for s in ("npz", "csv", "nii", "fits")),
    *((f"folder.{s}/", "holds no file of a known format") for s in ("png", "tif", "npy", "npz")),
    ("pipe.tif", "is a pipe or a device"),
    ("pipe.npy", "is a pipe or a device"),
    ("cut.png", "cannot be read as an array"),
    ("cut.jpg", "cannot be read as an array"),
    ("cut.webp", "cannot be read as an array"),
    ("cut.bmp", "cannot be read as an array"),
    ("cut.tif", "is cut off"),
    ("cut_lzw.tif", "is cut off"),
    ("cut.npy", "is cut off"),
    ("cut.npz", "is no NPZ file, or not all of it"),
    ("no_arrays.npz", "no_arrays.npz: "),
    ("several.npz", "holds 2 arrays, choose one by --series: first, second"),
    ("objects.npz", "must hold real numbers, and holds Python objects"),
    ("wide.tif", "there is nothing to denoise, all values are 0"),
    ("wider.tif", "30000 × 30000 entries take about 50 GB"),
    ("text.mtx", "is no Matrix Market file"),
    ("pattern.mtx", "must hold real numbers, and holds only where it is not 0"),
    ("claims.mtx", "more than --memory-limit 8"),
    ("stores.mtx", "says that it stores 99999999 entries, and has 4"),
    ("text.gif", "is no GIF file"),
    ("cut.gif", "cut.gif: "),
    ("text.parquet", "is no Parquet file"),
    ("complex.tif", "must hold real numbers, and holds complex numbers"),
    ("cmyk.tif", "holds colours of inks (CMYK)"),
    ("cmyk.jpg", "holds colours of inks (CMYK)"),
    ("constant.tif", "there is nothing to denoise, all values are 7"),
    ("series.tif", "holds 2 images, choose one by --series"),
    ("moving.png", "holds 3 pictures, choose one by --series"),
    ("renamed.png", "is no PNG, JPEG, WebP or BMP file"),
    ("loop.png", "loop.png: "),
    ("file.zarr", "is a file, and a zarr array is a folder"),
    ("missing.tif", "there is no such file"),
    ("good.png/inner.png", "there is no such file"),
    ("n" * 300 + ".png", "File name too long"),
    ("nul\0.png", "is no name of a file"),
    ("noisy.xyz", "unknown format '.xyz'"),
    ("noisy", "unknown format ''"),
    ("*.nothing", "matches no file"),
]

ARGUMENTS = [
    (["denoise", "good.png", "--jobs", "100000"], "100000 is not -1 for all cores, or 1 to"),
    (["denoise", "good.png", "--jobs", "0"], "0 is not -1"),
    (["denoise", "good.png", "--jobs", "many"], "many is not -1"),
    (["denoise", "good.png", "--method", "magic"], "invalid choice: 'magic'"),
    (["denoise", "good.png", "--effort", "endless"], "invalid choice: 'endless'"),
    (["denoise", "good.png", "--noise", "nan"], "nan is not a positive number"),
    (["denoise", "good.png", "--noise", "-1"], "-1 is not a positive number"),
    (["denoise", "good.png", "--memory-limit", "0"], "0 is not a positive number"),
    (["denoise", "good.png", "--memory-limit", "1e-6"], "more than --memory-limit 1e-06"),
    (["denoise", "good.png", "--spacing", "inf"], "inf is not a positive number"),
    (["denoise", "good.png", "--spacing", "1", "2", "3"], "spacing="),
    (["denoise", "good.png", "--method", "tv", "--spacing", "1"], "belongs to the race"),
    (["denoise", "good.png", "--channel-axis", "9"], "channel_axis=9 is not an axis"),
    (["denoise", "good.png", "--channel-axis", "x"], "x is neither the number of an axis"),
    (["denoise", "good.png", "--batch-axis", "0", "--channel-axis", "0"], "axis"),
    (["denoise", "good.png", "--series", "7"], "has no --series 7"),
    (["denoise", "good.png", "--series", "-1"], "has no --series"),
    (["denoise", "good.png", "--series=-1"], "has no --series -1"),
    (["denoise", "several.npz", "--series", "third"], "has no array 'third', but first, second"),
    (["denoise", "series.tif", "--series", "0.4"], "there are levels 0 to 0"),
    (["denoise", "good.png", "--dtype", "complex128"], "invalid choice: 'complex128'"),
    (["denoise", "good.png", "--dtype", "float32"], "cannot hold such float32 data"),
    (["denoise", "good.png", "--param", "sigma=1"], "--param: belongs to --method NAME"),
    (["denoise", "good.png", "--method", "tv", "--param", "x=1"], "tv has no 'x'"),
    (["denoise", "good.png", "--method", "tv", "--param", "weight=1,2"], "several values"),
    (["denoise", "good.png", "--method", "tv", "--param", "weight"], "not of the form"),
    (["denoise", "good.png", "--method", "tv", "--param", "weight=" + "(" * 5000], "weight="),
    (["denoise", "good.png", "--load-params", "none.json"], "there is no such file of parameters"),
    (["denoise", "good.png", "--load-params", "good.png"], "is no file that calibrate"),
    (["denoise", "good.png", "--load-params", "deep.json"], "is no file that calibrate"),
    (["denoise", "good.png", "--load-params", "params.json"], "names no denoiser or output"),
    (["denoise", "good.png", "-o", "good.png"], "is the input, which is never overwritten"),
    (["denoise", "good.png", "-o", "./good.png"], "is the input, which is never overwritten"),
    (["denoise", "good.png", "-o", "none/out.png"], "the folder none does not exist"),
    (["denoise", "good.png", "-o", "out.xyz"], "unknown format '.xyz'"),
    (["denoise", "good.png", "-o", "pipe.tif"], "is a pipe or a device"),
    (["denoise", "good.png", "-o", "/dev/null"], "/dev/null: "),
    (["denoise", "good.png", "-o", "nul\0.png"], "is no name of a file"),
    (["denoise", "good.png", "-o", "n" * 300 + ".png"], "File name too long"),
    (["denoise", "good.png", "missing.png", "-o", "out"], "the folder does not exist"),
    (["denoise", "good.png", "cut.png", "-o", "good.png"], "is no folder"),
    (["denoise", "good.png", "empty.zarr/good.png"], "is the output of both"),
    (["denoise"], "the following arguments are required: IMAGE"),
    (["denoise", "good.png", "--frobnicate"], "unrecognized arguments: --frobnicate"),
    (["denoise", ""], "'': is no name of a file"),
    (["frobnicate"], "invalid choice: 'frobnicate'"),
    ([], "the following arguments are required: COMMAND"),
    (["noise", "missing.png"], "there is no such file"),
    (["noise", "pipe.npy"], "is a pipe or a device"),
    (["noise", "nan.npy"], "holds nothing but NaN"),
    (["compare", "good.png", "missing.png"], "there is no such file"),
    (["compare", "good.png", "constant.npy"], "has shape (16, 16), and good.png (24, 30)"),
    (["compare", "nan.npy", "nan.npy"], "is a number at the same place"),
    (["compare", "good.png", "good.png", "--clean", "pipe.tif"], "is a pipe or a device"),
    (["compare", "good.png"], "the following arguments are required: B"),
    (["calibrate", "good.png", "--clean", "constant.npy"], "has shape (16, 16)"),
    (["calibrate", "good.png", "--save-params", "none/p.json"], "the folder none does not exist"),
    (["calibrate", "good.png", "--save-params", "good.png"], "is the input"),
    (["calibrate", "good.png", "--halo", "-1"], "-1 is not a whole number"),
    (["calibrate", "good.png", "--param", "radius=1:99999999"], "give 1 to 1000"),
]


def _refusal(argv, capsys):
    """Run what has to be refused, and return its sentence."""
    before = sorted(os.listdir())
    try:
        status = main(argv)
    except SystemExit as stop:  # argparse
        status = stop.code
    captured = capsys.readouterr()
    assert status == 2
    assert captured.err.startswith(SAID) and captured.err.count("\n") == 1, captured.err
    assert len(captured.err) < 1000
    assert "unsafe" not in captured.err and "pickle" not in captured.err.replace("pickle.npy", "")
    assert "Error" not in captured.err
    assert sorted(os.listdir()) == before
    return captured.err


@pytest.mark.parametrize(("name", "message"), FILES, ids=[name[:20] for name, _ in FILES])
def test_hostile_files(name, message, hostile, capsys, monkeypatch):
    monkeypatch.chdir(hostile)
    needs = {"csv": "pandas", "nii": "nibabel", "fits": "astropy", "parquet": "pyarrow"}
    suffix = name.rpartition(".")[2]
    if not name.startswith(("empty", "folder")) and suffix in needs:
        pytest.importorskip(needs[suffix])
    assert message in _refusal(["denoise", name], capsys)


@pytest.mark.parametrize(("argv", "message"), ARGUMENTS, ids=range(len(ARGUMENTS)))
def test_hostile_arguments(argv, message, hostile, capsys, monkeypatch):
    monkeypatch.chdir(hostile)
    assert message in _refusal(argv, capsys)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".fits", ".zarr"])
def test_truncated_files_of_other_packages(suffix, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X = np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32)
    path = tmp_path / f"cut{suffix}"
    if suffix == ".fits":
        pytest.importorskip("astropy.io.fits").PrimaryHDU(X).writeto(path)
    elif suffix == ".zarr":
        zarr = pytest.importorskip("zarr")
        zarr.create_array(str(path), data=X)
        for chunk in path.rglob("c/*/*"):
            _cut(chunk)
    else:
        nibabel = pytest.importorskip("nibabel")
        nibabel.Nifti1Image(X, np.eye(4)).to_filename(path)
    if suffix != ".zarr":
        _cut(path)
    assert f"cut{suffix}: " in _refusal(["denoise", path.name], capsys)


@pytest.mark.parametrize(
    "name", ["png", "jpg", "webp", "bmp", "tif", "lzw.tif", "ome.tif", "npy", "npz", "csv", "nii",
             "nii.gz", "fits", "gif", "mtx", "mtx.gz", "parquet"],
)  # fmt: skip
def test_damaged_files(name, tmp_path, capsys, monkeypatch):
    """Whether they are cut, changed or shortened, they are refused, or what is left is denoised."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    X = rng.integers(0, 255, (20, 24), dtype=np.uint8)
    _save_valid(tmp_path / f"whole.{name}", X)
    content = (tmp_path / f"whole.{name}").read_bytes()
    (tmp_path / f"whole.{name}").unlink()
    for k in range(12):
        damaged = bytearray(content)
        at = int(rng.integers(min(len(damaged), 400 if k % 2 else len(damaged))))
        if k % 3 == 0:
            del damaged[max(at, 1) :]
        elif k % 3 == 1:
            damaged[at : at + 8] = rng.bytes(8)
        else:
            del damaged[at : at + 4]
        (tmp_path / f"damaged.{name}").write_bytes(damaged)
        how = ["--method", "median", "--kind", "array"]
        status = main(["denoise", f"damaged.{name}", *how, "-o", f"out.{name}"])
        error = capsys.readouterr().err
        assert status in (0, 2)
        if status == 2:
            assert error.startswith(f"{SAID}damaged.{name}: ") and error.count("\n") == 1, error
            assert "Error" not in error and "unsafe" not in error and "attribute" not in error
        left = sorted(os.listdir())
        assert set(left) <= {f"damaged.{name}", f"out.{name}"}


def _save_valid(path, X):
    kind = path.name.partition(".")[2]
    if kind in ("png", "jpg", "webp", "bmp", "gif"):
        Image.fromarray(X).save(path)
    elif kind.endswith("tif"):
        if kind == "lzw.tif":
            pytest.importorskip("imagecodecs")
        tifffile.imwrite(path, X, compression="lzw" if kind == "lzw.tif" else None)
    elif kind == "npy":
        np.save(path, X)
    elif kind == "npz":
        np.savez_compressed(path, X=X)
    elif kind == "csv":
        pytest.importorskip("pandas")
        np.savetxt(path, X, fmt="%d", delimiter=",")
    elif kind in ("mtx", "mtx.gz"):
        with (gzip.open if kind == "mtx.gz" else open)(path, "wb") as file:
            mmwrite(file, X)
    elif kind == "parquet":
        pandas = pytest.importorskip("pandas")
        pytest.importorskip("pyarrow")
        pandas.DataFrame(X).rename(columns=str).to_parquet(path)
    elif kind == "fits":
        pytest.importorskip("astropy.io.fits").PrimaryHDU(X).writeto(path)
    else:
        pytest.importorskip("nibabel").Nifti1Image(X, np.eye(4)).to_filename(path)


@pytest.mark.parametrize(
    ("package", "extra", "suffix"),
    [("pandas", "tables", ".csv"), ("pyarrow", "parquet", ".parquet"),
     ("nibabel", "nifti", ".nii.gz"), ("astropy.io", "fits", ".fits"),
     ("zarr", "dask", ".zarr")],
)  # fmt: skip
def test_a_package_that_is_missing_is_named(package, extra, suffix, hostile, capsys, monkeypatch):
    monkeypatch.chdir(hostile)
    if package == "pyarrow":
        pytest.importorskip("pandas")
        monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setitem(sys.modules, package, None)
    name = (
        "empty.zarr" if suffix == ".zarr" else "text.csv" if suffix == ".csv" else "some" + suffix
    )
    if not os.path.exists(name):
        monkeypatch.setattr("sk_n2s.files.formats._check_file", lambda path: None)
    for argv in (["noise", name], ["denoise", "good.png", "-o", f"out{suffix}"]):
        assert f"pip install 'sk_n2s[{extra}]'" in _refusal(argv, capsys)


@pytest.mark.parametrize(
    "error", [ValueError("requires the 'imagecodecs' package"), ImportError("No module")]
)
def test_a_codec_that_is_missing_is_named(error, hostile, capsys, monkeypatch):
    monkeypatch.chdir(hostile)

    def asarray(*args, **kwargs):
        raise error

    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", asarray)
    reason = _refusal(["denoise", "constant.tif"], capsys)
    assert "is compressed by NONE, which needs imagecodecs: pip install 'sk_n2s[tiff]'" in reason


def test_zarr_arrays_that_are_too_large(tmp_path, capsys, monkeypatch):
    zarr = pytest.importorskip("zarr")
    pytest.importorskip("dask")
    monkeypatch.chdir(tmp_path)
    side = 10**6
    zarr.create_array("whole.zarr", shape=(side, side), chunks=(side, side), dtype="u1")
    assert "entries, denoise parts of it" in _refusal(["denoise", "whole.zarr"], capsys)
    zarr.create_array("chunk.zarr", shape=(10**5, 10**5), chunks=(10**5, 10**5), dtype="u1")
    assert "save smaller chunks" in _refusal(["denoise", "chunk.zarr"], capsys)
    zarr.create_array("zeros.zarr", shape=(100, 100), chunks=(50, 50), dtype="u1")
    assert "there is nothing to denoise" in _refusal(["denoise", "zeros.zarr"], capsys)


def test_refusals_take_little_time_and_memory(hostile):
    """Each in at most 5 seconds, and all in one process within 1 GiB."""
    names = ["axes16.npy", "ones16.npy", "wide.tif", "wide.png", "claims.npy", "pipe.tif"]
    code = f"""
    import time
    from pathlib import Path
    from sk_n2s.cli import main
    for name in {names}:
        start = time.process_time()
        assert main(["denoise", name]) == 2
        assert time.process_time() - start < 5, name
    # Of this program: what getrusage says includes the process that started it.
    status = Path("/proc/self/status").read_text()
    print(status.partition("VmHWM:")[2].split()[0])
    """
    done = _python(code, hostile)
    assert done.stderr.count(SAID) == done.stderr.count("\n") == len(names), done.stderr
    assert int(done.stdout) < 2**20  # KiB


def _python(code: str, folder) -> subprocess.CompletedProcess:
    call = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(call, capture_output=True, text=True, cwd=folder, timeout=60)


def test_refusals_help_and_version_import_nothing_slow(hostile):
    """The package itself is replaced by an empty one: what it imports is its own affair."""
    code = """
    import sys, types
    from importlib.util import find_spec
    package = types.ModuleType("sk_n2s")
    package.__path__ = find_spec("sk_n2s").submodule_search_locations
    package.__version__ = "1.2.3"
    sys.modules["sk_n2s"] = package
    from sk_n2s.cli import main
    for argv in (["--version"], ["--help"], ["denoise", "--help"], ["denoise", "missing.tif"],
                 ["denoise", "good.png", "--method", "magic"], ["denoise", "infinite.npy"],
                 ["denoise", "good.png", "-o", "none/out.png"], ["denoise", "cut.png"],
                 ["compare", "good.png", "constant.npy"]):
        try:
            main(argv)
        except SystemExit:
            pass
    slow = ("scipy", "sklearn", "skimage", "joblib", "pandas", "dask", "zarr", "matplotlib")
    print([name for name in slow if name in sys.modules])
    """
    done = _python(code, hostile)
    assert done.stdout.startswith("sk_n2s 1.2.3\n") and done.stdout.endswith("\n[]\n"), done.stderr


def test_the_names_of_denoisers_are_those_that_there_are():
    from sk_n2s import denoisers

    assert set(DENOISERS) == set(denoisers.DENOISERS)


def test_folders_that_cannot_be_written_to(hostile, capsys, monkeypatch):
    monkeypatch.chdir(hostile)
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and may(path, mode))
    for command in ("denoise", "calibrate"):
        assert "no permission to write there" in _refusal([command, "good.png"], capsys)


def test_a_file_without_permission(hostile, capsys, monkeypatch):
    monkeypatch.chdir(hostile)
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.R_OK and may(path, mode))
    assert "no permission to read it" in _refusal(["noise", "good.png"], capsys)


def test_several_files_go_on_after_a_bad_one(hostile, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(hostile)
    names = ["cut.png", "good.png", "nan.npy"]
    call = ["denoise", *names, "--method", "median", "--json", "-o", str(tmp_path)]
    assert main(call) == 1
    captured = capsys.readouterr()
    records = [json.loads(line) for line in captured.out.splitlines()]
    assert [record["file"] for record in records] == names
    assert ["error" in record for record in records] == [True, False, True]
    assert "2 of 3 files failed: cut.png, nan.npy" in captured.err
    assert os.listdir(tmp_path) == ["good.png"]


def test_an_interrupt_while_nothing_is_at_stake_ends_the_process_without_a_word(tmp_path):
    code = """
    import os, signal
    from sk_n2s.cli import _interrupts
    with _interrupts.at_once():
        os.kill(os.getpid(), signal.SIGINT)
        while True:
            pass
    """
    done = _python(code, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_an_interrupt_of_the_work_leaves_nothing(tmp_path):
    call = [sys.executable, "-m", "sk_n2s", "denoise", "good.png", "--effort", "best"]
    Image.effect_noise((512, 512), 50).save(tmp_path / "good.png")
    with subprocess.Popen(
        call, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline().startswith("denoising good.png")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors in ("", "sk-n2s: interrupted\n")
    assert os.listdir(tmp_path) == ["good.png"]


def test_an_interrupt_while_a_file_is_written_leaves_the_old_one(hostile, capsys, monkeypatch):
    monkeypatch.chdir(hostile)
    before = sorted(os.listdir())

    def interrupted(self, path, *args, **kwargs):
        with open(path, "wb") as file:
            file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupted)
    assert main(["denoise", "good.png", "--method", "median"]) == 130
    assert capsys.readouterr().err == "sk-n2s: interrupted\n"
    assert sorted(os.listdir()) == before


def test_an_unforeseen_error_is_a_sentence_too(hostile, capsys, monkeypatch):
    monkeypatch.chdir(hostile)

    def broken(*args, **kwargs):
        raise ZeroDivisionError("by zero\nin two lines")

    monkeypatch.setattr("sk_n2s.j_invariance.wrapper.JInvariantWrapper.fit", broken)
    assert main(["denoise", "good.png", "--method", "median"]) == 2
    assert capsys.readouterr().err == f"{SAID}ZeroDivisionError: by zero in two lines\n"


def test_what_killed_runs_left_is_removed_by_the_next(tmp_path):
    ours, dead = os.getpid(), 2**22 + 1  # larger than the number of any process
    running = tmp_path / f"{whole._HERE}-{ours}-abcd.npy"
    left = tmp_path / f"{whole._HERE}-{dead}-abcd.npy"
    folder = tmp_path / f"{whole._HERE}-{dead}-abcd.zarr"
    elsewhere = tmp_path / f".sk_n2s-0-{dead}-abcd.npy"
    for path in (running, left, elsewhere):
        path.touch()
    (folder / "c").mkdir(parents=True)
    whole.write(tmp_path / "out.npy", lambda path: np.save(path, np.ones(3)))
    assert sorted(tmp_path.iterdir()) == sorted([running, elsewhere, tmp_path / "out.npy"])


def test_a_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "out.npy"
    path.write_text("old")

    def full(partial):
        open(partial, "w").close()
        raise OSError(28, "No space left on device")

    with pytest.raises(Refusal, match="cannot be written .No space left on device"):
        whole.write(path, full)
    assert path.read_text() == "old" and len(os.listdir(tmp_path)) == 1


def test_interrupts_are_left_to_whoever_takes_care_of_them():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with _interrupts.at_once():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
