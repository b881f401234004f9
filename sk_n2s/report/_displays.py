"""What a report shows, as figures in the manner of scikit-learn's displays."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy import stats

from ._matplotlib import places
from ._pages import pages_of
from ._pictures import grey_limits
from ._residual import profiles, residual_of
from ._shown import shown_of
from ._signal_levels import levels_of

__all__ = ["DenoisingDisplay", "NoiseDisplay", "ResidualDisplay"]

#: A histogram has so many bars, and reaches over so many standard deviations.
_BARS, _ENDS = 50, 5.0


class DenoisingDisplay:
    """The noisy data, the denoised ones, and the residual, side by side.

    Images with the same grey values, signals as lines, tables as heat maps. Of data with more axes
    a page is shown, as in a report.

    Use `from_estimator` to make one.

    Parameters
    ----------
    before, after : ndarray of shape (n,), (height, width) or (height, width, 3)
        The noisy and the denoised data.
    residual : ndarray of that shape
        Noisy minus denoised, in units of the standard deviation of the noise.
    name : str, default="all"
        Which part of the data it is.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (3,)
        Where they were drawn.
    figure_ : matplotlib Figure
        The figure.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s import JInvariantWrapper, SelfSupervisedSearchCV
    >>> from sk_n2s.denoisers import median
    >>> from sk_n2s.plotting import DenoisingDisplay
    >>> noisy = np.random.default_rng(0).normal(size=(48, 48))
    >>> search = SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": [1, 2]}).fit(noisy)
    >>> DenoisingDisplay.from_estimator(search).axes_.shape
    (3,)
    """

    def __init__(
        self, before: np.ndarray, after: np.ndarray, residual: np.ndarray, name: str = "all"
    ):
        self.before = before
        self.after = after
        self.residual = residual
        self.name = name

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any = None, *, page: int = 0, ax: Any = None
    ) -> Self:
        """Draw what a fitted estimator did to its data.

        Parameters
        ----------
        estimator : AutoDenoiser, search, or another denoiser of this package
            The fitted estimator.
        X : array-like, default=None
            The noisy data; None takes those of `fit`, as long as the estimator remembers them.
        page : int, default=0
            Which page of those that a report has.
        ax : matplotlib Axes, or three of them, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        DenoisingDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ImportError
            If matplotlib is not installed.
        ValueError
            If the data are not known any more, or there is no such page.
        """
        shown = shown_of(estimator, X)
        pages = pages_of(shown)
        if page not in range(len(pages)):
            raise ValueError(f"page={page!r} must be an integer from 0 to {len(pages) - 1}.")
        chosen = pages[page]
        residual = chosen.of_residual(residual_of(shown))
        return cls(chosen.of(shown.before), chosen.of(shown.after), residual, chosen.name).plot(
            ax=ax
        )

    def plot(self, *, ax: Any = None) -> Self:
        """Draw them.

        Parameters
        ----------
        ax : matplotlib Axes, or three of them, default=None
            Where to draw; None makes a new figure, and a single one is divided.

        Returns
        -------
        DenoisingDisplay
            The display itself.
        """
        self.axes_ = places(ax, 3)
        self.figure_ = self.axes_[0].figure
        low, high = grey_limits(self.before, self.after)
        data = [(self.before, "noisy", low, high), (self.after, "denoised", low, high)]
        data.append((self.residual, "residual / noise", -4.0, 4.0))
        for each, (values, title, start, stop) in zip(self.axes_, data, strict=True):
            if values.ndim == 1:
                each.plot(values, linewidth=0.8)
                each.set_ylim(start, stop)
            else:
                if values.ndim == 3:  # colours are shown on a scale of 0 to 1
                    values, start, stop = np.clip((values - start) / (stop - start), 0, 1), 0, 1
                each.imshow(values, cmap="gray", vmin=start, vmax=stop, aspect="equal")
                each.set_xticks([])
                each.set_yticks([])
            each.set_title(title)
        if self.name != "all":
            self.axes_[0].set_xlabel(self.name)
        return self


class ResidualDisplay:
    """The residual of a denoised array: its histogram, and the correlation of neighbours.

    Of a good result, the residual looks like noise: the histogram like the normal curve, and
    without correlation, unless the noise itself is correlated.

    Use `from_estimator` to make one.

    Parameters
    ----------
    values : ndarray
        Noisy minus denoised, in units of the standard deviation of the noise.
    autocorrelation : ndarray, default=None
        The correlation of neighbours by their distance, 1 in the centre; None where entries have no
        neighbours.
    axes : tuple of int, default=()
        The axes of the data behind those of the autocorrelation.
    error : float, default=0.0
        The standard error of a correlation of 0.
    findings : tuple of str, default=()
        What does not look like noise, in words.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (2,), or (1,) without an autocorrelation
        Where they were drawn.
    figure_ : matplotlib Figure
        The figure.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s import AutoDenoiser
    >>> from sk_n2s.plotting import ResidualDisplay
    >>> noisy = np.random.default_rng(0).normal(size=(48, 48))
    >>> display = ResidualDisplay.from_estimator(AutoDenoiser(effort="fast").fit(noisy))
    >>> display.findings
    ()
    """

    def __init__(
        self,
        values: np.ndarray,
        autocorrelation: np.ndarray | None = None,
        axes: tuple[int, ...] = (),
        error: float = 0.0,
        findings: tuple[str, ...] = (),
    ):
        self.values = values
        self.autocorrelation = autocorrelation
        self.axes = axes
        self.error = error
        self.findings = findings

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any = None, *, ax: Any = None) -> Self:
        """Draw what a fitted estimator took away.

        Parameters
        ----------
        estimator : AutoDenoiser, search, or another denoiser of this package
            The fitted estimator.
        X : array-like, default=None
            The noisy data; None takes those of `fit`, as long as the estimator remembers them.
        ax : matplotlib Axes, or two of them, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        ResidualDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ImportError
            If matplotlib is not installed.
        ValueError
            If the data are not known any more.
        """
        found = residual_of(shown_of(estimator, X))
        table = found.autocorrelation
        return cls(found.values, table, found.axes, found.error, found.findings).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Draw the histogram and the autocorrelation.

        Parameters
        ----------
        ax : matplotlib Axes, or two of them, default=None
            Where to draw; None makes a new figure, and a single one is divided.

        Returns
        -------
        ResidualDisplay
            The display itself.
        """
        table = self.autocorrelation
        self.axes_ = places(ax, 1 if table is None else 2)
        self.figure_ = self.axes_[0].figure
        known = self.values[np.isfinite(self.values)]
        bars, x = np.linspace(-_ENDS, _ENDS, _BARS + 1), np.linspace(-_ENDS, _ENDS, 201)
        self.axes_[0].hist(np.clip(known, -_ENDS, _ENDS), bars, density=True, alpha=0.5)
        self.axes_[0].plot(x, stats.norm.pdf(x), label="normal")
        self.axes_[0].set(xlabel="residual / noise", ylabel="density")
        self.axes_[0].legend(fontsize="small")
        if table is not None:
            for axis, profile in zip(self.axes, profiles(table), strict=True):
                self.axes_[1].plot(profile, marker="o", ms=3, label=f"axis {axis}")
            self.axes_[1].axhspan(-4 * self.error, 4 * self.error, alpha=0.2, color="gray")
            self.axes_[1].set(xlabel="distance in entries", ylabel="correlation")
            self.axes_[1].legend(fontsize="small")
        return self


class NoiseDisplay:
    """The size of the noise over the signal: as the model says, and as it was taken away.

    Use `from_estimator` to make one.

    Parameters
    ----------
    signal : ndarray of shape (n_bins,)
        The mean of the denoised data in bins of as many entries each.
    seen : ndarray of shape (n_bins,)
        The standard deviation of what was taken away there.
    model : ndarray of shape (n_bins,), default=None
        The standard deviation of the noise there, as it is assumed.
    text : str, default=""
        The noise in words.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s import AutoDenoiser
    >>> from sk_n2s.plotting import NoiseDisplay
    >>> noisy = np.random.default_rng(0).normal(size=(48, 48))
    >>> display = NoiseDisplay.from_estimator(AutoDenoiser(effort="fast", noise=1).fit(noisy))
    >>> display.text
    'standard deviation 1'
    """

    def __init__(
        self,
        signal: np.ndarray,
        seen: np.ndarray,
        model: np.ndarray | None = None,
        text: str = "",
    ):
        self.signal = signal
        self.seen = seen
        self.model = model
        self.text = text

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any = None, *, ax: Any = None) -> Self:
        """Draw the noise that a fitted estimator found, or was told.

        Parameters
        ----------
        estimator : AutoDenoiser, search, or another denoiser of this package
            The fitted estimator.
        X : array-like, default=None
            The noisy data; None takes those of `fit`, as long as the estimator remembers them.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        NoiseDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ImportError
            If matplotlib is not installed.
        ValueError
            If the data are not known any more.
        """
        shown = shown_of(estimator, X)
        text = "" if shown.noise is None else str(shown.noise)
        return cls(*levels_of(shown), text).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Draw the curve of the model and what was seen.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        NoiseDisplay
            The display itself.
        """
        self.ax_ = places(ax, 1)[0]
        self.figure_ = self.ax_.figure
        self.ax_.plot(self.signal, self.seen, "o", ms=4, label="taken away")
        if self.model is not None:
            self.ax_.plot(self.signal, self.model, label="assumed")
        self.ax_.set(xlabel="signal (denoised)", ylabel="standard deviation", title=self.text)
        self.ax_.set_ylim(bottom=0)
        self.ax_.legend(fontsize="small")
        return self
