"""The command ``sk-n2s``: denoise image files, and calibrate denoisers, from the shell."""

from __future__ import annotations

import argparse
import ast
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__
from ._utils.lazy import in_memory
from .auto import AutoDenoiser
from .denoisers import DENOISERS
from .files.pictures import (
    STORE,
    SUFFIXES,
    Picture,
    Refusal,
    check_format,
    check_target,
    encode,
    format_of,
    read,
    save,
    store_around,
    write,
)
from .j_invariance.wrapper import JInvariantWrapper
from .plotting import figure_formats, true_errors, write_curve
from .search._grid import SelfSupervisedSearchCV

__all__ = ["main"]

_MOST_VALUES = 1000


def _classic() -> tuple[Picture, np.ndarray]:
    """Return the noisy and the clean image of the classic experiment, on a scale of 0 to 1."""
    from skimage import data, util

    clean = data.camera()
    noisy = util.img_as_ubyte(util.random_noise(clean, mode="gaussian", var=0.01, rng=3))
    return Picture(noisy / 255, noisy.dtype, 1 / 255), clean / 255


def _number(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _values(text: str) -> list:
    """Return the values of ``1:7`` (as Python's range), ``0.1:1:0.1``, ``0.5,1,2`` or ``db4``."""
    if ":" not in text:
        parts = [part.strip() for part in text.split(",")]
        if "" in parts:
            raise Refusal(f"--param: {text!r} holds an empty value")
        return [_number(part) for part in parts]
    bounds = [_number(part) for part in text.split(":")]
    whole = all(type(b) is int for b in bounds)
    if len(bounds) not in (2, 3) or not all(
        type(b) in (int, float) and np.isfinite(b) for b in bounds
    ):
        raise Refusal(f"--param: {text!r} is neither start:stop nor start:stop:step")
    if not whole and len(bounds) == 2:
        raise Refusal(f"--param: {text!r} needs a step, as in start:stop:step")
    start, stop, step = (*bounds, 1)[:3]
    if step <= 0:
        raise Refusal(f"--param: the step of {text!r} must be positive")
    count = int(np.ceil((stop - start) / step - 1e-9))
    if not 0 < count <= _MOST_VALUES:
        raise Refusal(
            f"--param: the range {text!r} holds {max(count, 0)} values, give 1 to {_MOST_VALUES}"
        )
    values = [start + k * step for k in range(count)]
    return values if whole else [round(v, 12) for v in values]


def _grid(denoiser: str, params: Sequence[str]) -> dict[str, list]:
    wrapper = JInvariantWrapper(DENOISERS[denoiser])
    has = sorted(wrapper.get_params(deep=True).keys() - wrapper.get_params(deep=False).keys())
    if not params:
        if denoiser == "median":
            return {"radius": list(range(1, 7))}
        raise Refusal(
            f"--param: name what to try, as in NAME=0.5,1,2; {denoiser} has {', '.join(has)}"
        )
    grid: dict[str, list] = {}
    for param in params:
        name, equals, values = param.partition("=")
        if not (name and equals and values):
            raise Refusal(f"--param: {param!r} is not of the form NAME=VALUES")
        if name not in has:
            raise Refusal(f"--param: {denoiser} has no {name!r}, it has {', '.join(has)}")
        if name in grid:
            raise Refusal(f"--param: {name} is given twice")
        grid[name] = _values(values)
    return grid


def _table(search: SelfSupervisedSearchCV, errors: dict | None, kind: str) -> str:
    """Return the table of candidates, with a star at the chosen one."""
    names = list(search.best_params_)
    header = [*names, "self-supervised loss", *(["true error"] if errors else []), ""]
    rows = []
    for i, params in enumerate(search.cv_results_["params"]):
        row = [f"{v:g}" if isinstance(v, float) else str(v) for v in params.values()]
        row.append(f"{-search.cv_results_['mean_test_score'][i]:.6g}")
        if errors:
            row.append(f"{errors[kind][i]:.6g}")
        rows.append([*row, "*" if i == search.best_index_ else ""])
    widths = [max(len(r[k]) for r in (header, *rows)) for k in range(len(header))]
    lines = ["  ".join(c.rjust(w) for c, w in zip(r, widths, strict=True)) for r in (header, *rows)]
    return "\n".join(line.rstrip() for line in lines)


def _calibrate(args: argparse.Namespace) -> None:
    sources = [Path(name) for name in (args.image, args.clean) if name is not None]
    if args.image is None:
        noisy, clean = _classic()
        stem, suffix = "camera", ".png"
        print("scikit-image's camera with Gaussian noise of variance 0.01, seed 3")
    else:
        # Where the truth is known, errors are computed in memory.
        noisy, clean = read(sources[0], lazily=args.clean is None), None
        stem, suffix = sources[0].stem, sources[0].suffix or format_of(sources[0])
    if args.clean is not None:
        clean = read(Path(args.clean)).array * noisy.unit
        if clean.shape != noisy.array.shape:
            raise Refusal(
                f"{args.clean}: has shape {clean.shape}, the noisy image has {noisy.array.shape}"
            )
    output = Path(args.out or f"{stem}_denoised{suffix}")
    beside = store_around(output) or output
    figure = Path(args.figure or beside.with_name(f"{output.stem}_calibration.png"))
    for path, what in ((output, "output"), (figure, "figure")):
        check_target(path, sources, what)
    if output.resolve() == figure.resolve():
        raise Refusal(f"{output}: is both the output and the figure")
    check_format(output, noisy)
    drawn = _can_draw(figure, required=args.figure is not None)

    channel_axis = _channel_axis(args, noisy)
    grid = _grid(args.denoiser, args.param)
    wrapper = JInvariantWrapper(
        DENOISERS[args.denoiser],
        output=args.output,
        channel_axis=channel_axis,
        batch_axis=args.batch_axis,
        halo=args.halo,
    )
    search = SelfSupervisedSearchCV(wrapper, grid, n_jobs=args.jobs).fit(noisy.array)
    denoised = _held(output, search.transform(noisy.array))
    errors = None if clean is None else true_errors(search, clean)
    kind = "plain" if args.output == "plain" else "invariant"  # what was scored
    print(_table(search, errors, kind))
    print("chosen:", ", ".join(f"{k}={v}" for k, v in search.best_params_.items()))
    if errors is not None:
        gap = -search.best_score_ - errors[kind][search.best_index_]
        variance = np.mean(np.square(noisy.array - clean))
        print(f"loss - true error: {gap:.6g}; variance of the noise: {variance:.6g}")
    _write(output, denoised, noisy, args.jobs)
    if drawn:
        write(figure, lambda path: write_curve(search, path, errors=errors))
        print(f"wrote {figure}")
    else:
        print("no figure: it needs matplotlib, pip install 'sk_n2s[plot]'")


def _channel_axis(args: argparse.Namespace, noisy: Picture) -> int | None:
    if args.channel_axis is None and args.batch_axis is None and noisy.is_coloured:
        print("three values along the last axis: taken for colours (--channel-axis, --batch-axis)")
        return -1
    return args.channel_axis


def _denoise(args: argparse.Namespace) -> None:
    source = Path(args.image)
    noisy = read(source, lazily=True)
    output = Path(args.out or f"{source.stem}_denoised{source.suffix or format_of(source)}")
    check_target(output, [source], "output")
    check_format(output, noisy)
    auto = AutoDenoiser(
        args.effort,
        noise=args.noise,
        channel_axis=_channel_axis(args, noisy),
        batch_axis=args.batch_axis,
        spacing=args.spacing,
        n_jobs=args.jobs,
    ).fit(noisy.array)
    print(auto.summary_)
    _write(output, _held(output, auto.transform(noisy.array)), noisy, args.jobs)


def _held(output: Path, denoised: Any) -> Any:
    """Return denoised data in memory, unless they go to a zarr file, block by block."""
    return denoised if format_of(output) == STORE else in_memory([denoised])[0]


def _write(output: Path, denoised: Any, noisy: Picture, jobs: int | None) -> None:
    """Write denoised data in the form of the noisy ones."""
    encoded, lost = encode(output, denoised, noisy)
    write(output, lambda path: save(path, encoded, jobs))
    print(f"wrote {output}{lost}")


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not 0 < value < np.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _can_draw(figure: Path, required: bool) -> bool:
    """Return whether figures can be written, and refuse a file that they cannot go to."""
    try:
        formats = figure_formats()
    except ImportError as error:
        if required:
            raise Refusal(f"--figure: {error}") from None
        return False
    if figure.suffix.lower() not in formats:
        raise Refusal(
            f"{figure}: unknown format {figure.suffix!r}, use one of {', '.join(formats)}"
        )
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sk-n2s", description="Denoising without clean data.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"sk_n2s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    denoise = commands.add_parser(
        "denoise",
        help="denoise an image, with everything chosen from the noisy data",
        description="Look at the noise, let denoisers race on the noisy data alone, and average "
        "the best. Says what was chosen, and how good the result is estimated to be.",
        allow_abbrev=False,
    )
    denoise.add_argument("image", metavar="IMAGE", help=f"noisy data ({SUFFIXES})")
    denoise.add_argument(
        "--effort",
        default="balanced",
        choices=("fast", "balanced", "best"),
        help="how many denoisers race; default: balanced",
    )
    denoise.add_argument(
        "--noise", type=_positive, metavar="SIGMA", help="standard deviation, if it is known"
    )
    denoise.add_argument(
        "--spacing",
        type=_positive,
        nargs="+",
        metavar="D",
        help="how far entries are apart along each axis, as 4 1 1 for slices that are far apart",
    )
    denoise.set_defaults(run=_denoise)
    calibrate = commands.add_parser(
        "calibrate",
        help="find the best parameters of a denoiser on the noisy data alone, and denoise",
        description="Find the parameters with the smallest self-supervised loss on the noisy data "
        "alone, and denoise with them. Without IMAGE, run the classic experiment on an image "
        "that scikit-image brings along.",
        allow_abbrev=False,
    )
    calibrate.add_argument("image", nargs="?", metavar="IMAGE", help=f"noisy data ({SUFFIXES})")
    calibrate.add_argument(
        "--denoiser", default="median", choices=sorted(DENOISERS), help="default: median"
    )
    calibrate.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUES",
        help="values to try: radius=1:7 (as Python's range), sigma=0.5:2:0.25, or weight=1,5,25; "
        "again for each parameter; default for the median: radius=1:7",
    )
    calibrate.add_argument(
        "--figure", metavar="FILE", help="the loss of each candidate; default: OUT_calibration.png"
    )
    calibrate.add_argument(
        "--halo",
        type=int,
        metavar="N",
        help="entries around a block of a zarr array that are shown to the denoiser with it; "
        "default: as far as it looks",
    )
    calibrate.add_argument("--clean", metavar="FILE", help="the truth, to print the true error")
    calibrate.add_argument(
        "--output",
        default="invariant",
        choices=("invariant", "plain", "blend"),
        help="what is written: the J-invariant prediction (default), the denoiser on the full "
        "data, or the prediction with each pixel's own value mixed back in",
    )
    for command in (denoise, calibrate):
        command.add_argument("-o", "--out", metavar="FILE", help="default: IMAGE_denoised")
        command.add_argument(
            "--channel-axis",
            type=int,
            metavar="K",
            help="axis of colours; default: last of RGB",
        )
        command.add_argument("--batch-axis", type=int, metavar="K", help="axis of separate images")
        command.add_argument("--jobs", type=int, metavar="N", help="jobs, -1 for all cores")
    calibrate.set_defaults(run=_calibrate)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    args = _parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(
            f"sk-n2s: warning: {message}", file=sys.stderr
        )
        try:
            args.run(args)
        except (Refusal, ValueError, TypeError, MemoryError) as error:
            lines = [line for line in str(error).splitlines() if line] or [type(error).__name__]
            reason = lines[0] if len(lines) == 1 else f"{lines[0]} {lines[-1]}"
            print(f"sk-n2s: error: {reason}", file=sys.stderr)
            return 2
        except BrokenPipeError:  # whoever read the output has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except KeyboardInterrupt:
            return 130
    return 0
