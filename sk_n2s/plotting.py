"""Plots, in the manner of scikit-learn's displays. Needs matplotlib: ``sk_n2s[plot]``."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ._utils.arrays import as_float_array
from ._utils.readable import readable
from .losses import check_scoring
from .report._displays import DenoisingDisplay, NoiseDisplay, ResidualDisplay
from .report._matplotlib import matplotlib_module

__all__ = [
    "DenoisingDisplay",
    "NoiseDisplay",
    "ResidualDisplay",
    "SelfSupervisedCurveDisplay",
    "figure_formats",
    "true_errors",
    "write_curve",
]


class SelfSupervisedCurveDisplay:
    """The self-supervised loss of each candidate of a search, with the chosen one marked.

    Where the clean data are known, the true error is drawn as well, for the J-invariant
    form and for the plain denoiser, together with the plain denoiser's distance to the
    noisy data: the score that cannot be used.

    Use `from_search` to make one.

    Parameters
    ----------
    labels : list
        What each candidate is called on the horizontal axis: numbers or strings.
    loss : ndarray of shape (n_candidates,)
        The self-supervised losses.
    best_index : int
        The chosen candidate.
    xlabel : str
        The label of the horizontal axis.
    errors : dict of str to ndarray of shape (n_candidates,), default=None
        "invariant", "plain": the true mean squared errors; "plain_loss": the distance of
        the plain output to the noisy data.
    ylabel : str, default="mean squared difference"
        The label of the vertical axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure.
    lines_ : dict of str to matplotlib Line2D
        The curves: "loss", and those of `errors`.
    """

    def __init__(
        self,
        labels: list[str],
        loss: np.ndarray,
        best_index: int,
        xlabel: str,
        errors: dict[str, np.ndarray] | None = None,
        ylabel: str = "mean squared difference",
    ):
        self.labels = labels
        self.loss = loss
        self.best_index = best_index
        self.xlabel = xlabel
        self.errors = errors
        self.ylabel = ylabel

    @classmethod
    def from_search(
        cls,
        search: Any,
        clean: Any = None,
        *,
        noisy: Any = None,
        errors: dict[str, np.ndarray] | None = None,
        ax: Any = None,
    ) -> SelfSupervisedCurveDisplay:
        """Draw the results of a search.

        Parameters
        ----------
        search : SelfSupervisedSearchCV
            A fitted search.
        clean : array-like, default=None
            The clean data; then every candidate is run on the noisy data once more, as
            J-invariant form and plainly.
        noisy : array-like, default=None
            The data that the search was fitted to. None takes them from the search, which
            remembers them until it is pickled.
        errors : dict, default=None
            What `true_errors` returned before, instead of `clean`.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        SelfSupervisedCurveDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the noisy data are not known any more, or `clean` has another shape.

        Examples
        --------
        >>> import numpy as np
        >>> from sk_n2s import JInvariantWrapper, SelfSupervisedSearchCV
        >>> from sk_n2s.denoisers import median
        >>> from sk_n2s.plotting import SelfSupervisedCurveDisplay
        >>> clean = np.zeros((32, 32))
        >>> noisy = clean + np.random.default_rng(0).normal(size=clean.shape)
        >>> search = SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": [1, 2, 3]})
        >>> display = SelfSupervisedCurveDisplay.from_search(search.fit(noisy), clean)
        >>> sorted(display.lines_)
        ['invariant', 'loss', 'plain', 'plain_loss']
        """
        check_is_fitted(search, "cv_results_")
        results = search.cv_results_
        labels, xlabel = _labels(results["params"])
        if clean is not None:
            errors = true_errors(search, clean, noisy)
        loss = -results["mean_test_score"]
        ylabel = "mean squared difference" if search.scoring is None else "loss"
        return cls(labels, loss, search.best_index_, xlabel, errors, ylabel).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> SelfSupervisedCurveDisplay:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        SelfSupervisedCurveDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        if ax is None:
            _, ax = matplotlib_module("pyplot").subplots(layout="constrained")
        numeric = all(np.isscalar(v) and not isinstance(v, str) for v in self.labels)
        x = np.array(self.labels, dtype=float) if numeric else np.arange(len(self.labels))
        order = np.argsort(x, kind="stable")
        styles = {
            "loss": ("C0", "-", "o", "J-invariant: distance to the noisy data (the loss)"),
            "invariant": ("C0", "--", "o", "J-invariant: true error"),
            "plain_loss": ("C1", "-", "s", "plain: distance to the noisy data"),
            "plain": ("C1", "--", "s", "plain: true error"),
        }
        curves = {"loss": self.loss, **(self.errors or {})}
        self.lines_ = {}
        for name, (colour, line, marker, label) in styles.items():
            if name in curves:
                values = np.asarray(curves[name])[order]
                style = {"color": colour, "linestyle": line, "marker": marker, "label": label}
                (self.lines_[name],) = ax.plot(x[order], values, **style)
        chosen = x[self.best_index], self.loss[self.best_index]
        ax.plot(*chosen, "o", ms=14, mfc="none", mec="C3", mew=2, label="chosen")
        if not numeric or len(x) <= 12:
            ax.set_xticks(x, [f"{v:g}" if numeric else str(v) for v in self.labels])
        if not numeric:
            ax.tick_params(axis="x", labelrotation=90)
        ax.set(xlabel=self.xlabel, ylabel=self.ylabel)
        ax.legend(fontsize="small")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def figure_formats() -> list[str]:
    """Return the suffixes of the files that figures can be written to."""
    canvas = matplotlib_module("figure").Figure().canvas
    return sorted(f".{suffix}" for suffix in canvas.get_supported_filetypes())


def write_curve(search: Any, path: Any, *, errors: dict | None = None) -> None:
    """Write the figure of `SelfSupervisedCurveDisplay` to a file, without a screen."""
    figure = matplotlib_module("figure").Figure(layout="constrained")
    SelfSupervisedCurveDisplay.from_search(search, errors=errors, ax=figure.subplots())
    figure.savefig(path, dpi=150)


def _labels(candidates: list[dict]) -> tuple[list, str]:
    """Return the values of the parameter that varies, or a text for each candidate."""
    names = list(dict.fromkeys(name for params in candidates for name in params))
    if len(names) == 1:
        values = [params[names[0]] for params in candidates]
        return [v if np.isscalar(v) else _text(v) for v in values], names[0]
    texts = [", ".join(f"{k}={_text(v)}" for k, v in params.items()) for params in candidates]
    return texts, "candidate"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else readable(value)


def true_errors(search: Any, clean: Any, noisy: Any = None) -> dict[str, np.ndarray]:
    """Return the true error of each candidate of a search."""
    noisy = getattr(search, "_noisy", None) if noisy is None else noisy
    if noisy is None:
        raise ValueError(
            "noisy=None, and the search does not remember its data, since it was pickled: pass "
            "the data that it was fitted to."
        )
    if isinstance(search.estimator, Pipeline):
        raise ValueError(
            "clean cannot be compared with what comes out of a pipeline, on whatever scale: wrap "
            "the pipeline, JInvariantWrapper(Pipeline(...)), to stay on that of the data."
        )
    noisy, clean = as_float_array(noisy), as_float_array(clean, name="clean")
    if noisy.shape != clean.shape:
        raise ValueError(
            f"clean has shape {clean.shape}, and the noisy data have shape {noisy.shape}: they "
            "must be the same."
        )
    loss = check_scoring(search.scoring)
    errors: dict[str, list] = {"invariant": [], "plain": [], "plain_loss": []}
    for params in search.cv_results_["params"]:
        estimator = clone(search.estimator).set_params(**clone(params, safe=False))
        invariant, plain = (
            _denoised(estimator, output, noisy) for output in ("invariant", "plain")
        )
        errors["invariant"].append(_mean(loss(clean, invariant)))
        errors["plain"].append(_mean(loss(clean, plain)))
        errors["plain_loss"].append(_mean(loss(noisy, plain)))
    return {name: np.array(values) for name, values in errors.items()}


def _denoised(estimator: Any, output: str, noisy: Any) -> Any:
    try:
        return estimator.set_params(output=output).fit_transform(noisy)
    except Exception:  # a candidate that failed in the search has no curve
        return np.full_like(noisy, np.nan)


def _mean(losses: np.ndarray) -> float:
    known = losses[~np.isnan(losses)]
    return float(known.mean()) if known.size else np.nan
