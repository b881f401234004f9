"""GIF, by Pillow: a picture or a film of them, as grey values or the colours of the palettes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ._axes import in_words, roles_of
from .images import chosen_frame, opened
from .picture import Options, Picture, Refusal, check_shape

__all__ = ["check", "read", "save"]

#: What goes back into the file as it came.
_KEPT = ("loop", "comment")

_LONGEST_SIDE = 2**16 - 1


def read(path: Path, options: Options) -> Picture:
    """Read all frames, or the one that is chosen; what is clear in them apart."""
    from PIL import ImageSequence

    with opened(path, ("GIF",), "GIF") as image:
        count = getattr(image, "n_frames", 1)
        chosen = range(count)
        if options.series is not None:
            number = chosen_frame(path, count, options.series)
            chosen = range(number, number + 1)
        shape = (len(chosen), image.height, image.width, 4)
        check_shape(path, shape, np.dtype(np.uint8), options)
        frames = np.empty(shape, np.uint8)
        durations = []
        for k, frame in enumerate(ImageSequence.Iterator(image)):
            if k in chosen:
                frames[k - chosen[0]] = np.asarray(frame.convert("RGBA"))
                durations.append(frame.info.get("duration", 0))
        kept = {key: image.info[key] for key in _KEPT if key in image.info}
    array, alpha, axes = frames[..., :3], frames[..., 3], "TYXS"
    if (array == array[..., :1]).all():
        array, axes = array[..., 0], "TYX"
    if len(chosen) == 1:
        array, alpha, axes = array[0], alpha[0], axes[1:]
    notes = [f"{count - 1} other pictures in the file are not written"] * (len(chosen) < count)
    if axes.endswith("S"):
        notes.append("its palettes are written as 256 colours of each picture, anew")
    channel, batch = roles_of(axes, array.shape)
    said = in_words(axes, array.shape, channel, batch)
    return Picture(
        np.ascontiguousarray(array),
        np.dtype(np.uint8),
        axes=axes,
        channel_axis=channel,
        batch_axis=batch,
        alpha=None if (alpha == 255).all() else alpha.copy(),
        notes=[note for note in (said, *notes) if note],
        origin={**kept, **({"duration": durations} if any(durations) else {})},
    )


def check(path: Path, like: Picture, dtype: np.dtype) -> None:
    """Refuse what the format cannot hold."""
    shape, coloured = like.array.shape, like.has_colours
    if len(shape) - coloured not in (2, 3) or (coloured and shape[-1] != 3):
        raise Refusal(f"{path}: .gif cannot hold shape {shape}, write .npy or .tif")
    if dtype != np.uint8:
        raise Refusal(
            f"{path}: .gif cannot hold {dtype} data, write .npy or .tif, or give --dtype uint8"
        )
    if max(shape) > _LONGEST_SIDE:
        raise Refusal(f"{path}: .gif holds at most {_LONGEST_SIDE} pixels along an axis")


def save(path: str, array: Any, like: Picture, jobs: int | None) -> None:
    """Save pictures: grey values exactly, colours by the 256 that come nearest in each."""
    from PIL import Image

    array = np.asarray(array)
    coloured = like.has_colours
    frames = array if array.ndim - coloured == 3 else array[np.newaxis]
    alpha = None if like.alpha is None else like.alpha.reshape(frames.shape[:3])
    pictures = [Image.fromarray(np.ascontiguousarray(frame)) for frame in frames]
    if alpha is not None:
        for picture, clear in zip(pictures, alpha, strict=True):
            picture.putalpha(Image.fromarray(np.ascontiguousarray(clear)))
    elif coloured:
        pictures = [p.quantize(256, dither=Image.Dither.NONE) for p in pictures]
    kept = {key: value for key, value in (like.origin or {}).items() if value not in ([], b"")}
    if len(kept.get("duration", [0])) != len(pictures):
        kept.pop("duration", None)
    pictures[0].save(path, save_all=True, append_images=pictures[1:], optimize=False, **kept)
