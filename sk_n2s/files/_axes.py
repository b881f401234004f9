"""What the letters of axes mean: channels, items that are denoised one by one, neighbours."""

from __future__ import annotations

import numpy as np

__all__ = ["in_words", "roles_of", "spacing_of"]


def roles_of(axes: str, shape: tuple[int, ...]) -> tuple[int | None, int | None]:
    """Return the axis of channels and that of items, by letters as T, Z, C, Y, X, S.

    Colours and channels are denoised together. A film is denoised along time; a film of volumes
    one volume at a time.
    """
    there = {letter: axes.index(letter) for letter in axes if shape[axes.index(letter)] > 1}
    channel = there.get("S", there.get("C"))
    batch = there["T"] if {"T", "Z"} <= there.keys() else None
    if {"S", "C"} <= there.keys() and batch is None:
        batch = there["C"]  # several coloured pictures
    return channel, batch


def in_words(axes: str, shape: tuple[int, ...], channel: int | None, batch: int | None) -> str:
    """Return what axes were taken for, or nothing where there is no choice."""
    known = [(k, letter) for k, letter in enumerate(axes) if shape[k] > 1]
    if len(known) <= 2 or "".join(letter for _, letter in known) == "YXS":
        return ""
    near = " ".join(letter for k, letter in known if k not in (channel, batch))
    text = f"axes {axes}: neighbours along {near}"
    if channel is not None:
        text += f"; channels along {axes[channel]}"
    return text + (f"; one by one along {axes[batch]}" if batch is not None else "")


def spacing_of(axes: str, sizes: dict[str, float]) -> tuple[float, ...] | None:
    """Return the distance of entries along each axis of space; None if it is not known."""
    space = [sizes.get(letter, np.nan) for letter in "ZYX" if letter in axes]
    if len(space) < 3 or not all(np.isfinite(s) and s > 0 for s in space):
        return None
    return tuple(float(sizes[letter]) if letter in "ZYX" else np.nan for letter in axes)
