"""Denoising without clean data: calibrate any denoiser on the noisy array alone.

A J-invariant function predicts entries of an array from the others only; its distance to
the noisy data is its true error plus a constant (Batson & Royer, "Noise2Self", ICML 2019,
arXiv 1901.11365). `JInvariantWrapper` makes any denoiser J-invariant, and
`SelfSupervisedSearchCV` finds its best parameters.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .auto import AutoDenoiser
    from .j_invariance import JInvariantWrapper, check_j_invariance
    from .masking import (
        BlindSpotPartition,
        CheckerboardPartition,
        ColumnPartition,
        GridPartition,
        LatticePartition,
        PairPartition,
        Partition,
        RandomPartition,
    )
    from .noise import GeneralizedAnscombe, OutlierMasker
    from .search import (
        SelfSupervisedHalvingSearchCV,
        SelfSupervisedRandomizedSearchCV,
        SelfSupervisedSearchCV,
        WholeArray,
    )
    from .stacking import SelfSupervisedStacker

__version__ = "0.1.0"

__all__ = [
    "AutoDenoiser",
    "BlindSpotPartition",
    "CheckerboardPartition",
    "ColumnPartition",
    "GeneralizedAnscombe",
    "GridPartition",
    "JInvariantWrapper",
    "LatticePartition",
    "OutlierMasker",
    "PairPartition",
    "Partition",
    "RandomPartition",
    "SelfSupervisedHalvingSearchCV",
    "SelfSupervisedRandomizedSearchCV",
    "SelfSupervisedSearchCV",
    "SelfSupervisedStacker",
    "WholeArray",
    "check_j_invariance",
]

#: Where names are from: the rooms are loaded when they are asked for, so that the command line
#: refuses what is wrong before scikit-learn is there.
_ROOMS = {
    "auto": ("AutoDenoiser",),
    "j_invariance": ("JInvariantWrapper", "check_j_invariance"),
    "masking": (
        "BlindSpotPartition",
        "CheckerboardPartition",
        "ColumnPartition",
        "GridPartition",
        "LatticePartition",
        "PairPartition",
        "Partition",
        "RandomPartition",
    ),
    "noise": ("GeneralizedAnscombe", "OutlierMasker"),
    "search": (
        "SelfSupervisedHalvingSearchCV",
        "SelfSupervisedRandomizedSearchCV",
        "SelfSupervisedSearchCV",
        "WholeArray",
    ),
    "stacking": ("SelfSupervisedStacker",),
    "denoisers": (),
    "losses": (),
    "plotting": (),
    "testing": (),
}


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f".{name}", __name__)
    for room, names in _ROOMS.items():
        if name in names:
            value = getattr(import_module(f".{room}", __name__), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
