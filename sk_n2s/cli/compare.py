"""``sk-n2s compare``: how two files differ, and which of them is closer to the truth."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from ..files.formats import read
from ..files.picture import Picture, Refusal
from . import _interrupts, _options, _saying

__all__ = ["add", "run"]

_EXAMPLES = """\
examples:
  sk-n2s compare noisy.tif noisy_denoised.tif
  sk-n2s compare mine.png theirs.png --clean truth.png

The difference of noisy and denoised data is what was taken away. If that is noise, its mean is 0,
and neighbours in it are not alike: the correlations are near 0 (where the noise itself is white).
"""

#: Correlations of what is independent lie within so many standard errors, and this beside.
_ERRORS, _NEAR_ZERO = 4, 0.02


def add(commands: Any) -> None:
    """Add the subcommand."""
    parser = _options.add_command(
        commands,
        "compare",
        run,
        summary="say how two files differ, and which is closer to the truth",
        description="Say how large the difference of two files is and whether it looks like noise; "
        "with the truth, the error of each.",
        examples=_EXAMPLES,
    )
    parser.add_argument("first", metavar="A", help="a file, as the noisy data")
    parser.add_argument("second", metavar="B", help="a file of the same shape, as denoised ones")
    parser.add_argument("--clean", metavar="C", help="the truth, to print the error of both")
    _options.add_input(parser)


def run(args: argparse.Namespace) -> int:
    """Say how two files differ."""
    options = _options.options_of(args, lazily=False)
    names = [args.first, args.second, *([args.clean] if args.clean is not None else [])]
    pictures = [read(Path(name), options, checked=False) for name in names]
    arrays = [np.asarray(picture.array, dtype=np.float64) for picture in pictures]
    for name, array in zip(names[1:], arrays[1:], strict=True):
        if array.shape != arrays[0].shape:
            raise Refusal(f"{name}: has shape {array.shape}, and {args.first} {arrays[0].shape}")
    if not np.isfinite(np.sum(arrays, axis=0)).any():
        raise Refusal(f"{args.first}: nothing in it and the others is a number at the same place")
    _interrupts.begin_work()
    lone = _lone_axes(args, pictures[0])
    with np.errstate(over="ignore", invalid="ignore"):
        found = _differences(arrays[0], arrays[1], lone)
        errors = {n: _error(a, arrays[2]) for n, a in zip(names, arrays[:2], strict=False)}\
            if args.clean is not None else {}  # fmt: skip
    if args.json:
        _saying.record({"files": names[:2], **found, **({"errors": errors} if errors else {})})
        return 0
    print(f"{names[0]} - {names[1]}: mean {found['mean']:.4g}, "
          f"standard deviation {found['standard_deviation']:.4g}")  # fmt: skip
    if found["standard_deviation"] == 0:
        print("they are the same" if found["mean"] == 0 else "they differ by a constant")
    for axis, value in found["correlations"].items():
        print(f"correlation of neighbours along axis {axis}: {value:.3f}")
    if found["correlations"]:
        print(found["verdict"])
    for name, error in errors.items():
        print(f"{name}: mean squared error {error['mse']:.6g}, {_decibels(error['psnr'])}")
    if errors:
        first, second = (errors[name]["mse"] for name in names[:2])
        closer = names[0] if first < second else names[1]
        print("both are as close to the truth" if first == second else f"{closer} is closer")
    return 0


def _lone_axes(args: argparse.Namespace, picture: Picture) -> list[int]:
    """Return the axes along which entries are no neighbours."""
    axes, _ = _options.channel_axis(args, picture)
    ndim = picture.array.ndim
    is_table = _options.is_table(args, picture)
    return list(range(ndim)) if is_table else _options.lone_axes(axes, ndim)


def _decibels(psnr: float) -> str:
    return f"PSNR {psnr:.2f} dB" if np.isfinite(psnr) else "the truth itself"


def _differences(first: np.ndarray, second: np.ndarray, lone: list[int]) -> dict[str, Any]:
    """Return mean and size of a difference, and how alike neighbours in it are along axes."""
    residual = first - second
    known = residual[np.isfinite(residual)]
    mean, deviation = float(known.mean()), float(known.std())
    correlations = {}
    if deviation > 0:
        centred = residual - mean
        for axis in (a for a in range(residual.ndim) if a not in lone and residual.shape[a] > 2):
            n = residual.shape[axis]
            pairs = np.take(centred, range(n - 1), axis) * np.take(centred, range(1, n), axis)
            correlations[axis] = float(np.nanmean(pairs)) / deviation**2
    bound = _NEAR_ZERO + _ERRORS / np.sqrt(known.size)
    worst = max(correlations, key=lambda a: abs(correlations[a]), default=None)
    verdict = "the difference looks like white noise"
    if worst is not None and correlations[worst] > bound:
        verdict = (
            f"the difference is not white: neighbours along axis {worst} are alike, as where "
            "structure was taken away, or where the noise is correlated"
        )
    elif worst is not None and correlations[worst] < -bound:
        verdict = (
            f"the difference is not white: neighbours along axis {worst} are opposite, as where "
            "some of the noise is still there"
        )
    found = {"mean": mean, "standard_deviation": deviation, "correlations": correlations}
    return {**found, "verdict": verdict}


def _error(array: np.ndarray, clean: np.ndarray) -> dict[str, float]:
    """Return the mean squared error, and its ratio to the squared range of the truth in dB."""
    mse = float(np.nanmean(np.square(array - clean)))
    extent = float(np.nanmax(clean) - np.nanmin(clean))
    psnr = 10 * np.log10(extent**2 / mse) if mse > 0 and extent > 0 else np.inf
    return {"mse": mse, "psnr": float(psnr)}
