"""``sk-n2s calibrate``: find the best parameters of a denoiser, and denoise with them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ..files.formats import SUFFIXES, check_format, read, store_around
from ..files.picture import Picture, Refusal
from ..files.whole import check_target, write
from . import _interrupts, _options, _saying
from ._params import Method, check_names, save_params
from ._reports import checked_report, write_report
from ._sources import default_output
from .denoise import write_like

__all__ = ["add", "run"]

_EXAMPLES = """\
examples:
  sk-n2s calibrate noisy.png
  sk-n2s calibrate noisy.tif --denoiser tv --param weight=1,5,25 --output blend
  sk-n2s calibrate first.tif --denoiser nl_means --param h=5:30:5 --save-params found.json
"""


def add(commands: Any) -> None:
    """Add the subcommand."""
    parser = _options.add_command(
        commands,
        "calibrate",
        run,
        summary="find the best parameters of a denoiser on the noisy data alone, and denoise",
        description="Find the parameters with the smallest self-supervised loss on the noisy data\n"
        "alone, and denoise with them. Without IMAGE, run the classic experiment on an image\n"
        "that scikit-image brings along.",
        examples=_EXAMPLES,
    )
    parser.add_argument("image", nargs="?", metavar="IMAGE", help=f"noisy data ({SUFFIXES})")
    parser.add_argument(
        "--denoiser",
        default="median",
        choices=_options.DENOISERS,
        metavar="NAME",
        help=f"default: median; or {', '.join(_options.DENOISERS)}",
    )
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUES",
        help="values to try: radius=1:7 (as Python's range), sigma=0.5:2:0.25, or weight=1,5,25; "
        "again for each parameter; default for the median: radius=1:7",
    )
    parser.add_argument(
        "--save-params", metavar="FILE", help="write what was found, for denoise --load-params"
    )
    parser.add_argument(
        "--figure", metavar="FILE", help="the loss of each candidate; default: OUT_calibration.png"
    )
    parser.add_argument(
        "--halo",
        type=_options.whole_number,
        metavar="N",
        help="entries around a block of a zarr array that are shown to the denoiser with it; "
        "default: as far as it looks",
    )
    parser.add_argument("--clean", metavar="FILE", help="the truth, to print the true error")
    parser.add_argument(
        "--output",
        default="invariant",
        choices=("invariant", "plain", "blend"),
        help="what is written: the J-invariant prediction (default), the denoiser on the full "
        "data, or the prediction with each pixel's own value mixed back in",
    )
    parser.add_argument(
        "--report", metavar="FILE", help="an HTML file that shows whether to trust the result"
    )
    _options.add_mask(parser)
    _options.add_input(parser)
    _options.add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Calibrate a denoiser on one file, and denoise that."""
    grid = _grid(args.denoiser, args.param)
    noisy, clean, output = _given(args)
    figure = _figure(args, output)
    others = [*_sources(args), output]
    report = None if args.report is None else checked_report(Path(args.report), others)
    axes, note = _options.channel_axis(args, noisy)
    _saying.notes([*noisy.notes, note], args.json)
    noisy.notes.clear()
    if _options.is_table(args, noisy):
        raise Refusal(
            f"{args.image}: is a table, and {args.denoiser} denoises by neighbours: use denoise, "
            "or give --kind array"
        )
    wrapper = _wrapper(args, grid, {**axes, "mask": _options.mask_of(args, noisy, axes)})

    from ..plotting import true_errors, write_curve
    from ..search._grid import SelfSupervisedSearchCV

    _interrupts.begin_work()
    with _saying.working(f"calibrating {args.denoiser}"):
        search = SelfSupervisedSearchCV(wrapper, grid, n_jobs=args.jobs).fit(noisy.array)
        denoised = search.transform(noisy.array)
        errors = None if clean is None else true_errors(search, clean)
    for text in _findings(search, noisy, clean, errors, args.output):
        _saying.line(text, args.json)
    with _saying.working(f"writing {output}"):
        lost = write_like(output, denoised, noisy, _options.dtype_of(args, noisy), args.jobs)
    for text in (*noisy.notes, f"wrote {output}{lost}"):
        _saying.line(text, args.json)
    if args.save_params is not None:
        save_params(Path(args.save_params), Method(args.denoiser, search.best_params_, args.output))
        _saying.line(f"wrote {args.save_params}", args.json)
    if figure is not None:
        write(figure, lambda path: write_curve(search, path, errors=errors))
        _saying.line(f"wrote {figure}", args.json)
    else:
        _saying.line("no figure: it needs matplotlib, pip install 'sk_n2s[plot]'", args.json)
    if report is not None:
        write_report(report, search, noisy.array)
        _saying.line(f"wrote {report}", args.json)
    if args.json:
        _saying.record(_as_record(args, search, errors, output, axes))
    return 0


def _grid(denoiser: str, params: Sequence[str]) -> dict[str, list]:
    """Return the values to try of each parameter."""
    if not params and denoiser == "median":
        return {"radius": list(range(1, 7))}
    return _options.grid(params)


def _given(args: argparse.Namespace) -> tuple[Picture, np.ndarray | None, Path]:
    """Return the noisy data, the truth if it is known, and where the result goes."""
    clean = None
    if args.image is None:
        noisy, clean = _classic()
        output = Path(args.out or "camera_denoised.png")
        _saying.line(
            "scikit-image's camera with Gaussian noise of variance 0.01, seed 3", args.json
        )
    else:
        # Where the truth is known, errors are computed in memory.
        source = Path(args.image)
        noisy = read(
            source, _options.options_of(args, lazily=args.clean is None and args.mask is None)
        )
        output = Path(args.out or default_output(source))
    if args.clean is not None:
        options = _options.options_of(args, lazily=False)
        clean = read(Path(args.clean), options, checked=False).array * noisy.unit
        if clean.shape != noisy.array.shape:
            raise Refusal(
                f"{args.clean}: has shape {clean.shape}, the noisy image has {noisy.array.shape}"
            )
    check_target(output, _sources(args), "output")
    check_format(output, noisy, _options.dtype_of(args, noisy))
    return noisy, clean, output


def _sources(args: argparse.Namespace) -> list[Path]:
    return [Path(name) for name in (args.image, args.clean) if name is not None]


def _classic() -> tuple[Picture, np.ndarray]:
    """Return the noisy and the clean image of the classic experiment, on a scale of 0 to 1."""
    from skimage import data, util

    clean = data.camera()
    noisy = util.img_as_ubyte(util.random_noise(clean, mode="gaussian", var=0.01, rng=3))
    return Picture(noisy / 255, noisy.dtype, 1 / 255), clean / 255


def _figure(args: argparse.Namespace, output: Path) -> Path | None:
    """Return where the figure goes, None if none can be drawn; refuse files in each other's way."""
    beside = store_around(output) or output
    figure = Path(args.figure or beside.with_name(f"{output.stem}_calibration.png"))
    check_target(figure, _sources(args), "figure")
    written = {"output": output, "figure": figure}
    if args.report is not None:
        written["report"] = Path(args.report)
    if args.save_params is not None:
        written["file of parameters"] = Path(args.save_params)
        check_target(written["file of parameters"], _sources(args), "file of parameters")
    for (what, path), (other, second) in combinations(written.items(), 2):
        if path.resolve() == second.resolve():
            raise Refusal(f"{path}: is both the {what} and the {other}")
    return figure if _can_draw(figure, required=args.figure is not None) else None


def _can_draw(figure: Path, required: bool) -> bool:
    """Return whether figures can be written, and refuse a file that they cannot go to."""
    from ..plotting import figure_formats

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


def _wrapper(args: argparse.Namespace, grid: dict[str, list], where: dict[str, Any]) -> Any:
    """Return the denoiser to calibrate, and refuse parameters that it does not have."""
    from ..denoisers import DENOISERS
    from ..j_invariance.wrapper import JInvariantWrapper

    wrapper = JInvariantWrapper(
        DENOISERS[args.denoiser], output=args.output, halo=args.halo, **where
    )
    has = check_names("--param", args.denoiser, grid, wrapper)
    if not grid:
        raise Refusal(
            f"--param: name what to try, as in NAME=0.5,1,2; {args.denoiser} has {', '.join(has)}"
        )
    return wrapper


def _findings(
    search: Any, noisy: Picture, clean: np.ndarray | None, errors: dict | None, output: str
) -> list[str]:
    """Return what was found, in lines."""
    kind = _scored(output)
    chosen = ", ".join(f"{k}={v}" for k, v in search.best_params_.items())
    lines = [_table(search, errors, kind), f"chosen: {chosen}"]
    if errors is not None:
        gap = -search.best_score_ - errors[kind][search.best_index_]
        variance = np.nanmean(np.square(noisy.array - clean))
        lines.append(f"loss - true error: {gap:.6g}; variance of the noise: {variance:.6g}")
    return lines


def _scored(output: str) -> str:
    """Return which of the true errors belongs to what was scored."""
    return "plain" if output == "plain" else "invariant"


def _table(search: Any, errors: dict | None, kind: str) -> str:
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


def _as_record(
    args: argparse.Namespace, search: Any, errors: dict | None, output: Path, axes: dict[str, Any]
) -> dict[str, Any]:
    """Return what was found, for machines."""
    losses = -np.asarray(search.cv_results_["mean_test_score"])
    candidates = [
        {"params": params, "loss": losses[i]}
        | ({} if errors is None else {"true_error": errors[_scored(args.output)][i]})
        for i, params in enumerate(search.cv_results_["params"])
    ]
    return {
        "file": args.image,
        "output": str(output),
        "denoiser": args.denoiser,
        "params": search.best_params_,
        "loss": -search.best_score_,
        "candidates": candidates,
        **axes,
    }
