"""Which module reads and writes which format."""

from __future__ import annotations

import importlib
import json
import os
import stat
import struct
import tokenize
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from .picture import Options, Picture, Refusal, check_values, needed_memory, upright

__all__ = [
    "STORE", "SUFFIXES", "check_format", "format_of", "is_array_in_store", "is_known", "read",
    "save", "store_around",
]  # fmt: skip

#: The module of each suffix.
_MODULES = {
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".webp", ".bmp"), "images"),
    **dict.fromkeys((".tif", ".tiff"), "tiff"),
    **dict.fromkeys((".npy", ".npz"), "arrays"),
    **dict.fromkeys((".csv", ".tsv", ".parquet"), "tables"),
    **dict.fromkeys((".mtx", ".mtx.gz"), "mtx"),
    ".gif": "gif",
    **dict.fromkeys((".nii", ".nii.gz"), "nifti"),
    **dict.fromkeys((".fits", ".fit"), "fits"),
    ".zarr": "stores",
}

#: What readers raise that did not expect what they found.
_STUMBLES = (
    ArithmeticError, AssertionError, AttributeError, LookupError, NameError, RecursionError,
    SyntaxError, TypeError, struct.error, tokenize.TokenError,
)  # fmt: skip

#: Blocks of data that are denoised so take this part of the memory, on all cores together, and
#: hold at least, and at most, so many entries.
_SHARES, _SMALLEST, _LARGEST = 4, 2**16, 2**22

STORE = ".zarr"  # a folder: an array that need not fit into memory
SUFFIXES = ", ".join(_MODULES)


def format_of(path: Path) -> str:
    """Return the suffix that tells the format; an array may lie deeper in a zarr folder."""
    name = path.name.lower()
    packed = (known for known in _MODULES if known.endswith(".gz") and name.endswith(known))
    suffix = next(packed, path.suffix.lower())
    in_store = store_around(path) is not None and _MODULES.get(suffix, "stores") == "stores"
    return STORE if in_store else suffix


def is_known(path: Path) -> bool:
    """Return whether files of such a name can be read."""
    return format_of(path) in _MODULES


def store_around(path: Path) -> Path | None:
    """Return the zarr folder that a path is, or lies in."""
    around = (p for p in reversed((path, *path.parents)) if p.suffix.lower() == STORE)
    return next(around, None)


def is_array_in_store(folder: Path) -> bool:
    """Return whether a folder is a zarr array, rather than a group of them."""
    try:
        kind = json.loads((folder / "zarr.json").read_text()).get("node_type")
    except (OSError, ValueError):
        return (folder / ".zarray").exists()
    return kind == "array"


def _module(path: Path) -> Any:
    suffix = format_of(path)
    if suffix not in _MODULES:
        raise Refusal(f"{path}: unknown format {suffix!r}, use one of {SUFFIXES}")
    return importlib.import_module(f"{__package__}.{_MODULES[suffix]}")


def _check_file(path: Path) -> None:
    """Refuse what is no file with something in it, without opening it: a pipe would wait."""
    if format_of(path) not in _MODULES:
        raise Refusal(f"{path}: unknown format {format_of(path)!r}, use one of {SUFFIXES}")
    try:
        found = os.stat(path)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        reason = "there is no such file" if missing else error.strerror
        raise Refusal(f"{path}: {reason}") from None
    except ValueError:
        raise Refusal(f"{str(path)!r}: is no name of a file") from None
    if format_of(path) == STORE:
        if not stat.S_ISDIR(found.st_mode):
            raise Refusal(f"{path}: is a file, and a zarr array is a folder")
    elif stat.S_ISDIR(found.st_mode):
        raise Refusal(f"{path}: is a folder, and not a {format_of(path)} file")
    elif not stat.S_ISREG(found.st_mode):
        raise Refusal(f"{path}: is a pipe or a device, save what comes from it as a file")
    elif found.st_size == 0:
        raise Refusal(f"{path}: is an empty file")
    if not os.access(path, os.R_OK):
        raise Refusal(f"{path}: no permission to read it")


def read(path: Path, options: Options | None = None, *, checked: bool = True) -> Picture:
    """Read a file, a zarr array in blocks if the options say so; `checked` looks at its values."""
    options = options or Options()
    _check_file(path)
    module = _module(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of readers, on what they do not know in a file
            picture = module.read(path, options)
    except Refusal:
        raise
    except ImportError as error:
        raise Refusal(f"{path}: {error}") from None
    except MemoryError:
        raise Refusal(f"{path}: does not fit into memory") from None
    except Exception as error:  # the readers of formats raise almost anything
        raise Refusal(f"{path}: cannot be read as an array ({_in_words(error)})") from None
    picture.kind = _MODULES[format_of(path)]
    if isinstance(picture.array, np.ndarray):
        if not picture.array.dtype.isnative:
            picture.array = picture.array.astype(picture.array.dtype.newbyteorder("="))
        if checked:
            check_values(path, picture.array)
        need = needed_memory(picture.array.shape, picture.array.dtype)
        if options.lazily and need > options.memory:
            picture.array = _in_blocks(path, picture, options)
            picture.notes.append(f"denoised in blocks: the whole would take about {need / 1e9:.0f}"
                                 " GB")  # fmt: skip
    return picture


def _in_blocks(path: Path, picture: Picture, options: Options) -> Any:
    """Return an array as one that is denoised in blocks, a few of which fit into memory."""
    from .._utils.lazy import as_blocks

    share = options.memory / _SHARES / (os.cpu_count() or 1)
    size = min(max(share / needed_memory((1,), np.dtype(float)), _SMALLEST), _LARGEST)
    try:
        return as_blocks(picture.array, int(size), picture.channel_axis)
    except ImportError:
        raise Refusal(
            f"{path}: takes more than --memory-limit {options.memory / 1e9:g} to denoise; in "
            "blocks it takes less, which needs dask: pip install 'sk_n2s[dask]'"
        ) from None


def _in_words(error: Exception) -> str:
    """Return the reason that a reader gives, in a line, if it is one for people."""
    if isinstance(error, _STUMBLES):
        return "its header or its data are damaged"
    if isinstance(error, zlib.error | EOFError):
        return "its compressed data are damaged or cut off"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines() or [type(error).__name__]
    reason = lines[0].strip()
    return reason if len(reason) < 160 else reason[:157] + "..."


def check_format(path: Path, like: Picture, dtype: np.dtype) -> None:
    """Refuse a format that could not hold such a picture in such a dtype."""
    _module(path).check(path, like, dtype)


def _left_out(path: str, kind: str, like: Picture) -> list[str]:
    """Return what becomes of that which is beside the array, in words."""
    notes = []
    if like.alpha is not None:
        carried = "carried through as it is" if kind in ("images", "tiff", "gif") else "not written"
        notes.append(f"the alpha channel is {carried}")
    said = like.origin["kept"] if like.kind == "images" else like.origin
    if kind != like.kind and said:
        notes.append(
            f"what the file says of sizes and names is not written to {format_of(Path(path))}"
        )
    return notes


def save(path: str, array: Any, like: Picture, jobs: int | None) -> None:
    """Save an array, already of the dtype of the file, in the format that the path names."""
    kind = _MODULES[format_of(Path(path))]
    like.notes += _left_out(path, kind, like)
    if kind != like.kind:
        like = Picture(
            upright(array, like.orientation),
            like.dtype,
            axes=like.axes,
            channel_axis=like.channel_axis,
            spacing=like.spacing,
            alpha=None if like.alpha is None else upright(like.alpha, like.orientation),
        )
        array = like.array
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of writers, on what they have always done
        _module(Path(path)).save(path, array, like, jobs)
