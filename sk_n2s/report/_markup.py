"""HTML from nested calls: whatever is not markup already is escaped."""

from __future__ import annotations

from html import escape
from typing import Any

__all__ = ["Markup", "code", "element", "join", "table"]

#: Elements that have no end.
_VOID = ("img", "input", "line", "path", "rect", "circle", "meta", "br")


class Markup(str):
    """Text that is HTML."""


def element(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """Return an element; attributes that are None or False are left out, "_" stands for "-"."""
    head = [name]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            head.append(key)
        elif value is not None and value is not False:
            head.append(f'{key}="{escape(str(value))}"')
    if name in _VOID:
        return Markup(f"<{' '.join(head)} />")  # as SVG wants it
    return Markup(f"<{' '.join(head)}>{join(children)}</{name}>")


def join(parts: Any) -> Markup:
    """Return parts one after the other, without those that are None."""
    return Markup(
        "".join(p if isinstance(p, Markup) else escape(str(p)) for p in parts if p is not None)
    )


def table(
    header: list[str], rows: list[list[Any]], chosen: set[int] | None = None, caption: str = ""
) -> Markup:
    """Return a table that scrolls by itself where it is wide."""
    marked = chosen or set()
    body = [
        element(
            "tr", *(element("td", cell) for cell in row), class_="chosen" if i in marked else None
        )
        for i, row in enumerate(rows)
    ]
    return element(
        "div",
        element(
            "table",
            element("caption", caption) if caption else None,
            element("thead", element("tr", *(element("th", h, scope="col") for h in header))),
            element("tbody", *body),
        ),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=caption or "table",
    )


def code(text: str) -> Markup:
    """Return lines of code."""
    return element("pre", element("code", text), tabindex=0)
