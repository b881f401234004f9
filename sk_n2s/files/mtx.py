"""Matrix Market files, by SciPy: tables of counts, sparse or not."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np

from .picture import Options, Picture, Refusal, check_shape

__all__ = ["check", "read", "save"]

_DTYPES = {"integer": np.int64, "unsigned-integer": np.uint64, "real": np.float64}


def read(path: Path, options: Options) -> Picture:
    """Read a matrix, in which what is not stored is 0."""
    from scipy.io import mminfo, mmread

    with _opened(path, "rb") as file:
        if not file.readline().startswith(b"%%MatrixMarket "):
            raise Refusal(f"{path}: cannot be read as an array (it is no Matrix Market file)")
        comment = _comment(file)
    rows, columns, stored, layout, field, _ = mminfo(path)
    if field not in _DTYPES:
        what = "complex numbers" if field == "complex" else "only where it is not 0"
        raise Refusal(f"{path}: must hold real numbers, and holds {what}")
    dtype = np.dtype(_DTYPES[field])
    check_shape(path, (rows, columns), dtype, options)
    if stored > rows * columns:
        raise Refusal(f"{path}: says that it stores {stored} entries, and has {rows * columns}")
    matrix = mmread(path)
    sparse = layout == "coordinate"
    notes = ["written in full: of what was 0, little still is"] if sparse else []
    array = matrix.toarray() if sparse else np.asarray(matrix)
    return Picture(array, array.dtype, is_table=True, notes=notes, origin=comment)


def _opened(path: str | Path, mode: str) -> Any:
    return gzip.open(path, mode) if str(path).lower().endswith(".gz") else open(path, mode)


def _comment(file: Any) -> str:
    """Return the comment below the first line, as text that can be written again."""
    lines = []
    for line in iter(file.readline, b""):
        if not line.startswith(b"%"):
            break
        lines.append(line[1:].decode("latin-1").rstrip("\r\n"))
    return "\n".join(lines)


def check(path: Path, like: Picture, dtype: np.dtype) -> None:
    """Refuse what is no matrix."""
    if len(like.array.shape) != 2:
        raise Refusal(f"{path}: a matrix cannot hold shape {like.array.shape}, write .npy")
    if dtype.kind == "f" and dtype.itemsize < 4:
        raise Refusal(f"{path}: a matrix cannot hold {dtype}, give --dtype float32")


def save(path: str, array: Any, like: Picture, jobs: int | None) -> None:
    """Save a matrix in full, with the comment that it had."""
    from scipy.io import mmwrite

    array = np.asarray(array)
    array = array.astype(np.uint8) if array.dtype.kind == "b" else array
    comment = like.origin if isinstance(like.origin, str) else ""
    with _opened(path, "wb") as file:
        mmwrite(file, array, comment=comment, symmetry="general")
