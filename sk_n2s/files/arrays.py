"""NumPy's files: NPY, and NPZ, of which the other arrays are carried through."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from .picture import Options, Picture, Refusal, check_shape

__all__ = ["check", "read", "save"]


def read(path: Path, options: Options) -> Picture:
    """Read the array of an NPY file, or one of those of an NPZ file."""
    if zipfile.is_zipfile(path):
        return _read_several(path, options)
    if path.suffix.lower() == ".npz":
        raise Refusal(f"{path}: is no NPZ file, or not all of it")
    with open(path, "rb") as file:
        shape, dtype = _header(path, file, options)
        start = file.tell()
    there = path.stat().st_size - start
    if there < dtype.itemsize * int(np.prod(shape, dtype=object)):
        raise Refusal(f"{path}: is cut off, {there} bytes of data are left")
    array = np.load(path, allow_pickle=False)
    return Picture(array, array.dtype)


def _header(path: Path, file: Any, options: Options) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and dtype of what a file holds, and refuse it if that says enough."""
    if file.read(6) != npy.MAGIC_PREFIX:
        raise Refusal(f"{path}: cannot be read as an array (it does not begin as an NPY file does)")
    major = file.read(2)[:1]
    header = npy.read_array_header_1_0 if major == b"\x01" else npy.read_array_header_2_0
    shape, _, dtype = header(file)
    check_shape(path, shape, dtype, options)
    return shape, dtype


def _read_several(path: Path, options: Options) -> Picture:
    with zipfile.ZipFile(path) as archive:
        names = [i.filename.removesuffix(".npy") for i in archive.infolist()]
        compressed = any(i.compress_type != zipfile.ZIP_STORED for i in archive.infolist())
        name = options.series
        if name is None:
            if len(names) != 1:
                raise Refusal(
                    f"{path}: holds {len(names)} arrays, choose one by --series: {_listed(names)}"
                )
            name = names[0]
        if name not in names:
            raise Refusal(f"{path}: has no array {name!r}, but {_listed(names)}")
        with archive.open(f"{name}.npy") as file:
            _header(path, file, options)
        rest = sum(i.file_size for i in archive.infolist())
        if rest > options.memory:
            raise Refusal(f"{path}: its arrays hold {rest / 1e9:.0f} GB, more than --memory-limit")
        others = {n: archive.read(f"{n}.npy") for n in names if n != name}
    with np.load(path, allow_pickle=False) as arrays:
        array = arrays[name]
    notes = [f"carried through as they are: {_listed(list(others))}"] if others else []
    return Picture(array, array.dtype, origin=(name, others, compressed), notes=notes)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def check(path: Path, like: Picture, dtype: np.dtype) -> None:
    """Any array can be held."""


def save(path: str, array: Any, like: Picture, jobs: int | None) -> None:
    """Save an array, in NPZ beside those that came with it."""
    if not path.endswith(".npz"):
        np.save(path, array)
        return
    name, others, compressed = like.origin or ("denoised", {}, True)
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as archive:
        with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
            npy.write_array(file, np.asanyarray(array), allow_pickle=False)
        for other, content in others.items():
            archive.writestr(f"{other}.npy", content)
