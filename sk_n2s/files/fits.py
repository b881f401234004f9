"""FITS images, by astropy: with their header and what else the file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .picture import Options, Picture, Refusal, check_shape

__all__ = ["check", "read", "save"]


def read(path: Path, options: Options) -> Picture:
    """Read the one image of a file, or the one that is chosen by its number."""
    fits = _fits()
    with fits.open(path, memmap=False) as units:
        images = [k for k, unit in enumerate(units) if unit.is_image and len(unit.shape)]
        listed = ", ".join(f"{k}: {' × '.join(map(str, units[k].shape))}" for k in images)
        if options.series is not None:
            if options.series not in map(str, images):
                raise Refusal(f"{path}: has no --series {options.series}, but {listed or 'none'}")
            images = [int(options.series)]
        if not images:
            raise Refusal(f"{path}: holds no image")
        if len(images) > 1:
            raise Refusal(f"{path}: holds {len(images)} images, choose one by --series ({listed})")
        unit = units[images[0]]
        bits = unit.header.get("ZBITPIX", unit.header["BITPIX"])
        check_shape(path, tuple(unit.shape), np.dtype(f"i{bits // 8}" if bits > 0 else
                                                      f"f{-bits // 8}"), options)  # fmt: skip
        array = np.asarray(unit.data)
        others = len(units) - 1
    note = f"carried through as they are: {others} other parts of the file"
    return Picture(
        array,
        array.dtype.newbyteorder("="),
        notes=[note] if others else [],
        origin=(path, images[0]),
    )


def _fits() -> Any:
    try:
        from astropy.io import fits
    except ImportError:
        raise ImportError(
            "astropy is not installed, which FITS files need: pip install 'sk_n2s[fits]'"
        ) from None
    return fits


def check(path: Path, like: Picture, dtype: np.dtype) -> None:
    """Refuse a dtype that FITS does not know."""
    _fits()
    if dtype in (np.float16, np.bool_):
        raise Refusal(f"{path}: a FITS file cannot hold {dtype}, give --dtype float32")


def save(path: str, array: Any, like: Picture, jobs: int | None) -> None:
    """Save an image in the place where it was, or as the only one."""
    fits = _fits()
    if like.origin is None:
        fits.PrimaryHDU(np.asarray(array)).writeto(path)
        return
    source, number = like.origin
    with fits.open(source, memmap=False) as units:
        unit = units[number]
        _ = unit.data  # what scales it is taken from the header as it is read
        unit.data = np.asarray(array)
        units.writeto(path)
