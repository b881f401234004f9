"""Tables in CSV, TSV and Parquet files, by pandas: names of rows and columns stay."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from .picture import Options, Picture, Refusal, check_shape

__all__ = ["check", "read", "save"]


def read(path: Path, options: Options) -> Picture:
    """Read the columns of numbers of a table; with names, columns are channels."""
    table, named = _parquet(path, options) if _is_parquet(path) else _text(path, options)
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
    return Picture(
        array,
        dtype,
        axes=None,
        channel_axis=1 if named and len(measured) > 1 else None,
        notes=notes,
        origin=(table, measured, named),
    )


def _text(path: Path, options: Options) -> tuple[Any, bool]:
    """Return the table in a file of text, and whether its columns have names."""
    pandas = _pandas()
    size = path.stat().st_size
    if 2 * size > options.memory:
        raise Refusal(f"{path}: of {size / 1e9:.0f} GB takes more than --memory-limit to read")
    separator = _separator(path)
    try:
        first = pandas.read_csv(path, sep=separator, header=None, nrows=1)
        named = not all(_is_number(value) for value in first.iloc[0])
        return pandas.read_csv(path, sep=separator, header=0 if named else None), named
    except UnicodeDecodeError:
        raise Refusal(f"{path}: cannot be read as an array (it is no text)") from None
    except pandas.errors.ParserError as error:
        line = re.search(r"in line (\d+)", str(error))
        where = f"line {line[1]} holds more values than" if line else "not every line is like"
        raise Refusal(f"{path}: cannot be read as an array ({where} the first)") from None
    except pandas.errors.EmptyDataError:
        raise Refusal(f"{path}: is a table without columns") from None


def _parquet(path: Path, options: Options) -> tuple[Any, bool]:
    """Return the table in a Parquet file, whose columns have names."""
    pandas, parquet = _pandas(), _pyarrow()
    try:
        found = parquet.read_metadata(path)
    except (OSError, ValueError):  # as its own errors are
        raise Refusal(f"{path}: cannot be read as an array (it is no Parquet file)") from None
    # Compressed, a column of one value takes no space: what it comes to is told before.
    shape = (found.num_rows, found.num_columns)
    if 0 not in shape:
        check_shape(path, shape, np.dtype(np.float64), options)
    return pandas.read_parquet(path, engine="pyarrow"), True


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise ImportError(
            "pandas is not installed, which tables need: pip install 'sk_n2s[tables]'"
        ) from None
    return pandas


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise ImportError(
            "pyarrow is not installed, which Parquet files need: pip install 'sk_n2s[parquet]'"
        ) from None
    return pyarrow.parquet


def _is_parquet(path: str | Path) -> bool:
    return str(path).lower().endswith(".parquet")


def _separator(path: str | Path) -> str:
    return "\t" if str(path).lower().endswith(".tsv") else ","


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number | np.bool_)


def check(path: Path, like: Picture, dtype: np.dtype) -> None:
    """Refuse what is no table."""
    _pandas()
    if _is_parquet(path):
        _pyarrow()
    if len(like.array.shape) > 2:
        raise Refusal(f"{path}: a table cannot hold shape {like.array.shape}, write .npy or .tif")


def save(path: str, array: Any, like: Picture, jobs: int | None) -> None:
    """Save a table with its names."""
    pandas = _pandas()
    if isinstance(like.origin, tuple):
        table, measured, named = like.origin
        columns = {k: table.iloc[:, k] for k in range(table.shape[1])}
        columns |= {k: pandas.Series(array[:, i], table.index) for i, k in enumerate(measured)}
        whole = pandas.DataFrame(columns)
        whole.columns = table.columns
        whole.attrs = table.attrs
    else:
        whole, named = pandas.DataFrame(array), False
    if _is_parquet(path):
        whole.columns = whole.columns.astype(str)
        whole.to_parquet(path, engine="pyarrow")
    else:
        lone = isinstance(whole.index, pandas.RangeIndex)  # the numbers of rows, no names
        whole.to_csv(path, sep=_separator(path), header=named, index=not lone)
