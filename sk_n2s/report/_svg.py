"""Plots as SVG, drawn by hand: lines, histograms, maps of squares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ._markup import Markup, element

__all__ = ["Plot", "Scale", "map_of_squares", "ticks"]

#: The plot in units of the drawing, and what is left around the axes.
_WIDTH, _HEIGHT = 420, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 10, 18, 36

#: The share of the height that is free above and below what is drawn.
_MARGIN = 0.04

#: About so many ticks.
_TICKS = 5


def ticks(low: float, high: float, is_log: bool = False) -> list[float]:
    """Return round numbers between two, about five."""
    if is_log:
        decades = np.arange(np.ceil(np.log10(low) - 1e-9), np.log10(high) + 1e-9)
        if len(decades) >= 2:
            every = max(1, round(len(decades) / _TICKS))
            return [float(10.0**d) for d in decades[::every]]
        return [float(f"{v:.2g}") for v in np.geomspace(low, high, 4)]
    rough = (high - low) / _TICKS
    size = 10 ** np.floor(np.log10(rough))
    step = float(next(size * m for m in (1, 2, 5, 10) if size * m >= rough * (1 - 1e-9)))
    first = np.ceil(low / step - 1e-9)
    return [float(k * step) + 0.0 for k in np.arange(first, high / step + 1e-9)]  # no -0


class Scale(NamedTuple):
    """From values to places on an axis."""

    low: float
    high: float
    start: float
    stop: float
    is_log: bool = False

    @classmethod
    def over(
        cls,
        values: np.ndarray,
        start: float,
        stop: float,
        is_log: bool = False,
        margin: float = 0.0,
    ) -> Scale:
        """Return a scale on which all finite values have a place, with a share of it to spare."""
        values = values[np.isfinite(values)]
        low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
        if not high > low:
            half = abs(low) / 2 or 0.5
            low, high = low - half, high + half
            is_log = False
        more = 0.0 if is_log else margin * (high - low)
        return cls(low - more, high + more, start, stop, is_log)

    def __call__(self, values: np.ndarray | float) -> np.ndarray:
        """Return the places."""
        change = np.log if self.is_log else np.asarray
        share = (change(values) - change(self.low)) / (change(self.high) - change(self.low))
        return self.start + share * (self.stop - self.start)

    @property
    def ticks(self) -> list[float]:
        """Round numbers on it."""
        return ticks(self.low, self.high, self.is_log)


class Plot:
    """A plot with two axes, to which lines and bars are added.

    Parameters
    ----------
    x, y : ndarray
        Values of which all have to find a place.
    xlabel, ylabel : str
        The names of the axes.
    alt : str
        What it shows, for those who cannot see it.
    is_log : bool, default=False
        Whether the horizontal axis is logarithmic.
    """

    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray,
        xlabel: str,
        ylabel: str,
        alt: str,
        is_log: bool = False,
        names: Sequence[str] | None = None,
    ):
        self.x = Scale.over(np.asarray(x, float), _LEFT, _WIDTH - _RIGHT, is_log)
        self.y = Scale.over(np.asarray(y, float), _HEIGHT - _BOTTOM, _TOP, margin=_MARGIN)
        self._alt, self._labels, self._names = alt, (xlabel, ylabel), names
        self._parts: list[Markup] = []
        self._legend: list[tuple[str, str]] = []

    def line(self, x: np.ndarray, y: np.ndarray, kind: str, label: str = "") -> Plot:
        """Add a line, with gaps where there is no value."""
        x, y = self.x(np.asarray(x, float)), self.y(np.asarray(y, float))
        text, joined = [], False
        for a, b in zip(np.round(x, 1), np.round(y, 1), strict=True):
            known = bool(np.isfinite(a) and np.isfinite(b))
            if known:
                text.append(f"{'L' if joined else 'M'}{a:g} {b:g}")
            joined = known
        self._parts.append(element("path", d="".join(text), class_=f"line {kind}"))
        if label:
            self._legend.append((kind, label))
        return self

    def bars(self, edges: np.ndarray, heights: np.ndarray) -> Plot:
        """Add the bars of a histogram."""
        x, y = self.x(edges), self.y(heights)
        floor = float(self.y(max(0.0, self.y.low)))
        for k, top in enumerate(y):
            if heights[k] > 0:
                self._parts.append(_rect(x[k], top, x[k + 1] - x[k], floor - top, "bar"))
        return self

    def band(self, low: float, high: float) -> Plot:
        """Add a horizontal band."""
        top, bottom = float(self.y(high)), float(self.y(low))
        self._parts.append(_rect(_LEFT, top, _WIDTH - _RIGHT - _LEFT, bottom - top, "band"))
        return self

    def dots(
        self, x: np.ndarray, y: np.ndarray, titles: Sequence[str] = (), label: str = ""
    ) -> Plot:
        """Add a dot for each value that is known."""
        if label:
            self._legend.append(("dot", label))
        for k, (a, b) in enumerate(zip(self.x(x), self.y(y), strict=True)):
            if np.isfinite(a) and np.isfinite(b):
                title = element("title", titles[k]) if titles else None
                self._parts.append(
                    element(
                        "g",
                        title,
                        element("circle", cx=f"{a:.1f}", cy=f"{b:.1f}", r=2.5, class_="dot"),
                    )
                )
        return self

    def ring(self, x: float, y: float, label: str) -> Plot:
        """Mark a place."""
        if np.isfinite(x) and np.isfinite(y):
            a, b = float(self.x(x)), float(self.y(y))
            self._parts.append(
                element("circle", cx=f"{a:.1f}", cy=f"{b:.1f}", r=7, class_="chosen two")
            )
            self._legend.append(("ring", label))
        return self

    def markup(self) -> Markup:
        """Return the drawing."""
        left, right = _LEFT, _WIDTH - _RIGHT
        floor = _HEIGHT - _BOTTOM
        axes = [
            element("line", x1=left, x2=right, y1=floor, y2=floor, class_="axis"),
            element("line", x1=left, x2=left, y1=_TOP, y2=floor, class_="axis"),
        ]
        named = self._names is not None
        for k, value in enumerate(range(len(self._names)) if self._names else self.x.ticks):
            a = f"{float(self.x(value)):.1f}"
            text = self._names[k][:14] if self._names else f"{value:g}"
            if not named or len(self._names or ()) <= 6:
                axes.append(_text(text, a, floor + 14, "middle"))
        for value in self.y.ticks:
            b = float(self.y(value))
            axes.append(
                element("line", x1=left, x2=right, y1=f"{b:.1f}", y2=f"{b:.1f}", class_="grid")
            )
            axes.append(_text(f"{value:.4g}", left - 5, f"{b + 4:.1f}", "end"))
        axes.append(_text(self._labels[0], (left + right) / 2, _HEIGHT - 5, "middle"))
        axes.append(_text(self._labels[1], 2, 11, "start"))
        legend, x = [], float(right)
        for kind, label in reversed(self._legend):
            legend.append(_text(label, x, 11, "end"))
            x -= 6.5 * len(label) + 8
            if kind == "dot":
                legend.append(element("circle", cx=x - 3, cy=7, r=2.5, class_="dot"))
            elif kind == "ring":
                legend.append(element("circle", cx=x - 5, cy=7, r=4, class_="chosen two"))
            else:
                legend.append(element("line", x1=x - 12, x2=x, y1=7, y2=7, class_=f"line {kind}"))
            x -= 22
        size = f"0 0 {_WIDTH} {_HEIGHT}"
        return element(
            "svg", *axes, *self._parts, *legend, viewBox=size, role="img", aria_label=self._alt
        )


def map_of_squares(values: np.ndarray, alt: str) -> Markup:
    """Return a small map of numbers from -1 to 1, with its numbers as tool tips."""
    side, (n, m) = 20, values.shape
    parts = []
    for (i, j), value in np.ndenumerate(values):
        text = f"({i - n // 2}, {j - m // 2}): {value:.3f}"
        parts.append(
            element(
                "g",
                element("title", text),
                element(
                    "rect",
                    x=j * side,
                    y=i * side,
                    width=side - 1,
                    height=side - 1,
                    class_="plus" if value >= 0 else "minus",
                    fill_opacity=f"{max(0.04, min(1.0, abs(value))):.2f}",
                ),
            )
        )
    size = f"0 0 {m * side} {n * side}"
    style = f"max-width: {m:g}rem"
    return element("svg", *parts, viewBox=size, role="img", aria_label=alt, style=style)


def _rect(x: float, y: float, width: float, height: float, kind: str) -> Markup:
    return element(
        "rect",
        x=f"{x:.1f}",
        y=f"{y:.1f}",
        width=f"{max(0.0, width):.1f}",
        height=f"{max(0.0, height):.1f}",
        class_=kind,
    )


def _text(text: str, x: float | str, y: float | str, anchor: str) -> Markup:
    return element("text", text, x=x, y=y, text_anchor=anchor)
