"""NIfTI volumes, by nibabel: with their affine, units and scaling."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from ._axes import in_words, roles_of, spacing_of
from .picture import Options, Picture, check_shape

__all__ = ["check", "read", "save"]


def read(path: Path, options: Options) -> Picture:
    """Read a volume, or volumes over time."""
    image = _opened(path)
    header = image.header
    stored = header.get_data_dtype()
    check_shape(path, tuple(image.shape), stored, options)
    slope, inter = image.dataobj.slope, image.dataobj.inter
    scaled = (slope, inter) != (1, 0)
    array = np.asarray(image.dataobj)
    axes = "XYZTUVW"[: array.ndim]
    channel, batch = roles_of(axes, array.shape)
    sizes = dict(zip(axes, map(float, header.get_zooms()), strict=False))
    notes = [in_words(axes, array.shape, channel, batch)]
    if scaled:
        notes.append(f"its {stored} values are scaled, and are written as float32")
    return Picture(
        array,
        stored.newbyteorder("=") if not scaled else np.dtype(np.float32),
        axes=axes,
        channel_axis=channel,
        batch_axis=batch,
        spacing=spacing_of(axes, sizes),
        notes=[note for note in notes if note],
        origin=(image.affine, header),
    )


def _opened(path: Path) -> Any:
    """Open a file, and keep nibabel from writing to the terminal what it does not like in it."""
    nibabel = _nibabel()
    logger = logging.getLogger("nibabel.global")
    before, logger.disabled = logger.disabled, True
    try:
        return nibabel.Nifti1Image.from_filename(path)
    finally:
        logger.disabled = before


def _nibabel() -> Any:
    try:
        import nibabel
    except ImportError:
        raise ImportError(
            "nibabel is not installed, which NIfTI files need: pip install 'sk_n2s[nifti]'"
        ) from None
    return nibabel


def check(path: Path, like: Picture, dtype: np.dtype) -> None:
    """Refuse nothing that has axes of space, but a missing package."""
    _nibabel()


def save(path: str, array: Any, like: Picture, jobs: int | None) -> None:
    """Save a volume, in the space that it came in."""
    nibabel = _nibabel()
    affine, header = like.origin or (np.eye(4), None)
    if array.dtype.kind == "b" or array.dtype == np.float16:
        array = array.astype(np.uint8 if array.dtype.kind == "b" else np.float32)
    image = nibabel.Nifti1Image(array, affine, header, dtype=array.dtype)
    image.set_data_dtype(array.dtype)
    image.to_filename(path)
