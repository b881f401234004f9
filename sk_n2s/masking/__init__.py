"""What is hidden, and what takes its place: partitions, fills, and the views they make."""

from .fills import Fill, MeanFill, MedianFill, RandomFill, ZeroFill
from .partitions import (
    CheckerboardPartition,
    ColumnPartition,
    GridPartition,
    PairPartition,
    Partition,
    RandomPartition,
)
from .views import View, ViewPlan

__all__ = [
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
