"""What is hidden, and what takes its place: partitions, fills, and the views they make."""

from .base import Partition
from .blind_spots import BlindSpotPartition
from .fills import Fill, MeanFill, MedianFill, RandomFill, ZeroFill
from .partitions import (
    CheckerboardPartition,
    ColumnPartition,
    GridPartition,
    PairPartition,
    RandomPartition,
)
from .tables import BlockPartition, ColumnFill, MissingFill
from .views import View, ViewPlan

__all__ = [
    "BlindSpotPartition",
    "BlockPartition",
    "CheckerboardPartition",
    "ColumnFill",
    "ColumnPartition",
    "Fill",
    "GridPartition",
    "MeanFill",
    "MedianFill",
    "MissingFill",
    "PairPartition",
    "Partition",
    "RandomFill",
    "RandomPartition",
    "View",
    "ViewPlan",
    "ZeroFill",
]
