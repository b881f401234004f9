"""Classical denoisers: plain functions ``name(X, *, param=default)`` of a float array.

All work on the data's own scale and return an array of the same shape and dtype. A
strength in the unit of the data has the default None, which takes it from the noise level
that the data suggest. What a denoiser says of itself is declared by `declare`: those with an
attribute ``exact`` have a J-invariant form that costs one pass, those with a reach can be run
on pieces of the data. `RegressionDenoiser` and `DirectionsDenoiser`, which learn, are estimators;
`bm3d` calls a package that has its own licence.
"""

from .adaptive import bilateral, nl_means
from .chained import lichi
from .conditional import ConditionalGaussianDenoiser
from .cosine import dct
from .diffusion import DiffusionDenoiser
from .directions import DirectionsDenoiser
from .external import bm3d
from .frequency import butterworth, wiener
from .linear import gaussian, uniform
from .low_rank import LowRankDenoiser
from .rank import median
from .regression import RegressionDenoiser
from .ridge import nl_ridge
from .traits import declare, get_exact_form, reach_of, traits_of
from .variation import tv, tv_bregman
from .wavelets import wavelet

#: The denoisers by name: what the command line offers, and what the common tests run through.
DENOISERS = {
    function.__name__: function
    for function in (
        bilateral,
        butterworth,
        dct,
        gaussian,
        lichi,
        median,
        nl_means,
        nl_ridge,
        tv,
        tv_bregman,
        uniform,
        wavelet,
        wiener,
    )
}

__all__ = [
    "DENOISERS",
    "ConditionalGaussianDenoiser",
    "DiffusionDenoiser",
    "DirectionsDenoiser",
    "LowRankDenoiser",
    "RegressionDenoiser",
    "bilateral",
    "bm3d",
    "butterworth",
    "dct",
    "declare",
    "gaussian",
    "get_exact_form",
    "lichi",
    "median",
    "nl_means",
    "nl_ridge",
    "reach_of",
    "traits_of",
    "tv",
    "tv_bregman",
    "uniform",
    "wavelet",
    "wiener",
]
