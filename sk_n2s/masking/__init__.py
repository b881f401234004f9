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
from .views import View, ViewPlan

__all__ = [
    "BlindSpotPartition",
    "CheckerboardPartition",
    "ColumnPartition",
    "Fill",
    "GridPartition",
    "MeanFill",
    "MedianFill",
    "PairPartition",
    "Partition",
    "RandomFill",
    "RandomPartition",
    "View",
    "ViewPlan",
    "ZeroFill",
]
