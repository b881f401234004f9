"""What the common tests run through. A new partition or fill is added here."""

import numpy as np

from sk_n2s import (
    CheckerboardPartition,
    ColumnPartition,
    GridPartition,
    PairPartition,
    RandomPartition,
)
from sk_n2s.masking.fills import MeanFill, MedianFill, RandomFill, ZeroFill, check_fill

#: The denoisers that take fewer axes than the common tests have.
MOST_AXES = {"tv_bregman": 2}

PARTITIONS = [
    None,
    GridPartition(3),
    CheckerboardPartition(),
    RandomPartition(3, random_state=0),
    ColumnPartition(3),
    PairPartition(),
]
FILLS = [
    MeanFill(),
    MeanFill("square"),
    MeanFill(border="mirror"),
    MedianFill(),
    RandomFill(),
    ZeroFill(),
    check_fill(lambda X, hidden: np.nanmean(X)),
]
