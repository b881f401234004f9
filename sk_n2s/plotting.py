"""Plots, in the manner of scikit-learn's displays. Needs matplotlib: ``sk_n2s[plot]``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ._utils.arrays import as_float_array
from .losses import check_scoring
from .report._candidates import curve_over, varying
from .report._displays import DenoisingDisplay, NoiseDisplay, ResidualDisplay
from .report._matplotlib import matplotlib_module, places

__all__ = [
    "DenoisingDisplay",
    "NoiseDisplay",
    "ResidualDisplay",
    "SelfSupervisedCurveDisplay",
    "figure_formats",
    "true_errors",
    "write_curve",
]


#: How each curve looks, and what it is called.
_STYLES = {
    "loss": ("C0", "-", "o", "J-invariant: distance to the noisy data (the loss)"),
    "invariant": ("C0", "--", "o", "J-invariant: true error"),
    "plain_loss": ("C1", "-", "s", "plain: distance to the noisy data"),
    "plain": ("C1", "--", "s", "plain: true error"),
}

#: Values of a parameter that are each named on the axis, at most.
_TICKS = 12


class SelfSupervisedCurveDisplay:
    """The self-supervised loss of the candidates of a search, with the chosen one marked.

    There is a curve over each parameter that was searched: for each of its values, the least loss
    of the candidates that have it, whatever their other parameters are; all candidates are dots.

    Where the clean data are known, the true error of the same candidates is drawn as well, for the
    J-invariant form and for the plain denoiser, together with the plain denoiser's distance to the
    noisy data: the score that cannot be used.

    Use `from_search` to make one.

    Parameters
    ----------
    params : list of dict
        The parameters of each candidate.
    loss : ndarray of shape (n_candidates,)
        The self-supervised losses.
    best_index : int
        The chosen candidate.
    errors : dict of str to ndarray of shape (n_candidates,), default=None
        "invariant", "plain": the true mean squared errors; "plain_loss": the distance of
        the plain output to the noisy data.
    ylabel : str, default="mean squared difference"
        The label of the vertical axis.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_parameters,)
        Where the curves over each parameter were drawn.
    figure_ : matplotlib Figure
        The figure.
    lines_ : dict of str to dict of str to matplotlib Line2D
        For each parameter the curves: "loss", and those of `errors`.
    """

    def __init__(
        self,
        params: list[dict[str, Any]],
        loss: np.ndarray,
        best_index: int,
        errors: dict[str, np.ndarray] | None = None,
        ylabel: str = "mean squared difference",
    ):
        self.params = params
        self.loss = loss
        self.best_index = best_index
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
        names: Sequence[str] | None = None,
        ax: Any = None,
    ) -> Self:
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
        names : sequence of str, default=None
            The parameters over which curves are drawn; None takes up to four of those that were
            given several values.
        ax : matplotlib Axes, or one for each parameter, default=None
            Where to draw; None makes a new figure, and a single one is divided.

        Returns
        -------
        SelfSupervisedCurveDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the noisy data are not known any more, `clean` has another shape, or no candidate
            has such a parameter.

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
        >>> sorted(display.lines_["radius"])
        ['invariant', 'loss', 'plain', 'plain_loss']
        """
        check_is_fitted(search, "cv_results_")
        results = search.cv_results_
        if clean is not None:
            errors = true_errors(search, clean, noisy)
        ylabel = "mean squared difference" if search.scoring is None else "loss"
        loss = -results["mean_test_score"]
        made = cls(results["params"], loss, search.best_index_, errors, ylabel)
        return made.plot(names=names, ax=ax)

    def plot(self, *, names: Sequence[str] | None = None, ax: Any = None) -> Self:
        """Draw the curves.

        Parameters
        ----------
        names : sequence of str, default=None
            The parameters over which curves are drawn; None takes up to four of those that were
            given several values.
        ax : matplotlib Axes, or one for each parameter, default=None
            Where to draw; None makes a new figure, and a single one is divided.

        Returns
        -------
        SelfSupervisedCurveDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If no candidate has such a parameter.
        """
        known = list(dict.fromkeys(name for each in self.params for name in each))
        names = list(names) if names is not None else varying(self.params) or known[:1]
        for name in names:
            if name not in known:
                raise ValueError(f"names={names!r}: no candidate has {name!r}, but {known}.")
        self.axes_ = places(ax, max(1, len(names)))
        self.figure_ = self.axes_[0].figure
        self.lines_ = {}
        for name, each in zip(names, self.axes_, strict=False):
            self.lines_[name] = self._curves_over(name, each)
        self.axes_[0].set(ylabel=self.ylabel)
        if ax is None and len(self.axes_) > 1:  # beside all of them
            found = self.axes_[0].get_legend_handles_labels()
            self.figure_.legend(*found, loc="outside upper center", ncols=3, fontsize="small")
        else:
            self.axes_[0].legend(fontsize="small")
        return self

    def _curves_over(self, name: str, ax: Any) -> dict[str, Any]:
        """Draw the curves over one parameter."""
        curve = curve_over(self.params, self.loss, name)
        lines = {}
        for key, values in {"loss": self.loss, **(self.errors or {})}.items():
            colour, line, marker, label = _STYLES[key]
            line = line if curve.is_numeric else ""
            style = {"color": colour, "linestyle": line, "marker": marker, "label": label}
            values = np.asarray(values)[curve.lowest]
            (lines[key],) = ax.plot(curve.places, values, **style)
        if len(curve.have) > len(curve.places):
            ax.plot(curve.x, self.loss[curve.have], ".", color="C0", alpha=0.4, zorder=1)
        if self.best_index in curve.have:
            chosen = curve.x[curve.have.index(self.best_index)], self.loss[self.best_index]
            ax.plot(*chosen, "o", ms=14, mfc="none", mec="C3", mew=2, label="chosen")
        if curve.is_log:
            ax.set_xscale("log")
        if not curve.is_numeric or len(curve.places) <= _TICKS:
            ax.set_xticks(curve.places, curve.texts)
            ax.set_xticks([], minor=True)
        if not curve.is_numeric:
            ax.tick_params(axis="x", labelrotation=90)
        ax.set(xlabel=name)
        return lines


def figure_formats() -> list[str]:
    """Return the suffixes of the files that figures can be written to."""
    canvas = matplotlib_module("figure").Figure().canvas
    return sorted(f".{suffix}" for suffix in canvas.get_supported_filetypes())


def write_curve(search: Any, path: Any, *, errors: dict | None = None) -> None:
    """Write the figure of `SelfSupervisedCurveDisplay` to a file, without a screen."""
    n = max(1, len(varying(search.cv_results_["params"])))
    size = (max(6.4, 4.8 * n), 4.8)
    figure = matplotlib_module("figure").Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, n, squeeze=False)[0]
    SelfSupervisedCurveDisplay.from_search(search, errors=errors, ax=axes)
    figure.savefig(path, dpi=150)


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
