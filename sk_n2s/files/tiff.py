"""TIFF, by tifffile: OME-TIFF, ImageJ hyperstacks, BigTIFF; axes, pixel size and compression."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ._axes import in_words, roles_of, spacing_of
from .picture import Options, Picture, Refusal, check_shape

__all__ = ["check", "read", "save"]

_REFUSED = {
    "SEPARATED": "colours of inks (CMYK), convert it to RGB",
    "CIELAB": "colours as L*a*b*, convert it to RGB",
    "ICCLAB": "colours as L*a*b*, convert it to RGB",
    "ITULAB": "colours as L*a*b*, convert it to RGB",
    "CFA": "the mosaic of a camera's sensor, develop it first",
    "LOGL": "logarithms of light, convert it to floats",
    "LOGLUV": "logarithms of light, convert it to floats",
}

#: Tags that say where and what: orientation, artist, place on earth (GeoTIFF), GDAL's.
_KEPT_TAGS = (274, 306, 315, 33432, 33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)

#: What tifffile says of formats whose own metadata it can write again, or that have none.
_PLAIN = {"ome", "imagej", "shaped", "uniform", "bigtiff", "geotiff", "gdal", "ndtiff", "virtual"}


@dataclass
class _Origin:
    """How a TIFF file was written."""

    style: str  # "ome", "imagej", "shaped" or "plain"
    file: dict[str, Any]  # of the whole file: byte order, BigTIFF
    page: dict[str, Any]  # of each page: compression, tiles, colours
    metadata: dict[str, Any] = field(default_factory=dict)
    description: bytes | None = None  # as it was, if it fits what is written
    dtype: np.dtype | None = None
    samples: int | None = None  # the axis of colours


@contextmanager
def _silence() -> Iterator[None]:
    """Keep tifffile from writing to the terminal what it does not like in a file."""
    logger = logging.getLogger("tifffile")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def read(path: Path, options: Options) -> Picture:
    """Read a series of a TIFF file."""
    import tifffile

    with _silence():
        try:
            tif = tifffile.TiffFile(path)
        except tifffile.TiffFileError as error:
            raise Refusal(f"{path}: cannot be read as an array ({error})") from None
        with tif:
            series, notes = _choose(path, tif, options.series)
            page = series.keyframe
            name = getattr(page.photometric, "name", "")
            if name in _REFUSED:
                raise Refusal(f"{path}: holds {_REFUSED[name]}")
            check_shape(path, tuple(series.shape), np.dtype(series.dtype or object), options)
            _check_whole(path, tif, series)
            try:
                array = series.asarray()
            except (ValueError, RuntimeError, ImportError) as error:
                if not isinstance(error, ImportError) and "imagecodecs" not in str(error):
                    raise
                raise Refusal(
                    f"{path}: is compressed by {page.compression.name}, which needs imagecodecs: "
                    "pip install 'sk_n2s[tiff]'"
                ) from None
            return _described(tif, series, array, notes)


def _choose(path: Path, tif: Any, wanted: str | None) -> tuple[Any, list[str]]:
    """Return the series that is meant, and what there is to say of the others."""
    every = list(tif.series)
    names = [f"{k}: {s.axes} {' × '.join(map(str, s.shape))}" for k, s in enumerate(every)]
    listed = "; ".join(names[:8]) + ("; ..." if len(names) > 8 else "")
    if not every:
        raise Refusal(f"{path}: holds no image")
    if wanted is None:
        if len(every) > 1:
            raise Refusal(f"{path}: holds {len(every)} images, choose one by --series ({listed})")
        wanted = "0"
    number, _, level = wanted.partition(".")
    if not number.isdigit() or int(number) >= len(every):
        raise Refusal(f"{path}: has no --series {wanted}, but {listed}")
    series = every[int(number)]
    levels = list(series.levels)
    if level and (not level.isdigit() or int(level) >= len(levels)):
        raise Refusal(f"{path}: --series {wanted}: there are levels 0 to {len(levels) - 1}")
    notes = []
    if len(every) > 1:
        notes.append(f"{len(every) - 1} other images in the file are not written")
    if len(levels) > 1:
        notes.append(f"level {level or 0} of a pyramid of {len(levels)} is written, and no other")
    other = sorted(tif.flags - _PLAIN)
    if other:
        notes.append(f"metadata of the format {other[0]} are not written")
    return levels[int(level or 0)], notes


def _check_whole(path: Path, tif: Any, series: Any) -> None:
    """Refuse a file that ends before its data do, which would be read as zeros."""
    size = tif.filehandle.size
    for page in series.pages:
        if page is None or page.parent is not tif:
            continue
        ends = (o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False))
        if max(ends, default=0) > size:
            raise Refusal(f"{path}: is cut off, page {page.index} is not complete")


def _described(tif: Any, series: Any, array: np.ndarray, notes: list[str]) -> Picture:
    page = series.keyframe
    axes = series.axes
    samples = axes.index("S") if "S" in axes else None
    alpha = None
    photometric = page.photometric
    if photometric.name == "PALETTE" and not tif.is_imagej:
        array, axes, samples = _colours(array, page.colormap), axes + "S", array.ndim
        photometric = type(photometric).RGB
        notes.append("the palette is written as the colours that it stands for")
    clear = [e.value for e in page.extrasamples] if samples is not None else []
    if clear and clear[-1] in (1, 2) and len(clear) == 1:
        alpha = np.take(array, -1, axis=samples)
        array = np.delete(array, -1, axis=samples)
        if array.shape[axes.index("S")] == 1:
            array, axes, samples = array.squeeze(samples), axes.replace("S", ""), None
    origin = _Origin(
        style="ome" if tif.is_ome else "imagej" if tif.is_imagej else "plain",
        file={"bigtiff": tif.is_bigtiff, "byteorder": tif.byteorder},
        page=_layout(page, photometric, clear if alpha is not None else []),
        dtype=array.dtype,
        samples=samples,
    )
    sizes = _keep_metadata(tif, series, axes, origin, is_all=alpha is None)
    channel, batch = roles_of(axes, array.shape)
    notes.insert(0, in_words(axes, array.shape, channel, batch))
    tag = page.tags.get(274)
    return Picture(
        array,
        array.dtype,
        axes=axes,
        channel_axis=channel,
        batch_axis=batch,
        spacing=spacing_of(axes, sizes),
        alpha=alpha,
        orientation=int(tag.value) if tag is not None and tag.value in range(1, 9) else 1,
        notes=[note for note in notes if note],
        origin=origin,
    )


def _colours(indices: np.ndarray, colormap: np.ndarray) -> np.ndarray:
    """Return red, green and blue of a palette, of 8 bits where these hold them."""
    table = np.moveaxis(colormap, 0, -1)
    if (table % 257 == 0).all() or (table % 256 == 0).all():
        table = (table >> 8).astype(np.uint8)
    return table[indices]


def _layout(page: Any, photometric: Any, clear: list[int]) -> dict[str, Any]:
    """Return how the pages of a file are written, in the words of `tifffile.imwrite`."""
    layout: dict[str, Any] = {"photometric": photometric.name.lower()}
    if layout["photometric"] == "ycbcr":
        layout["photometric"] = "rgb"
    if page.samplesperpixel > 1:
        layout["planarconfig"] = page.planarconfig.name.lower()
    if clear:
        layout["extrasamples"] = clear
    if page.compression.value != 1:
        layout["compression"] = page.compression.name
        if page.predictor != 1:
            layout["predictor"] = page.predictor
    if page.is_tiled:
        layout["tile"] = (page.tilelength, page.tilewidth)
    elif page.compression.value != 1 and 0 < page.rowsperstrip < page.imagelength:
        layout["rowsperstrip"] = page.rowsperstrip
    if 282 in page.tags and 283 in page.tags:
        layout["resolution"] = tuple(page.resolution)
        layout["resolutionunit"] = page.resolutionunit
    profile = page.tags.get(34675)
    if profile is not None:
        layout["iccprofile"] = profile.value
    layout["software"] = page.software.encode() if page.software else False
    layout["extratags"] = [
        (tag.code, tag.dtype, *_counted(tag), True)
        for code in _KEPT_TAGS
        if (tag := page.tags.get(code)) is not None
    ]
    return layout


def _counted(tag: Any) -> tuple[int, Any]:
    """Return the count and the value of a tag, of text as bytes, since it need not be ASCII."""
    return (0, tag.value.encode()) if isinstance(tag.value, str) else (tag.count, tag.value)


def _keep_metadata(
    tif: Any, series: Any, axes: str, origin: _Origin, is_all: bool
) -> dict[str, float]:
    """Keep what a file says of its images, and return the sizes of pixels along its axes."""
    if origin.style == "ome":
        return _keep_ome(tif, series, axes, origin, is_all)
    if origin.style == "imagej":
        known = dict(tif.imagej_metadata or {})
        derived = ("ImageJ", "images", "channels", "slices", "frames", "hyperstack")
        origin.metadata = {k: v for k, v in known.items() if k not in derived} | {"axes": axes}
        x, y = (1 / r if r else np.nan for r in series.keyframe.resolution)
        return {"X": x, "Y": y, "Z": float(known.get("spacing", np.nan))}
    shaped: dict[str, Any] = (tif.shaped_metadata or ({},))[0]
    if shaped:
        origin.style = "shaped"
        origin.metadata = {k: v for k, v in shaped.items() if k != "shape"}
    else:
        text = series.keyframe.description
        origin.description = text.encode() if text else None
    return {}


def _keep_ome(tif: Any, series: Any, axes: str, origin: _Origin, is_all: bool) -> dict[str, float]:
    import tifffile

    xml = tif.ome_metadata
    images = tifffile.xml2dict(xml)["OME"]["Image"]
    images = images if isinstance(images, list) else [images]
    number = next((k for k, s in enumerate(tif.series) if series in list(s.levels)), 0)
    pixels = images[number if number < len(images) else 0]["Pixels"]
    sizes = {a: float(pixels.get(f"PhysicalSize{a}", np.nan)) for a in "XYZ"}
    units = {a: pixels.get(f"PhysicalSize{a}Unit", "µm") for a in "XYZ"}
    indices = [page.index for page in series.pages if page is not None]
    if (
        is_all
        and len(images) == 1
        and "FileName=" not in xml
        and indices == list(range(len(series.pages)))
        and series is tif.series[0].levels[0]
    ):
        origin.description = xml.encode()
    channels = pixels.get("Channel", [])
    channels = channels if isinstance(channels, list) else [channels]
    names = [channel.get("Name") for channel in channels]
    kept = [f"PhysicalSize{a}{u}" for a in "XYZ" for u in ("", "Unit")]
    kept += ["TimeIncrement", "TimeIncrementUnit"]
    origin.metadata = {key: pixels[key] for key in kept if key in pixels} | {"axes": axes}
    if "C" in axes and any(names):
        origin.metadata["Channel"] = {"Name": [str(name or "") for name in names]}
    title = images[number if number < len(images) else 0].get("Name")
    if title:
        origin.metadata["Name"] = title
    return sizes if len(set(units.values())) == 1 else {}


def check(path: Path, like: Picture, dtype: np.dtype) -> None:
    """Refuse what the kind of TIFF that came in cannot hold."""
    if isinstance(like.origin, _Origin) and like.origin.style == "imagej":
        if dtype not in (np.uint8, np.uint16, np.float32):
            raise Refusal(
                f"{path}: ImageJ's files cannot hold {dtype}, give --dtype uint8, uint16 or float32"
            )


def save(path: str, array: Any, like: Picture, jobs: int | None) -> None:
    """Save an array as the file was that it came from, or as a plain TIFF file with its axes."""
    import tifffile

    origin = like.origin
    if not isinstance(origin, _Origin):
        axes = like.axes or ""
        coloured = like.has_colours
        page: dict[str, Any] = {"photometric": "rgb" if coloured else "minisblack"}
        if like.alpha is not None:
            array = np.concatenate([array if coloured else array[..., None], like.alpha[..., None]],
                                   axis=-1)  # fmt: skip
            page |= {"extrasamples": ["unassalpha"], "planarconfig": "contig"}
            axes = axes if coloured else axes + "S"
        named = {"axes": axes} if len(axes) == array.ndim else {}
        tifffile.imwrite(path, array, metadata=named, **page)
        return
    if like.alpha is not None:
        axis = array.ndim if origin.samples is None else origin.samples
        whole = array if origin.samples is not None else np.expand_dims(array, axis)
        array = np.concatenate([whole, np.expand_dims(like.alpha, axis)], axis=axis)
    file, page = dict(origin.file), dict(origin.page)
    metadata: dict[str, Any] | None = dict(origin.metadata)
    if origin.style == "imagej":
        file = {"imagej": True, "byteorder": file["byteorder"]}
        page.pop("extratags")
        page.pop("software")
    elif origin.style == "ome" and (origin.description is None or array.dtype != origin.dtype):
        file["ome"] = True
    elif origin.style in ("ome", "plain"):
        metadata = None
        page["description"] = origin.description
    with _silence(), tifffile.TiffWriter(path, **file) as tif:
        try:
            tif.write(array, metadata=metadata, **page)
            return
        except (ValueError, KeyError, NotImplementedError, RuntimeError):
            if "compression" not in page:
                raise
    # What it was compressed by cannot be written, or not in such a dtype.
    like.notes.append(f"compressed by deflate, since {page['compression']} cannot be written")
    page |= {"compression": "zlib", "predictor": None}
    with _silence(), tifffile.TiffWriter(path, **file) as tif:
        tif.write(array, metadata=metadata, **page)
