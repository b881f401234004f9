"""What a report says in words: the numbers first, the noise, and how to do it again."""

from __future__ import annotations

import ast
import platform
from importlib import import_module
from importlib.metadata import version
from typing import Any

import numpy as np

from ..noise.assumptions import check_assumptions
from ..risk.adapters import as_denoiser
from ..risk.error_estimate import ErrorEstimate
from ._markup import Markup, code, element, table
from ._shown import Shown
from ._signal_levels import levels_of
from ._svg import Plot

__all__ = ["assumed_wrongly", "facts", "noise_in_words", "reproduction", "text_of_estimator"]

#: The packages that a result may depend on.
_PACKAGES = ("numpy", "scipy", "scikit-learn", "scikit-image", "PyWavelets")

#: Where names in the text of an estimator may come from, the first that has one.
_PLACES = ("sk_n2s", "sk_n2s.denoisers", "sk_n2s.masking", "sk_n2s.noise", "sklearn.pipeline")

#: The most characters of an estimator's text.
_LONGEST = 20_000


def facts(shown: Shown) -> Markup:
    """Return the most important numbers."""
    estimator, error = shown.estimator, shown.error
    found: list[tuple[str, str, str]] = []
    if isinstance(error, ErrorEstimate) and error.is_known:
        low, high = error.psnr_interval
        found.append(
            (
                "Estimated PSNR",
                f"{error.psnr:.2f} dB",
                f"95 %: {low:.2f} to {high:.2f} dB, for a peak of {error.data_range:.4g}",
            )
        )
        low, high = error.interval
        found.append(
            ("Estimated mean squared error", f"{error.mse:.4g}", f"95 %: {low:.4g} to {high:.4g}")
        )
    else:
        found.append(("Estimated PSNR", "unknown", "why: see the noise, below"))
    if shown.noise is not None:
        level = float(np.sqrt(np.nanmean(shown.noise.variance(shown.after), dtype=np.float64)))
        found.append(("Noise", f"{level:.4g}", "standard deviation, root mean square"))
    shape = " × ".join(map(str, shown.shape))
    found.append(("Data", shape, f"as {shown.dtype}, values from {_range_of(shown.before)}"))
    missing = int(np.count_nonzero(np.isnan(shown.before)))
    if missing:
        found.append(
            (
                "Not measured",
                f"{missing}",
                f"{100 * missing / shown.before.size:.2g} % of the entries, filled in the output",
            )
        )
    outliers = getattr(estimator, "n_outliers_", 0)
    if outliers:
        found.append(("Outliers", f"{outliers}", "were replaced"))
    seconds = getattr(estimator, "time_", None)
    if seconds is not None:
        found.append(("Time", f"{seconds:.2g} s", "of the fit"))
    return element(
        "dl",
        *(
            element("div", element("dt", name), element("dd", value, element("small", more)))
            for name, value, more in found
        ),
        class_="facts",
    )


def _range_of(X: np.ndarray) -> str:
    return f"{np.nanmin(X):.4g} to {np.nanmax(X):.4g}"


def noise_in_words(shown: Shown, wrong: list[str]) -> Markup:
    """Return what is known of the noise, what was assumed, and what is in doubt."""
    noise, error = shown.noise, shown.error
    given = getattr(as_denoiser_of(shown.estimator), "noise", None) is not None
    parts: list[Markup] = []
    if noise is None:
        parts.append(_says("The noise could not be told.", "warning"))
    else:
        origin = "as it was given" if given else "estimated from the noisy data"
        parts.append(element("p", f"The noise, {origin}: ", element("strong", str(noise)), "."))
        parts.append(_over_signal(shown))
    parts += [_says(text, "warning") for text in wrong]
    if isinstance(error, ErrorEstimate):
        kind = "good" if error.is_known else "warning"
        parts.append(_says(str(error), kind))
        if error.assumptions:
            rests = [element("li", text) for text in error.assumptions]
            parts += [element("p", "This rests upon:"), element("ul", *rests)]
    else:
        parts.append(_says(f"The error is unknown: {error}", "warning"))
    return element("div", *parts)


def _over_signal(shown: Shown) -> Markup:
    """Return the size of the noise over the signal, as it is assumed and as it was taken away."""
    found = levels_of(shown)
    assert found.model is not None
    alt = "The standard deviation over the denoised signal: of what was taken away, and as assumed."
    y = np.concatenate([found.seen, found.model, [0.0]])
    plot = Plot(found.signal, y, "signal", "standard deviation", alt)
    plot.line(found.signal, found.model, "two", "assumed").dots(
        found.signal, found.seen, label="taken away"
    )
    return element("figure", plot.markup(), element("figcaption", alt))


def _says(text: str, kind: str) -> Markup:
    return element("p", text, class_=f"says {kind}", role="note")


def as_denoiser_of(estimator: Any) -> Any:
    """Return what denoises in the end: of a search its best, of a pipeline its last step."""
    return as_denoiser(vars(estimator).get("best_estimator_", estimator))


def assumed_wrongly(shown: Shown) -> list[str]:
    """Return what a search that hides entries singly assumed, and the data contradict."""
    denoiser, axes = as_denoiser_of(shown.estimator), shown.axes
    if axes.is_table or not hasattr(shown.estimator, "cv_results_"):
        return []
    partition = denoiser.partition
    # A name stands for a partition that was found in the data.
    trusts = not isinstance(partition, str) and (partition is None or partition.hides_singly)
    found = check_assumptions(
        shown.before, channel_axis=axes.channel, batch_axis=axes.batch, correlation=trusts
    )
    return [f"{text} {remedy}" for text, remedy in found]


def reproduction(shown: Shown) -> Markup:
    """Return the lines that do the same again, and the versions of what did it."""
    text = text_of_estimator(shown.estimator)
    names, is_code = _names_in(text)
    lines = ["import numpy as np", *_imports(names), ""]
    lines.append(f'noisy = np.load("noisy.npy")  # your data, of shape {shown.shape}')
    lines.append(f"fitted = {text}.fit(noisy)")
    lines += ["denoised = fitted.transform(noisy)", 'fitted.report().save("report.html")']
    own = import_module(__name__.partition(".")[0])
    versions = [("Python", platform.python_version()), ("sk_n2s", own.__version__)]
    versions += [(name, version(name)) for name in _PACKAGES]
    said = None
    if not is_code:
        said = element("p", "What stands between < and > has no short form: put your own there.")
    listed = table(["package", "version"], [list(pair) for pair in versions], caption="Versions")
    return element("div", code("\n".join(lines)), said, listed)


def text_of_estimator(estimator: Any) -> str:
    """Return an estimator as code, without the parameters that have their defaults."""
    return estimator.__repr__(N_CHAR_MAX=_LONGEST)


def _names_in(text: str) -> tuple[list[str], bool]:
    """Return the names that a text uses, and whether it is code."""
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError:
        return [text.partition("(")[0]], False
    return sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}), True


def _imports(names: list[str]) -> list[str]:
    """Return the lines that import names, as far as their place is known."""
    lines, left = [], list(names)
    for place in _PLACES:
        module = import_module(place)
        here = [name for name in left if name in getattr(module, "__all__", ())]
        if here:
            lines.append(f"from {place} import {', '.join(here)}")
            left = [name for name in left if name not in here]
    return lines
