"""Files are written whole or not at all, and never over what was read."""

from __future__ import annotations

import os
import platform
import re
import shutil
import uuid
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from .formats import STORE, format_of, is_array_in_store, store_around
from .picture import Refusal

__all__ = ["check_names", "check_target", "write"]

#: Where a folder is shared, processes elsewhere write into it too.
_HERE = f".sk_n2s-{zlib.crc32(platform.node().encode()):08x}"

_PARTIAL = re.compile(rf"\{_HERE}-(\d+)-[0-9a-f]+\..+")


def write(path: Path, save: Callable[[str], None]) -> None:
    """Write a file whole or not at all."""
    if path.is_symlink():
        path = path.resolve()  # the link stays
    partial = path.with_name(f"{_HERE}-{os.getpid()}-{uuid.uuid4().hex[:8]}{format_of(path)}")
    try:
        _remove_leftovers(path.parent)
        try:
            save(str(partial))
            if path.exists():
                shutil.copymode(path, partial)
            os.replace(partial, path)
        finally:
            _remove(partial)
    except OSError as error:
        raise Refusal(f"{path}: cannot be written ({error.strerror or error})") from None


def _remove_leftovers(folder: Path) -> None:
    """Remove what killed runs left in a folder."""
    for name in os.listdir(folder):
        found = _PARTIAL.fullmatch(name)
        if found and not _is_running(int(found[1])):
            _remove(folder / name)


def _is_running(pid: int) -> bool:
    """Return whether a process runs; True where that cannot be asked without harm."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def check_names(names: Sequence[str | Path]) -> None:
    """Refuse what cannot be the name of a file, whether there is one or not."""
    for name in names:
        try:
            if not str(name):
                raise ValueError
            os.stat(name)
        except ValueError:
            raise Refusal(f"{str(name)!r}: is no name of a file") from None
        except OSError as error:
            if not isinstance(error, FileNotFoundError | NotADirectoryError | PermissionError):
                raise Refusal(f"{name}: {error.strerror}") from None


def check_target(path: Path, sources: Sequence[Path], what: str) -> None:
    """Refuse a file that could not be written, before anything is computed."""
    check_names([path])
    if path.exists() and format_of(path) == STORE:
        raise Refusal(f"{path}: exists, and a folder is not overwritten; name another {what}")
    for folder in path.parents if format_of(path) == STORE else ():
        if is_array_in_store(folder):
            raise Refusal(f"{path}: lies within the array {folder}, name another {what}")
    if path.is_dir():
        raise Refusal(f"{path}: is a folder, give a file for the {what}")
    if path.exists() and not path.is_file():
        raise Refusal(f"{path}: is a pipe or a device, give a file for the {what}")
    if not path.parent.is_dir():
        raise Refusal(f"{path}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise Refusal(f"{path}: no permission to write there")
    if any(path.exists() and source.exists() and path.samefile(source) for source in sources):
        raise Refusal(f"{path}: is the input, which is never overwritten; name another {what}")
    around = store_around(path)
    if around is None and any(path.resolve() in s.resolve().parents for s in sources):
        raise Refusal(f"{path}: holds the input, name another {what}")
