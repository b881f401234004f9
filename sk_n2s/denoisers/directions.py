"""Volumes of the same places, denoised from each other: diffusion directions, echoes, spectra."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, NamedTuple, Self

import numpy as np
from sklearn.utils._param_validation import Interval

from .._utils.arrays import as_float_array, check_axis, has_nan
from .._utils.base import ArrayTransformer
from ..noise.table import feature_levels
from ._bands import bands, best_weights, images_of
from ._traits import Traits
from .calling import apply_denoiser
from .conditional import blind_prediction, conditional, fitted_normal, prediction_from_others
from .low_rank import optimal_shares

__all__ = ["DirectionsDenoiser"]

#: Correlations are shrunk unless there are so many times more places than volumes.
_TALL = 10

#: At so many places, spread over them, the level of the noise is read.
_LOOKED_AT = 2**13

#: The least level of noise that is told from none, as a share of what volumes vary by.
_LEAST_NOISE = 1e-6


class _Places(NamedTuple):
    """What was measured at each place.

    Attributes
    ----------
    mask : ndarray of bool
        The places that are worked at.
    table : ndarray of shape (n_places, n_volumes)
        What was measured there.
    """

    mask: np.ndarray
    table: np.ndarray


class DirectionsDenoiser(ArrayTransformer):
    """Denoise volumes of the same places from each other.

    An axis holds measurements of one place that differ in a setting: the directions of diffusion
    MRI, echoes, the bands of a spectrum, the frames of a still scene. They have a few components
    in common, which are found as by `LowRankDenoiser`: the directions in which the volumes stand
    out of their noise. Each component is an image, with a noise that is known. `transform` takes
    the linear combinations of these images, and of their means over Gaussian windows, for which
    Stein's unbiased estimate of the error is least [1]_: the Wiener filter over volumes and space
    at once, within what such windows can do. That costs little: there are few components.

    In a `JInvariantWrapper` each entry is predicted from the other volumes at its place, by what
    was learnt at places of other folds: the exact J-invariant form, in which Patch2Self [2]_ takes
    one regression for each volume. One inverse gives all of them.

    Parameters
    ----------
    scales : tuple of float, default=(0.5, 1.0, 2.0)
        The standard deviations of the Gaussian windows, in entries, rising. An empty one leaves
        space out of account: the places may then be in any order.
    axis : int, default=-1
        The axis along which the volumes lie.
    mask : array-like of bool, default=None
        The places to work at, of the shape of one volume: others are neither learnt from nor
        changed by `transform`. None means all. Places without any measurement are left out.
    rank : int, default=None
        How many components are kept at most. None keeps all that stand out of the noise.
    denoiser : callable, default=None
        A function that denoises the images of components, in the place of the combination. They
        come in units of their noise, the level of which is 1: for instance
        ``partial(nl_ridge, sigma=1.0)``. It is given all of them if it has a parameter
        `channel_axis`, and otherwise one at a time. Where edges are sharp, patches do better than
        windows, and take a hundred times longer.
    noise : float or array-like of shape (n_volumes,), default=None
        The standard deviation of the noise, in the unit of the data, of all volumes or of each.
        None takes it from the singular values.
    n_folds : int, default=5
        Into how many folds places are divided for the J-invariant form: the i-th of the places
        that are worked at is in fold i mod `n_folds`.

    Attributes
    ----------
    mean_ : ndarray of shape (n_volumes,)
        The mean of each volume.
    noise_ : ndarray of shape (n_volumes,)
        The level of its noise.
    components_ : ndarray of shape (rank_, n_volumes)
        The components of volumes in units of their noise: orthogonal, of unit length.
    weights_ : ndarray of shape ((1 + n_scales) * rank_, rank_), or None with a `denoiser`
        By what the images of components, and then the differences of each scale to the one
        before, are combined.
    rank_ : int
        How many components are kept.
    n_axes_ : int
        The number of axes of the data.

    Notes
    -----
    The noise has to be independent between volumes and places, and its level the same at all
    places. NaN marks a missing entry, which is predicted by the other volumes at its place before
    the data are looked at. The J-invariant form answers everywhere, outside the mask by what was
    learnt inside it: set places to NaN that shall not be scored.

    References
    ----------
    .. [1] T. Blu and F. Luisier, "The SURE-LET approach to image denoising", IEEE Trans. Image
       Process. 16(11):2778-2786, 2007. :doi:`10.1109/TIP.2007.906002`
    .. [2] S. Fadnavis, J. Batson and E. Garyfallidis, "Patch2Self: Denoising diffusion MRI with
       self-supervised learning", NeurIPS 2020. :arxiv:`2011.01355`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s import JInvariantWrapper
    >>> from sk_n2s.denoisers import DirectionsDenoiser
    >>> rng = np.random.default_rng(0)
    >>> y, x = np.mgrid[:40, :40] / 8
    >>> decay = np.exp(-np.outer(2 + np.sin(x) * np.cos(y), np.linspace(0, 1, 20)))
    >>> clean = decay.reshape(40, 40, 20)
    >>> noisy = clean + 0.1 * rng.normal(size=clean.shape)
    >>> denoised = DirectionsDenoiser().fit_transform(noisy)
    >>> bool(np.mean((denoised - clean) ** 2) < 0.02 * 0.1**2)
    True
    >>> wrapper = JInvariantWrapper(DirectionsDenoiser()).fit(noisy)
    >>> bool(np.mean((wrapper.transform(noisy) - clean) ** 2) < 0.2 * 0.1**2)
    True
    """

    _parameter_constraints: dict = {
        "scales": [tuple, list],
        "axis": [Integral],
        "mask": ["array-like", None],
        "rank": [Interval(Integral, 1, None, closed="left"), None],
        "denoiser": [callable, None],
        "noise": [Interval(Real, 0, None, closed="left"), "array-like", None],
        "n_folds": [Interval(Integral, 2, None, closed="left")],
    }

    def __init__(
        self,
        scales: tuple[float, ...] = (0.5, 1.0, 2.0),
        *,
        axis: int = -1,
        mask: Any = None,
        rank: int | None = None,
        denoiser: Callable | None = None,
        noise: Any = None,
        n_folds: int = 5,
    ):
        self.scales = scales
        self.axis = axis
        self.mask = mask
        self.rank = rank
        self.denoiser = denoiser
        self.noise = noise
        self.n_folds = n_folds

    @property
    def _sk_n2s_traits(self) -> tuple[Any, Traits]:
        """What the denoiser says of itself."""
        return self, Traits(exact=self._blind, handles_missing=True, releases_gil=True)

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn what the volumes have in common.

        Parameters
        ----------
        X : array-like of two or more axes
            The noisy volumes. NaN marks missing entries.
        y : object
            Ignored, present for scikit-learn's interface.

        Returns
        -------
        self : object
            The fitted denoiser.

        Raises
        ------
        TypeError, ValueError
            If the data or a parameter are not valid, or do not fit each other.
        """
        self._learn(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Learn from volumes and denoise them: `fit` and `transform`, in less time.

        Parameters
        ----------
        X : array-like of two or more axes
            The noisy volumes.
        y : object
            Ignored, present for scikit-learn's interface.

        Returns
        -------
        ndarray of that shape
            The denoised volumes.

        Raises
        ------
        TypeError, ValueError
            If the data or a parameter are not valid, or do not fit each other.
        """
        return self._restored(*self._learn(X))

    def transform(self, X: Any) -> np.ndarray:
        """Denoise by what was learnt.

        Parameters
        ----------
        X : array-like
            The noisy volumes: those of `fit`, or others of as many settings.

        Returns
        -------
        ndarray of that shape
            The denoised volumes.

        Raises
        ------
        TypeError, ValueError
            If `X` is not valid, has another number of volumes, or does not fit the mask.
        """
        X = self._checked(X)
        places = self._places(X, fewest=1)
        n = places.table.shape[1]
        if n != len(self.mean_):
            raise ValueError(
                f"X has {n} features, but DirectionsDenoiser is expecting {len(self.mean_)} "
                f"features as input: as many volumes along axis={self.axis} as it was fitted to."
            )
        relative = _relative(_completed(places.table), self.mean_, self._unit)
        along = relative @ self.components_.T.astype(X.dtype)
        features = (
            along
            if self.denoiser is not None
            else bands(along, places.mask, self._checked_scales())[0]
        )
        return self._restored(X, places.mask, features)

    def _learn(self, X: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Learn from data; return them, the places, and what is combined at each."""
        self._validate_params()
        array = self._as_data(X)
        places = self._places(array)
        table, dtype = _completed(places.table), array.dtype
        level = self._level(places.table)
        mean = table.mean(axis=0, dtype=np.float64)
        deviation = np.sqrt(np.square(table - mean.astype(dtype)).mean(dtype=np.float64))
        unit = np.maximum(level, _LEAST_NOISE * deviation + np.finfo(dtype).tiny)
        relative = _relative(table, mean, unit)
        double = relative.astype(np.float64)
        values, vectors = np.linalg.eigh(double.T @ double)
        values, vectors = np.sqrt(np.maximum(values[::-1], 0)), vectors[:, ::-1]
        shares = optimal_shares(values, (len(table) - 1, table.shape[1]), 1.0)
        rank = int(np.count_nonzero(shares[: self.rank]))
        components = np.ascontiguousarray(vectors[:, :rank].T)
        features, weights = relative @ components.T.astype(dtype), None
        if self.denoiser is None:
            features, owns = bands(features, places.mask, self._checked_scales())
            weights = best_weights(features, owns)
        self._remember(X, array)
        self.mean_, self.noise_, self._unit = mean, level, unit
        self.components_, self.weights_, self.rank_ = components, weights, rank
        return array, places.mask, features

    def _restored(self, X: np.ndarray, mask: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Return volumes with what features come to at the places."""
        dtype = X.dtype
        if self.weights_ is not None:
            along = features @ self.weights_.astype(dtype)
        elif self.rank_:
            images = apply_denoiser(
                self.denoiser, images_of(features, mask), {}, channel_axis=0, batch_axis=None
            )
            along = images[:, mask].T
        else:
            along = features
        table = along @ self.components_.astype(dtype)
        table *= self._unit.astype(dtype)
        table += self.mean_.astype(dtype)
        result = X.copy()
        np.moveaxis(result, self.axis, -1)[mask] = table
        return result

    def _blind(self, X: Any) -> np.ndarray:
        """Return the J-invariant prediction of each entry."""
        self._validate_params()
        X = as_float_array(X)
        mask, table = self._places(X)
        is_tall = len(table) >= _TALL * table.shape[1]
        shrinkage = 0.0 if is_tall else None
        answer = np.empty_like(X)
        volumes = np.moveaxis(answer, self.axis, -1)
        volumes[mask] = blind_prediction(table, self.n_folds, shrinkage)
        if not mask.all():
            outside = np.moveaxis(X, self.axis, -1)[~mask]
            volumes[~mask] = prediction_from_others(outside, fitted_normal(table, shrinkage))
        return answer

    def _places(self, X: np.ndarray, fewest: int = 2) -> _Places:
        """Return the places that are worked at, checked."""
        if X.ndim < 2:
            raise ValueError(
                f"X has {X.ndim} axis, and DirectionsDenoiser needs one of volumes and at least "
                "one of places: reshape your data."
            )
        axis = check_axis(self.axis, X.ndim, name="axis")
        volumes = np.moveaxis(X, axis, -1)
        mask = ~np.isnan(volumes).all(axis=-1) if has_nan(X) else np.ones(volumes.shape[:-1], bool)
        if self.mask is not None:
            given = np.asarray(self.mask)
            if given.shape != mask.shape or given.dtype != bool:
                raise ValueError(
                    f"mask of DirectionsDenoiser has shape {given.shape} and dtype {given.dtype}: "
                    f"give booleans of the shape of one volume, {mask.shape}."
                )
            mask &= given
        if min(np.count_nonzero(mask), volumes.shape[-1]) < fewest:
            raise ValueError(
                f"X of shape {X.shape} has n_samples = {np.count_nonzero(mask)} places to work at, "
                f"and n_features = {volumes.shape[-1]} volumes along axis={self.axis}: at least "
                f"{fewest} of each must be there."
            )
        return _Places(mask, volumes[mask])

    def _level(self, table: np.ndarray) -> np.ndarray:
        """Return the level of the noise of each volume."""
        n = table.shape[1]
        if self.noise is None:
            return feature_levels(table[:: max(1, len(table) // max(_LOOKED_AT, _TALL * n))])
        level = np.asarray(self.noise, dtype=np.float64)
        if level.shape not in ((), (n,)) or not (np.isfinite(level) & (level >= 0)).all():
            raise ValueError(
                f"noise={self.noise!r} of DirectionsDenoiser must be a standard deviation, 0 or "
                f"more, or one for each of the {n} volumes."
            )
        return np.broadcast_to(level, (n,)).copy()

    def _checked_scales(self) -> tuple[float, ...]:
        """Return the scales, checked."""
        scales = tuple(self.scales)
        positive = all(isinstance(s, Real) and 0 < s < np.inf for s in scales)
        if not positive or list(scales) != sorted(set(scales)):
            raise ValueError(
                f"scales={self.scales!r} of DirectionsDenoiser must be positive numbers, rising."
            )
        return tuple(map(float, scales))


def _completed(table: np.ndarray) -> np.ndarray:
    """Return a table with what is missing predicted by the other volumes of its place."""
    if not has_nan(table):
        return table
    found = fitted_normal(table, None)
    complete, _ = conditional(table.astype(np.float64) - found.mean, found.precision)
    return (complete + found.mean).astype(table.dtype)


def _relative(table: np.ndarray, mean: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return deviations of volumes from their means, in units of their noise."""
    relative = table - mean.astype(table.dtype)
    relative /= unit.astype(table.dtype)
    return relative
