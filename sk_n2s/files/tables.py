"""Tables in CSV and TSV files, by pandas: names of rows and columns stay."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from .picture import Options, Picture, Refusal, check_shape

__all__ = ["check", "read", "save"]


def read(path: Path, options: Options) -> Picture:
    """Read the columns of numbers of a table; with names, columns are channels."""
    pandas = _pandas()
    size = path.stat().st_size
    if 2 * size > options.memory:
        raise Refusal(f"{path}: of {size / 1e9:.0f} GB takes more than --memory-limit to read")
    separator = _separator(path)
    try:
        first = pandas.read_csv(path, sep=separator, header=None, nrows=1)
        named = not all(_is_number(value) for value in first.iloc[0])
        table = pandas.read_csv(path, sep=separator, header=0 if named else None)
    except UnicodeDecodeError:
        raise Refusal(f"{path}: cannot be read as an array (it is no text)") from None
    except pandas.errors.ParserError as error:
        line = re.search(r"in line (\d+)", str(error))
        where = f"line {line[1]} holds more values than" if line else "not every line is like"
        raise Refusal(f"{path}: cannot be read as an array ({where} the first)") from None
    except pandas.errors.EmptyDataError:
        raise Refusal(f"{path}: is a table without columns") from None
    measured = [k for k, dtype in enumerate(table.dtypes) if dtype.kind in "fiub"]
    if not measured or not len(table):
        raise Refusal(f"{path}: holds no column of numbers")
    dtype = np.result_type(*(table.dtypes.iloc[k] for k in measured))
    check_shape(path, (len(table), len(measured)), dtype, options)
    array = table.iloc[:, measured].to_numpy(dtype)
    notes = []
    if len(measured) < table.shape[1]:
        others = [str(table.columns[k]) for k in range(table.shape[1]) if k not in measured]
        notes.append(f"carried through as they are: {', '.join(others[:5])}")
    if named and len(measured) > 1:
        notes.append("columns have names: taken for channels of which rows are neighbours "
                     "(--channel-axis none: columns are neighbours as well)")  # fmt: skip
    return Picture(
        array,
        dtype,
        axes=None,
        channel_axis=1 if named and len(measured) > 1 else None,
        notes=notes,
        origin=(table, measured, named),
    )


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise ImportError(
            "pandas is not installed, which tables need: pip install 'sk_n2s[tables]'"
        ) from None
    return pandas


def _separator(path: str | Path) -> str:
    return "\t" if str(path).lower().endswith(".tsv") else ","


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number | np.bool_)


def check(path: Path, like: Picture, dtype: np.dtype) -> None:
    """Refuse what is no table."""
    _pandas()
    if len(like.array.shape) > 2:
        raise Refusal(f"{path}: a table cannot hold shape {like.array.shape}, write .npy or .tif")


def save(path: str, array: Any, like: Picture, jobs: int | None) -> None:
    """Save a table with its names."""
    pandas = _pandas()
    if isinstance(like.origin, tuple):
        table, measured, named = like.origin
        columns = {k: table.iloc[:, k] for k in range(table.shape[1])}
        columns |= {k: array[:, i] for i, k in enumerate(measured)}
        whole = pandas.DataFrame(columns)
        whole.columns = table.columns
    else:
        whole, named = pandas.DataFrame(array), False
    whole.to_csv(path, sep=_separator(path), header=named, index=False)
