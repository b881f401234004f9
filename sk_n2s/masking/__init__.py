"""What is hidden, and what takes its place: partitions, fills, and the views they make."""

from .base import Partition
from .blind_spots import BlindSpotPartition
from .fills import Fill, MeanFill, MedianFill, RandomFill, ZeroFill
from .lattice import LatticePartition
from .partitions import (
    CheckerboardPartition,
    ColumnPartition,
    GridPartition,
    PairPartition,
    RandomPartition,
)
from .tables import BlockPartition, ColumnFill, MissingFill
from .thinning import (
    BinomialThinning,
    GammaThinning,
    GaussianThinning,
    NegativeBinomialThinning,
    Thinning,
)
from .views import View, ViewPlan

__all__ = [
    "BinomialThinning",
    "BlindSpotPartition",
    "BlockPartition",
    "CheckerboardPartition",
    "ColumnFill",
    "ColumnPartition",
    "Fill",
    "GammaThinning",
    "GaussianThinning",
    "GridPartition",
    "LatticePartition",
    "MeanFill",
    "MedianFill",
    "MissingFill",
    "NegativeBinomialThinning",
    "PairPartition",
    "Partition",
    "RandomFill",
    "RandomPartition",
    "Thinning",
    "View",
    "ViewPlan",
    "ZeroFill",
]
