"""What every module asks of arrays, axes and values given for each axis."""

from __future__ import annotations

from numbers import Integral
from os import PathLike
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_array

#: Entries that are multiplied at a time.
_CHUNK = 2**16

__all__ = [
    "along",
    "as_float_array",
    "block_sums",
    "check_axis",
    "check_features_measured",
    "check_mask",
    "check_table_axes",
    "has_nan",
    "in_range",
    "links_along",
    "mean_of_measured",
    "per_axis",
    "products_over",
    "split_axes",
    "squares_fit",
    "unmasked",
]

#: Squares of about a size between these keep their digits as float32.
_LEAST_SQUARE, _LARGEST_SQUARE = 1e-30, 1e30

#: Of data of a size between these, products of squares fit into float32.
_LEAST_SIZE, _LARGEST_SIZE = 1e-8, 1e8

#: What NumPy would make floats of without a word, though it is no real number.
_NO_NUMBERS = (str, bytes, np.datetime64, np.timedelta64)

#: The types of objects that mark a missing entry.
_MISSING = ("NoneType", "NAType", "MaskedConstant")


def as_float_array(X: Any, *, name: str = "X") -> np.ndarray:
    """Return `X` as a native floating-point array, without a copy where none is needed.

    float32 and float64 stay what they are, float16 becomes float32, and integers, booleans
    and objects that are numbers become float64 with the values they have. NaN marks a missing
    entry, and so do the mask of a masked array, None, and pandas' NA.
    """
    if sparse.issparse(X):
        raise TypeError(
            f"Sparse data was passed as {name}, and a zero that is not stored cannot be "
            f"told from one that was measured: pass {name}.toarray()."
        )
    X = _as_numbers(_without_masks(X), name)
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
    if min(X.strides, default=0) < 0:
        # joblib maps what it sends to other processes, and gets reversed views of maps wrong.
        X = X.copy()
    check_array(X, ensure_2d=False, allow_nd=True, ensure_all_finite="allow-nan", input_name=name)
    if np.isnan(X.item(0)) and np.isnan(X).all():  # most arrays need not be read for this
        raise ValueError(f"{name} holds nothing but NaN: there is no entry to learn from.")
    return X


def _as_numbers(X: Any, name: str) -> np.ndarray:
    """Return data as an array of real numbers or booleans."""
    if isinstance(X, str | bytes | PathLike):
        raise TypeError(f"{name}={X!r} must be an array of numbers: read the file first.")
    try:
        array = X.to_numpy() if hasattr(X, "to_numpy") else np.asarray(X)
    except ValueError as error:
        if "inhomogeneous" not in str(error) and "broadcast" not in str(error):
            raise  # by an object that makes an array of itself
        raise ValueError(
            f"{name} cannot be made an array: its rows differ in length. Give an array, or lists "
            "of equal length."
        ) from None
    if array.dtype.kind == "c":
        raise _complex(name, array.dtype)
    if array.dtype.kind == "O":
        # Objects are numbers in Python's own types, or what pandas makes of columns with NA.
        kinds = {
            str(kind).lower() for kind in np.ravel(getattr(X, "dtypes", getattr(X, "dtype", "")))
        }
        single = kinds <= {"float32", "float[pyarrow]"}
        return _numbers_of(array, np.dtype(np.float32 if single else np.float64), name)
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{name} must hold real numbers, got dtype {array.dtype}: convert it with "
            f"{name}.astype(float)."
        )
    return array


def _numbers_of(array: np.ndarray, dtype: np.dtype, name: str) -> np.ndarray:
    """Return an array of objects as numbers, with NaN for what is missing."""
    known = np.array([type(v).__name__ not in _MISSING for v in array.flat], bool)
    measured = array.ravel()[known]
    for kind in set(map(type, measured)):
        if issubclass(kind, complex | np.complexfloating):
            raise _complex(name, kind.__name__)
        if issubclass(kind, _NO_NUMBERS):
            raise TypeError(f"{name} must hold real numbers, and holds objects of {kind}.")
    numbers = np.full(array.size, np.nan, dtype)
    try:
        numbers[known] = measured.astype(dtype)
    except OverflowError:
        raise ValueError(f"{name} holds an integer that is too large for {dtype}.") from None
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name} must hold real numbers, and holds objects that are none: {error}."
        ) from None
    return numbers.reshape(array.shape)


def _complex(name: str, kind: Any) -> ValueError:
    """Return the error for complex data."""
    return ValueError(
        f"Complex data not supported: {name} has dtype {kind}; "
        "denoise its real and imaginary parts, for instance along a batch axis."
    )


def _without_masks(X: Any) -> Any:
    """Return masked arrays, alone or in lists, with NaN in place of their masks."""
    if isinstance(X, list | tuple):
        nested = any(isinstance(part, list | tuple | np.ma.MaskedArray) for part in X)
        return [_without_masks(part) for part in X] if nested else X
    if not isinstance(X, np.ma.MaskedArray):
        return X
    kind = X.dtype.kind
    if kind == "O":
        return np.where(np.ma.getmaskarray(X), np.array(None), X.data)
    if kind not in "fiub":
        return X.data  # which is refused
    return np.ma.filled(X if kind == "f" else X.astype(np.float64), np.nan)


def unmasked(X: Any) -> Any:
    """Return masked arrays, alone or in lists, with NaN, and anything else as it is."""
    return as_float_array(X) if isinstance(X, np.ma.MaskedArray) else _without_masks(X)


def has_nan(X: np.ndarray) -> bool:
    """Return whether an array holds NaN."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isnan(np.sum(X))) and bool(np.isnan(X).any())


def squares_fit(size: float) -> bool:
    """Return whether squares of about a size keep their digits as float32."""
    return bool(_LEAST_SQUARE < size < _LARGEST_SQUARE)


def in_range(X: np.ndarray) -> np.ndarray:
    """Return data as float64 where float32 could not hold what is worked out from them."""
    size = float(np.sqrt(np.nanmean(np.square(X, dtype=np.float64))))
    return X if _LEAST_SIZE < size < _LARGEST_SIZE else X.astype(np.float64, copy=False)


def products_over(vectors: list[np.ndarray]) -> np.ndarray:
    """Return the sums of products of arrays with each other, as float64 whatever their dtype."""
    total = np.zeros((len(vectors), len(vectors)))
    flat = [vector.reshape(-1) for vector in vectors]
    for start in range(0, flat[0].size, _CHUNK):
        part = np.stack([v[start : start + _CHUNK] for v in flat]).astype(np.float64, copy=False)
        total += part @ part.T
    return total


def block_sums(values: np.ndarray, parts: int) -> np.ndarray:
    """Return the sums over compact blocks of nearly equal size."""
    for axis, n in enumerate(values.shape):
        edges = np.unique(np.linspace(0, n, min(parts, n) + 1).astype(int))[:-1]
        values = np.add.reduceat(values, edges, axis=axis, dtype=np.float64)
    return values.ravel()


def check_axis(axis: Any, ndim: int, *, name: str) -> int:
    """Return `axis` as a non-negative integer."""
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
    """Tell the axis of channels and that of items from those along which entries are neighbours."""
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


def per_axis(value: Any, ndim: int, *, name: str, minimum: int = 0) -> tuple[int, ...]:
    """Return one integer for each axis."""
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
    """Reshape `values` so that its axes become `axes` of an array that broadcasts."""
    shape = [1] * ndim
    for axis, length in zip(np.atleast_1d(axes), values.shape, strict=True):
        shape[axis] = length
    return values.reshape(shape)


def check_mask(mask: Any, X: Any) -> np.ndarray:
    """Return a mask, checked against the data."""
    inside = np.asarray(mask)
    if inside.dtype != bool:
        raise ValueError(
            f"mask must hold True where to work and False elsewhere, and is of dtype "
            f"{inside.dtype}: give mask.astype(bool)."
        )
    try:
        fits = np.broadcast_shapes(inside.shape, X.shape) == X.shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"mask of shape {inside.shape} does not broadcast to the shape {X.shape} of X: give "
            "one value for each entry, with axes of length 1 where it is the same all along."
        )
    if not inside.any():
        raise ValueError("mask is False everywhere, which leaves nothing to denoise.")
    return inside


def mean_of_measured(X: np.ndarray, axes: int | tuple[int, ...]) -> np.ndarray:
    """Return means along axes that stay, of what was measured; 0 where nothing was."""
    count = np.count_nonzero(~np.isnan(X), axis=axes, keepdims=True)
    return np.nansum(X, axis=axes, keepdims=True) / np.maximum(count, 1)


def check_table_axes(ndim: int) -> None:
    """Raise where data with so many axes are no table."""
    if ndim != 2:
        raise ValueError(
            f"X has {ndim} axes, and a table has two, samples and features: set "
            'kind="array" for data whose entries have neighbours, or reshape X.'
        )


def check_features_measured(X: np.ndarray) -> None:
    """Raise where nothing was measured of a feature of a table."""
    if has_nan(X) and (empty := np.isnan(X).all(axis=0)).any():
        raise ValueError(
            f"Feature {int(np.argmax(empty))} of X holds no measurement, so that it cannot be "
            "learnt from others: leave it out."
        )


def links_along(ndim: int, axes: tuple[int, ...]) -> np.ndarray:
    """Return which of the 3ⁿ places around an entry are linked to it: the next along some axes."""
    steps = np.abs(np.indices((3,) * ndim) - 1)
    others = [a for a in range(ndim) if a not in axes]
    return (steps.sum(axis=0) <= 1) & ~steps[others].any(axis=0)
