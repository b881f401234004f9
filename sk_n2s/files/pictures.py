"""Image files and arrays: what is read, what a format can hold, and files written whole."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._utils.lazy import is_zarr_array, read_zarr, write_zarr

__all__ = [
    "STORE", "SUFFIXES", "Picture", "Refusal", "check_format", "check_target", "encode",
    "format_of", "read", "save", "store_around", "write",
]  # fmt: skip

_IMAGES = (".png", ".jpg", ".jpeg", ".bmp")  # hold integers, and colours in their last axis
_ARRAYS = (".npy", ".tif", ".tiff")  # hold floats as well
STORE = ".zarr"  # a folder: an array that need not fit into memory
SUFFIXES = ", ".join((*_IMAGES, *_ARRAYS, STORE))


class Refusal(Exception):
    """What the user has to change, in one sentence."""


@dataclass
class Picture:
    """An array, and how its values are written to a file that holds integers."""

    array: np.ndarray
    dtype: np.dtype
    unit: float = 1.0  # the value of one step of `dtype`

    @property
    def is_coloured(self) -> bool:
        """Whether its last axis holds red, green and blue."""
        return self.array.ndim == 3 and self.array.shape[-1] == 3


def format_of(path: Path) -> str:
    """Return the suffix that tells the format; an array may lie deeper in a zarr folder."""
    suffix = path.suffix.lower()
    in_store = store_around(path) is not None and suffix not in (*_IMAGES, *_ARRAYS)
    return STORE if in_store else suffix


def store_around(path: Path) -> Path | None:
    """Return the zarr folder that a path is, or lies in."""
    around = (p for p in reversed((path, *path.parents)) if p.suffix.lower() == STORE)
    return next(around, None)


def _check_known(path: Path) -> None:
    if format_of(path) not in (*_IMAGES, *_ARRAYS, STORE):
        raise Refusal(f"{path}: unknown format {path.suffix!r}, use one of {SUFFIXES}")


def read(path: Path, lazily: bool = False) -> Picture:
    """Read a file; a zarr array `lazily`, in blocks when they are needed."""
    _check_known(path)
    if not path.exists():
        raise Refusal(f"{path}: there is no such file")
    try:
        if format_of(path) == STORE:
            array = read_zarr(str(path))
            return Picture(array if lazily else array.compute(), array.dtype)
        if path.suffix.lower() == ".npy":
            array = np.load(path, allow_pickle=False)
        elif path.suffix.lower() in _ARRAYS:
            import tifffile

            array = tifffile.imread(path)
        else:
            from skimage import io

            array = io.imread(path)
    except ImportError as error:
        raise Refusal(f"{path}: {error}") from None
    except Exception as error:  # the readers of image formats raise almost anything
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise Refusal(f"{path}: cannot be read as an array ({reason[0]})") from None
    if not isinstance(array, np.ndarray):
        raise Refusal(f"{path}: holds several arrays, save the one that is meant as .npy")
    if path.suffix.lower() in _IMAGES and array.ndim == 3 and array.shape[-1] in (2, 4):
        raise Refusal(f"{path}: has an alpha channel, which is no measurement; remove it")
    return Picture(array, array.dtype)


def encode(path: Path, array: np.ndarray, like: Picture) -> tuple[np.ndarray, str]:
    """Return the array as the file's format holds it, and what was lost on the way."""
    if format_of(path) not in _IMAGES:
        return array, ""
    limits = np.iinfo(like.dtype)
    steps = np.rint(array / like.unit)
    clipped = np.count_nonzero((steps < limits.min) | (steps > limits.max))
    values = np.clip(steps, limits.min, limits.max).astype(like.dtype)
    return values, f", rounded to {like.dtype}" + (
        f" ({clipped} values clipped)" if clipped else ""
    )


def save(path: str, array: Any, jobs: int | None) -> None:
    """Save an array in the format that the path names."""
    if path.endswith(STORE):
        write_zarr(path, array, jobs)
    elif path.endswith(".npy"):
        np.save(path, array)
    elif path.endswith((".tif", ".tiff")):
        import tifffile

        tifffile.imwrite(path, array)
    else:
        from skimage import io

        io.imsave(path, array, check_contrast=False)


def write(path: Path, save: Callable[[str], None]) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(f".{uuid.uuid4().hex}{format_of(path)}")
    try:
        try:
            save(str(partial))
            os.replace(partial, path)
        finally:
            if partial.is_dir():
                shutil.rmtree(partial)
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise Refusal(f"{path}: cannot be written ({error.strerror or error})") from None


def check_target(path: Path, sources: Sequence[Path], what: str) -> None:
    """Refuse a file that could not be written, before anything is computed."""
    if path.exists() and format_of(path) == STORE:
        raise Refusal(f"{path}: exists, and a folder is not overwritten; name another {what}")
    for folder in path.parents if format_of(path) == STORE else ():
        if is_zarr_array(str(folder)):
            raise Refusal(f"{path}: lies within the array {folder}, name another {what}")
    if path.is_dir():
        raise Refusal(f"{path}: is a folder, give a file for the {what}")
    if not path.parent.is_dir():
        raise Refusal(f"{path}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise Refusal(f"{path}: no permission to write there")
    if any(path.exists() and path.samefile(source) for source in sources):
        raise Refusal(f"{path}: is the input, which is never overwritten; name another {what}")


def check_format(path: Path, like: Picture) -> None:
    """Refuse a format that could not hold such a picture."""
    _check_known(path)
    suffix = format_of(path)
    held = (np.uint8, np.uint16) if suffix == ".png" and like.array.ndim == 2 else (np.uint8,)
    if suffix in _IMAGES and not (like.array.ndim == 2 or like.is_coloured):
        raise Refusal(f"{path}: {suffix} cannot hold shape {like.array.shape}, write .npy or .tif")
    if suffix in _IMAGES and like.dtype not in held:
        raise Refusal(f"{path}: {suffix} cannot hold such {like.dtype} data, write .npy or .tif")
