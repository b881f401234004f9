"""`Picture`: an array with what its file says of it, and the values that go back to a file."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "Encoder",
    "Options",
    "Picture",
    "Refusal",
    "check_shape",
    "check_values",
    "needed_memory",
    "upright",
]

#: Axes at most: those of volumes over time in colours, and one more.
_MOST_AXES = 7

#: Entries at most of what is read in blocks: days of work.
_MOST_ENTRIES = 2**34

#: Arrays as large as the data that a denoiser holds at a time, about; measured.
_COPIES = 14

#: Arrays as large as a file holds, in its dtype, that are in memory where it is denoised in blocks.
_HELD = 3

#: The squares of larger values leave what float32 and float64 can hold.
_LARGEST = {4: 1e18, 8: 1e150}

_NO_NUMBERS = {
    "c": "complex numbers, denoise their real and imaginary parts one by one",
    "U": "text",
    "S": "text",
    "O": "Python objects, which are not read",
    "V": "records of several fields, save one field as an array",
    "M": "dates",
    "m": "time spans",
    "T": "text",
}


class Refusal(Exception):
    """What the user has to change, in one sentence."""


@dataclass(frozen=True)
class Options:
    """How files are read: which of several arrays, how much memory, and whether blocks will do."""

    series: str | None = None
    memory: float = 8e9  # bytes
    lazily: bool = False


@dataclass
class Picture:
    """An array, what its file says of its axes, and what a file needs to be written again."""

    array: Any
    dtype: np.dtype
    unit: float = 1.0  # the value of one step of `dtype`
    kind: str = ""  # the module that read it
    axes: str | None = None  # a letter for each axis: T, Z, C, Y, X, S for colours
    channel_axis: int | None = None
    batch_axis: int | None = None
    is_table: bool = False  # whether no axis has neighbours
    spacing: tuple[float, ...] | None = None  # for each axis, NaN where it is not known
    alpha: np.ndarray | None = None  # opacity, which is carried through
    orientation: int = 1  # EXIF's number
    notes: list[str] = field(default_factory=list)  # what the user should know
    origin: Any = None  # what the module needs to write it again

    @property
    def is_coloured(self) -> bool:
        """Whether its last axis holds red, green and blue."""
        return self.array.ndim == 3 and self.array.shape[-1] == 3

    @property
    def has_colours(self) -> bool:
        """Whether its last axis is one of colours, as its file says, or by its length."""
        return self.axes.endswith("S") if self.axes else self.is_coloured

    @property
    def says_axes(self) -> bool:
        """Whether the file says what the axes are."""
        return self.axes is not None


def needed_memory(shape: tuple[int, ...], dtype: np.dtype) -> float:
    """Return how many bytes the denoising of an array takes, about."""
    small = dtype.kind == "f" and dtype.itemsize <= 4
    return float(prod(shape)) * (4 if small else 8) * _COPIES


def check_shape(
    path: Path, shape: tuple[int, ...], dtype: np.dtype, options: Options, *, on_disk: bool = False
) -> None:
    """Refuse, before anything is decoded, what is empty, too large or holds no numbers."""
    if dtype.kind not in "fiub":
        what = _NO_NUMBERS.get(dtype.kind, f"{dtype} data")
        raise Refusal(f"{path}: must hold real numbers, and holds {what}")
    if dtype.itemsize > 8:
        raise Refusal(f"{path}: holds {dtype} data, save them as float64")
    if len(shape) > _MOST_AXES:
        raise Refusal(f"{path}: has {len(shape)} axes, and {_MOST_AXES} are the most")
    if len(shape) == 0:
        raise Refusal(f"{path}: holds a single number, which has no neighbours")
    if prod(shape) == 0:
        raise Refusal(f"{path}: is empty, its shape is {shape}")
    if on_disk:
        if prod(shape) > _MOST_ENTRIES:
            raise Refusal(f"{path}: holds {prod(shape):.2g} entries, denoise parts of it")
        return
    need = needed_memory(shape, dtype)
    held = prod(shape) * dtype.itemsize * _HELD
    if min(need, held if options.lazily else need) > options.memory:
        size = " × ".join(map(str, shape))
        raise Refusal(
            f"{path}: {size} entries take about {need / 1e9:.0f} GB to denoise, more than "
            f"--memory-limit {options.memory / 1e9:g}: raise it, cut the data, or save a zarr "
            "array, which is read in blocks"
        )


def check_values(path: Path, array: np.ndarray) -> None:
    """Refuse values of which no noise can be told."""
    if array.dtype.kind == "f":
        if np.isinf(array).any():
            raise Refusal(f"{path}: holds infinity, write NaN where nothing was measured")
        measured = ~np.isnan(array)
        if not measured.any():
            raise Refusal(f"{path}: holds nothing but NaN")
        low, high = np.nanmin(array), np.nanmax(array)
        limit = _LARGEST[8 if array.dtype.itemsize == 8 else 4]
        largest = max(-low, high)
        if largest > limit:
            raise Refusal(
                f"{path}: holds values as large as {largest:.2g}, divide them to below {limit:g}"
            )
    else:
        low, high = array.min(), array.max()
    if low == high:
        raise Refusal(f"{path}: there is nothing to denoise, all values are {low:g}")


def upright(array: Any, orientation: int) -> Any:
    """Return rows and columns as they are looked at, by EXIF's number of an orientation."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


class Encoder:
    """Puts denoised values into the dtype of a file, and counts what does not fit."""

    def __init__(self, dtype: np.dtype, unit: float = 1.0):
        self.dtype = dtype
        self.unit = unit
        self.clipped = 0
        self._lock = threading.Lock()

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return values of the dtype: rounded and clipped if it holds integers."""
        if self.unit != 1:
            values = values / self.unit
        if self.dtype.kind == "f":
            if self.dtype.itemsize >= values.dtype.itemsize:
                return values.astype(self.dtype, copy=False)
            low, high = (float(f(np.finfo(self.dtype).max)) for f in (np.negative, np.positive))
        else:
            values = np.rint(values)
            limits = np.iinfo(self.dtype) if self.dtype.kind != "b" else None
            low, high = (limits.min, limits.max) if limits else (0, 1)
        # The nearest float to the largest int64 lies above it.
        top = values.dtype.type(high)
        top = top if int(top) <= high else np.nextafter(top, values.dtype.type(0))
        inside = (values >= low) & (values <= top)
        if self.dtype.kind == "f":
            inside |= np.isnan(values)
        else:
            values = np.where(np.isnan(values), 0, values)
        with self._lock:
            self.clipped += values.size - int(np.count_nonzero(inside))
        return np.clip(values, low, top).astype(self.dtype)

    @property
    def lost(self) -> str:
        """What was lost on the way, in words."""
        if self.dtype.kind == "f":
            return f" ({self.clipped} values clipped)" if self.clipped else ""
        clipped = f" ({self.clipped} values clipped)" if self.clipped else ""
        return f", rounded to {self.dtype.name}{clipped}"
