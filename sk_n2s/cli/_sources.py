"""Which files are meant, and where their results go."""

from __future__ import annotations

import glob
import os
from pathlib import Path

from ..files.formats import STORE, format_of, is_known
from ..files.picture import Refusal
from ..files.whole import check_names

__all__ = ["default_output", "find_sources", "outputs_for", "stem_of"]

_DONE = "_denoised"


def find_sources(names: list[str]) -> tuple[list[Path], bool]:
    """Return the files that are named, in folders or by patterns, and whether they are several."""
    found: list[Path] = []
    check_names(names)
    several = len(names) > 1
    for name in names:
        path = Path(name)
        is_folder, exists = path.is_dir() and format_of(path) != STORE, os.path.lexists(name)
        if is_folder:
            inside = [p for p in sorted(path.iterdir()) if is_known(p) and _is_input(p)]
            if not inside:
                raise Refusal(f"{path}: is a folder that holds no file of a known format")
            found += inside
            several = True
        elif not exists and glob.has_magic(name):
            matching = [Path(p) for p in sorted(glob.glob(name, recursive=True))]
            matching = [p for p in matching if _is_input(p)]
            if not matching:
                raise Refusal(f"{name}: matches no file")
            found += matching
            several = True
        else:
            found.append(path)
    return list(dict.fromkeys(found)), several


def _is_input(path: Path) -> bool:
    """Return whether a file in a folder is none of ours."""
    return not path.name.startswith(".") and not _stem(path)[0].endswith(_DONE)


def stem_of(path: Path) -> str:
    """Return the name of a file without its suffixes, in the folder where one is at work."""
    return _stem(path)[0]


def _stem(path: Path) -> tuple[str, str]:
    """Return a name without its suffixes, and these: of .nii.gz and .ome.tif both."""
    for double in (".nii.gz", ".mtx.gz", ".ome.tif", ".ome.tiff", ".ome.zarr"):
        if path.name.lower().endswith(double):
            return path.name[: -len(double)], path.name[-len(double) :]
    return path.stem, path.suffix or format_of(path)


def default_output(source: Path) -> Path:
    """Return where the result goes if nobody says so."""
    stem, suffix = _stem(source)
    return Path(f"{stem}{_DONE}{suffix}")


def outputs_for(sources: list[Path], several: bool, out: str | None) -> list[Path]:
    """Return where the result of each file goes."""
    if out is not None:
        check_names([out])
    if out is None:
        targets = [default_output(source) for source in sources]
    else:
        folder = Path(out)
        into = folder.is_dir() and format_of(folder) != STORE
        if several and not into:
            why = "is no folder" if folder.exists() else "the folder does not exist"
            raise Refusal(f"{out}: {why}, and --out of several files is one; make it first")
        if into:
            return _distinct([folder / source.name for source in sources], sources)
        targets = [folder]
    return _distinct(targets, sources)


def _distinct(targets: list[Path], sources: list[Path]) -> list[Path]:
    first: dict[Path, Path] = {}
    for target, source in zip(targets, sources, strict=True):
        if target in first:
            raise Refusal(f"{target}: is the output of both {first[target]} and {source}")
        first[target] = source
    return targets
