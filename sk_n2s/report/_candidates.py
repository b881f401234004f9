"""What was tried: the candidates of a search and their losses, or the denoisers that raced."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._utils.readable import readable
from ..auto import AutoDenoiser
from ._markup import Markup, element, table
from ._svg import Plot

__all__ = ["at_an_end", "candidates", "curve_over", "text_of", "varying"]

#: More rows are not listed, and not more curves drawn.
_ROWS, _CURVES = 200, 4

#: Values that are spread over more than this factor are shown on a logarithmic axis.
_WIDE = 20.0


def candidates(estimator: Any) -> Markup | None:
    """Return what was tried, as far as the estimator tells."""
    if hasattr(estimator, "cv_results_"):
        return _searched(estimator)
    if hasattr(estimator, "weights_") and hasattr(estimator, "scores_"):
        return _raced(estimator)
    return None


def _searched(search: Any) -> Markup:
    results, best = search.cv_results_, search.best_index_
    loss = -results["mean_test_score"]
    n = len(loss)
    names = list(dict.fromkeys(name for params in results["params"] for name in params))
    more = [name for name in ("iter", "n_resources") if name in results]
    order = sorted(range(n), key=lambda i: (i != best, results["rank_test_score"][i], i))[:_ROWS]
    rows = [
        [
            *(
                text_of(results["params"][i][name]) if name in results["params"][i] else "–"
                for name in names
            ),
            *(str(results[name][i]) for name in more),
            f"{loss[i]:.6g}",
            f"{results['std_test_score'][i]:.2g}",
            str(results["rank_test_score"][i]),
        ]
        for i in order
    ]
    header = [*names, *more, "loss", "deviation between splits", "rank"]
    caption = f"{n} candidates, the chosen one first."
    if n > _ROWS:
        caption = f"The best {_ROWS} of {n} candidates, the chosen one first."
    curves = [_curve(results["params"], loss, name, best) for name in varying(results["params"])]
    said = (
        "The loss is the mean squared distance of predictions to noisy data that they have not "
        "seen: the true error plus the variance of the noise."
        if search.scoring is None
        else f"The loss is minus the score {text_of(search.scoring)!r}."
    )
    found = table(header, rows, {0}, caption)
    last = at_an_end(results["params"], best)
    note = element("p", last, class_="says warning", role="note") if last else None
    return element("div", element("p", said), note, element("div", *curves, class_="side"), found)


class ParameterCurve(NamedTuple):
    """The candidates of a search by the value of one parameter.

    Attributes
    ----------
    texts : list of str
        The values in words, in the order of their places.
    places : ndarray
        Where each value is on the axis: the values themselves if they are numbers.
    lowest : ndarray of int
        The candidate of the least loss that has each value.
    have : list of int
        The candidates that have the parameter.
    x : ndarray
        The place of each of these.
    is_numeric, is_log : bool
        Whether the values are numbers, and whether they are far apart.
    """

    texts: list[str]
    places: np.ndarray
    lowest: np.ndarray
    have: list[int]
    x: np.ndarray
    is_numeric: bool
    is_log: bool


def curve_over(params: list[dict], loss: np.ndarray, name: str) -> ParameterCurve:
    """Return the candidates by the value of a parameter."""
    have = [i for i, each in enumerate(params) if name in each]
    is_numeric = all(_is_number(params[i][name]) for i in have)
    keys = [float(params[i][name]) if is_numeric else text_of(params[i][name]) for i in have]
    known = np.where(np.isnan(loss), np.inf, loss)
    best: dict[Any, int] = {}
    for i, key in zip(have, keys, strict=True):
        if key not in best or known[i] < known[best[key]]:
            best[key] = i
    values: list[Any] = sorted(best) if is_numeric else list(best)
    places = np.array(values if is_numeric else range(len(values)), dtype=float)
    place_of = dict(zip(values, places, strict=True))
    is_log = bool(is_numeric and places.min() > 0 and places.max() / places.min() > _WIDE)
    return ParameterCurve(
        [text_of(params[best[v]][name]) for v in values],
        places,
        np.array([best[v] for v in values]),
        have,
        np.array([place_of[key] for key in keys]),
        is_numeric,
        is_log,
    )


def at_an_end(params: list[dict], best: int) -> str:
    """Return what there is to say if the best value of a parameter is the last of those."""
    for name, value in params[best].items():
        tried = {each[name] for each in params if name in each and _is_number(each[name])}
        if _is_number(value) and len(tried) > 2 and value in (min(tried), max(tried)):
            side = "smaller" if value == min(tried) else "larger"
            return f"{name}={text_of(value)} is the last value that was tried: try {side} ones."
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def varying(params: list[dict]) -> list[str]:
    """Return the names of parameters with several values, as many as are drawn."""
    names = dict.fromkeys(name for each in params for name in each)
    several = [n for n in names if len({text_of(p[n]) for p in params if n in p}) > 1]
    return several[:_CURVES]


def _curve(params: list[dict], loss: np.ndarray, name: str, best: int) -> Markup:
    """Return the curve of the loss over one parameter, the best of the others for each value."""
    curve = curve_over(params, loss, name)
    least = loss[curve.lowest]
    alt = f"The loss over {name}: least at {curve.texts[int(np.nanargmin(least))]}."
    names = None if curve.is_numeric else curve.texts
    plot = Plot(curve.places, loss[curve.have], name, "loss", alt, curve.is_log, names)
    plot.line(curve.places, least, "one")
    tips = [", ".join(f"{k}={text_of(v)}" for k, v in params[i].items()) for i in curve.have]
    titles = [f"{tip}: {loss[i]:.6g}" for tip, i in zip(tips, curve.have, strict=True)]
    plot.dots(curve.x, loss[curve.have], titles)
    if best in curve.have:
        plot.ring(curve.x[curve.have.index(best)], loss[best], "chosen")
    return element("figure", plot.markup(), element("figcaption", alt))


def _raced(averaged: Any) -> Markup:
    """Return the table of the denoisers that raced, or that are stacked."""
    weights, errors = averaged.weights_, averaged.scores_
    header = ["denoiser", "share of the result", _unit_of(averaged)]
    if not isinstance(averaged, AutoDenoiser):  # the scores of a stacker are minus its losses
        errors, header[2] = {name: -score for name, score in errors.items()}, "loss"
    order = sorted(errors, key=lambda name: (-weights.get(name, 0.0), errors[name]))
    rows = []
    for name in order:
        share = weights.get(name, 0.0)
        style = f"width: {5 * max(0.0, min(share, 1.0)):.2f}rem"
        bar = element("span", class_="bar-cell", style=style)
        cell = element("span", bar, f"{100 * share:.0f} %") if name in weights else "dropped"
        rows.append([name, cell, f"{errors[name]:.6g}"])
    caption = f"{len(weights)} chosen among {len(errors)} that raced."
    said = (
        "Each was scored on the noisy data alone, by an unbiased estimate of its error; those that "
        "are worth their weight are averaged."
    )
    chosen = set(range(len(weights)))
    return element("div", element("p", said), table(header, rows, chosen, caption))


def _unit_of(auto: Any) -> str:
    text = "estimated mean squared error"
    if getattr(auto, "kind", "array") == "table":
        return f"{text}, in units of the variance of the noise"
    if getattr(auto, "stabilizer_", None) is None:
        return f"{text}, in the squared unit of the data"
    return f"{text}, of the stabilised data"


def text_of(value: Any) -> str:
    """Return a value of a parameter as it is read by people."""
    if isinstance(value, float | np.floating):
        return f"{value:g}"
    return value if isinstance(value, str) else readable(value)
