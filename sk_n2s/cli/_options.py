"""Options that several subcommands share, and how their values are read."""

from __future__ import annotations

import argparse
import ast
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files.formats import read
from ..files.picture import Options, Picture, Refusal

__all__ = [
    "DENOISERS",
    "add_command",
    "add_input",
    "add_jobs",
    "add_mask",
    "add_output",
    "channel_axis",
    "dtype_of",
    "fixed",
    "grid",
    "input_options",
    "is_table",
    "lone_axes",
    "mask_of",
    "options_of",
    "positive",
    "values",
    "whole_number",
]

#: The names in `sk_n2s.denoisers.DENOISERS`, which takes long to import.
DENOISERS = (
    "bilateral", "butterworth", "dct", "gaussian", "lichi", "median", "nl_means", "nl_ridge", "tv",
    "tv_bregman", "uniform", "wavelet", "wiener",
)  # fmt: skip

_DTYPES = tuple(f"{kind}{bits}" for kind in ("uint", "int") for bits in (8, 16, 32, 64))
_DTYPES += ("float16", "float32", "float64")

_MOST_JOBS = 256
_MOST_VALUES = 1000

_TABLE = "taken for a table, whose entries have no neighbours (--kind array: they have)"
_NAMED = (
    "columns have names: taken for channels of which rows are neighbours (--kind table: nothing "
    "has neighbours; --channel-axis none: columns are neighbours as well)"
)

#: What `channel_axis` is where the user said nothing of it.
_UNSAID: Any = ...


def positive(text: str) -> float:
    """Return a positive number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def whole_number(text: str) -> int:
    """Return a whole number, of which 0 is the least."""
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 0")
    return int(text)


def _jobs(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    most = max(_MOST_JOBS, 2 * (os.cpu_count() or 1))
    if not (-most <= value <= most and value):
        raise argparse.ArgumentTypeError(f"{text} is not -1 for all cores, or 1 to {most}")
    return value


def _axis(text: str) -> int | None:
    if text == "none":
        return None
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is neither the number of an axis nor none") from (
            None
        )


def add_command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    *,
    summary: str,
    description: str,
    examples: str,
) -> argparse.ArgumentParser:
    """Add a subcommand, and return its parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    return parser


def add_input(parser: argparse.ArgumentParser) -> None:
    """Add what says how files are read."""
    parser.add_argument(
        "--channel-axis",
        type=_axis,
        metavar="K",
        default=_UNSAID,
        help="axis of colours or channels, or none; default: as the file says, or the last of RGB",
    )
    parser.add_argument(
        "--batch-axis",
        type=_axis,
        metavar="K",
        default=_UNSAID,
        help="axis of separate images, or none; default: as the file says",
    )
    parser.add_argument(
        "--kind",
        choices=("array", "table"),
        help="table: samples by features, of which none are neighbours; default: array, and table "
        "of MTX",
    )
    parser.add_argument(
        "--series",
        metavar="S",
        help="which image of a file that holds several: its number, with a level of a pyramid as "
        "in 0.2; the name of an array in NPZ; the level of an OME-Zarr",
    )
    parser.add_argument(
        "--memory-limit",
        type=positive,
        metavar="GB",
        default=8.0,
        help="what takes more to denoise is denoised in blocks, or refused; default: 8",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for machines")


def add_mask(parser: argparse.ArgumentParser) -> None:
    """Add what says where to work."""
    parser.add_argument(
        "--mask",
        metavar="FILE",
        help="where to work: a file of the same shape, or without channels and items, that is 0 "
        "elsewhere, as around a brain; what is there is left as it is",
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add what says how files are written, and by how many cores."""
    parser.add_argument("-o", "--out", metavar="FILE", help="default: NAME_denoised")
    parser.add_argument(
        "--dtype",
        choices=_DTYPES,
        metavar="DTYPE",
        help="of the output, as float32; default: that of the input, rounded and clipped",
    )
    add_jobs(parser)


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Add what says how many cores work."""
    parser.add_argument(
        "--jobs", "--n-jobs", type=_jobs, metavar="N", help="jobs, -1 for all cores"
    )


def input_options(args: argparse.Namespace) -> Options:
    """Return how files are read that are denoised: in blocks, unless that is ruled out."""
    return options_of(args, lazily=args.mask is None and args.kind != "table")


def options_of(args: argparse.Namespace, lazily: bool) -> Options:
    """Return how files are read."""
    return Options(series=args.series, memory=args.memory_limit * 1e9, lazily=lazily)


def dtype_of(args: argparse.Namespace, noisy: Picture) -> np.dtype:
    """Return the dtype of the output."""
    return noisy.dtype if args.dtype is None else np.dtype(args.dtype)


def is_table(args: argparse.Namespace, noisy: Picture) -> bool:
    """Return whether no axis of the data has neighbours."""
    return noisy.is_table if args.kind is None else args.kind == "table"


def lone_axes(axes: dict[str, int | None], ndim: int) -> list[int]:
    """Return the axes of channels and items, along which entries are no neighbours."""
    return sorted({a % ndim for a in axes.values() if a is not None})


def mask_of(
    args: argparse.Namespace, noisy: Picture, axes: dict[str, int | None]
) -> np.ndarray | None:
    """Return where to work, to be broadcast to the data; None where that is everywhere."""
    if args.mask is None:
        return None
    found = np.asarray(read(Path(args.mask), Options(memory=args.memory_limit * 1e9),
                            checked=False).array)  # fmt: skip
    inside, shape = np.nan_to_num(found) != 0, noisy.array.shape
    lone = lone_axes(axes, len(shape))
    if inside.ndim + len(lone) == len(shape):
        inside = np.expand_dims(inside, tuple(lone))
    if inside.ndim != len(shape) or any(
        m not in (n, 1 if a in lone else n)
        for a, (m, n) in enumerate(zip(inside.shape, shape, strict=True))
    ):
        raise Refusal(f"--mask {args.mask}: has shape {found.shape}, and the data have {shape}")
    if not inside.any():
        raise Refusal(f"--mask {args.mask}: is 0 everywhere, which leaves nothing to denoise")
    return inside


def channel_axis(args: argparse.Namespace, noisy: Picture) -> tuple[dict[str, Any], str]:
    """Return the roles of axes, and what there is to say of them."""
    if is_table(args, noisy):
        given = [f"--{w}-axis" for w in ("channel", "batch") if getattr(args, f"{w}_axis")
                 not in (_UNSAID, None)]  # fmt: skip
        if given:
            raise Refusal(
                f"{given[0]}: belongs to data whose entries have neighbours, --kind array"
            )
        return {}, "" if args.kind else _TABLE
    said = args.channel_axis is not _UNSAID or args.batch_axis is not _UNSAID
    channel = None if args.channel_axis is _UNSAID else args.channel_axis
    batch = None if args.batch_axis is _UNSAID else args.batch_axis
    note = ""
    if not said and not noisy.says_axes and noisy.channel_axis is None and noisy.is_coloured:
        channel = -1
        note = "three values along the last axis: taken for colours (--channel-axis, --batch-axis)"
    if not said and noisy.kind == "tables" and noisy.channel_axis is not None:
        note = _NAMED
    if args.channel_axis is _UNSAID and noisy.channel_axis not in (None, batch):
        channel = noisy.channel_axis
    if args.batch_axis is _UNSAID and noisy.batch_axis not in (None, channel):
        batch = noisy.batch_axis
    return {"channel_axis": channel, "batch_axis": batch}, note


def _number(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def values(text: str) -> list:
    """Return the values of ``1:7`` (as Python's range), ``0.1:1:0.1``, ``0.5,1,2`` or ``db4``."""
    if ":" not in text:
        parts = [part.strip() for part in text.split(",")]
        if "" in parts:
            raise Refusal(f"--param: {text!r} holds an empty value")
        return [_number(part) for part in parts]
    bounds = [_number(part) for part in text.split(":")]
    whole = all(type(b) is int for b in bounds)
    if len(bounds) not in (2, 3) or not all(
        type(b) in (int, float) and math.isfinite(b) for b in bounds
    ):
        raise Refusal(f"--param: {text!r} is neither start:stop nor start:stop:step")
    if not whole and len(bounds) == 2:
        raise Refusal(f"--param: {text!r} needs a step, as in start:stop:step")
    start, stop, step = (*bounds, 1)[:3]
    if step <= 0:
        raise Refusal(f"--param: the step of {text!r} must be positive")
    count = math.ceil((stop - start) / step - 1e-9)
    if not 0 < count <= _MOST_VALUES:
        raise Refusal(
            f"--param: the range {text!r} holds {max(count, 0)} values, give 1 to {_MOST_VALUES}"
        )
    found = [start + k * step for k in range(count)]
    return found if whole else [round(v, 12) for v in found]


def grid(params: Sequence[str]) -> dict[str, list]:
    """Return the values of each parameter."""
    found: dict[str, list] = {}
    for param in params:
        name, equals, text = param.partition("=")
        if not (name and equals and text):
            raise Refusal(f"--param: {param!r} is not of the form NAME=VALUES")
        if name in found:
            raise Refusal(f"--param: {name} is given twice")
        found[name] = values(text)
    return found


def fixed(params: Sequence[str]) -> dict[str, Any]:
    """Return parameters that are given one value each."""
    found = grid(params)
    for name, several in found.items():
        if len(several) != 1:
            raise Refusal(f"--param: {name} is given several values, which calibrate chooses from")
    return {name: several[0] for name, several in found.items()}
