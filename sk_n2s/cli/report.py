"""``sk-n2s report``: whether to trust what would be made of a file, as one HTML page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..files.formats import SUFFIXES, read
from ..files.whole import check_names
from . import _interrupts, _options, _saying
from ._reports import checked_report, write_report
from ._sources import stem_of
from .denoise import add_race, auto_denoiser

__all__ = ["add", "run"]

_EXAMPLES = """\
examples:
  sk-n2s report noisy.tif
  sk-n2s report stack.ome.tif --effort fast -o stack.html
"""


def add(commands: Any) -> None:
    """Add the subcommand."""
    parser = _options.add_command(
        commands,
        "report",
        run,
        summary="show what would be made of a file, and whether to trust it, as an HTML page",
        description="Denoise a file as denoise does, and write nothing but the report: before and\n"
        "after, what was taken away, what was assumed, and how good it is estimated to be.",
        examples=_EXAMPLES,
    )
    parser.add_argument("image", metavar="FILE", help=f"noisy data ({SUFFIXES})")
    parser.add_argument("-o", "--out", metavar="FILE", help="default: NAME_report.html")
    add_race(parser)
    _options.add_input(parser)
    _options.add_jobs(parser)


def run(args: argparse.Namespace) -> int:
    """Write the report."""
    check_names([args.image])
    source = Path(args.image)
    path = checked_report(Path(args.out or f"{stem_of(source)}_report.html"), [source], "")
    noisy = read(source, _options.input_options(args))
    axes, note = _options.channel_axis(args, noisy)
    _saying.notes([*noisy.notes, note], args.json)
    auto = auto_denoiser(args, noisy, axes)
    _interrupts.begin_work()
    with _saying.working(f"denoising {source}"):
        auto.fit(noisy.array)
        _saying.line(auto.summary_, args.json)
        write_report(path, auto, noisy.array)
    _saying.line(f"wrote {path}", args.json)
    if args.json:
        _saying.record({"file": str(source), "report": str(path), "summary": auto.summary_})
    return 0
