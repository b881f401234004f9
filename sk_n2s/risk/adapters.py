"""What answers for estimators that are not the package's own: Pipelines, and any search."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from .._utils.arrays import as_float_array
from .._utils.base import BaseDenoiser
from ..noise.model import NoiseModel
from .sure import probed_divergence

__all__ = ["as_denoiser"]


class PipelineDenoiser(BaseDenoiser):
    """A Pipeline that ends in a denoiser, asked as a whole.

    What its steps make of an entry is not known, so that its output is not taken for
    J-invariant: its divergence is probed.

    Parameters
    ----------
    pipeline : Pipeline
        The pipeline.
    last : BaseDenoiser
        What answers for its last step.
    """

    def __init__(self, pipeline: Pipeline, last: BaseDenoiser):
        self.pipeline = pipeline
        self.last = last
        self.channel_axis, self.batch_axis = last.channel_axis, last.batch_axis

    def _denoise(self, X: np.ndarray) -> np.ndarray:
        return as_float_array(self.pipeline.transform(X))

    def output_and_divergence(  # noqa: D102
        self, X: np.ndarray, noise: NoiseModel
    ) -> tuple[np.ndarray, np.ndarray]:
        output = self._denoise(X)
        signal = np.where(np.isnan(X), output, X)
        return output, probed_divergence(self._denoise, X, output, noise, signal)


def as_denoiser(estimator: Any, what: str = "estimator") -> BaseDenoiser:
    """Return what answers for an estimator: itself, the best of a search, or of a Pipeline."""
    if isinstance(estimator, BaseDenoiser) and getattr(estimator, "refit", True) is not False:
        return estimator
    if isinstance(estimator, Pipeline) and len(estimator):
        last = as_denoiser(estimator[-1], what)
        return last if len(estimator) == 1 else PipelineDenoiser(estimator, last)
    # A search of scikit-learn's, or of a package that follows it: only these have both.
    if hasattr(estimator, "estimator") and hasattr(estimator, "refit"):
        if estimator.refit is False:
            raise TypeError(
                f"{what} is {estimator!r}, which has no estimator to ask: set refit=True."
            )
        return as_denoiser(getattr(estimator, "best_estimator_", estimator.estimator), what)
    raise TypeError(
        f"{what} is {estimator!r}, which is no denoiser of this package, nor a Pipeline or a "
        "search that ends in one: wrap a denoiser in a JInvariantWrapper."
    )
