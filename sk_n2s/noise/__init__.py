"""What the noise is like, from the noisy array alone."""

from .correlation import NoiseCorrelation, estimate_noise_correlation
from .curve import NoiseCurve, estimate_noise_curve
from .level import estimate_noise
from .model import NoiseModel, estimate_noise_model
from .stabilization import GeneralizedAnscombe
from .stabilizers import ClippedNoise, LogTransform, RicianNoise, stabilizer_for

__all__ = [
    "ClippedNoise",
    "GeneralizedAnscombe",
    "LogTransform",
    "NoiseCorrelation",
    "NoiseCurve",
    "NoiseModel",
    "RicianNoise",
    "estimate_noise",
    "estimate_noise_correlation",
    "estimate_noise_curve",
    "estimate_noise_model",
    "stabilizer_for",
]
