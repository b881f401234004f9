"""The average of the denoisers that won a race."""

from __future__ import annotations

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils.parallel import Parallel, delayed

from .._utils.threads import with_threads
from ..j_invariance.wrapper import JInvariantWrapper

__all__ = ["average_of"]


def average_of(
    members: dict[str, JInvariantWrapper],
    weights: dict[str, float],
    X: np.ndarray,
    n_jobs: int | None,
) -> np.ndarray:
    """Return the average of what those members that have a weight make of data."""
    found = Parallel(n_jobs=n_jobs, prefer="threads")(
        delayed(with_threads)(effective_n_jobs(n_jobs), _denoised, members[name], X)
        for name in weights
    )
    total = np.zeros_like(X)
    for weight, each in zip(weights.values(), found, strict=True):
        total += total.dtype.type(weight) * each
    return total


def _denoised(member: JInvariantWrapper, X: np.ndarray) -> np.ndarray:
    return member.fit(X).transform(X)
