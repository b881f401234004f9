"""What comes out of the command line is what went in, denoised: real files, read by others."""

import csv
import gzip
import json
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image, ImageSequence, PngImagePlugin
from scipy import sparse
from scipy.io import mmread, mmwrite
from skimage.io import imread, imsave

from sk_n2s import AutoDenoiser, JInvariantWrapper
from sk_n2s.cli import main
from sk_n2s.denoisers import gaussian
from sk_n2s.files.picture import Encoder

CHEAP = ["--method", "gaussian", "--param", "sigma=1"]


def _noisy(*shape, dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    ramp = np.add.outer(np.arange(shape[-2]), np.arange(shape[-1])) + 90.0
    values = np.clip(ramp + 10 * rng.normal(size=shape), 0, 255)
    scale = 257 if dtype in (np.uint16, np.int32) else 1
    values = values * scale - (20_000 if dtype == np.int16 else 0)
    return values.astype(dtype)


def _expected(X, *lone, dtype=None):
    """Return what the denoiser makes of an array, each entry of lone axes by itself, in a dtype."""
    small = X.dtype.kind == "f" and X.dtype.itemsize <= 4
    values = _smooth(X.astype(np.float32 if small else np.float64), sorted(lone))
    dtype = np.dtype(dtype or X.dtype)
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)


def _smooth(X, lone):
    if not lone:
        return gaussian(X, sigma=1)
    *others, axis = lone
    return np.stack([_smooth(x, others) for x in np.moveaxis(X, axis, 0)], axis=axis)


def _denoise(name, out, *options):
    assert main(["denoise", name, *CHEAP, "-o", out, *options]) == 0


# TIFF ----------------------------------------------------------------------------------------

#: Baseline tags that are what they were: bits, compression, colours, resolution, tiles, place.
TAGS = (258, 259, 262, 274, 277, 282, 283, 284, 296, 306, 315, 317, 322, 323, 338, 339, 33550,
        33922, 34675)  # fmt: skip


def _tags(path):
    """Return what Pillow says of a TIFF file, which reads no pixel of it."""
    with Image.open(path) as image:
        tags = {k: image.tag_v2[k] for k in TAGS if k in image.tag_v2}
        text = image.tag_v2.get(270, "")
        frames = getattr(image, "n_frames", 1)
        size = image.size
    start = path.read_bytes()[:4]
    return {"tags": tags, "frames": frames, "size": size, "start": start, **_said(text)}


def _said(text):
    """Return what the description of a TIFF file says: OME's XML, ImageJ's lines, or other."""
    if text.startswith("<?xml") and "OME" in text[:300]:
        root = ET.fromstring(text.encode())
        pixels = [e for e in root.iter() if e.tag.endswith("}Pixels")]
        channels = [e.attrib.get("Name") for e in root.iter() if e.tag.endswith("}Channel")]
        return {
            "pixels": [{k: v for k, v in e.attrib.items() if k != "ID"} for e in pixels],
            "channels": channels,
        }
    if text.startswith("ImageJ"):
        lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        return {key: value for key, value in lines.items() if key not in ("min", "max")}
    if text.startswith("{"):
        return json.loads(text)
    return {"description": text}


OME = {
    "axes": "CZYX", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.25,
    "PhysicalSizeYUnit": "µm", "PhysicalSizeZ": 1.5, "PhysicalSizeZUnit": "µm",
    "Channel": {"Name": ["DAPI", "GFP"]},
}  # fmt: skip

#: Name, shape and dtype, how it is written, the axes of channels or items.
TIFFS = {
    "grey8": ((24, 30), "u1", {}),
    "grey16": ((24, 30), "u2", {}),
    "signed": ((24, 30), "i2", {}),
    "integers": ((24, 30), "i4", {}),
    "float32": ((24, 30), "f4", {}),
    "float64": ((24, 30), "f8", {}),
    "big_endian": ((24, 30), ">u2", {"byteorder": ">"}),
    "bigtiff": ((24, 30), "u2", {"bigtiff": True}),
    "resolution": ((24, 30), "u1", {"resolution": (300, 150), "resolutionunit": 2}),
    "described": ((24, 30), "u1", {"description": "a field", "metadata": None}),
    "artist": ((24, 30), "u1", {"extratags": [(315, 2, 0, "somebody", True)]}),
    "umlauts": ((24, 30), "u1", {"description": "Größe 3 µm".encode(), "metadata": None,
                                 "software": "Köln".encode(),
                                 "extratags": [(315, 2, 0, "Müller".encode(), True)]}),
    "orientation": ((24, 30), "u1", {"extratags": [(274, 3, 1, 6, True)]}),
    "geo": ((24, 30), "u2", {"extratags": [(33550, 12, 3, (30.0, 30.0, 0.0), True)]}),
    "inverted": ((24, 30), "u1", {"photometric": "miniswhite"}),
    "tiles": ((40, 50), "u2", {"tile": (16, 32)}),
    "deflate": ((24, 30), "u2", {"compression": "zlib", "predictor": True}),
    "lzw": ((24, 30), "u2", {"compression": "lzw"}),
    "strips": ((24, 30), "u1", {"compression": "zlib", "rowsperstrip": 8}),
    "zstd_tiles": ((40, 50), "u1", {"compression": "zstd", "tile": (16, 16)}),
    "rgb": ((24, 30, 3), "u1", {"photometric": "rgb"}, 2),
    "rgb16": ((24, 30, 3), "u2", {"photometric": "rgb"}, 2),
    "planar": ((3, 24, 30), "u1", {"photometric": "rgb", "planarconfig": "separate"}, 0),
    "pages": ((5, 24, 30), "u1", {"photometric": "minisblack", "metadata": None}),
    "film": ((5, 24, 30), "u2", {"metadata": {"axes": "TYX", "note": "kept"}}),
    "volumes": ((3, 4, 24, 30), "u2", {"metadata": {"axes": "TZYX"}}, 0),
    "ome": ((2, 4, 24, 30), "u2", {"metadata": OME, "ome": True}, 0),
    "ome_film": ((3, 24, 30), "f4", {"metadata": {"axes": "TYX", "TimeIncrement": 0.5},
                                     "ome": True}),
    "ome_lzw": ((2, 24, 30), "u1", {"metadata": {"axes": "CYX"}, "ome": True,
                                    "compression": "lzw"}, 0),
    "imagej": ((4, 24, 30), "u2", {"imagej": True, "resolution": (4.0, 4.0),
                                   "metadata": {"axes": "ZYX", "spacing": 2.5, "unit": "um"}}),
    "hyperstack": ((3, 4, 2, 24, 30), "u2", {"imagej": True, "metadata": {
        "axes": "TZCYX", "finterval": 0.5, "mode": "composite"}}, 2, 0),
}  # fmt: skip


#: What Pillow does not read, reads otherwise, or turns.
UNREAD = ("signed", "float64", "orientation", "zstd_tiles")


def _write_tiff(path, name):
    shape, dtype, options, *lone = TIFFS[name]
    plain = shape[:-1] if shape[-1] == 3 else shape
    X = _noisy(*plain, dtype=np.dtype(dtype).newbyteorder("=").type)
    if shape[-1] == 3:
        X = np.stack([X, X // 2, X // 3], axis=-1)
    options = {"photometric": "minisblack", **options}
    if "planarconfig" in options:
        X = X // np.array([1, 2, 3], X.dtype)[:, None, None]
    tifffile.imwrite(path, X, **options)
    return X, lone


@pytest.mark.parametrize("name", TIFFS)
def test_tiff(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if TIFFS[name][2].get("compression") in ("lzw", "zstd"):
        pytest.importorskip("imagecodecs")
    suffix = ".ome.tif" if name.startswith("ome") else ".tif"
    source, target = tmp_path / f"in{suffix}", tmp_path / f"in_denoised{suffix}"
    X, lone = _write_tiff(source, name)
    assert main(["denoise", source.name, *CHEAP]) == 0
    if name != "float64":  # which Pillow does not know
        assert _tags(target) == _tags(source)
    with tifffile.TiffFile(source) as before, tifffile.TiffFile(target) as after:
        assert after.series[0].axes == before.series[0].axes
        assert after.flags - {"uniform"} == before.flags - {"uniform"}
        assert after.pages[0].dtype == before.pages[0].dtype
        assert after.byteorder == before.byteorder
    found = tifffile.imread(target)
    assert found.dtype == X.dtype and not np.array_equal(found, X)
    assert_allclose(found, _expected(X, *lone), rtol=1e-6)
    if X.ndim == 2 and name not in UNREAD:
        with Image.open(target) as image:  # another reader of the pixels
            values = np.asarray(image)
        inverted = name == "inverted"  # Pillow turns these into black is zero
        assert_allclose(255 - values if inverted else values, found)


def test_a_palette_becomes_the_colours_that_it_stands_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    colours = np.stack([np.arange(256), np.arange(256)[::-1], np.full(256, 9)]).astype(np.uint16)
    indices = _noisy(24, 30)
    tifffile.imwrite("in.tif", indices, photometric="palette", colormap=colours * 257)
    _denoise("in.tif", "out.tif")
    found = np.asarray(Image.open("out.tif"))
    assert_array_equal(found, _expected(colours.T[indices].astype(np.uint8), 2))
    assert "the palette is written as the colours that it stands for" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("suffix", "bands"), [("tif", 2), ("tif", 4), ("png", 2), ("png", 4), ("webp", 4)]
)
def test_alpha_is_carried_through(suffix, bands, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grey, alpha = _noisy(24, 30), _noisy(24, 30, seed=1)
    X = np.dstack([grey, grey[::-1], grey[:, ::-1]]) if bands == 4 else grey[..., None]
    whole = np.dstack([X, alpha])
    if suffix == "tif":
        tifffile.imwrite("in.tif", whole, extrasamples=["unassalpha"], planarconfig="contig",
                         photometric="rgb" if bands == 4 else "minisblack")  # fmt: skip
    else:
        Image.fromarray(whole).save(f"in.{suffix}", lossless=True, exact=True)
    _denoise(f"in.{suffix}", f"out.{suffix}")
    found = np.asarray(Image.open(f"out.{suffix}"))
    assert_array_equal(found[..., -1], alpha)
    assert_array_equal(found[..., :-1], _expected(X, 2))


def test_a_series_or_a_level_is_chosen_and_none_is_dropped_silently(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    first, second = _noisy(24, 30), _noisy(32, 20, dtype=np.uint16)
    with tifffile.TiffWriter("in.ome.tif", ome=True) as tif:
        tif.write(first, subifds=1, metadata={"Name": "wide"})
        tif.write(first[::2, ::2], subfiletype=1)
        tif.write(second, metadata={"Name": "deep"})
    assert main(["denoise", "in.ome.tif", *CHEAP]) == 2
    assert "choose one by --series (0: YX 24 × 30; 1: YX 32 × 20)" in capsys.readouterr().err
    for series, X in (("0", first), ("0.1", first[::2, ::2]), ("1", second)):
        _denoise("in.ome.tif", "out.tif", "--series", series)
        assert_array_equal(tifffile.imread("out.tif"), _expected(X))
        printed = capsys.readouterr().out
        assert "1 other images in the file are not written" in printed
        assert ("of a pyramid of 2 is written" in printed) == (series != "1")


def test_what_imagej_cannot_hold_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("in.tif", _noisy(24, 30), imagej=True)
    assert main(["denoise", "in.tif", *CHEAP, "--dtype", "float64"]) == 2
    assert "give --dtype uint8, uint16 or float32" in capsys.readouterr().err
    _denoise("in.tif", "out.tif", "--dtype", "float32")
    assert np.asarray(Image.open("out.tif")).dtype == np.float32


def test_slices_that_are_far_apart_are_told_to_the_denoiser(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("in.ome.tif", _noisy(2, 4, 24, 30), ome=True, metadata=OME)
    given = {}

    class Stopped(Exception):
        pass

    def init(self, *args, **kwargs):
        given.update(kwargs)
        raise Stopped

    monkeypatch.setattr("sk_n2s.auto.AutoDenoiser.__init__", init)
    assert main(["denoise", "in.ome.tif"]) == 2
    assert given["spacing"] == [1.5, 0.25, 0.25] and given["channel_axis"] == 0


# Pictures ------------------------------------------------------------------------------------


def _picture(mode):
    grey = _noisy(24, 30)
    colour = np.dstack([grey, grey[::-1], grey[:, ::-1]])
    if mode == "P":
        return Image.fromarray(colour).quantize(64)
    return Image.fromarray(
        {"L": grey, "RGB": colour, "I;16": _noisy(24, 30, dtype=np.uint16)}[mode]
    )


def _facts(path):
    with Image.open(path) as image:
        dpi = tuple(round(float(d)) for d in image.info.get("dpi", ()))
        exif = {k: v for k, v in image.getexif().items() if k != 34665}
        text = dict(getattr(image, "text", {}))
        return image.format, image.mode, image.size, dpi, exif, text, image.info.get("icc_profile")


def _exif(**tags):
    exif = Image.Exif()
    exif[274], exif[271] = 6, "camera"
    return exif


def _text():
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "a field")
    return info


PICTURES = {
    "grey.png": ("L", {}),
    "deep.png": ("I;16", {"dpi": (300, 300)}),
    "rgb.png": ("RGB", {"dpi": (72, 72)}),
    "text.png": ("L", {"pnginfo": _text()}),
    "turned.png": ("RGB", {"exif": _exif()}),
    "profile.png": ("RGB", {"icc_profile": b"a profile"}),
    "grey.jpg": ("L", {"quality": 95}),
    "turned.jpg": ("RGB", {"quality": 95, "exif": _exif(), "dpi": (300, 300)}),
    "rgb.webp": ("RGB", {"lossless": True, "exif": _exif()}),
    "grey.bmp": ("L", {"dpi": (96, 96)}),
    "rgb.bmp": ("RGB", {}),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mode, options = PICTURES[name]
    _picture(mode).save(name, **options)
    _denoise(name, f"out_{name}")
    assert _facts(f"out_{name}") == _facts(name)
    before, after = _pixels(name), _pixels(f"out_{name}")
    expected = _expected(before, *range(2, before.ndim))
    lossy = 12 if name.endswith("jpg") else 0
    assert_allclose(after.astype(int), expected.astype(int), atol=lossy)


def _pixels(name):
    """Return the pixels as another library reads them, if it is there."""
    codecs = pytest.importorskip("imagecodecs") if name.endswith(("png", "webp")) else None
    if codecs is None:
        return np.asarray(Image.open(name))
    with open(name, "rb") as file:
        decode = codecs.png_decode if name.endswith("png") else codecs.webp_decode
        return decode(file.read())


@pytest.mark.parametrize("shape", [(24, 30), (4, 24, 30)])
def test_gif_of_grey_values_is_exact(shape, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X = _noisy(*shape)
    first, *others = [Image.fromarray(frame) for frame in X.reshape(-1, 24, 30)]
    first.save("in.gif", save_all=True, append_images=others, duration=50, loop=2, comment="seen")
    _denoise("in.gif", "out.gif")
    with Image.open("out.gif") as found:
        frames = [np.asarray(f.convert("L")) for f in ImageSequence.Iterator(found)]
        assert found.info.get("comment") == b"seen"
        if others:
            assert found.info["loop"] == 2 and found.info["duration"] == 50
    assert_array_equal(np.reshape(frames, shape), _expected(X))
    _denoise("in.gif", "out.tif")
    assert_array_equal(tifffile.imread("out.tif"), _expected(X))


def test_gif_of_colours_that_are_clear_in_places(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    X = np.stack([_noisy(24, 30, seed=k) for k in range(9)]).reshape(3, 3, 24, 30)
    clear = np.zeros((24, 30), bool)
    clear[:8, :8] = True
    frames = [Image.fromarray(np.moveaxis(frame, 0, -1)) for frame in X]
    for frame in frames:
        frame.putalpha(Image.fromarray(np.where(clear, 0, 255).astype(np.uint8)))
    frames[0].save("in.gif", save_all=True, append_images=frames[1:], disposal=2)
    with Image.open("in.gif") as image:
        given = np.stack([np.asarray(f.convert("RGBA")) for f in ImageSequence.Iterator(image)])
    _denoise("in.gif", "out.gif", "--batch-axis", "0")
    assert "palettes are written as 256 colours" in capsys.readouterr().out
    with Image.open("out.gif") as image:
        found = np.stack([np.asarray(f.convert("RGBA")) for f in ImageSequence.Iterator(image)])
    assert_array_equal(found[..., 3], given[..., 3])
    assert ((given[..., 3] == 0) == clear).all()
    off = (found[..., :3] - _expected(given[..., :3], 0, 3).astype(float))[~np.stack([clear] * 3)]
    assert np.sqrt(np.mean(off**2)) < 12  # 256 colours of each picture
    _denoise("in.gif", "one.gif", "--series", "1")
    assert "2 other pictures in the file are not written" in capsys.readouterr().out


def test_a_palette_of_a_png(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = _picture("P")
    image.save("in.png")
    _denoise("in.png", "out.png")
    expected = _expected(np.asarray(image.convert("RGB")), 2)
    assert_array_equal(np.asarray(Image.open("out.png")), expected)


def test_an_orientation_is_applied_where_the_format_has_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = _picture("RGB")
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[274] = orientation
        image.save("in.png", exif=exif)
        for out in ("out.npy", "out.bmp", "out.tif"):
            _denoise("in.png", out)
        upright = np.asarray(image.transpose(_TURNS[orientation]) if orientation > 1 else image)
        expected = _expected(upright, 2)
        for found in (np.load("out.npy"), np.asarray(Image.open("out.bmp")),
                      tifffile.imread("out.tif")):  # fmt: skip
            assert_array_equal(found, expected)


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip


# Arrays and tables ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i4", "f2", "f4", "f8", ">f4", "?"])
def test_npy(dtype, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X = _noisy(24, 30, dtype=np.float64)
    X = (X > 115).astype(bool) if dtype == "?" else X.astype(dtype)
    np.save("in.npy", X)
    _denoise("in.npy", "out.npy")
    found = np.load("out.npy")
    assert found.dtype == X.dtype and found.shape == X.shape
    if dtype == "?":
        assert_array_equal(found, _expected(X.astype(np.uint8)).astype(bool))
    else:
        assert_allclose(found, _expected(X, dtype=found.dtype), rtol=1e-6)


def test_npz_carries_the_others_through(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X = _noisy(24, 30, dtype=np.uint16)
    np.savez_compressed("in.npz", image=X, times=np.arange(5), names=np.array(["a", "b"]))
    _denoise("in.npz", "out.npz", "--series", "image")
    with np.load("out.npz") as found:
        assert set(found) == {"image", "times", "names"}
        assert_array_equal(found["image"], _expected(X))
        assert_array_equal(found["times"], np.arange(5))
        assert list(found["names"]) == ["a", "b"]


@pytest.mark.parametrize(("suffix", "separator"), [("csv", ","), ("tsv", "\t")])
def test_tables_keep_their_names(suffix, separator, tmp_path, monkeypatch):
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    X = _noisy(30, 3, dtype=np.float64) / 7
    header = ["cell", "one", "two, or more", "größe"]
    rows = [header, *([f"c{i}", *map(repr, map(float, row))] for i, row in enumerate(X))]
    with open(f"in.{suffix}", "w", newline="", encoding="utf8") as file:
        csv.writer(file, delimiter=separator).writerows(rows)
    _denoise(f"in.{suffix}", f"out.{suffix}")
    with open(f"out.{suffix}", newline="", encoding="utf8") as file:
        found = list(csv.reader(file, delimiter=separator))
    assert found[0] == header and [row[0] for row in found] == [row[0] for row in rows]
    values = np.array([row[1:] for row in found[1:]], dtype=float)
    assert_allclose(values, _expected(X, 1), rtol=1e-12)


def test_a_table_of_whole_numbers_without_names(tmp_path, monkeypatch):
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    X = _noisy(24, 30, dtype=np.int32)
    np.savetxt("in.csv", X, fmt="%d", delimiter=",")
    _denoise("in.csv", "out.csv")
    found = np.loadtxt("out.csv", delimiter=",", dtype=np.int64)  # floats would be refused
    assert_array_equal(found, _expected(X))


def test_parquet_keeps_names_and_index(tmp_path, monkeypatch):
    pandas = pytest.importorskip("pandas")
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.chdir(tmp_path)
    X = _noisy(30, 3, dtype=np.float32) / 7
    index = pandas.Index([f"c{i}" for i in range(30)], name="cell")
    table = pandas.DataFrame(X, index, ["one", "two, or more", "größe"])
    table.insert(1, "kind", ["a", "b"] * 15)
    table.to_parquet("in.parquet")
    _denoise("in.parquet", "out.parquet")
    found, before = parquet.read_table("out.parquet"), parquet.read_table("in.parquet")
    assert found.schema == before.schema
    for name in ("cell", "kind"):
        assert found[name] == before[name]
    values = np.stack([found[c].to_numpy() for c in table.columns.drop("kind")], axis=1)
    assert_allclose(values, _expected(X, 1), rtol=1e-6)
    _denoise("in.parquet", "out.csv")
    assert open("out.csv", encoding="utf8").readline() == 'cell,one,kind,"two, or more",größe\n'


@pytest.mark.parametrize("suffix", [".mtx", ".mtx.gz"])
@pytest.mark.parametrize("layout", ["coordinate", "array"])
def test_matrices_are_tables(suffix, layout, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(1, size=(60, 2)) @ rng.gamma(1, size=(2, 30)))
    matrix = sparse.coo_array(counts) if layout == "coordinate" else counts
    with (gzip.open if suffix == ".mtx.gz" else open)(f"in{suffix}", "wb") as file:
        mmwrite(file, matrix, comment="cells\nby genes")
    call = ["denoise", f"in{suffix}", "--effort", "fast", "-o", f"out{suffix}"]
    assert main([*call, "--dtype", "float32"]) == 0
    said = capsys.readouterr().out
    assert "taken for a table" in said and "wrote out" in said
    found = mmread(f"out{suffix}")
    expected = AutoDenoiser("fast", kind="table").fit_transform(counts)
    assert_allclose(found, expected, rtol=1e-5)
    with (gzip.open if suffix == ".mtx.gz" else open)(f"out{suffix}", "rt") as file:
        assert [file.readline() for _ in range(3)][1:] == ["%cells\n", "%by genes\n"]
    assert main(call) == 0  # whole numbers, as they came
    assert_array_equal(mmread(f"out{suffix}"), np.rint(expected))
    assert main(["noise", f"in{suffix}"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "it depends on the signal"
    assert main(["denoise", f"in{suffix}", *CHEAP]) == 2
    assert "denoises by neighbours, which a table has none of" in capsys.readouterr().err
    assert main(["denoise", f"in{suffix}", "--channel-axis", "0"]) == 2
    assert "--channel-axis: belongs to data whose entries have neighbours" in (
        capsys.readouterr().err
    )


def test_a_table_of_text_is_said_to_be_one(tmp_path, monkeypatch, capsys):
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 2)) @ rng.normal(size=(2, 12)) + 0.3 * rng.normal(size=(80, 12))
    np.savetxt("in.csv", X, delimiter=",", header=",".join("abcdefghijkl"), comments="")
    assert main(["denoise", "in.csv", "--kind", "table", "--effort", "fast"]) == 0
    assert "taken for channels" not in capsys.readouterr().out
    expected = AutoDenoiser("fast", kind="table").fit_transform(X)
    assert_allclose(np.loadtxt("in_denoised.csv", delimiter=",", skiprows=1), expected)


# Volumes and skies ---------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.uint8])
def test_nifti(suffix, dtype, tmp_path, monkeypatch):
    nibabel = pytest.importorskip("nibabel")
    monkeypatch.chdir(tmp_path)
    X = _noisy(6, 12, 14, dtype=dtype)
    affine = np.array([[-2.0, 0.1, 0, 10], [0, 2.5, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(X, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = b"a head"
    image.to_filename(f"in{suffix}")
    _denoise(f"in{suffix}", f"out{suffix}")
    found = nibabel.load(f"out{suffix}")
    assert_allclose(found.affine, affine)
    for key in ("datatype", "pixdim", "xyzt_units", "descrip", "sform_code", "qform_code"):
        assert_array_equal(found.header[key], nibabel.load(f"in{suffix}").header[key])
    assert_allclose(np.asarray(found.dataobj), _expected(X), rtol=1e-5)


def test_volumes_over_time_are_denoised_one_by_one(tmp_path, monkeypatch):
    nibabel = pytest.importorskip("nibabel")
    monkeypatch.chdir(tmp_path)
    X = _noisy(6, 7, 8, 5, dtype=np.float32)
    nibabel.Nifti1Image(X, np.eye(4)).to_filename("in.nii")
    _denoise("in.nii", "out.nii")
    assert_allclose(nibabel.load("out.nii").get_fdata(), _expected(X, 3), rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32])
def test_fits(dtype, tmp_path, monkeypatch):
    fits = pytest.importorskip("astropy.io.fits")
    monkeypatch.chdir(tmp_path)
    X = _noisy(24, 30, dtype=dtype)
    first = fits.PrimaryHDU(X)
    first.header["OBJECT"], first.header["CRVAL1"] = "M 31", 10.68
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=np.arange(3))])
    fits.HDUList([first, table]).writeto("in.fits")
    _denoise("in.fits", "out.fits")
    with fits.open("out.fits") as found:
        assert found[0].header["OBJECT"] == "M 31" and found[0].header["CRVAL1"] == 10.68
        assert_array_equal(found[1].data["a"], np.arange(3))
        assert found[0].data.dtype.newbyteorder("=") == dtype
        assert_allclose(found[0].data, _expected(X), rtol=1e-6)


# zarr ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_keeps_attributes_and_chunks(version, tmp_path, monkeypatch):
    zarr = pytest.importorskip("zarr")
    pytest.importorskip("dask")
    monkeypatch.chdir(tmp_path)
    X = _noisy(40, 50, dtype=np.uint16)
    made = zarr.create_array("in.zarr", data=X, chunks=(16, 25), zarr_format=version)
    made.attrs["unit"] = "photons"
    _denoise("in.zarr", "out.zarr")
    found = zarr.open("out.zarr", mode="r")
    assert (found.chunks, found.dtype, dict(found.attrs)) == ((16, 25), X.dtype, dict(made.attrs))
    assert found.metadata.zarr_format == version
    assert_array_equal(found[...], _expected(X))
    assert_array_equal(zarr.open("in.zarr", mode="r")[...], X)


@pytest.mark.parametrize(("version", "gathered"), [(2, False), (3, False), (2, True), (3, True)])
def test_ome_zarr_keeps_its_levels(version, gathered, tmp_path, monkeypatch):
    zarr = pytest.importorskip("zarr")
    pytest.importorskip("dask")
    monkeypatch.chdir(tmp_path)
    X = _noisy(2, 40, 52, dtype=np.uint16)
    group = zarr.create_group("in.ome.zarr", zarr_format=version)
    steps = []
    for level in (0, 1):
        part = X[:, :: 2**level, :: 2**level]
        made = group.create_array(
            str(level), shape=part.shape, dtype=part.dtype, chunks=(1, 20, 26)
        )
        made[...] = part
        scale = {"type": "scale", "scale": [1.0, 0.5 * 2**level, 0.5 * 2**level]}
        steps.append({"path": str(level), "coordinateTransformations": [scale]})
    axes = [{"name": n, "type": "channel" if n == "c" else "space"} for n in "cyx"]
    said = {"multiscales": [{"axes": axes, "datasets": steps, "name": "cells"}],
            "omero": {"channels": [{"label": "DAPI"}, {"label": "GFP"}]}}  # fmt: skip
    if gathered:
        zarr.consolidate_metadata("in.ome.zarr")
    group.attrs.update({"ome": {"version": "0.5", **said}} if version == 3 else said)
    _denoise("in.ome.zarr", "out.ome.zarr")
    found = zarr.open_group("out.ome.zarr", mode="r")
    assert dict(found.attrs) == dict(group.attrs)
    assert_array_equal(found["0"][...], _expected(X, 0))
    means = found["0"][...].astype(float).reshape(2, 20, 2, 26, 2).mean(axis=(2, 4))
    assert_array_equal(found["1"][...], np.rint(means))
    assert [found[k].chunks for k in "01"] == [(1, 20, 26)] * 2
    _denoise("in.ome.zarr", "coarse.ome.zarr", "--series", "1")
    coarse = zarr.open_group("coarse.ome.zarr", mode="r")
    scales = coarse.attrs.asdict().get("ome", coarse.attrs.asdict())["multiscales"]
    assert list(coarse) == ["1"] == [entry["path"] for entry in scales[0]["datasets"]]
    assert_array_equal(coarse["1"][...], _expected(X[:, ::2, ::2], 0))


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_in_another_dtype_is_else_the_same(version, tmp_path, monkeypatch):
    zarr = pytest.importorskip("zarr")
    pytest.importorskip("dask")
    monkeypatch.chdir(tmp_path)
    X = _noisy(40, 50, dtype=np.uint16)
    names = {"dimension_names": ("y", "x")} if version == 3 else {}
    sets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [0.5, 0.5]}]}]
    axes = [{"name": "y"}, {"name": "x"}]
    group = zarr.create_group("in.zarr", zarr_format=version)
    made = group.create_array("0", shape=X.shape, dtype=X.dtype, chunks=(16, 25), **names)
    made[...] = X
    made.attrs["unit"] = "photons"
    group.attrs["multiscales"] = [{"axes": axes, "datasets": sets}]
    for source, target, inner in (("in.zarr", "all.zarr", "/0"), ("in.zarr/0", "one.zarr", "")):
        _denoise(source, target, "--dtype", "float32")
        found = zarr.open_array(target + inner, mode="r")
        assert (found.chunks, found.dtype) == ((16, 25), np.float32)
        assert dict(found.attrs) == {"unit": "photons"}
        if version == 3:
            assert found.metadata.dimension_names == ("y", "x")
        assert_allclose(found[...], _expected(X, dtype=np.float32), rtol=1e-6)
    assert dict(zarr.open_group("all.zarr", mode="r").attrs) == dict(group.attrs)


def test_what_was_not_measured_counts_as_lost_in_whole_numbers():
    encoder = Encoder(np.dtype(np.uint8))
    found = encoder(np.array([np.nan, 3.4, 300.0, np.inf]))
    assert_array_equal(found, [0, 3, 255, 255])
    assert encoder.lost == ", rounded to uint8 (3 values clipped)"
    encoder = Encoder(np.dtype(np.float16))
    assert_array_equal(encoder(np.array([np.nan, 1e9])), np.array([np.nan, 65504], np.float16))
    assert encoder.lost == " (1 values clipped)"


# Options -------------------------------------------------------------------------------------


def test_a_dtype_is_rounded_and_clipped_with_a_count(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    X = np.tile([[-5000.0, 1.0, 3.6, 70_000.0]], (12, 1)).repeat(12, axis=1)
    np.save("in.npy", X)
    expected = gaussian(X, sigma=1)
    for dtype in (np.uint8, np.int16, np.uint64, np.int64):
        name = np.dtype(dtype).name
        assert main(["denoise", "in.npy", *CHEAP, "-o", "out.npy", "--dtype", name]) == 0
        limits = np.iinfo(dtype)
        lost = np.count_nonzero((np.rint(expected) < limits.min) | (expected > limits.max))
        printed = capsys.readouterr().out
        assert f"rounded to {name}" in printed
        assert (f"({lost} values clipped)" in printed) == (lost > 0)
        found = np.load("out.npy")
        assert found.dtype == dtype
        low = max(limits.min, -(2**62))
        assert_array_equal(found, np.rint(np.clip(expected, low, min(limits.max, 2**62))))


def test_what_another_format_cannot_hold_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _write_tiff(tmp_path / "in.ome.tif", "ome")
    Image.fromarray(np.dstack([_noisy(24, 30), _noisy(24, 30)])).save("in.png", dpi=(72, 72))
    said = "what the file says of sizes and names is not written to .npy"
    for name, others in (("in.ome.tif", []), ("in.png", ["the alpha channel is not written"])):
        _denoise(name, "out.npy")
        printed = capsys.readouterr().out.splitlines()
        assert set(printed) >= {said, *others}
    _denoise("in.png", "out.png")
    printed = capsys.readouterr().out
    assert "the alpha channel is carried through as it is" in printed and said not in printed


def test_what_is_outside_a_mask_is_left_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    X, inside = _noisy(5, 24, 30), np.zeros((24, 30), np.uint8)
    inside[6:20, 5:25] = 255
    np.save("in.npy", X)
    Image.fromarray(inside).save("mask.png")
    _denoise("in.npy", "out.npy", "--batch-axis", "0", "--mask", "mask.png")
    found = np.load("out.npy")
    assert_array_equal(found[:, inside == 0], X[:, inside == 0])
    mask = np.broadcast_to(inside > 0, X.shape)
    wrapper = JInvariantWrapper(gaussian, sigma=1.0, output="plain", mask=mask, batch_axis=0)
    assert_array_equal(found, np.rint(wrapper.fit_transform(X)))
    call = ["calibrate", "in.npy", "--denoiser", "gaussian", "--param", "sigma=0.5,1"]
    assert main([*call, "--batch-axis", "0", "--mask", "mask.png"]) == 0
    assert_array_equal(np.load("in_denoised.npy")[:, inside == 0], X[:, inside == 0])
    assert main(["denoise", "in.npy", "--effort", "fast", "--batch-axis", "0", "--mask",
                 "mask.png"]) == 0  # fmt: skip
    assert_array_equal(np.load("in_denoised.npy")[:, inside == 0], X[:, inside == 0])
    capsys.readouterr()
    Image.fromarray(inside * 0).save("none.png")
    for name, why in (
        ("none.png", "is 0 everywhere"),
        ("in.npy", "has shape (5, 24, 30), and the data have (24, 30)"),
        ("missing.png", "there is no such file"),
    ):
        assert main(["denoise", "mask.png", *CHEAP, "--mask", name]) == 2
        assert why in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".tif", ".npy", ".png"])
def test_what_does_not_fit_into_memory_is_denoised_in_blocks(suffix, tmp_path, monkeypatch, capsys):
    pytest.importorskip("dask")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sk_n2s.files.formats._SMALLEST", 2**12)
    X = _noisy(200, 180, 3)
    save = {".tif": tifffile.imwrite, ".npy": np.save, ".png": lambda p, x: imsave(p, x)}[suffix]
    save(f"in{suffix}", X)
    _denoise(f"in{suffix}", f"out{suffix}", "--memory-limit", "0.001")
    assert "denoised in blocks: the whole would take about" in capsys.readouterr().out
    found = np.load("out.npy") if suffix == ".npy" else imread(f"out{suffix}")
    assert found.dtype == np.uint8
    assert_array_equal(found, _expected(X, 2))
    call = ["denoise", f"in{suffix}", "--memory-limit"]
    assert main([*call, "0.0001", *CHEAP]) == 2
    assert "more than --memory-limit 0.0001" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "dask", None)
    monkeypatch.setitem(sys.modules, "dask.array", None)
    assert main([*call, "0.001", *CHEAP]) == 2
    assert "needs dask: pip install 'sk_n2s[dask]'" in capsys.readouterr().err


def test_files_that_are_alike_share_what_was_chosen_for_the_first(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    X = [_noisy(40, 44, seed=k) for k in range(3)]
    for k, x in enumerate(X):
        np.save(f"{k}.npy", x)
    assert main(["denoise", "0.npy", "1.npy", "2.npy", "--alike", "--effort", "fast", "-o",
                 "out"]) == 0  # fmt: skip
    assert capsys.readouterr().out.count("by what was chosen for the first") == 2
    auto = AutoDenoiser("fast").fit(X[0])
    for k, x in enumerate(X):
        assert_array_equal(np.load(f"out/{k}.npy"), np.rint(np.clip(auto.transform(x), 0, 255)))


def test_a_folder_and_a_pattern(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "many").mkdir()
    (tmp_path / "out").mkdir()
    for k in range(3):
        np.save(f"many/{k}.npy", _noisy(16, 20, seed=k))
    (tmp_path / "many" / "notes.txt").write_text("no image")
    for argument in ("many", "many/*.npy"):
        _denoise(argument, "out")
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
            "0.npy", "1.npy", "2.npy",
        ]  # fmt: skip
        assert_array_equal(np.load("out/2.npy"), _expected(np.load("many/2.npy")))


def test_what_was_found_on_one_file_serves_for_others(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for k in range(2):
        np.save(f"{k}.npy", _noisy(24, 30, seed=k))
    call = ["calibrate", "0.npy", "--denoiser", "gaussian", "--param", "sigma=0.5,1,2"]
    assert main([*call, "--output", "plain", "--save-params", "found.json", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    found = json.loads((tmp_path / "found.json").read_text())
    assert found == {"denoiser": "gaussian", "params": record["params"], "output": "plain"}
    losses = {c["params"]["sigma"]: c["loss"] for c in record["candidates"]}
    assert min(losses, key=losses.get) == found["params"]["sigma"]
    assert main(["denoise", "1.npy", "--load-params", "found.json"]) == 0
    X = np.load("1.npy")
    expected = np.rint(gaussian(X.astype(float), sigma=found["params"]["sigma"])).astype(X.dtype)
    assert_array_equal(np.load("1_denoised.npy"), expected)


def test_noise_in_words_and_numbers(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    X = np.add.outer(np.arange(128.0), np.arange(128.0)) + 12 * rng.normal(size=(128, 128))
    np.save("in.npy", X)
    assert main(["noise", "in.npy", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["standard_deviation"] == pytest.approx(12, rel=0.05)
    assert (found["is_signal_dependent"], found["is_correlated"]) == (False, False)
    assert main(["noise", "in.npy"]) == 0
    printed = capsys.readouterr().out
    assert "it does not depend on the signal, and is independent of that of neighbours" in printed
    np.save("smooth.npy", np.add.outer(np.arange(64.0), np.arange(64.0)))
    assert main(["noise", "smooth.npy"]) == 0
    assert "no noise was found" in capsys.readouterr().out


def test_compare(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    clean = np.add.outer(np.arange(64.0), np.arange(64.0))
    noisy = clean + rng.normal(scale=3, size=clean.shape)
    for name, array in {"clean": clean, "noisy": noisy, "flat": clean * 0}.items():
        np.save(f"{name}.npy", array)
    assert main(["compare", "noisy.npy", "clean.npy", "--clean", "clean.npy", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["standard_deviation"] == pytest.approx(np.std(noisy - clean))
    assert found["errors"]["noisy.npy"]["mse"] == pytest.approx(np.mean((noisy - clean) ** 2))
    psnr = 10 * np.log10(126**2 / np.mean((noisy - clean) ** 2))
    assert found["errors"]["noisy.npy"]["psnr"] == pytest.approx(psnr)
    assert found["errors"]["clean.npy"]["psnr"] is None
    assert main(["compare", "noisy.npy", "clean.npy", "--clean", "clean.npy"]) == 0
    printed = capsys.readouterr().out
    assert "looks like white noise" in printed and "clean.npy is closer" in printed
    assert main(["compare", "noisy.npy", "flat.npy"]) == 0
    assert "the difference is not white: neighbours along axis 0" in capsys.readouterr().out
    np.save("less.npy", noisy - np.diff(noisy - clean, axis=0, append=0))
    assert main(["compare", "noisy.npy", "less.npy"]) == 0
    printed = capsys.readouterr().out
    assert "axis 0 are opposite, as where some of the noise is still there" in printed
    assert main(["compare", "noisy.npy", "noisy.npy"]) == 0
    assert "they are the same" in capsys.readouterr().out


def test_data_without_noise_are_said_to_be_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("in.npy", np.add.outer(np.arange(64.0), np.arange(64.0)))
    assert main(["denoise", "in.npy", "--effort", "fast"]) == 0
    printed = capsys.readouterr().out
    assert "no noise was found" in printed and "inf dB" not in printed
