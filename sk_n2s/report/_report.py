"""`Report`: one HTML file that shows whether to trust a denoised array."""

from __future__ import annotations

import os
import uuid
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from ._candidates import candidates
from ._comparison import comparison
from ._markup import Markup, element
from ._residual import Residual, profiles, residual_of
from ._shown import shown_of
from ._style import page
from ._svg import Plot, map_of_squares
from ._words import assumed_wrongly, facts, noise_in_words, reproduction, text_of_estimator

__all__ = ["Report", "report_of"]

#: Bars of the histogram, and how far it reaches in standard deviations.
_BARS, _ENDS = 50, 5.0

#: The map of the autocorrelation reaches over so many entries.
_NEAR = 5


class Report:
    """What a fitted estimator did to its data, as one HTML file that loads nothing else.

    Made by ``report()`` of `AutoDenoiser` and of the searches. In a notebook it shows itself.

    Parameters
    ----------
    html : str
        The whole file.
    name : str
        The name of what it reports on.

    Attributes
    ----------
    html : str
        The whole file.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s import JInvariantWrapper, SelfSupervisedSearchCV
    >>> from sk_n2s.denoisers import median
    >>> noisy = np.random.default_rng(0).normal(size=(48, 48))
    >>> search = SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": [1, 2, 3]})
    >>> search.fit(noisy).report().html[:15]
    '<!DOCTYPE html>'
    """

    def __init__(self, html: str, name: str):
        self.html = html
        self._name = name

    def save(self, path: str | os.PathLike) -> None:
        """Write the file whole, or not at all.

        Parameters
        ----------
        path : str or path
            Where to; a file that is there is replaced.

        Raises
        ------
        FileNotFoundError
            If there is no such folder.
        OSError
            If the file cannot be written.
        """
        path = Path(path)
        if not path.parent.is_dir():
            raise FileNotFoundError(
                f"path={str(path)!r} lies in a folder that does not exist: create it first."
            )
        part = path.with_name(f".{uuid.uuid4().hex}.part")
        try:
            part.write_text(self.html, encoding="utf-8")
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{escape(self.html)}" title="{escape(self._name)}: report" '
            'style="width: 100%; height: 48rem; border: 0"></iframe>'
        )

    def __repr__(self) -> str:
        return f"<Report of {self._name}: {len(self.html) / 1e6:.1f} MB, save it with .save(path)>"


def report_of(estimator: Any, X: Any = None) -> Report:
    """Return the report of a fitted estimator.

    Parameters
    ----------
    estimator : AutoDenoiser, search, or another denoiser of this package
        The fitted estimator.
    X : array-like, default=None
        The noisy data. None takes those that it was fitted to, as long as it remembers them.

    Returns
    -------
    Report
        The report.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If the data are not known any more.
    """
    shown = shown_of(estimator, X)
    residual = residual_of(shown)
    name = type(estimator).__name__
    tried, wrong = candidates(estimator), assumed_wrongly(shown)
    html = page(
        f"{name}: report",
        element("h1", f"{name}: what was done, and whether to trust it"),
        element("p", element("code", _short(text_of_estimator(estimator))), class_="faint"),
        facts(shown),
        _verdict(residual, wrong),
        *(element("p", note, class_="faint") for note in shown.notes),
        element("h2", "Before and after"),
        comparison(shown, residual),
        element("h2", "What was taken away"),
        _looked_at(residual),
        element("h2", "The noise, and what was assumed"),
        noise_in_words(shown, wrong),
        element("h2", "What was tried") if tried else None,
        tried,
        _summary(estimator),
        element("h2", "How to do it again"),
        reproduction(shown),
    )
    return Report(html, name)


def _short(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:297]}..."


def _summary(estimator: Any) -> Markup | None:
    """Return the summary of an estimator that has one."""
    text = getattr(estimator, "summary_", None)
    if not isinstance(text, str):
        return None
    return element("div", element("h3", "In words"), *map(_paragraph, text.splitlines()))


def _paragraph(line: str) -> Markup:
    return element("p", line)


def _verdict(residual: Residual, wrong: list[str]) -> Markup:
    """Return in a sentence or two whether the residual looks like noise."""
    if residual.looks_like_noise and not wrong:
        white = "white and centred" if residual.autocorrelation is not None else "centred"
        if residual.is_correlated:
            white = "centred, and as correlated as the noise"
        text = f"The residual is {white}: what was taken away looks like noise."
        return element("p", text, class_="says good", role="note")
    found = [element("p", text) for text in (*residual.findings, *wrong)]
    return element("div", *found, class_="says warning", role="note")


def _looked_at(residual: Residual) -> Markup:
    """Return the histogram of the residual, and its autocorrelation."""
    known = residual.values[np.isfinite(residual.values)]
    edges = np.linspace(-_ENDS, _ENDS, _BARS + 1)
    counts, _ = np.histogram(np.clip(known, -_ENDS, _ENDS), edges)
    heights = counts / max(1, known.size) / np.diff(edges)
    x = np.linspace(-_ENDS, _ENDS, 201)
    normal = stats.norm.pdf(x)
    alt = (
        f"Histogram of the residual: mean {residual.mean:.3f}, standard deviation "
        f"{residual.deviation:.3f}, in units of {residual.unit}; the line is the normal curve."
    )
    tall = np.concatenate([heights, normal, [0.0]])
    plot = Plot(edges, tall, "residual / noise", "density", alt).bars(edges, heights)
    shape = element(
        "figure", plot.line(x, normal, "two", "normal").markup(), element("figcaption", alt)
    )
    parts = [shape]
    if residual.autocorrelation is not None:
        parts.append(_neighbours(residual))
    notes = [element("p", note) for note in residual.notes]
    return element("div", element("div", *parts, class_="side"), *notes)


def _neighbours(residual: Residual) -> Markup:
    """Return the autocorrelation along each axis, and as a map where there are two."""
    table = residual.autocorrelation
    assert table is not None
    middle = [n // 2 for n in table.shape]
    lines = profiles(table)
    longest = max(map(len, lines))
    low = min(0.0, *(float(line.min()) for line in lines))
    alt = "Autocorrelation of the residual over the distance of entries: white noise has 0."
    plot = Plot(
        np.array([0, longest - 1]), np.array([low, 1.0]), "distance in entries", "correlation", alt
    )
    plot.band(max(low, -4 * residual.error), min(1.0, 4 * residual.error))
    kinds = ("one", "two", "dim")
    for k, (axis, line) in enumerate(zip(residual.axes, lines, strict=True)):
        plot.line(np.arange(len(line)), line, kinds[k % 3], f"axis {axis}")
    said = f"{alt} Chance leaves it within the band."
    parts = [plot.markup()]
    if len(middle) >= 2:
        near = table[
            (*middle[:-2], *(slice(max(0, m - _NEAR), m + _NEAR + 1) for m in middle[-2:]))
        ]
        text = f"Autocorrelation along axes {residual.axes[-2]} and {residual.axes[-1]}, as a map."
        parts.append(map_of_squares(near, text))
        said += " The map shows it along two axes at once: blue is alike, orange is opposite."
    return element("figure", *parts, element("figcaption", said))
