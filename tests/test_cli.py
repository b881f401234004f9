import io as io_
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
from skimage import data, io

from sk_n2s import JInvariantWrapper
from sk_n2s.cli import _saying, main
from sk_n2s.denoisers import gaussian, median, tv


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    grey = data.camera()[100:164, 200:270] + 20 * rng.normal(size=(64, 70))
    grey = np.clip(grey, 0, 255).astype(np.uint8)
    colour = np.clip(np.stack([grey, grey + 5.0, grey - 5.0], axis=-1), 0, 255).astype(np.uint8)
    io.imsave("grey.png", grey)
    io.imsave("deep.tif", grey.astype(np.uint16) * 257, check_contrast=False)
    io.imsave("colour.png", colour)
    np.save("grey.npy", grey.astype(np.float32))
    return tmp_path


def _refused(capsys, *argv):
    """Run a call that has to be refused, and return its one line."""
    before = {name: open(name, "rb").read() for name in os.listdir() if os.path.isfile(name)}
    try:
        status = main(["calibrate", *argv])
    except SystemExit as stop:  # argparse
        status = stop.code
    captured = capsys.readouterr()
    assert status == 2
    assert "Traceback" not in captured.err + captured.out
    after = {name: open(name, "rb").read() for name in os.listdir() if os.path.isfile(name)}
    assert after == before
    return captured.err


def test_the_classic_experiment(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["calibrate"]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = [line.split() for line in lines[2:8]]
    assert [row[0] for row in table] == list("123456")
    losses, errors = ([float(row[k]) for row in table] for k in (1, 2))
    assert table[2][3:] == ["*"]
    assert [len(row) for row in table] == [3, 3, 4, 3, 3, 3]
    np.testing.assert_allclose(losses, [0.0147, 0.0118, 0.0115, 0.0118, 0.0125, 0.0130], atol=1e-4)
    np.testing.assert_allclose(errors, [0.0059, 0.0029, 0.0026, 0.0029, 0.0036, 0.0042], atol=1e-4)
    assert "chosen: radius=3" in lines
    denoised = io.imread("camera_denoised.png") / 255
    assert np.mean((denoised - data.camera() / 255) ** 2) == pytest.approx(errors[2], rel=0.01)
    assert io.imread("camera_denoised_calibration.png").ndim == 3


def test_a_file(folder, capsys):
    call = ["calibrate", "grey.png", "--denoiser", "median", "--param", "radius=1:7"]
    assert main([*call, "-o", "out.npy", "--dtype", "float64"]) == 0
    assert "chosen: radius=" in capsys.readouterr().out
    radius = int(np.argmin([_loss(io.imread("grey.png"), r) for r in range(1, 7)])) + 1
    expected = median.exact(io.imread("grey.png").astype(float), radius=radius)
    np.testing.assert_array_equal(np.load("out.npy"), expected)
    assert os.path.exists("out_calibration.png")
    assert sorted(os.listdir()) == sorted(
        ["colour.png", "deep.tif", "grey.npy", "grey.png", "out.npy", "out_calibration.png"]
    )


def _loss(X, radius):
    return -JInvariantWrapper(median, radius=radius).fit(X).score(X)


@pytest.mark.parametrize(
    ("image", "output", "dtype"),
    [
        ("grey.png", "out.png", np.uint8),
        ("deep.tif", "out.tif", np.uint16),
        ("deep.tif", "out.png", np.uint16),
        ("grey.npy", "out.npy", np.float32),
        ("grey.npy", "out.tiff", np.float32),
    ],
)
def test_formats_keep_the_scale(image, output, dtype, folder):
    call = ["calibrate", image, "--denoiser", "gaussian", "--param", "sigma=1"]
    assert main([*call, "-o", output]) == 0
    read = np.load if output.endswith("npy") else io.imread
    source = np.load(image) if image.endswith("npy") else io.imread(image)
    assert read(output).dtype == dtype
    assert read(output).mean() == pytest.approx(source.mean(), rel=0.02)


def test_colours_are_channels_and_parameters_are_passed(folder, capsys):
    grid = ["--denoiser", "tv", "--param", "weight=5,15.5", "--param", "num_iter=20:60:20"]
    call = ["calibrate", "colour.png", *grid, "--output", "plain", "-o", "out.npy"]
    assert main([*call, "--jobs", "2", "--dtype", "float64"]) == 0
    out = capsys.readouterr().out
    assert [tuple(line.split()[:2]) for line in out.splitlines()[1:5]] == [
        ("20", "5"), ("20", "15.5"), ("40", "5"), ("40", "15.5"),
    ]  # fmt: skip
    X = io.imread("colour.png").astype(float)
    weight = float(out.split("weight=")[1].split()[0])
    iterations = int(out.split("num_iter=")[1].split(",")[0])
    expected = tv(X, weight=weight, num_iter=iterations, channel_axis=-1)
    np.testing.assert_allclose(np.load("out.npy"), expected)


def test_colours_are_colours_in_every_format_and_pages_are_no_colours(folder):
    X = io.imread("colour.png")
    np.save("colour.npy", X)
    tifffile.imwrite("colour.tif", X, photometric="rgb")
    tifffile.imwrite("pages.tif", np.moveaxis(X, -1, 0), photometric="minisblack")
    grid = ["--denoiser", "gaussian", "--param", "sigma=1", "--output", "plain"]
    grid += ["--dtype", "float64"]
    for name in ("colour.png", "colour.npy", "colour.tif"):
        assert main(["calibrate", name, *grid, "-o", "out.npy"]) == 0
        expected = np.stack([gaussian(X[..., c].astype(float)) for c in range(3)], axis=-1)
        np.testing.assert_allclose(np.load("out.npy"), expected)
    assert main(["calibrate", "pages.tif", *grid, "--batch-axis", "0", "-o", "out.npy"]) == 0
    np.testing.assert_allclose(np.load("out.npy"), np.moveaxis(expected, -1, 0))


def test_the_truth_may_be_given(folder, capsys):
    io.imsave("clean.png", data.camera()[100:164, 200:270])
    assert main(["calibrate", "grey.png", "--clean", "clean.png"]) == 0
    out = capsys.readouterr().out
    gap, variance = (float(part.split(";")[0].split()[0]) for part in out.split(": ")[-2:])
    assert gap == pytest.approx(variance, rel=0.1)


def test_ranges(folder, capsys):
    call = ["calibrate", "grey.npy", "--denoiser", "gaussian", "--param", "sigma=0.5:1.1:0.2"]
    assert main([*call, "-o", "out.npy"]) == 0
    rows = capsys.readouterr().out.splitlines()[1:4]
    assert [row.split()[0] for row in rows] == ["0.5", "0.7", "0.9"]


def test_a_failed_candidate_is_a_warning(folder, capsys):
    assert main(["calibrate", "grey.png", "--param", "radius=0:3", "-o", "out.png"]) == 0
    assert "sk-n2s: warning: 1 of 3 candidates failed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["none.png"], "none.png: there is no such file"),
        (["grey.xyz"], "unknown format '.xyz'"),
        (["broken.png"], "broken.png: cannot be read as an array"),
        (["broken.npy"], "broken.npy: cannot be read as an array"),
        (["folder.png"], "folder.png: is a folder, and not a .png file"),
        (["grey.png", "--denoiser", "magic"], "invalid choice: 'magic'"),
        (["grey.png", "--denoiser", "tv"], "tv has num_iter, weight"),
        (["grey.png", "--param", "sigma=1"], "median has no 'sigma', it has mode, radius"),
        (["grey.png", "--param", "radius"], "is not of the form NAME=VALUES"),
        (["grey.png", "--param", "radius=7:1"], "holds 0 values"),
        (["grey.png", "--param", "radius=a:b"], "neither start:stop nor"),
        (["grey.png", "--param", "radius=1:2:0"], "step"),
        (["grey.png", "--param", "radius=0.5:2"], "needs a step"),
        (["grey.png", "--param", "radius=0"], "radius=0 must be at least 1"),
        (["grey.png", "-o", "none/out.png"], "the folder none does not exist"),
        (["grey.png", "-o", "folder.png"], "is a folder"),
        (["grey.png", "-o", "out.xyz"], "unknown format '.xyz'"),
        (["deep.tif", "-o", "out.gif"], ".gif cannot hold uint16 data"),
        (["grey.png", "--report", "o.html", "-o", "o.html"], "unknown format '.html'"),
        (["grey.png", "--kind", "table"], "is a table, and median denoises by neighbours"),
        (["grey.npy", "-o", "out.png"], "cannot hold such float32 data"),
        (["deep.tif", "-o", "out.jpg"], "cannot hold such uint16 data"),
        (["film.npy", "-o", "out.png"], "cannot hold shape (5, 16, 16)"),
        (["grey.png", "--clean", "clean.png", "-o", "clean.png"], "is the input"),
        (["grey.png", "--clean", "clean.png", "--figure", "clean.png"], "is the input"),
        (["broken.tif"], "cannot be read as an array"),
        (["grey.png", "--param", "partition__stride=4"], "median has no 'partition__stride'"),
        (["grey.png", "--param", "output=plain"], "median has no 'output'"),
        (["grey.png", "--param", "radius=1", "--param", "radius=2"], "radius is given twice"),
        (["grey.png", "--param", "radius=1,,2"], "holds an empty value"),
        (["grey.png", "--param", "radius=1:1e999:1"], "neither start:stop"),
        (["grey.png", "--param", "radius=0.0:1:1e-12"], "give 1 to 1000"),
        (["grey.png", "-o", "grey.png"], "is the input, which is never overwritten"),
        (["grey.png", "-o", "link.png"], "is the input, which is never overwritten"),
        (["grey.png", "-o", "o.png", "--figure", "grey.png"], "is the input"),
        (["grey.png", "-o", "o.png", "--figure", "o.png"], "both the output and the figure"),
        (["grey.png", "-o", "o.png", "--figure", "f.xyz"], "unknown format '.xyz'"),
        (["grey.png", "--clean", "colour.png"], "colour.png: has shape"),
        (["grey.png", "--channel-axis", "5"], "channel_axis=5 is not an axis"),
        (["strings.npy"], "must hold real numbers"),
        (["nan.npy"], "nothing but NaN"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(argv, message, folder, capsys):
    (folder / "broken.png").write_bytes(b"not an image")
    (folder / "broken.npy").write_bytes(b"not an array")
    (folder / "folder.png").mkdir()
    (folder / "link.png").symlink_to("grey.png")
    np.save("strings.npy", np.array(["a", "b"]))
    np.save("film.npy", np.arange(5 * 256, dtype=np.uint16).reshape(5, 16, 16))
    (folder / "broken.tif").write_bytes(b"not an image")
    io.imsave("clean.png", io.imread("grey.png"))
    np.save("nan.npy", np.full((8, 8), np.nan))
    assert message in _refused(capsys, *argv)


def test_an_output_that_cannot_be_written_leaves_what_was_there(folder, capsys, monkeypatch):
    assert main(["calibrate", "grey.png", "-o", "out.png"]) == 0

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    error = _refused(capsys, "grey.png", "-o", "out.png")
    assert "out.png: cannot be written (No space left on device)" in error


def test_without_matplotlib_there_is_no_figure(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["calibrate", "grey.png", "-o", "out.png"]) == 0
    assert "no figure" in capsys.readouterr().out
    assert not os.path.exists("out_calibration.png")
    assert "sk_n2s[plot]" in _refused(capsys, "grey.png", "-o", "o.png", "--figure", "f.png")


def test_as_a_process(folder):
    call = [sys.executable, "-m", "sk_n2s", "calibrate", "none.png"]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "sk-n2s: error: none.png: there is no such file\n"
    assert main(["calibrate", "grey.png", "-o", "out.png"]) == 0


def test_a_terminal_shows_what_is_being_done(monkeypatch):
    class Terminal(io_.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(_saying, "_EVERY", 0.01)
    with _saying.working("denoising a.png"):
        while "0 s" not in terminal.getvalue():
            time.sleep(0.01)
    assert terminal.getvalue().startswith("\rdenoising a.png ... 0 s")
    assert terminal.getvalue().endswith("\r\033[K")  # the line is free again


def test_a_report_of_what_was_done(folder, capsys):
    options = ["--method", "gaussian", "--param", "sigma=1.5", "-o", "clean.png"]
    assert main(["denoise", "grey.png", *options, "--report", "seen.html"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "wrote seen.html"
    page = (folder / "seen.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "sigma=1.5" in page
    for report, why in (("seen.txt", "ends in .html"), ("no/seen.html", "does not exist")):
        assert main(["denoise", "grey.png", *options, "--report", report]) == 2
        assert why in capsys.readouterr().err
    assert main(["denoise", "grey.png", "deep.tif", "--report", "seen.html"]) == 2
    assert "is of one image" in capsys.readouterr().err
    assert main(["calibrate", "grey.png", "--param", "radius=1,2", "--report", "found.html"]) == 0
    assert "radius" in (folder / "found.html").read_text(encoding="utf-8")


def test_a_report_and_nothing_else(folder, capsys):
    before = set(os.listdir())
    assert main(["report", "grey.png", "--effort", "fast"]) == 0
    assert set(os.listdir()) - before == {"grey_report.html"}
    assert "What was taken away" in (folder / "grey_report.html").read_text(encoding="utf-8")
    assert main(["report", "grey.png", "-o", "grey.png"]) == 2
    assert "grey.png: give a name that ends in .html" in capsys.readouterr().err
    assert main(["report", "none.png"]) == 2
    assert "there is no such file" in capsys.readouterr().err
