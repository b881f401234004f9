"""Arrays that are larger than memory: dask arrays, and those in zarr files.

With `sk_n2s.files.stores`, which writes such files, the only module that knows of dask; it imports
it where it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_array

from .arrays import as_float_array

__all__ = [
    "as_blocks",
    "as_float_data",
    "import_zarr",
    "in_memory",
    "in_threads",
    "is_lazy",
    "map_blocks",
    "read_zarr",
]

#: Bytes of a block, about, that a file is read in.
_BLOCK = 2**23


def is_lazy(X: Any) -> bool:
    """Return whether data are a dask array, which is computed when it is needed."""
    return type(X).__module__.partition(".")[0] == "dask" and hasattr(X, "chunks")


def in_memory(parts: list) -> list[np.ndarray]:
    """Return parts of the data as arrays; those of a dask array are computed together."""
    if not any(map(is_lazy, parts)):
        return parts
    import dask

    return [
        part.filled(np.nan) if isinstance(part, np.ma.MaskedArray) else part
        for part in dask.compute(*parts)
    ]


def as_float_data(X: Any, *, accept_sparse: bool = False) -> Any:
    """Return data as an array of floats, or as a dask array of floats if they are one.

    Where sparse tables are accepted, they are returned as such, by rows.
    """
    if accept_sparse and sparse.issparse(X):
        return check_array(X, accept_sparse="csr", dtype=[np.float64, np.float32], input_name="X")
    if not is_lazy(X):
        return as_float_array(X)
    if X.dtype.kind not in "fiub":
        raise TypeError(
            f"X must hold real numbers, got dtype {X.dtype}: convert it with X.astype(float)."
        )
    if not all(n > 0 for n in X.shape):  # also where it is NaN, not known
        raise ValueError(
            f"X is a dask array of shape {X.shape}, which is empty or not known: use "
            "X.compute_chunk_sizes()."
        )
    if X.ndim == 0:
        raise ValueError("X must be an array with at least one axis, got a scalar.")
    single = X.dtype.kind == "f" and X.dtype.itemsize <= 4
    return X.astype(np.float32 if single else np.float64)


def as_blocks(values: np.ndarray, n_entries: int | None = None, whole: int | None = None) -> Any:
    """Return an array as a dask array, of blocks of about so many entries, whole along an axis."""
    import dask.array as da

    if n_entries is None:
        return da.from_array(values)
    sizes: list[Any] = ["auto"] * values.ndim
    if whole is not None:
        sizes[whole] = -1
    dtype = np.dtype(np.float64)
    limit = n_entries * dtype.itemsize
    chunks = da.core.normalize_chunks(sizes, values.shape, limit=limit, dtype=dtype)
    return da.from_array(values, chunks=chunks, name=False)


def in_threads(n_jobs: int | None) -> Any:
    """Return a context within which dask works by threads, as many as there are to be."""
    import dask

    workers: dict[str, Any] = {"num_workers": n_jobs} if n_jobs is not None and n_jobs > 0 else {}
    return dask.config.set(scheduler="threads", **workers)


def map_blocks(
    function: Callable, X: Any, halo: dict[int, int], period: dict[int, int], *others: Any
) -> Any:
    """Apply a function to the blocks of a dask array, each shown with a halo.

    Along axes that are not named, there is no halo, and blocks begin anywhere; those with a period
    of 0 are not cut. Blocks that hold no measurement stay as they are.
    """
    import dask.array as da

    periods = [period.get(a, 1) for a in range(X.ndim)]
    depth = [ceil(halo.get(a, 0) / p) * p if p else 0 for a, p in enumerate(periods)]
    chunks = tuple(_aligned(sizes, periods[a], depth[a]) for a, sizes in enumerate(X.chunks))
    whole = (len(sizes) == 1 for sizes in chunks)
    depths = {a: 0 if alone else d for a, (alone, d) in enumerate(zip(whole, depth, strict=True))}
    return da.map_overlap(
        partial(_of_block, function),
        *(array.rechunk(chunks) for array in (X, *others)),
        depth=depths,
        boundary="none",
        dtype=X.dtype,
        meta=np.empty((0,) * X.ndim, dtype=X.dtype),
    )


def _of_block(function: Callable, block: np.ndarray, *others: np.ndarray) -> np.ndarray:
    block = np.ma.filled(block, np.nan)
    return block if np.isnan(block).all() else function(as_float_array(block), *others)


def _aligned(sizes: tuple[int, ...], period: int, depth: int) -> tuple[int, ...]:
    """Return sizes of blocks that begin at multiples of the period, none too small for its halo."""
    total, least = sum(sizes), max(depth, period)
    if period == 0:
        return (total,)
    edges = [0]
    for edge in np.cumsum(sizes[:-1]):
        edge = round(edge / period) * period
        if edge - edges[-1] >= least and total - edge >= least:
            edges.append(int(edge))
    return tuple(int(n) for n in np.diff([*edges, total]))


def read_zarr(path: Any) -> Any:
    """Return an array in a zarr file as a dask array."""
    import_zarr()
    import dask.array as da

    return da.from_zarr(path).rechunk("auto", block_size_limit=_BLOCK)


def import_zarr() -> Any:
    """Return zarr, or name the extra that it and dask come with."""
    try:
        import dask.array  # noqa: F401
        import zarr
    except ImportError as error:
        raise ImportError(
            f"{error.name} is not installed, which zarr files need: pip install 'sk_n2s[dask]'"
        ) from None
    return zarr
