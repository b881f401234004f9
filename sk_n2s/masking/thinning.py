"""Thinning: a measurement is divided into two that are independent, and predict each other.

In place of hiding entries, noise is divided. Of a count x with a Poisson distribution, of which
each unit goes to the first part with probability f, both parts are Poisson, with the means f·λ
and (1 − f)·λ, and independent [1]_, [2]_; there are such divisions for other families of noise
as well [3]_. What denoises the first part is compared with the second.

A new thinning is a subclass of `Thinning` with one method.

.. [1] J. Batson, L. Royer and J. Webber, "Molecular cross-validation for single-cell RNA-seq",
   bioRxiv 786269, 2019. :doi:`10.1101/786269`
.. [2] A. Neufeld, A. Dharamshi, L. L. Gao and D. Witten, "Data thinning for convolution-closed
   distributions", JMLR 25(57):1-35, 2024. :arxiv:`2301.07276`
.. [3] A. Dharamshi et al., "Generalized data thinning using sufficient statistics", J. Am. Stat.
   Assoc. 120(549):511-523, 2025. :doi:`10.1080/01621459.2024.2353948`
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from .._utils.arrays import block_sums, has_nan
from .._utils.once import Once
from .._utils.tiling import Piece
from .base import AxesToCut, Period, seeded
from .fills import Fill
from .views import View, total_of_all

__all__ = [
    "BinomialThinning",
    "GammaThinning",
    "GaussianThinning",
    "NegativeBinomialThinning",
    "Thinning",
    "ThinningPlan",
]


class Thinning(ABC):
    """Base class of the thinnings, which stand in the place of a partition.

    A subclass is a frozen dataclass with the fields `n_splits` and `random_state`.
    """

    #: Nothing is hidden.
    hides_singly: ClassVar[bool] = False

    n_splits: int
    random_state: Any

    @abstractmethod
    def thin(self, X: Any, rng: np.random.Generator, noise: Callable) -> tuple[Any, Any]:
        """Return the part that is shown, and the part that it is compared with.

        Parameters
        ----------
        X : ndarray or sparse array
            The data.
        rng : numpy.random.Generator
            Draws what is random.
        noise : callable
            Returns the `NoiseModel` of the data, if it is asked for.

        Returns
        -------
        shown, target : arrays like `X`
            The two parts.
        """

    @property
    def factor(self) -> float:
        """What a prediction from the first part is multiplied by, to be that of the second."""
        return 1.0

    def check(self, X: Any) -> None:  # noqa: B027
        """Raise a ValueError where data or parameters do not suit.

        Parameters
        ----------
        X : ndarray or sparse array
            The data.
        """

    def get_n_splits(self, X: Any, axes: AxesToCut = None) -> int:
        """Return how often the data are divided anew.

        Parameters
        ----------
        X : ndarray or sparse array
            The data; ignored.
        axes : tuple of int, default=None
            Ignored: nothing is hidden.

        Returns
        -------
        int
            `n_splits`.
        """
        if not isinstance(self.n_splits, Integral) or self.n_splits < 1:
            raise ValueError(
                f"n_splits={self.n_splits!r} of {type(self).__name__} must be a positive integer."
            )
        return int(self.n_splits)

    def enough_splits(self, X: Any, axes: AxesToCut = None) -> int:
        """Return how many divisions a search scores where the user does not say: all.

        Parameters
        ----------
        X : ndarray or sparse array
            The data; ignored.
        axes : tuple of int, default=None
            Ignored.

        Returns
        -------
        int
            `n_splits`.
        """
        return self.get_n_splits(X)

    def order(self, X: Any, axes: AxesToCut = None) -> list[int]:
        """Return the numbers of the divisions, any of which are spread out.

        Parameters
        ----------
        X : ndarray or sparse array
            The data; ignored.
        axes : tuple of int, default=None
            Ignored.

        Returns
        -------
        list of int
            0, 1, …
        """
        return list(range(self.get_n_splits(X)))

    def period(self, ndim: int, axes: AxesToCut = None) -> Period:
        """Return 0 for each axis: data are divided as a whole.

        Parameters
        ----------
        ndim : int
            The number of axes.
        axes : tuple of int, default=None
            Ignored.

        Returns
        -------
        tuple of int
            Zeros.
        """
        return (0,) * ndim

    def drawn(self) -> Thinning:
        """Return the same with a seed, so that all candidates of a search see the same parts."""
        return seeded(self)

    def __deepcopy__(self, memo: dict) -> Thinning:
        # A thinning does not change: clones of an estimator share it.
        return self


@dataclass(frozen=True)
class ThinningPlan:
    """How data are divided into parts; it answers what a `ViewPlan` does.

    Parameters
    ----------
    partition : Thinning
        What divides them.
    fill : Fill
        What missing entries are replaced with.
    axes : tuple of int
        The axes along which entries are neighbours, or of the table.
    told : callable
        Returns the noise of the data, if it is asked for.
    """

    partition: Thinning
    fill: Fill
    axes: tuple[int, ...]
    told: Callable = field(compare=False)
    exact: bool = False
    noise: Any = None

    @property
    def is_single(self) -> bool:
        """Whether one view answers for all sets: no."""
        return False

    def get_n_splits(self, X: Any) -> int:
        """Return the number of divisions that can be scored."""
        return self.partition.get_n_splits(X)

    def views(self, X: Any, n_splits: int | None = None) -> Iterator[View]:
        """Make the views, one at a time."""
        total = self.get_n_splits(X)
        noise = Once()
        for split in range(total if n_splits is None else min(n_splits, total)):
            shown, target = self._parts(X, split, lambda X: noise.get(None, lambda: self.told(X)))
            count = np.prod(target.shape)
            if not sparse.issparse(X):
                shown = self.complete(shown)
                count = np.count_nonzero(~np.isnan(target))
            yield View(
                shown,
                ...,
                target,
                (split,),
                total_of_all,
                np.array([int(count)]),
                factor=self.partition.factor,
                known=Once(),
            )

    def view_of_piece(
        self, part: np.ndarray, piece: Piece, index: int | None, first_split: int = 0
    ) -> View:
        """Make a view of a piece, which is all of the data."""
        shown, target = self._parts(part, index or 0, self.told)
        totals = partial(block_sums, parts=piece.n_blocks)
        counts = totals(~np.isnan(target)).astype(int)
        splits = tuple(range(first_split, first_split + len(counts)))
        return View(
            *(self.complete(shown), piece.core, target[piece.core], splits, totals, counts),
            factor=self.partition.factor,
        )

    def _parts(self, X: Any, split: int, told: Callable) -> tuple[Any, Any]:
        """Return the parts of one division."""
        thinning = self.partition.drawn()
        rng = np.random.default_rng([int(thinning.random_state), split])
        return thinning.thin(X, rng, lambda: told(X))

    def complete(self, X: np.ndarray) -> np.ndarray:
        """Return the data with their missing entries filled."""
        return self.fill(X, np.isnan(X), self.axes) if has_nan(X) else X


class _Divided(Thinning):
    """Base class of those whose parts add up to the data, a fraction of which is shown."""

    fraction: float

    @property
    def factor(self) -> float:  # noqa: D102
        return (1 - self.fraction) / self.fraction

    def check(self, X: Any) -> None:  # noqa: D102
        fraction = self.fraction
        if not isinstance(fraction, Real) or not 0 < float(fraction) < 1:
            raise ValueError(
                f"fraction={fraction!r} of {type(self).__name__} must lie between 0 and 1."
            )


def _measured(X: Any) -> np.ndarray:
    """Return the values of data that were measured and, if these are sparse, stored."""
    values = X.data if sparse.issparse(X) else X.ravel()
    return values[~np.isnan(values)] if has_nan(values) else values


def _check_counts(thinning: Any, X: Any) -> None:
    """Raise where data are no counts."""
    values = _measured(X)
    name = type(thinning).__name__
    if values.size and values.min() < 0:
        raise ValueError(
            f"{name} divides counts, and X holds negative values, down to {values.min():.4g}: give "
            "the counts as they were measured, before anything was taken away."
        )
    if not np.array_equal(values, np.round(values)):
        off = values[values != np.round(values)][0]
        raise ValueError(
            f"{name} divides counts, and X holds fractions, such as {off:.6g}: give the counts as "
            "they were measured, before they were normalised or transformed."
        )


def _divided(X: Any, draw: Callable[[np.ndarray, Any], np.ndarray]) -> tuple[Any, Any]:
    """Return two parts of data, of which the first is drawn for each value that is stored.

    `draw` is given the values and their features: of all entries, or of those stored.
    """
    if sparse.issparse(X):
        part = draw(X.data, X.indices).astype(X.dtype, copy=False)
        first, rest = X.copy(), X.copy()
        first.data, rest.data = part, X.data - part
        for each in (first, rest):
            each.eliminate_zeros()
        return first, rest
    missing = np.isnan(X) if has_nan(X) else None
    part = draw(X if missing is None else np.where(missing, 0, X), ...).astype(X.dtype, copy=False)
    if missing is not None:
        part[missing] = np.nan
    return part, X - part


@dataclass(frozen=True)
class BinomialThinning(_Divided):
    """Counts: each goes to the part that is shown with probability `fraction`.

    For noise that is Poisson: photons, ions, molecules. Where counts vary more than that,
    parts are not independent: see `NegativeBinomialThinning`.

    Parameters
    ----------
    fraction : float, default=0.9
        The share of the counts that is shown. A denoiser that is calibrated on it suits data with
        so many counts; the less is left to compare with, the less sure is the choice.
    n_splits : int, default=4
        How often the data are divided anew.
    random_state : int, RandomState instance or None, default=0
        Draws the parts; an int gives the same ones at every call.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s import JInvariantWrapper, SelfSupervisedSearchCV
    >>> from sk_n2s.denoisers import LowRankDenoiser
    >>> from sk_n2s.masking import BinomialThinning
    >>> rng = np.random.default_rng(0)
    >>> counts = rng.poisson(rng.gamma(1, size=(400, 3)) @ rng.gamma(1, size=(3, 90)))
    >>> wrapper = JInvariantWrapper(
    ...     LowRankDenoiser(shrinkage=None),
    ...     kind="table",
    ...     partition=BinomialThinning(),
    ...     output="plain",
    ... )
    >>> search = SelfSupervisedSearchCV(wrapper, {"denoiser__rank": range(1, 7)}).fit(counts)
    >>> search.best_params_
    {'denoiser__rank': 3}
    """

    fraction: float = 0.9
    n_splits: int = 4
    random_state: Any = 0

    def check(self, X: Any) -> None:  # noqa: D102
        super().check(X)
        _check_counts(self, X)

    def thin(self, X: Any, rng: np.random.Generator, noise: Callable) -> tuple[Any, Any]:  # noqa: D102
        return _divided(X, lambda x, _: rng.binomial(x.astype(np.int64), self.fraction))


@dataclass(frozen=True)
class NegativeBinomialThinning(_Divided):
    """Counts whose variance is larger than their mean: μ + overdispersion · μ².

    Parameters
    ----------
    overdispersion : float or sequence of float
        One number, or one for each feature; 0 is a Poisson distribution.
    fraction : float, default=0.9
        The share of the counts that is shown.
    n_splits : int, default=4
        How often the data are divided anew.
    random_state : int, RandomState instance or None, default=0
        Draws the parts.

    Notes
    -----
    The share of a count that is shown is drawn from a beta distribution, and the part from a
    binomial one with that share. Parts are independent only for the overdispersion that is given.
    """

    overdispersion: Any
    fraction: float = 0.9
    n_splits: int = 4
    random_state: Any = 0

    def check(self, X: Any) -> None:  # noqa: D102
        super().check(X)
        _check_counts(self, X)
        _check_per_feature(self, "overdispersion", X, least=0.0)

    def thin(self, X: Any, rng: np.random.Generator, noise: Callable) -> tuple[Any, Any]:  # noqa: D102
        def draw(x: np.ndarray, features: Any) -> np.ndarray:
            spread = _of_features(self.overdispersion, features)
            size = 1 / np.maximum(spread, 1e-12)
            share = rng.beta(self.fraction * size, (1 - self.fraction) * size, x.shape)
            share = np.where(spread > 1e-9, share, self.fraction)
            return rng.binomial(x.astype(np.int64), np.clip(share, 0, 1))

        return _divided(X, draw)


@dataclass(frozen=True)
class GammaThinning(_Divided):
    """Multiplicative noise with a gamma distribution, as speckle has.

    Parameters
    ----------
    shape : float or sequence of float
        The shape of the distribution, which is the number of looks of speckle: the variance is
        signal² / shape. One number, or one for each feature.
    fraction : float, default=0.5
        The share of the shape that is shown: the part has noise of fewer looks.
    n_splits : int, default=4
        How often the data are divided anew.
    random_state : int, RandomState instance or None, default=0
        Draws the parts.
    """

    shape: Any
    fraction: float = 0.5
    n_splits: int = 4
    random_state: Any = 0

    def check(self, X: Any) -> None:  # noqa: D102
        super().check(X)
        _check_per_feature(self, "shape", X, least=np.finfo(float).tiny)
        values = _measured(X)
        if values.size and values.min() < 0:
            raise ValueError(
                "GammaThinning divides values that are not negative, and X holds values down to "
                f"{values.min():.4g}."
            )

    def thin(self, X: Any, rng: np.random.Generator, noise: Callable) -> tuple[Any, Any]:  # noqa: D102
        def draw(x: np.ndarray, features: Any) -> np.ndarray:
            shape = _of_features(self.shape, features)
            return x * rng.beta(self.fraction * shape, (1 - self.fraction) * shape, x.shape)

        return _divided(X, draw)


@dataclass(frozen=True)
class GaussianThinning(Thinning):
    """Normal noise: x + α·z is shown, and x − z/α compared with, where z is more noise like it.

    Parameters
    ----------
    noise : float, array-like or NoiseModel, default=None
        The noise; None estimates it. Parts are independent only if it is right.
    alpha : float, default=0.35
        How much noise is added to what is shown, as a share of what there is: its variance becomes
        1 + α² times as large, and that of what it is compared with 1 + 1/α² times.
    n_splits : int, default=4
        How often the data are divided anew.
    random_state : int, RandomState instance or None, default=0
        Draws the parts.
    """

    noise: Any = None
    alpha: float = 0.35
    n_splits: int = 4
    random_state: Any = 0

    def check(self, X: Any) -> None:  # noqa: D102
        if not isinstance(self.alpha, Real) or not 0 < self.alpha < np.inf:
            raise ValueError(f"alpha={self.alpha!r} of GaussianThinning must be positive.")
        if sparse.issparse(X):
            raise TypeError(
                "GaussianThinning adds noise to all entries, and X is sparse: give X.toarray()."
            )

    def thin(self, X: Any, rng: np.random.Generator, noise: Callable) -> tuple[Any, Any]:  # noqa: D102
        model = noise()
        signal = np.nan_to_num(X, nan=float(np.nanmean(X)))
        z = model.sample(signal, int(rng.integers(2**31))).astype(X.dtype, copy=False)
        alpha = X.dtype.type(self.alpha)
        return X + alpha * z, X - z / alpha


def _of_features(given: Any, features: Any) -> np.ndarray:
    """Return a parameter of features: one number for all, or that of each."""
    values = np.asarray(given, float)
    return values[features] if values.ndim else values


def _check_per_feature(thinning: Any, name: str, X: Any, least: float) -> None:
    """Raise where a parameter is neither a number nor one for each feature, or too small."""
    given = np.asarray(getattr(thinning, name), float)
    if given.ndim and given.shape != (X.shape[-1],):
        raise ValueError(
            f"{name} of {type(thinning).__name__} has shape {given.shape}: give one number, or one "
            f"for each of the {X.shape[-1]} features."
        )
    if not (np.isfinite(given).all() and (given >= least).all()):
        what = "not be negative" if least == 0 else "be positive"
        raise ValueError(
            f"{name}={getattr(thinning, name)!r} of {type(thinning).__name__} must {what}."
        )
