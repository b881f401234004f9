"""zarr arrays and OME-Zarr groups: attributes, chunks, codecs and levels stay as they were."""

from __future__ import annotations

import shutil
from math import ceil, prod
from pathlib import Path
from typing import Any

import numpy as np

from .._utils.lazy import import_zarr, in_threads, read_zarr
from ._axes import in_words, roles_of, spacing_of
from .picture import Options, Picture, Refusal, check_shape, check_values

__all__ = ["check", "read", "save"]

#: Entries at most of an array that is read to tell whether it is constant.
_MOST_LOOKED_AT = 2**26

#: The files that say what an array or a group is; all others hold chunks of it.
_METADATA = {"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"}


def read(path: Path, options: Options) -> Picture:
    """Read an array, or a level of an OME-Zarr group, in blocks when they are needed."""
    zarr = import_zarr()
    try:
        node = zarr.open(str(path), mode="r")
    except (FileNotFoundError, zarr.errors.ContainsGroupError) as error:
        reason = str(error).splitlines()[0]
        raise Refusal(f"{path}: cannot be read as an array ({reason})") from None
    if isinstance(node, zarr.Array):
        if options.series is not None:
            raise Refusal(f"{path}: is a single array and has no --series {options.series}")
        array, meta, notes = node, {"levels": [""]}, []
        names = getattr(node.metadata, "dimension_names", None)
        axes = _letters(names) if names else None
        sizes: dict[str, float] = {}
    else:
        array, meta, axes, sizes, notes = _level(path, node, options)
    _check_array(path, array, options)
    channel, batch = (None, None) if axes is None else roles_of(axes, array.shape)
    if axes is not None:
        notes.append(in_words(axes, array.shape, channel, batch))
    data = read_zarr(array)
    if options.lazily:
        _check_corner(path, data)
    return Picture(
        data if options.lazily else np.asarray(array[...]),
        array.dtype,
        axes=axes,
        channel_axis=channel,
        batch_axis=batch,
        spacing=None if axes is None else spacing_of(axes, sizes),
        notes=[note for note in notes if note],
        origin=(path, meta),
    )


def _dask() -> Any:
    import dask.array

    return dask.array


def _letters(names: Any) -> str | None:
    """Return a letter for each name of an axis, or None if there are names of more letters."""
    known = {"t": "T", "time": "T", "c": "C", "channel": "C", "z": "Z", "y": "Y", "x": "X"}
    letters = [known.get(str(name).lower()) for name in names]
    return None if None in letters else "".join(map(str, letters))


def _level(path: Path, group: Any, options: Options) -> tuple:
    """Return a level of the images of a group, with what the group says of it."""
    attributes = dict(group.attrs)
    attributes = attributes.get("ome", attributes)
    scales = attributes.get("multiscales")
    if not scales:
        names = ", ".join(sorted(group.keys())[:8]) or "nothing"
        raise Refusal(
            f"{path}: cannot be read as an array (it is a group that holds {names}; give the path "
            "of an array within it)"
        )
    sets = scales[0].get("datasets", [])
    paths = [str(entry["path"]) for entry in sets]
    if len(scales) > 1 or not paths:
        raise Refusal(f"{path}: holds {len(scales)} images, give the path of an array within it")
    wanted = options.series or "0"
    if not wanted.isdigit() or int(wanted) >= len(paths):
        raise Refusal(f"{path}: has no --series {wanted}, but levels 0 to {len(paths) - 1}")
    level = int(wanted)
    notes = []
    if level:
        notes.append(f"level {level} of {len(paths)} is written, and those that are coarser")
    entries = scales[0].get("axes") or [*"tczyx"]
    axes = _letters([a.get("name") if isinstance(a, dict) else a for a in entries])
    array = group[paths[level]]
    axes = axes if axes and len(axes) == array.ndim else None
    sizes = {}
    for step in sets[level].get("coordinateTransformations", []):
        if step.get("type") == "scale" and axes is not None:
            sizes = dict(zip(axes, map(float, step["scale"]), strict=False))
    return array, {"levels": paths[level:], "finer": paths[:level]}, axes, sizes, notes


def _check_array(path: Path, array: Any, options: Options) -> None:
    """Refuse an array that is too large, or whose chunks are."""
    check_shape(path, tuple(array.shape), np.dtype(array.dtype), options, on_disk=options.lazily)
    chunk = prod(array.chunks) * np.dtype(array.dtype).itemsize
    if chunk > options.memory / 8:
        raise Refusal(
            f"{path}: a chunk of it, {' × '.join(map(str, array.chunks))}, takes "
            f"{chunk / 1e9:.0f} GB to read, more than --memory-limit allows: save smaller chunks"
        )


def _check_corner(path: Path, data: Any) -> None:
    """Refuse an array that is constant, of which only a part is read where it is not."""
    corner = np.asarray(data[(slice(64),) * data.ndim])
    if (corner != corner.flat[0]).any() and not np.isnan(corner).all():
        return
    import dask

    if data.size <= _MOST_LOOKED_AT:
        low, high = dask.compute(_dask().nanmin(data), _dask().nanmax(data))
        check_values(path, np.asarray([low, high]))


def check(path: Path, like: Picture, dtype: np.dtype) -> None:
    """Refuse nothing but a missing package."""
    import_zarr()


def save(path: str, array: Any, like: Picture, jobs: int | None) -> None:
    """Save an array as the one was that it came from, with the levels that are coarser."""
    if like.origin is None:
        _save_new(path, array, jobs)
        return
    source, meta = like.origin
    zarr = import_zarr()
    levels, finer = meta["levels"], meta.get("finer", [])
    _copy_metadata(Path(source), Path(path), [*levels, *finer])
    for level in finer:
        shutil.rmtree(Path(path) / level)
    if levels == [""]:
        made = zarr.open_array(path, mode="r+")
        if array.dtype != made.dtype:
            form = _form(made, array.dtype) | {"zarr_format": made.metadata.zarr_format}
            made = zarr.create_array(path, overwrite=True, **form)
        _store(array, made, jobs)
        return
    # What a group remembers of its arrays is that of the source until it is gathered anew.
    was_gathered = zarr.open_group(path, mode="r").metadata.consolidated_metadata is not None
    root = zarr.open_group(path, mode="r+", use_consolidated=False)
    for level in levels if array.dtype != root[levels[0]].dtype else ():
        root.create_array(level, overwrite=True, **_form(root[level], array.dtype))
    _store(array, root[levels[0]], jobs)
    for whole, coarser in zip(levels, levels[1:], strict=False):
        means = _coarser(_dask().from_zarr(root[whole]), root[coarser].shape)
        _store(means.astype(root[coarser].dtype), root[coarser], jobs)
    if finer:
        _leave_out(root, finer)
    if was_gathered:
        zarr.consolidate_metadata(path)


def _form(array: Any, dtype: np.dtype) -> dict[str, Any]:
    """Return how an array of another dtype is made that is else like a given one."""
    form = {"shape": array.shape, "chunks": array.chunks, "dtype": dtype}
    form["attributes"] = dict(array.attrs)
    if array.metadata.zarr_format == 3:
        form |= {"shards": array.shards, "dimension_names": array.metadata.dimension_names}
    return form


def _copy_metadata(source: Path, target: Path, arrays: list[str]) -> None:
    """Copy a folder without the chunks of some of its arrays."""
    without = {(source / name).resolve() for name in arrays}

    def ignored(folder: str, names: list[str]) -> list[str]:
        here = Path(folder).resolve()
        return [n for n in names if n not in _METADATA] if here in without else []

    shutil.copytree(source, target, ignore=ignored)


def _leave_out(root: Any, finer: list[str]) -> None:
    """Take levels out of what a group says of itself."""
    attributes = dict(root.attrs)
    inner = attributes.get("ome", attributes)
    inner["multiscales"][0]["datasets"] = [
        entry for entry in inner["multiscales"][0]["datasets"] if entry["path"] not in finer
    ]
    root.attrs.update(attributes)


def _save_new(path: str, array: Any, jobs: int | None) -> None:
    """Save an array whose chunks are chosen here."""
    data = array if hasattr(array, "dask") else _dask().from_array(array, chunks="auto")
    sizes = tuple(max(c) for c in data.chunks)
    made = import_zarr().create_array(path, shape=data.shape, chunks=sizes, dtype=data.dtype)
    _store(data, made, jobs)


def _store(array: Any, target: Any, jobs: int | None) -> None:
    """Write an array into a zarr array, block by block."""
    da = _dask()
    data = array if hasattr(array, "dask") else da.from_array(array, chunks="auto")
    # Two threads must not write into one chunk.
    unit = getattr(target, "shards", None) or target.chunks
    data = data.rechunk(tuple(_aligned(max(c), u) for c, u in zip(data.chunks, unit, strict=True)))
    with in_threads(jobs):
        da.store(data, target, lock=False)


def _aligned(size: int, unit: int) -> int:
    return max(1, ceil(size / unit)) * unit


def _coarser(data: Any, shape: tuple[int, ...]) -> Any:
    """Return means of blocks, as many as a level has along each axis."""
    da = _dask()
    factors = {
        a: max(1, round(n / m)) for a, (n, m) in enumerate(zip(data.shape, shape, strict=True))
    }
    wanted = [m * factors[a] for a, m in enumerate(shape)]
    data = data[tuple(slice(n) for n in wanted)]
    data = da.pad(data, [(0, n - m) for n, m in zip(wanted, data.shape, strict=True)], mode="edge")
    data = data.rechunk(tuple(_aligned(max(c), factors[a]) for a, c in enumerate(data.chunks)))
    made = da.coarsen(np.mean, data.astype(float), factors)
    return da.rint(made) if data.dtype.kind in "iu" else made
