"""What a fitted estimator shows of itself in a notebook, below scikit-learn's diagram."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._utils.lazy import is_lazy
from ..risk.error_estimate import ErrorEstimate
from ._candidates import at_an_end, text_of
from ._markup import Markup, element
from ._pages import pages_of
from ._pictures import data_uri, grey_limits, reduced, span
from ._shown import Shown

__all__ = ["short_form"]

#: The longest side of an image, in pixels, and so many members are named.
_SIDE, _MEMBERS = 200, 3

#: All names begin alike, so that nothing else in the notebook is touched.
_CSS = """
.sk-n2s-short { margin: .5em 0; font: 13px/1.5 system-ui, sans-serif; max-width: 46em; }
.sk-n2s-short dl { display: grid; grid-template-columns: max-content 1fr; gap: .1em 1em;
  margin: 0; }
.sk-n2s-short dt { opacity: .7; }
.sk-n2s-short dd { margin: 0; }
.sk-n2s-short figure { display: inline-block; margin: .5em .5em 0 0; text-align: center; }
.sk-n2s-short img { display: block; image-rendering: auto; }
.sk-n2s-short figcaption, .sk-n2s-short p { opacity: .7; margin: .3em 0 0; font-size: 12px; }
"""


def short_form(estimator: Any) -> str:
    """Return what is known of a fitted estimator at once, as HTML: nothing is computed for it."""
    known = vars(estimator)
    rows = _of_search(estimator) if "best_params_" in known else _of_race(estimator)
    if not rows:
        return ""
    entries = (part for k, v in rows for part in (element("dt", k), element("dd", v)))
    hint = "Whether to trust it: "
    return element(
        "div",
        element("style", Markup(_CSS)),
        element("dl", *entries),
        *_pictures(estimator),
        element("p", hint, element("code", ".report()")),
        class_="sk-n2s-short",
    )


def _of_race(auto: Any) -> list[tuple[str, str]]:
    """Return the noise, what was chosen, and how good it is, of an AutoDenoiser."""
    if "weights_" not in vars(auto):
        return []
    first = sorted(auto.weights_.items(), key=lambda item: -item[1])
    named = [f"{name} ({100 * share:.0f} %)" for name, share in first[:_MEMBERS]]
    more = len(first) - _MEMBERS
    chosen = ", ".join(named) + (f" and {more} more" if more > 0 else "")
    return [
        ("Noise", str(auto.noise_)),
        ("Chosen", chosen or "nothing to take away"),
        ("Estimated PSNR", _quality(auto.error_estimate_)),
    ]


def _of_search(search: Any) -> list[tuple[str, str]]:
    """Return what was chosen of how many, and how good it is where that was asked for before."""
    params, results = search.best_params_, search.cv_results_
    chosen = ", ".join(f"{k}={text_of(v)}" for k, v in params.items())
    n = len(results["params"])
    rows = [
        ("Chosen", f"{chosen or 'the only candidate'}, of {n} candidates"),
        ("Loss", f"{-search.best_score_:.6g}"),
    ]
    last = at_an_end(results["params"], search.best_index_)
    if last:
        rows.append(("Beware", last))
    estimate = vars(search).get("_estimate")
    if estimate is not None:
        rows.append(("Estimated PSNR", _quality(estimate[0])))
    return rows


def _quality(error: ErrorEstimate) -> str:
    """Return the estimated error in words."""
    if not error.is_known:
        return f"unknown: {'; '.join(error.doubts)}"
    low, high = error.psnr_interval
    return f"{error.psnr:.1f} dB (95 %: {low:.1f} to {high:.1f} dB)"


def _pictures(estimator: Any) -> list[Markup]:
    """Return small images before and after, where both are in memory."""
    known = vars(estimator)
    before, made = known.get("_noisy"), known.get("_known")
    if made is None or before is None or is_lazy(before):
        return []
    after = np.asarray(made[1])
    before = np.asarray(before)
    if before.shape != after.shape or before.dtype.kind not in "fiub":
        return []
    axes = estimator.axes(after.ndim)
    shown = Shown(estimator, before, after, axes, after.shape, "", None, "")
    page = pages_of(shown)[0]
    if len(page.axes) != 2:
        return []
    pair = [page.of(X) for X in (before, after)]
    factors = span(pair[0].shape[:2], _SIDE)
    small = [reduced(np.asarray(X, dtype=np.float64), factors) for X in pair]
    ends = grey_limits(*small)
    return [
        element(
            "figure",
            element("img", src=data_uri(X, *ends), alt=f"The data, {name}.", width=X.shape[1]),
            element("figcaption", name),
        )
        for X, name in zip(small, ("noisy", "denoised"), strict=True)
    ]
