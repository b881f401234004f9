"""The HTML report of a result, from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..files.picture import Refusal
from ..files.whole import check_target, write

__all__ = ["checked_report", "write_report"]


def checked_report(path: Path, others: list[Path], option: str = "--report ") -> Path:
    """Return where a report goes, or refuse it before anything is computed."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise Refusal(f"{option}{path}: give a name that ends in .html")
    check_target(path, others, "report")
    return path


def write_report(path: Path, fitted: Any, noisy: Any) -> None:
    """Write the report on a result, whole or not at all."""
    from ..report import report_of

    write(path, report_of(fitted, noisy).save)
