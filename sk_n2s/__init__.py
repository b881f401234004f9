"""Denoising without clean data: calibrate any denoiser on the noisy array alone.

A J-invariant function predicts entries of an array from the others only; its distance to
the noisy data is its true error plus a constant (Batson & Royer, "Noise2Self", ICML 2019,
arXiv 1901.11365). `JInvariantWrapper` makes any denoiser J-invariant, and
`SelfSupervisedSearchCV` finds its best parameters.
"""

from .auto import AutoDenoiser
from .j_invariance import JInvariantWrapper, check_j_invariance
from .masking import (
    BlindSpotPartition,
    CheckerboardPartition,
    ColumnPartition,
    GridPartition,
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
