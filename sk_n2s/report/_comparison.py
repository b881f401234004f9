"""Before and after, with a divider: images, heat maps of tables, and signals as lines."""

from __future__ import annotations

from math import sqrt

import numpy as np

from ._markup import Markup, element
from ._pages import Page, pages_of
from ._pictures import data_uri, grey_limits, reduced, span
from ._residual import Residual
from ._shown import Shown
from ._svg import Plot

__all__ = ["comparison"]

#: The longest side of an image, and of a detail in full resolution; so many numbers in all images.
_LONGEST, _DETAIL, _BUDGET = 1024, 320, 3_200_000

#: The residual is black and white at so many standard deviations of what noise would be.
_DEVIATIONS = 4.0

#: Points of a line, and of a detail of it.
_POINTS, _PIECE = 800, 250

#: No image is shown longer than this by its sides.
_FLATTEST = 4.0


def comparison(shown: Shown, residual: Residual) -> Markup:
    """Return all pages, of which one is seen at a time."""
    pages = pages_of(shown)
    # The first page has half of the room, the others the rest.
    share = 1.0 if len(pages) == 1 else 0.5
    blocks = []
    for k, page in enumerate(pages):
        room = _BUDGET * (share if k == 0 else (1 - share) / (len(pages) - 1))
        content = (
            _signal(shown, residual, page)
            if len(page.axes) == 1
            else _image(shown, residual, page, room, has_detail=k == 0)
        )
        blocks.append(element("div", content, class_="page", hidden=k > 0))
    if len(pages) == 1:
        return blocks[0]
    chooser = element(
        "div",
        element("button", "Back", type="button", class_="back"),
        element(
            "label",
            "Shown",
            element("select", *(element("option", page.name) for page in pages)),
        ),
        element("button", "Next", type="button", class_="on"),
        class_="controls",
    )
    return element("div", chooser, *blocks, class_="book")


def _image(shown: Shown, residual: Residual, page: Page, room: float, has_detail: bool) -> Markup:
    """Return a page of an image: both sides, a detail, and the residual."""
    before, after = page.of(shown.before), page.of(shown.after)
    n_colours = 1 if page.colour is None else 3
    side = min(_LONGEST, int(sqrt(room / (3 * n_colours))))
    factors = span(before.shape[:2], side)
    low, high = grey_limits(before[:: factors[0], :: factors[1]], after)
    name = "" if page.name == "all" else f" ({page.name})"
    said = f"Black is {low:.4g}, white is {high:.4g} on both sides."
    if factors != (1, 1):
        said += (
            f" Each pixel is the mean of {factors[0]} × {factors[1]} entries, which takes away "
            "noise by itself"
        )
        said += ": see the detail." if has_detail else "."
    if not np.isfinite(before).all():
        said += " Entries that were not measured are magenta."
    small = reduced(before, factors), reduced(after, factors)
    parts = [_sides(small, (low, high), f"The data{name}", said, _ratio(before, shown))]
    if factors != (1, 1) and has_detail and not shown.axes.is_table:
        where = _lively(after)
        corner = f"rows from {where[0].start}, columns from {where[1].start}"
        pair = before[where], after[where]
        told = f"A detail in full resolution: {corner}. The same grey values."
        ratio = pair[0].shape[1] / pair[0].shape[0]
        parts.append(_sides(pair, (low, high), f"A detail{name}", told, ratio))
    parts.append(_residual_image(page.of_residual(residual), residual, factors, name, shown))
    return element("div", *parts)


def _residual_image(
    values: np.ndarray, residual: Residual, factors: tuple[int, int], name: str, shown: Shown
) -> Markup:
    end = _DEVIATIONS / sqrt(factors[0] * factors[1])
    image = reduced(values, factors)
    alt = f"Image of the residual{name}, grey where nothing was taken away."
    said = (
        f"The residual, noisy minus denoised, in units of {residual.unit}; black is −{end:.2g}, "
        f"white is {end:.2g}. It should look like noise: what can be recognised in it was taken "
        "from the signal."
    )
    ratio = _ratio(values, shown)
    picture = element("img", src=data_uri(image, -end, end), alt=alt, loading="lazy")
    style = f"--ratio: {ratio:.4g}"
    frame = element("div", picture, class_="alone", style=f"{style}; aspect-ratio: {ratio:.4g}")
    return element("figure", frame, element("figcaption", said))


def _sides(
    pair: tuple[np.ndarray, np.ndarray],
    ends: tuple[float, float],
    name: str,
    said: str,
    ratio: float,
) -> Markup:
    """Return two images on top of each other, with a divider and zoom."""
    images = [
        element(
            "img",
            src=data_uri(image, *ends),
            alt=f"{name}, {side}.",
            class_=side,
            draggable="false",
        )
        for image, side in zip(pair, ("before", "after"), strict=True)
    ]
    stack = element(
        "div",
        *images,
        element("div", class_="divider"),
        element("span", "noisy", class_="tag left"),
        element("span", "denoised", class_="tag right"),
        class_="stack",
        style=f"--ratio: {ratio:.4g}; aspect-ratio: {ratio:.4g}",
    )
    controls = element(
        "div",
        _slider("Divider", "at", 0, 100, 50, 0.5),
        _slider("Zoom", "zoom", 1, 8, 1, 0.5),
        class_="controls",
    )
    view = element("div", stack, class_="view", tabindex=0, role="group", aria_label=name)
    return element("figure", controls, view, element("figcaption", said), class_="compare")


def _slider(label: str, kind: str, low: int, high: int, value: int, step: float) -> Markup:
    slider = element(
        "input",
        type="range",
        class_=kind,
        min=low,
        max=high,
        value=value,
        step=step,
        autocomplete="off",
    )
    return element("label", label, slider)


def _ratio(image: np.ndarray, shown: Shown) -> float:
    """Return how much wider an image is shown than it is high."""
    ratio = image.shape[1] / image.shape[0]
    if shown.axes.is_table:  # whose entries need not be squares
        return float(np.clip(ratio, 0.75, 1.5))
    return float(np.clip(ratio, 1 / _FLATTEST, _FLATTEST))


def _lively(image: np.ndarray) -> tuple[slice, slice]:
    """Return the square of an image in which it changes the most."""
    height, width = (min(n, _DETAIL) for n in image.shape[:2])
    best, most = (slice(0, height), slice(0, width)), -1.0
    for top in range(0, image.shape[0] - height + 1, max(1, height // 2)):
        for left in range(0, image.shape[1] - width + 1, max(1, width // 2)):
            where = slice(top, top + height), slice(left, left + width)
            spread = float(np.nanstd(image[where][::4, ::4]))
            if spread > most:
                best, most = where, spread
    return best


def _signal(shown: Shown, residual: Residual, page: Page) -> Markup:
    """Return a page of a signal: all of it, a piece of it, and the residual."""
    before, after = page.of(shown.before), page.of(shown.after)
    name = "" if page.name == "all" else f" ({page.name})"
    n = len(before)
    said = "The noisy signal is grey, the denoised one is coloured."
    if n > 2 * _POINTS:
        said += f" Each step shows the least and the largest of {-(-n // _POINTS)} entries."
    parts = [_lines(before, after, 0, f"The signal{name}, noisy and denoised.", said)]
    if n > 2 * _PIECE:
        start = (n - _PIECE) // 2
        piece = slice(start, start + _PIECE)
        alt = f"The entries from {start} to {start + _PIECE}{name}, noisy and denoised."
        parts.append(_lines(before[piece], after[piece], start, alt, alt))
    values = page.of_residual(residual)
    x, y = _thinned(np.arange(n, dtype=float), values)
    plot = Plot(x, y, "entry", "residual / noise", f"The residual{name}.").band(-2, 2)
    told = f"The residual in units of {residual.unit}; of normal noise 95 % lie in the band."
    caption = element("figcaption", told)
    parts.append(element("figure", plot.line(x, y, "one").markup(), caption))
    return element("div", *parts, class_="side")


def _lines(before: np.ndarray, after: np.ndarray, start: int, alt: str, said: str) -> Markup:
    x = start + np.arange(len(before), dtype=float)
    (u, noisy), (v, denoised) = _thinned(x, before), _thinned(x, after)
    plot = Plot(x, np.concatenate([before, after]), "entry", "value", alt)
    plot.line(u, noisy, "dim", "noisy").line(v, denoised, "two", "denoised")
    return element("figure", plot.markup(), element("figcaption", said))


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a line that looks the same, of a limited number of points."""
    if len(y) <= 2 * _POINTS:
        return x, y
    step = -(-len(y) // _POINTS)
    n = len(y) // step * step
    groups = y[:n].reshape(-1, step)
    both = np.stack([np.fmin.reduce(groups, axis=1), np.fmax.reduce(groups, axis=1)], axis=1)
    return np.repeat(x[:n:step], 2), both.ravel()
