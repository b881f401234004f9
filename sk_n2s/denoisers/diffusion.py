"""Samples of a table, averaged with those that are like them."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval

from .._utils.once import Once
from ._tables import TableDenoiser
from .low_rank import LowRankDenoiser

__all__ = ["DiffusionDenoiser"]

#: Rows of a sparse table that are worked out at a time.
_ROWS = 512


class DiffusionDenoiser(TableDenoiser):
    """Average each sample with those that a random walk reaches over a graph of neighbours.

    Samples are neighbours if they are near to each other in the directions in which the table
    stands out the most. A step of the walk goes to one of the nearest, the sample itself
    included, with a probability that falls with the squared distance, in units of that of the
    furthest of them; the output is the mean over where the walk ends [1]_.

    Parameters
    ----------
    n_steps : int, default=1
        The length of the walk: the power of its matrix.
    n_neighbors : int, default=15
        How many samples a step may lead to, the sample itself included.
    n_components : int, default=20
        In how many directions distances are measured; at most as many as there are.

    Attributes
    ----------
    walk_ : sparse array of shape (n_samples, n_samples)
        The probabilities of one step; rows add up to 1.
    n_features_in_ : int
        The number of features.

    Notes
    -----
    Candidates of a search that differ in `n_steps` share the graph. Other samples than those of
    `fit` take their first step to those.

    References
    ----------
    .. [1] D. van Dijk et al., "Recovering gene interactions from single-cell data using data
       diffusion", Cell 174(3):716-729, 2018. :doi:`10.1016/j.cell.2018.05.061`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.denoisers import DiffusionDenoiser
    >>> rng = np.random.default_rng(0)
    >>> angle = rng.uniform(0, 2 * np.pi, (500, 1))
    >>> clean = np.cos(angle + np.linspace(0, 2 * np.pi, 40))
    >>> noisy = clean + 0.5 * rng.normal(size=clean.shape)
    >>> denoised = DiffusionDenoiser(n_steps=2, n_components=2).fit_transform(noisy)
    >>> bool(np.mean((denoised - clean) ** 2) < 0.1 * 0.5**2)
    True
    """

    _parameter_constraints: dict = {
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "n_neighbors": [Interval(Integral, 2, None, closed="left")],
        "n_components": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, n_steps: int = 1, *, n_neighbors: int = 15, n_components: int = 20):
        self.n_steps = n_steps
        self.n_neighbors = n_neighbors
        self.n_components = n_components

    def _learn(self, X: Any, known: Once) -> dict[str, Any]:
        settings = self.n_neighbors, self.n_components
        space, finder, walk = known.get(settings, lambda: self._graph(X))
        learnt = {"walk_": walk, "_space": space, "_finder": finder, "_samples": X}
        if not sparse.issparse(X):
            # After all steps but the first, which other samples take as well.
            for _ in range(self.n_steps - 1):
                learnt["_samples"] = walk @ learnt["_samples"]
        return learnt

    def _graph(self, X: Any) -> tuple[LowRankDenoiser, NearestNeighbors, Any]:
        """Return the directions, what finds neighbours in them, and the matrix of the walk."""
        rank = min(self.n_components, X.shape[0] - 1, X.shape[1])
        space = LowRankDenoiser(rank, shrinkage=None).fit(X)
        scores = _scores(space, X)
        finder = NearestNeighbors(n_neighbors=min(self.n_neighbors, X.shape[0])).fit(scores)
        return space, finder, _steps(finder, scores, X.dtype)

    def _denoise(self, X: Any) -> np.ndarray:
        first = _steps(self._finder, _scores(self._space, X), X.dtype)
        if not sparse.issparse(self._samples):
            return np.asarray(first @ self._samples, X.dtype)
        blocks = []
        for start in range(0, X.shape[0], _ROWS):
            reached = first[start : start + _ROWS]
            for _ in range(self.n_steps - 1):
                reached = reached @ self.walk_
            blocks.append((reached @ self._samples).toarray())
        return np.concatenate(blocks).astype(X.dtype, copy=False)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = False
        return tags


def _scores(space: LowRankDenoiser, X: Any) -> np.ndarray:
    """Return where samples lie along the directions."""
    if not space.rank_:  # all samples are the same
        return np.zeros((X.shape[0], 1))
    return np.asarray(X @ space.components_.T - space.mean_ @ space.components_.T)


def _steps(finder: NearestNeighbors, scores: np.ndarray, dtype: np.dtype) -> Any:
    """Return the probabilities of one step from samples to those that were learnt from."""
    distances, places = finder.kneighbors(scores)
    furthest = np.maximum(distances[:, -1:], np.finfo(float).tiny)
    weights = np.exp(-np.square(distances / furthest))
    weights /= weights.sum(axis=1, keepdims=True)
    n, k = places.shape
    shape = (n, finder.n_samples_fit_)
    edges = np.arange(0, n * k + 1, k)
    return sparse.csr_array((weights.ravel().astype(dtype), places.ravel(), edges), shape=shape)
