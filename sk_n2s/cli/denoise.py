"""``sk-n2s denoise``: denoise files, with everything chosen from the noisy data."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..files.formats import STORE, SUFFIXES, check_format, format_of, read, save
from ..files.picture import Encoder, Picture, Refusal
from ..files.whole import check_target, write
from . import _interrupts, _options, _params, _saying
from ._reports import checked_report, write_report
from ._sources import find_sources, outputs_for

__all__ = ["add", "add_race", "auto_denoiser", "run", "write_like"]

_EXAMPLES = """\
examples:
  sk-n2s denoise noisy.tif
  sk-n2s denoise photo.jpg --effort best -o clean.png
  sk-n2s denoise recordings 'more/*.tif' -o results
  sk-n2s denoise stack.ome.tif --series 1 --spacing 4 1 1
  sk-n2s denoise counts.npy --dtype float32
  sk-n2s denoise noisy.png --method gaussian --param sigma=1.5
  sk-n2s denoise noisy.png --report noisy.html
  sk-n2s denoise brain.nii.gz --mask brain_mask.nii.gz
  sk-n2s denoise genes.mtx --dtype float32
  sk-n2s denoise day*.tif --alike -o results

What comes out is what went in, denoised: its dtype, axes, pixel size and names. Each of several
files is calibrated by itself, since the noise of each may differ; --alike chooses for the first
and denoises all by that, and --load-params by what calibrate --save-params has found.
"""


def add(commands: Any) -> None:
    """Add the subcommand."""
    parser = _options.add_command(
        commands,
        "denoise",
        run,
        summary="denoise files, with everything chosen from the noisy data",
        description="Look at the noise, let denoisers race on the noisy data alone, and average\n"
        "the best. Says what was chosen, and how good the result is estimated to be.",
        examples=_EXAMPLES,
    )
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help=f"noisy data ({SUFFIXES}), folders of such files, or patterns",
    )
    add_race(parser)
    parser.add_argument(
        "--method",
        choices=("auto", *_options.DENOISERS),
        default="auto",
        metavar="NAME",
        help=f"one denoiser instead of a race: {', '.join(_options.DENOISERS)}",
    )
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of --method, as sigma=1.5; again for each",
    )
    parser.add_argument(
        "--load-params", metavar="FILE", help="denoise by what calibrate --save-params wrote"
    )
    parser.add_argument(
        "--report",
        metavar="FILE",
        help="an HTML file that shows whether to trust the result; of one image",
    )
    parser.add_argument(
        "--alike",
        action="store_true",
        help="several files are of one kind: what is chosen for the first serves for all",
    )
    _options.add_input(parser)
    _options.add_output(parser)


def add_race(parser: argparse.ArgumentParser) -> None:
    """Add what says how denoisers race, and on what."""
    parser.add_argument(
        "--effort",
        default="balanced",
        choices=("fast", "balanced", "best"),
        help="how many denoisers race; default: balanced",
    )
    parser.add_argument(
        "--noise", type=_options.positive, metavar="SIGMA", help="standard deviation, if known"
    )
    parser.add_argument(
        "--spacing",
        type=_options.positive,
        nargs="+",
        metavar="D",
        help="how far entries are apart along each axis, as 4 1 1 for slices that are far apart; "
        "default: as the file says",
    )
    _options.add_mask(parser)


def auto_denoiser(args: argparse.Namespace, noisy: Picture, axes: dict[str, Any]) -> Any:
    """Return what chooses everything from the noisy data."""
    from ..auto import AutoDenoiser

    return AutoDenoiser(
        args.effort,
        noise=args.noise,
        spacing=args.spacing or _spacing(noisy, axes),
        mask=_options.mask_of(args, noisy, axes),
        kind="table" if _options.is_table(args, noisy) else "array",
        n_jobs=args.jobs,
        **axes,
    )


def run(args: argparse.Namespace) -> int:
    """Denoise each file, and go on after one that cannot be."""
    if args.method == "auto" and args.param:
        raise Refusal("--param: belongs to --method NAME, and there is none")
    if args.load_params is not None and args.method != "auto":
        raise Refusal("--load-params: names a method as well, leave --method out")
    method = _params.method_of(args)
    if method is not None and args.spacing is not None:
        raise Refusal(f"--spacing: belongs to the race of denoisers, and {method.name} has none")
    sources, several = find_sources(args.images)
    targets = outputs_for(sources, several, args.out)
    if args.report is not None and len(sources) > 1:
        raise Refusal(f"--report: is of one image, and there are {len(sources)}")
    if len(sources) == 1:
        _denoise(sources[0], targets[0], args, method)
        return 0
    failed, found = [], None
    for source, target in zip(sources, targets, strict=True):
        try:
            made = _denoise(source, target, args, method, found)
            found = made if args.alike else None
        except Exception as error:
            from . import reason_of

            reason = reason_of(error)
            failed.append(str(source))
            print(f"sk-n2s: error: {reason}", file=sys.stderr, flush=True)
            if args.json:
                _saying.record({"file": str(source), "error": reason})
    if failed:
        names = ", ".join(failed[:5]) + (", ..." if len(failed) > 5 else "")
        print(
            f"sk-n2s: error: {len(failed)} of {len(sources)} files failed: {names}", file=sys.stderr
        )
    return 1 if failed else 0


def _denoise(
    source: Path,
    output: Path,
    args: argparse.Namespace,
    method: _params.Method | None,
    found: Any = None,
) -> Any:
    """Denoise one file, by what was found in another if there is that; return what denoised it."""
    check_target(output, [source], "output")
    others = [source, output]
    report = None if args.report is None else checked_report(Path(args.report), others)
    noisy = read(source, _options.input_options(args))
    dtype = _options.dtype_of(args, noisy)
    check_format(output, noisy, dtype)
    axes, note = _options.channel_axis(args, noisy)
    _saying.notes([*noisy.notes, note], args.json, f"{source}: " if len(args.images) > 1 else "")
    noisy.notes.clear()
    shape = " × ".join(map(str, noisy.array.shape))
    if not sys.stderr.isatty():
        _saying.line(f"denoising {source}: {shape}, {noisy.dtype}", args.json)
    fitted = _fitted(args, noisy, axes, method) if found is None else found
    _interrupts.begin_work()
    with _saying.working(f"denoising {source}"):
        if found is None:
            fitted.fit(noisy.array)
            _saying.line(fitted.summary_ if method is None else str(method), args.json)
            if method is None and _is_without_noise(fitted):
                _saying.line("no noise was found, so that there was nothing to take away",
                             args.json)  # fmt: skip
        else:
            _saying.line("by what was chosen for the first", args.json)
        denoised = fitted.transform(noisy.array)
        lost = write_like(output, denoised, noisy, dtype, args.jobs)
    for text in noisy.notes:
        _saying.line(text, args.json)
    _saying.line(f"wrote {output}{lost}", args.json)
    if report is not None:
        write_report(report, fitted, noisy.array)
        _saying.line(f"wrote {report}", args.json)
    if args.json:
        estimated = {} if method is not None or found is not None else _estimated(fitted)
        shape_and_dtype = {"shape": noisy.array.shape, "dtype": dtype.name}
        _saying.record(
            {
                "file": str(source),
                "output": str(output),
                **shape_and_dtype,
                **axes,
                "method": "auto" if method is None else method.name,
                **estimated,
            }
        )
    return fitted


def _fitted(
    args: argparse.Namespace, noisy: Picture, axes: dict[str, Any], method: _params.Method | None
) -> Any:
    """Return what is to be fitted to the data."""
    if method is None:
        return auto_denoiser(args, noisy, axes)
    if _options.is_table(args, noisy):
        raise Refusal(
            f"--method {method.name}: denoises by neighbours, which a table has none of; leave it "
            "out, or give --kind array"
        )
    return method.wrapper({**axes, "mask": _options.mask_of(args, noisy, axes)}, args.noise)


def _spacing(noisy: Picture, axes: dict[str, Any]) -> list[float] | None:
    """Return the distances of neighbours that the file says, where they differ."""
    if noisy.spacing is None or not axes:
        return None
    lone = _options.lone_axes(axes, noisy.array.ndim)
    known = [s for a, s in enumerate(noisy.spacing) if a not in lone]
    if not np.isfinite(known).all() or max(known) == min(known) or max(known) > 100 * min(known):
        return None
    return known


def _is_without_noise(auto: Any) -> bool:
    return bool(auto.noise_.is_uniform and auto.noise_.level == 0 and not auto.n_outliers_)


def _estimated(auto: Any) -> dict[str, Any]:
    """Return what is estimated of the result."""
    return {
        "noise": str(auto.noise_),
        "weights": auto.weights_,
        "estimated_mse": auto.estimated_mse_,
        "estimated_psnr": auto.estimated_psnr_,
        "estimated_psnr_interval": auto.estimated_psnr_interval_,
        "summary": auto.summary_,
    }


def encoded(output: Path, denoised: Any, encoder: Encoder, jobs: int | None) -> Any:
    """Return denoised data in the dtype of the file: in blocks if they go to a zarr file."""
    if not hasattr(denoised, "dask"):
        return encoder(np.asarray(denoised))
    blocks = denoised.map_blocks(encoder, dtype=encoder.dtype)
    if format_of(output) == STORE:
        return blocks
    from .._utils.lazy import in_threads

    with in_threads(jobs):
        return blocks.compute()


def write_like(
    output: Path, denoised: Any, noisy: Picture, dtype: np.dtype, jobs: int | None
) -> str:
    """Write denoised data in the form of the noisy ones, and return what was lost."""
    encoder = Encoder(dtype, noisy.unit)
    values = encoded(output, denoised, encoder, jobs)
    write(output, lambda path: save(path, values, noisy, jobs))
    return encoder.lost
