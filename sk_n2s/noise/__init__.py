"""What the noise is like, from the noisy array alone."""

from .assumptions import NoiseAssumptionWarning
from .correlation import NoiseCorrelation, estimate_noise_correlation
from .curve import NoiseCurve, estimate_noise_curve
from .estimate import estimate_noise_model
from .level import estimate_noise
from .map import NoiseMap, estimate_noise_map
from .model import NoiseModel
from .outliers import OutlierMasker, Tails, estimate_tails, find_outliers
from .rare import find_rare_values
from .stabilization import GeneralizedAnscombe
from .stabilizers import ClippedNoise, LogTransform, RicianNoise, stabilizer_for
from .table import estimate_table_noise

__all__ = [
    "ClippedNoise",
    "GeneralizedAnscombe",
    "LogTransform",
    "NoiseAssumptionWarning",
    "NoiseCorrelation",
    "NoiseCurve",
    "NoiseMap",
    "NoiseModel",
    "OutlierMasker",
    "RicianNoise",
    "Tails",
    "estimate_noise",
    "estimate_noise_correlation",
    "estimate_noise_curve",
    "estimate_noise_map",
    "estimate_noise_model",
    "estimate_table_noise",
    "estimate_tails",
    "find_outliers",
    "find_rare_values",
    "stabilizer_for",
]
