"""Warnings that point to the line of the user who is warned."""

from __future__ import annotations

import sys
import warnings

__all__ = ["warn"]

_OURS = ("sk_n2s", "sklearn", "joblib", "threading", "contextlib")


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn, from the first line outside the package and scikit-learn."""
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _OURS:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
