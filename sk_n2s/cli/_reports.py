"""The HTML report of a result, from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..files.picture import Refusal
from ..files.whole import check_target, write

__all__ = ["checked_report", "write_report"]


def checked_report(name: str | None, others: list[Path], option: str = "--report ") -> Path | None:
    """Return where a report goes, or refuse it before anything is computed."""
    if name is None:
        return None
    path = Path(name)
    if path.suffix.lower() not in (".html", ".htm"):
        raise Refusal(f"{option}{path}: give a name that ends in .html")
    check_target(path, others, "report")
    return path


def write_report(path: Path, fitted: Any, noisy: Any) -> None:
    """Write the report on a result, whole or not at all."""
    from ..report import report_of

    html = report_of(fitted, noisy).html

    def save_html(place: str) -> None:
        Path(place).write_text(html, encoding="utf-8")

    write(path, save_html)
