"""PNG, JPEG, WebP and BMP, by Pillow: with their resolution, EXIF, colour profile and alpha."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .picture import Options, Picture, Refusal, check_shape, upright

__all__ = ["check", "chosen_frame", "opened", "read", "save"]

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB")

#: What is no measurement of light, by Pillow's name of it.
_REFUSED = {
    "CMYK": "colours of inks (CMYK), convert it to RGB",
    "LAB": "colours as L*a*b*, convert it to RGB",
    "HSV": "colours as HSV, convert it to RGB",
}

#: What goes back into the file as it came.
_KEPT = ("dpi", "exif", "icc_profile")


def read(path: Path, options: Options) -> Picture:
    """Read an image; its alpha channel apart, a palette as the colours that it stands for."""
    with opened(path, _FORMATS, "PNG, JPEG, WebP or BMP") as image:
        notes = _choose_frame(path, image, options)
        image, shape, dtype = _described(path, image, notes)
        check_shape(path, shape, dtype, options)
        kept = {key: image.info[key] for key in _KEPT if image.info.get(key)}
        text = dict(getattr(image, "text", {}))
        orientation = image.getexif().get(274, 1)
        array = np.asarray(_with_known_mode(image, notes))
    alpha = None
    if array.ndim == 3 and array.shape[-1] in (2, 4):
        array, alpha = array[..., :-1], array[..., -1]
        array = array[..., 0] if array.shape[-1] == 1 else array
    array = array.astype(dtype, copy=True)
    coloured = array.ndim == 3
    return Picture(
        array,
        array.dtype,
        axes="YXS" if coloured else "YX",
        channel_axis=-1 if coloured else None,
        alpha=alpha,
        orientation=orientation if orientation in range(1, 9) else 1,
        notes=notes,
        origin={"kept": kept, "text": text},
    )


@contextmanager
def opened(path: Path, formats: tuple[str, ...], names: str) -> Iterator[Any]:
    """Open a picture of any size: what is too large is told before it is decoded."""
    from PIL import Image, UnidentifiedImageError

    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        try:
            image = Image.open(path, formats=formats)
        except UnidentifiedImageError:
            raise Refusal(f"{path}: cannot be read as an array (it is no {names} file)") from None
        with image:
            yield image
    finally:
        Image.MAX_IMAGE_PIXELS = before


def chosen_frame(path: Path, count: int, series: str) -> int:
    """Return the number of the frame that is meant, of so many."""
    if not series.isdigit() or int(series) >= count:
        raise Refusal(f"{path}: has no --series {series}, but 0 to {count - 1}")
    return int(series)


def _choose_frame(path: Path, image: Any, options: Options) -> list[str]:
    """Go to the frame that is meant, and return what there is to say of the others."""
    count = getattr(image, "n_frames", 1)
    if options.series is not None:
        image.seek(chosen_frame(path, count, options.series))
        return [f"{count - 1} other pictures in the file are not written"] if count > 1 else []
    if count > 1 and image.format == "MPO":  # a photograph with a preview
        return [f"{count - 1} other pictures in the file are not written"]
    if count > 1:
        raise Refusal(f"{path}: holds {count} pictures, choose one by --series 0 to {count - 1}")
    return []


def _described(path: Path, image: Any, notes: list[str]) -> tuple[Any, tuple, np.dtype]:
    """Return an image with the shape and the dtype that it will have, or refuse its colours."""
    if image.mode in _REFUSED:
        raise Refusal(f"{path}: holds {_REFUSED[image.mode]}")
    raw = str(image.tile[0][3]) if getattr(image, "tile", None) else ""
    if "16" in raw and image.mode not in ("I", "I;16", "I;16B"):
        raise Refusal(
            f"{path}: holds colours or alpha of 16 bits, of which the reader keeps 8; save a TIFF"
        )
    deep = image.mode.startswith("I")
    samples = 1 if image.mode in ("1", "L", "I", "I;16", "I;16B") else 3
    shape = (image.height, image.width, *((3,) if samples == 3 else ()))
    return image, shape, np.dtype(np.uint16 if deep else np.uint8)


def _with_known_mode(image: Any, notes: list[str]) -> Any:
    """Return grey or coloured values in place of palettes, bits, and colours that are clear."""
    image.load()
    clear = image.info.get("transparency") is not None
    if image.mode == "1":
        notes.append("black and white are taken for grey")
        return image.convert("L")
    if image.mode in ("P", "PA"):
        coloured = image.convert("RGBA" if clear or image.mode == "PA" else "RGB")
        notes.append("the palette is written as the colours that it stands for")
        channels = np.asarray(coloured)
        grey = (channels[..., 0] == channels[..., 1]).all() and (
            channels[..., 0] == channels[..., 2]
        ).all()
        return coloured.convert("LA" if coloured.mode == "RGBA" else "L") if grey else coloured
    if clear and image.mode in ("L", "RGB"):
        return image.convert("RGBA" if image.mode == "RGB" else "LA")
    if image.mode in ("RGBa", "La"):
        return image.convert(image.mode.upper())
    return image.convert("RGB") if image.mode == "YCbCr" else image


def check(path: Path, like: Picture, dtype: np.dtype) -> None:
    """Refuse what the format cannot hold."""
    suffix, shape = path.suffix.lower(), like.array.shape
    flat = like.array.ndim == 2
    if not (flat or like.is_coloured):
        raise Refusal(f"{path}: {suffix} cannot hold shape {shape}, write .npy or .tif")
    if like.axes is not None and not flat and not like.axes.endswith("S"):
        raise Refusal(f"{path}: {suffix} cannot hold axes {like.axes}, write .npy or .tif")
    deep = suffix == ".png" and flat and like.alpha is None
    held = (np.uint8, np.uint16) if deep else (np.uint8,)
    if dtype not in held:
        raise Refusal(
            f"{path}: {suffix} cannot hold such {dtype} data, write .npy or .tif, or give "
            "--dtype uint8"
        )
    if suffix in (".jpg", ".jpeg", ".bmp") and like.alpha is not None:
        raise Refusal(f"{path}: {suffix} cannot hold an alpha channel, write .png or .webp")
    if suffix == ".webp" and max(shape) > 16383:
        raise Refusal(f"{path}: .webp holds at most 16383 pixels along an axis, write .png")


def save(path: str, array: Any, like: Picture, jobs: int | None) -> None:
    """Save an image with what came with it."""
    from PIL import Image, PngImagePlugin

    suffix = Path(path).suffix.lower()
    origin = like.origin or {"kept": {}, "text": {}}
    alpha = like.alpha
    if suffix == ".bmp":  # which knows no orientation
        array, alpha = (None if v is None else upright(v, like.orientation) for v in (array, alpha))
    if alpha is not None:
        array = np.dstack([array, alpha])
    image = Image.fromarray(np.ascontiguousarray(array))
    kept: dict[str, Any] = dict(origin["kept"])
    if suffix == ".png":
        chunks = PngImagePlugin.PngInfo()
        for key, value in origin["text"].items():
            chunks.add_itxt(key, value)
        kept["pnginfo"] = chunks
    elif suffix in (".jpg", ".jpeg"):
        kept |= {"quality": 95, "subsampling": 0}
    elif suffix == ".webp":
        kept |= {"lossless": True, "exact": True}
        kept.pop("dpi", None)
    else:
        kept = {key: value for key, value in kept.items() if key == "dpi"}
    image.save(path, **kept)
