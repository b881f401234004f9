"""``sk-n2s noise``: what the noise of a file is like, in words."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from ..files.formats import SUFFIXES, read
from . import _interrupts, _options, _saying

__all__ = ["add", "run"]

_EXAMPLES = """\
examples:
  sk-n2s noise noisy.tif
  sk-n2s noise film.npy --batch-axis 0 --json
"""


def add(commands: Any) -> None:
    """Add the subcommand."""
    parser = _options.add_command(
        commands,
        "noise",
        run,
        summary="say what the noise of a file is like, in words",
        description="Estimate how large the noise is, whether it depends on the signal, on the "
        "place or on that of neighbours, and what could not be told.",
        examples=_EXAMPLES,
    )
    parser.add_argument("image", metavar="FILE", help=f"noisy data ({SUFFIXES})")
    _options.add_input(parser)


def run(args: argparse.Namespace) -> int:
    """Say what the noise is like."""
    source = Path(args.image)
    noisy = read(source, _options.options_of(args, lazily=True))
    axes, note = _options.channel_axis(args, noisy)
    is_table = _options.is_table(args, noisy)

    from .._utils.tiling import sample
    from ..noise.estimate import estimate_noise_model

    _interrupts.begin_work()
    with _saying.working(f"looking at {source}"):
        if is_table:
            from ..noise.table import estimate_table_noise_model

            part = np.asarray(noisy.array, dtype=np.float64)
            model = estimate_table_noise_model(part)
        else:
            model = estimate_noise_model(noisy.array, **axes)
            part = np.asarray(sample(noisy.array, **axes)[0], dtype=np.float64)
    low, high = np.nanpercentile(part, [0.1, 99.9])
    is_map = isinstance(model.level, np.ndarray)
    variance = np.square(model.level) if is_map else model.variance(part)  # type: ignore[arg-type]
    deviation = float(np.sqrt(np.nanmean(variance)))
    share = deviation / (high - low) if high > low else np.nan
    if args.json:
        _saying.record({
            "file": str(source),
            "shape": noisy.array.shape,
            "dtype": noisy.dtype.name,
            **axes,
            "noise": str(model),
            "standard_deviation": deviation,
            "share_of_range": share,
            "relative_error": model.level_error,
            "is_uniform": model.is_uniform,
            "is_signal_dependent": model.is_signal_dependent,
            "is_correlated": model.is_correlated,
            "outliers": model.outliers,
            "doubts": model.doubts,
        })  # fmt: skip
        return 0
    shape = " × ".join(map(str, noisy.array.shape))
    print(f"{source}: {shape}, {noisy.dtype}")
    _saying.notes([*noisy.notes, note])
    if not deviation > 0:
        print("no noise was found" + (f"; {model}" if model.outliers or model.doubts else ""))
        return 0
    print(f"noise: {model}")
    print(f"on average {deviation:.4g}, which is {100 * share:.2g} % of the range of the data")
    on_signal = "depends" if model.is_signal_dependent else "does not depend"
    on_others = "depends on" if model.is_correlated else "is independent of"
    neighbours = "" if is_table else f", and {on_others} that of neighbours"
    print(f"it {on_signal} on the signal{neighbours}")
    return 0
