"""What the common tests run through. A new partition, fill, loss or kind of noise is added here."""

import numpy as np

from sk_n2s import (
    BlindSpotPartition,
    CheckerboardPartition,
    ColumnPartition,
    GridPartition,
    PairPartition,
    RandomPartition,
)
from sk_n2s.losses import absolute_error, poisson_deviance, squared_error
from sk_n2s.masking import LatticePartition
from sk_n2s.masking.fills import MeanFill, MedianFill, RandomFill, ZeroFill, check_fill
from sk_n2s.noise import NoiseCurve, NoiseModel

#: The denoisers that take fewer axes than the common tests have.
MOST_AXES = {"tv_bregman": 2}

PARTITIONS = [
    None,
    GridPartition(3),
    CheckerboardPartition(),
    LatticePartition(8),
    RandomPartition(3, random_state=0),
    ColumnPartition(3),
    PairPartition(),
    BlindSpotPartition((1, 0), stride=(4, 2)),
    BlindSpotPartition(((True, False, False), (False, True, False), (False, True, True)), 4),
    BlindSpotPartition((None, 1)),
    BlindSpotPartition(1),
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
LOSSES = [squared_error, absolute_error, poisson_deviance]
NOISES = [
    NoiseModel(0.5),
    NoiseModel(0.0),
    NoiseModel(np.linspace(1, 2, 14)),
    NoiseModel(np.linspace(1, 2, 12 * 14).reshape(12, 14)),
    NoiseModel(curve=NoiseCurve(gain=2.0, intercept=1.0)),
    NoiseModel(0.5, correlation=[[0.1, 0.2, 0.1], [0.4, 1.0, 0.4], [0.1, 0.2, 0.1]]),
]
