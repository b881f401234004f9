"""The method `report` of what was fitted to noisy data."""

from __future__ import annotations

from typing import Any

from sklearn.utils import estimator_html_repr

__all__ = ["ReportMixin"]


class ReportMixin:
    """Estimators whose result people look at."""

    def report(self, X: Any = None) -> Any:
        """Return a report on the result, as one HTML file.

        It shows the data before and after, what was taken away and whether that looks like noise,
        what was assumed of the noise, how good the result is estimated to be, what was tried, and
        how to do it again.

        Parameters
        ----------
        X : array-like, default=None
            The noisy data. None takes those of `fit`, which an estimator remembers until it is
            pickled.

        Returns
        -------
        Report
            It has the attribute `html` and the method `save(path)`, and shows itself in notebooks.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If the data are not known any more, or were changed since.
        """
        # Upwards, and only when it is asked for: reports know all estimators, and none a report.
        from ..report import report_of

        return report_of(self, X)

    def _repr_html_inner(self) -> str:
        """Return scikit-learn's diagram, and below it what was found."""
        diagram = estimator_html_repr(self)
        from ..report._short import short_form

        try:
            return diagram + short_form(self)
        except Exception:  # what a notebook shows by itself must not fail
            return diagram

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        """Return what notebooks show."""
        bundle = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        if "text/html" in bundle:
            bundle["text/html"] = self._repr_html_inner()
        return bundle
