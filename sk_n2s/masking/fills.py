"""Fills: what a hidden entry is replaced with before the denoiser sees the array.

A fill s(x) depends on visible entries only; the denoiser g then gives the J-invariant
f(x)_J = g(1_J·s(x) + 1_Jᶜ·x)_J (Batson & Royer 2019, arXiv 1901.11365, section 3).
A new fill is a subclass of `Fill` with one method, or any callable ``fill(X, hidden)``. One that
keeps state gets a fresh copy of it for each call (see `sk_n2s.masking.isolation`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from scipy import ndimage

from .._utils.readable import readable
from ._neighbours import Neighbours, neighbours_of
from .base import Index
from .isolation import fresh_copy

__all__ = ["Fill", "MeanFill", "MedianFill", "RandomFill", "ZeroFill", "check_fill"]

Array = np.ndarray

#: Axes of an array, or the lengths along them.
Ints = tuple[int, ...]


class Fill(ABC):
    """Base class of the fills."""

    @property
    def reach(self) -> float:
        """How far from a hidden entry a fill looks, where those next to it are visible."""
        return inf

    @abstractmethod
    def values(self, X: Array, visible: Array, where: Index, axes: Ints) -> Array:
        """Return what replaces ``X[where]``.

        Parameters
        ----------
        X : ndarray
            The data, read-only; what they hold where `visible` is False must not be used.
        visible : ndarray of bool, same shape
            True for entries that may be used.
        where : index
            The entries to be filled: a tuple of slices, or a boolean array of the shape
            of `X`. None of them is visible.
        axes : tuple of int
            The axes along which entries are neighbours.

        Returns
        -------
        ndarray of the shape of ``X[where]``
            Finite values of the dtype of `X`.
        """

    def check(self, ndim: int) -> None:  # noqa: B027
        """Raise a ValueError where the fill does not suit data with `ndim` axes of neighbours.

        Parameters
        ----------
        ndim : int
            The number of axes along which entries are neighbours.
        """

    def __deepcopy__(self, memo: dict) -> Fill:
        # A fill does not change: clones of an estimator share it, and views made with it.
        return self

    def __call__(self, X: Array, hidden: Array, axes: Ints | None = None) -> Array:
        """Return a copy of `X` with its hidden entries filled."""
        hidden = np.broadcast_to(hidden, X.shape)
        axes = tuple(range(X.ndim)) if axes is None else axes
        filled = X.copy()
        filled[hidden] = values_of(self, X, ~hidden, hidden, axes)
        return filled


def values_of(fill: Fill, X: Array, visible: Array, where: Index, axes: Ints) -> Array:
    """Return what a fill replaces ``X[where]`` with; a user's fill remembers nothing of it."""
    # What the package's own fills keep, if anything, depends on visible entries alone.
    is_ours = type(fill).__module__.partition(".")[0] == __name__.partition(".")[0]
    if is_ours and not isinstance(fill, _CallableFill):
        return fill.values(X, visible, where, axes)
    X = X.view()
    X.flags.writeable = False
    with fresh_copy(fill.values, {}, X.nbytes) as (values, _):
        found = values(X, visible, where, axes)
    expected = X[where].shape
    if np.shape(found) not in (expected, ()):
        raise ValueError(
            f"fill={fill!r} returned values of shape {np.shape(found)} for hidden entries of shape "
            f"{expected}: return one value for each entry of X[where]."
        )
    return found


#: A value for each entry, and where there was no neighbour to take it from.
Combined = tuple[Array, Array]


def _named_kernel(name: str, ndim: int) -> Array:
    """Return the weights of the direct ("cross") or all ("square") adjacent entries."""
    steps = np.abs(np.indices((3,) * ndim) - 1).sum(axis=0)
    weights = np.divide(1.0, steps, out=np.zeros(steps.shape), where=steps > 0)
    return np.where(steps == 1, weights, 0.0) if name == "cross" else weights


def _kernel(kernel: Any, ndim: int) -> Array:
    """Return the weights that a parameter stands for, of which the centre's is 0."""
    if isinstance(kernel, str):
        if kernel not in ("cross", "square"):
            raise ValueError(f'kernel={kernel!r} must be "cross", "square" or an array of weights.')
        return _named_kernel(kernel, ndim)
    weights = np.array(kernel, dtype=float)
    if weights.ndim != ndim or any(n % 2 == 0 for n in weights.shape):
        raise ValueError(
            f"kernel of shape {weights.shape} must have an odd length along each of the {ndim} "
            "axes along which the data have neighbours."
        )
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError(f"kernel={kernel!r} must hold finite weights that are not negative.")
    weights[tuple(n // 2 for n in weights.shape)] = 0.0  # an entry never fills itself
    if not weights.any():
        raise ValueError(f"kernel={kernel!r} gives no weight to any neighbour.")
    return weights


def _wide_mean(X: Array, visible: Array, axes: Ints) -> Array:
    """Return the mean of the visible entries of the smallest box that holds any."""
    shown = np.where(visible, X, X.dtype.type(0))
    if not visible.any():
        return shown
    weight = visible.astype(X.dtype)
    result = np.full_like(X, shown.sum(dtype=np.float64) / visible.sum())
    empty = np.ones(X.shape, dtype=bool)
    radius = 1
    while empty.any() and radius < 2 * max(X.shape[a] for a in axes):
        size = [2 * radius + 1 if a in axes else 1 for a in range(X.ndim)]
        total = ndimage.uniform_filter(shown, size, mode="constant")
        count = ndimage.uniform_filter(weight, size, mode="constant")
        reached = empty & (count > 0.5 / np.prod(size, dtype=float))
        result[reached] = total[reached] / count[reached]
        empty &= ~reached
        radius *= 2
    return result


@dataclass(frozen=True)
class _NeighbourFill(Fill):
    """A fill that looks at adjacent entries, and further only where none is visible.

    Parameters
    ----------
    kernel : {"cross", "square"} or array-like, default="cross"
        The weights of the neighbours.
    border : {"visible", "mirror"}, default="visible"
        What lies beyond the border: nothing, or the array mirrored about its last entry.
    """

    kernel: Any = "cross"
    border: str = "visible"

    @property
    def reach(self) -> float:  # noqa: D102
        return 1 if isinstance(self.kernel, str) else max(np.shape(self.kernel), default=0) // 2

    def check(self, ndim: int) -> None:  # noqa: D102
        self.weights(ndim)

    def weights(self, ndim: int) -> Array:
        """Return the weights of the neighbours, of which the centre's is 0."""
        if self.border not in ("visible", "mirror"):
            raise ValueError(f'border={self.border!r} must be "visible" or "mirror".')
        return _kernel(self.kernel, ndim)

    def values(self, X: Array, visible: Array, where: Index, axes: Ints) -> Array:  # noqa: D102
        kernel = self.weights(len(axes))
        found, shape, is_all = neighbours_of(X, visible, where, axes, kernel, self.border)
        values, empty = self._combine(found, shape, X.dtype)
        if is_all:
            values, empty = values[where], empty[where]
        if empty.any():
            values[empty] = _wide_mean(X, visible, axes)[where][empty]
        return values

    @abstractmethod
    def _combine(self, neighbours: Neighbours, shape: Ints, dtype: np.dtype) -> Combined:
        """Return one value for each entry, and where there was no neighbour to take it from."""

    @staticmethod
    def _stack(neighbours: Neighbours, shape: Ints, dtype: np.dtype) -> Array:
        """Return the visible neighbours along a new first axis, NaN for the others."""
        layers = []
        for _, destination, values, seen in neighbours:
            layer = np.full(shape, np.nan, dtype=dtype)
            layer[destination] = np.where(seen, values, dtype.type(np.nan))
            layers.append(layer)
        return np.stack(layers)


@dataclass(frozen=True)
class MeanFill(_NeighbourFill):
    """The weighted mean of the visible neighbours: a normalised convolution.

    Parameters
    ----------
    kernel : {"cross", "square"} or array-like of float, default="cross"
        The weights. "cross" takes the direct neighbours (four in an image), "square" all
        adjacent ones with weights [[.5, 1, .5], [1, 0, 1], [.5, 1, .5]]; in n dimensions,
        a neighbour that differs along k axes weighs 1/k. An array has an odd length along
        each axis, and its centre counts as 0.
    border : {"visible", "mirror"}, default="visible"
        "visible" takes the neighbours that exist; "mirror" mirrors the array about its
        last entry, as scikit-image does.

    Notes
    -----
    Where no neighbour is visible, the mean is taken over the smallest box around the
    entry, of radius 1, 2, 4, 8, …, that holds a visible one.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.masking import MeanFill
    >>> MeanFill()(np.array([1.0, 9.0, 3.0]), np.array([False, True, False]))
    array([1., 2., 3.])
    """

    def _combine(self, neighbours: Neighbours, shape: Ints, dtype: np.dtype) -> Combined:
        neighbours = list(neighbours)
        whole = dtype.type(0)
        for weight, *_ in neighbours:
            whole += dtype.type(weight)
        total, count = np.zeros(shape, dtype), np.zeros(shape, dtype)
        for weight, destination, values, seen in neighbours:
            weight = dtype.type(weight)
            total[destination] += weight / whole * np.where(seen, values, dtype.type(0))
            count[destination] += weight * seen
        empty = count == 0
        count[empty] = 1
        # Exactly 1 where all are visible, so that the result is a convolution to the last bit.
        return total * (whole / count), empty


@dataclass(frozen=True)
class MedianFill(_NeighbourFill):
    """The median of the visible neighbours; robust against outliers.

    Where no neighbour is visible, it is a mean over a wider box, as for `MeanFill`.

    Parameters
    ----------
    kernel : {"cross", "square"} or array-like, default="square"
        Neighbours with a weight above 0 take part, with equal right.
    border : {"visible", "mirror"}, default="visible"
        What lies beyond the border, as for `MeanFill`.
    """

    kernel: Any = "square"

    def _combine(self, neighbours: Neighbours, shape: Ints, dtype: np.dtype) -> Combined:
        stack = np.sort(self._stack(neighbours, shape, dtype), axis=0)  # NaN comes last
        count = np.count_nonzero(~np.isnan(stack), axis=0)
        empty = count == 0
        middle = np.stack([np.maximum(count - 1, 0) // 2, count // 2])
        return np.take_along_axis(stack, middle, axis=0).mean(axis=0, dtype=dtype), empty


@dataclass(frozen=True)
class RandomFill(_NeighbourFill):
    """One visible neighbour, drawn at random: it carries the noise of a real entry.

    Where no neighbour is visible, it is a mean over a wider box, as for `MeanFill`.

    Parameters
    ----------
    kernel : {"cross", "square"} or array-like, default="square"
        Neighbours with a weight above 0 take part, with equal right.
    border : {"visible", "mirror"}, default="visible"
        What lies beyond the border, as for `MeanFill`.
    random_state : int or None, default=0
        The seed; an int gives the same choice at every call.
    """

    kernel: Any = "square"
    random_state: int | None = 0

    def _combine(self, neighbours: Neighbours, shape: Ints, dtype: np.dtype) -> Combined:
        stack = self._stack(neighbours, shape, dtype)
        lot = np.random.default_rng(self.random_state).random(stack.shape, dtype=np.float32)
        lot[np.isnan(stack)] = -1
        drawn = lot.argmax(axis=0)[np.newaxis]
        values = np.take_along_axis(stack, drawn, axis=0)[0]
        return values, np.isnan(values)


@dataclass(frozen=True)
class ZeroFill(Fill):
    """Zero, whatever the neighbours are."""

    @property
    def reach(self) -> float:  # noqa: D102
        return 0

    def values(self, X: Array, visible: Array, where: Index, axes: Ints) -> Array:  # noqa: D102
        return np.zeros_like(X[where])


@dataclass(frozen=True, repr=False)
class _CallableFill(Fill):
    """A user's function, which is shown NaN where it must not look."""

    function: Callable

    def __repr__(self) -> str:
        return readable(self.function)

    def values(self, X: Array, visible: Array, where: Index, axes: Ints) -> Array:  # noqa: D102
        hidden = ~visible
        shown = np.where(visible, X, X.dtype.type(np.nan))
        answer = np.asarray(self.function(shown, hidden), X.dtype)
        if answer.ndim and answer.shape != X.shape:
            raise ValueError(
                f"fill={readable(self.function)} returned an array of shape {answer.shape} for "
                f"data of shape {X.shape}: return that shape, or one number."
            )
        values = np.broadcast_to(answer, X.shape)[where]
        if not np.isfinite(values).all():
            raise ValueError(
                f"fill={readable(self.function)} returned NaN or an infinity for a hidden entry: "
                "it is shown NaN at hidden entries, and must give a finite value to each."
            )
        return values


_NAMED: dict[str, Fill] = {
    "mean": MeanFill(),
    "zero": ZeroFill(),
    "median": MedianFill(),
    "random": RandomFill(),
}


def check_fill(fill: Any) -> Fill:
    """Return the `Fill` that a parameter stands for."""
    if isinstance(fill, Fill):
        return fill
    if isinstance(fill, str):
        if fill not in _NAMED:
            raise ValueError(f"fill={fill!r} must be one of {sorted(_NAMED)}, or a callable.")
        return _NAMED[fill]
    if callable(fill) and not isinstance(fill, type):
        return _CallableFill(fill)
    raise TypeError(
        f"fill={fill!r} must be one of {sorted(_NAMED)}, an instance of a Fill, or a callable "
        "fill(X, hidden)."
    )
