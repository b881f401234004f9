"""What every module asks of arrays, axes and values given for each axis."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_array

__all__ = [
    "along",
    "as_float_array",
    "block_sums",
    "check_axis",
    "fold",
    "has_nan",
    "per_axis",
    "split_axes",
    "squares_fit",
    "unmasked",
]

#: Between these, the squares of float32 numbers keep their digits.
_SMALL, _LARGE = 1e-30, 1e30


def as_float_array(X, *, name: str = "X") -> np.ndarray:
    """Return `X` as a native floating-point array, without a copy where none is needed.

    float32 and float64 stay what they are, float16 becomes float32, and integers and
    booleans become float64 with the values they have. NaN marks a missing entry, and so
    does the mask of a `numpy.ma.MaskedArray`.

    Parameters
    ----------
    X : array-like of any shape with at least one axis
        The data.
    name : str, default="X"
        The name used in error messages.

    Returns
    -------
    ndarray of float32 or float64
        `X` itself or a view of it where the dtype allows, otherwise a converted copy.

    Raises
    ------
    TypeError
        If `X` is sparse, or holds neither real numbers nor booleans.
    ValueError
        If `X` is 0-d, empty, all-NaN, or holds an infinity or complex numbers.
    """
    if sparse.issparse(X):
        raise TypeError(
            f"Sparse data was passed as {name}, and a zero that is not stored cannot be "
            f"told from one that was measured: pass {name}.toarray()."
        )
    mask = np.ma.getmask(X)
    X = np.asarray(X)
    if X.dtype.kind == "c":
        raise ValueError(
            f"Complex data not supported: {name} has dtype {X.dtype}; "
            "denoise its real and imaginary parts, for instance along a batch axis."
        )
    if X.dtype.kind not in "fiub":
        raise TypeError(
            f"{name} must hold real numbers, got dtype {X.dtype}: convert it with "
            f"{name}.astype(float)."
        )
    if X.ndim == 0:
        raise ValueError(f"{name} must be an array with at least one axis, got a scalar.")
    if X.size == 0:
        what = "feature(s)" if X.shape[0] else "sample(s)"
        raise ValueError(
            f"{name} is empty: found array with 0 {what} (shape={X.shape}) while a minimum of 1 is "
            "required."
        )
    single = X.dtype.kind == "f" and X.dtype.itemsize <= 4
    X = X.astype(np.float32 if single else np.float64, copy=False)
    if mask is not np.ma.nomask:
        X = np.where(mask, X.dtype.type(np.nan), X)
    check_array(X, ensure_2d=False, allow_nd=True, ensure_all_finite="allow-nan", input_name=name)
    if np.isnan(X.item(0)) and np.isnan(X).all():  # most arrays need not be read for this
        raise ValueError(f"{name} holds nothing but NaN: there is no entry to learn from.")
    return X


def unmasked(X):
    """Return a masked array with NaN in place of its mask, and anything else as it is.

    Parameters
    ----------
    X : array-like
        The data.

    Returns
    -------
    array-like
        Data that other libraries, which do not heed masks, cannot misread.
    """
    return as_float_array(X) if isinstance(X, np.ma.MaskedArray) else X


def has_nan(X: np.ndarray) -> bool:
    """Return whether an array holds NaN.

    Parameters
    ----------
    X : ndarray of float
        The data.

    Returns
    -------
    bool
        The same as ``np.isnan(X).any()``, for which no array is made.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isnan(np.sum(X))) and bool(np.isnan(X).any())


def squares_fit(size: float) -> bool:
    """Return whether squares of about a size keep their digits as float32.

    Parameters
    ----------
    size : float
        Their mean, for instance.

    Returns
    -------
    bool
        Whether they do.
    """
    return bool(_SMALL < size < _LARGE)


def fold(values: np.ndarray, period: int) -> np.ndarray:
    """Return the sums of what lies a multiple of a period apart along the first axis.

    Parameters
    ----------
    values : ndarray
        What is added up.
    period : int
        The distance.

    Returns
    -------
    ndarray of shape (period, ...)
        The sums, as float64.
    """
    whole = len(values) // period * period
    periods = values[:whole].reshape(-1, period, *values.shape[1:])
    sums = periods.sum(axis=0, dtype=np.float64)
    sums[: len(values) - whole] += values[whole:]
    return sums


def block_sums(values: np.ndarray, parts: int) -> np.ndarray:
    """Return the sums over compact blocks of nearly equal size.

    Parameters
    ----------
    values : ndarray
        What is added up.
    parts : int
        Into how many blocks each axis is divided, at most.

    Returns
    -------
    ndarray of shape (n_blocks,)
        The sums, as float64.
    """
    for axis, n in enumerate(values.shape):
        edges = np.unique(np.linspace(0, n, min(parts, n) + 1).astype(int))[:-1]
        values = np.add.reduceat(values, edges, axis=axis, dtype=np.float64)
    return values.ravel()


def check_axis(axis, ndim: int, *, name: str) -> int:
    """Return `axis` as a non-negative integer.

    Parameters
    ----------
    axis : int
        An axis of an array of `ndim` axes; negative values count from the end.
    ndim : int
        The number of axes.
    name : str
        The parameter's name, for the error message.

    Returns
    -------
    int
        The same axis, counted from the start.

    Raises
    ------
    ValueError
        If there is no such axis.
    """
    whole = isinstance(axis, Integral) and not isinstance(axis, bool)
    if not whole or int(axis) not in range(-ndim, ndim):
        raise ValueError(
            f"{name}={axis!r} is not an axis of an array with {ndim} axes: give an integer "
            f"from {-ndim} to {ndim - 1}."
        )
    return int(axis) % ndim


def split_axes(
    ndim: int, channel_axis: int | None, batch_axis: int | None
) -> tuple[int | None, int | None, tuple[int, ...]]:
    """Tell the axis of channels and that of items from those along which entries are neighbours.

    Parameters
    ----------
    ndim : int
        The number of axes.
    channel_axis, batch_axis : int or None
        As the user gave them.

    Returns
    -------
    channel_axis, batch_axis : int or None
        The same axes, counted from the start.
    others : tuple of int
        All other axes; there is at least one.

    Raises
    ------
    ValueError
        If there is no such axis, or no other, or both are the same.
    """
    channel = None if channel_axis is None else check_axis(channel_axis, ndim, name="channel_axis")
    batch = None if batch_axis is None else check_axis(batch_axis, ndim, name="batch_axis")
    if channel is not None and channel == batch:
        raise ValueError(
            f"channel_axis={channel_axis} and batch_axis={batch_axis} are the same axis: channels "
            "belong together, items do not."
        )
    others = tuple(a for a in range(ndim) if a not in (channel, batch))
    if not others:
        raise ValueError(
            f"channel_axis={channel_axis} and batch_axis={batch_axis} leave no axis of the {ndim} "
            "along which to denoise."
        )
    return channel, batch, others


def per_axis(value, ndim: int, *, name: str, minimum: int = 0) -> tuple[int, ...]:
    """Return one integer for each axis.

    Parameters
    ----------
    value : int or sequence of int
        One value for all axes, or one for each.
    ndim : int
        The number of axes.
    name : str
        The parameter's name, for the error message.
    minimum : int, default=0
        The smallest value allowed.

    Returns
    -------
    tuple of int
        `ndim` values.

    Raises
    ------
    ValueError
        If the number of values or one of them does not fit.
    """
    values = (value,) * ndim if np.ndim(value) == 0 else tuple(value)
    if len(values) != ndim:
        raise ValueError(
            f"{name}={value!r} has {len(values)} values for {ndim} axes: give an integer, "
            "or one for each axis."
        )
    for v in values:
        if not isinstance(v, Integral) or isinstance(v, bool) or v < minimum:
            raise ValueError(
                f"{name}={value!r} must be an integer of at least {minimum}, or one for each axis."
            )
    return tuple(int(v) for v in values)


def along(values: np.ndarray, axes: int | tuple[int, ...], ndim: int) -> np.ndarray:
    """Reshape `values` so that its axes become `axes` of an array that broadcasts.

    Parameters
    ----------
    values : ndarray
        An array over some of the axes.
    axes : int or tuple of int
        Which axes those are, in their order; not negative.
    ndim : int
        The number of axes of the result.

    Returns
    -------
    ndarray of `ndim` axes
        A view, of length 1 along all other axes.
    """
    shape = [1] * ndim
    for axis, length in zip(np.atleast_1d(axes), values.shape, strict=True):
        shape[axis] = length
    return values.reshape(shape)
