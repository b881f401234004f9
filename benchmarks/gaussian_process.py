"""Gaussian processes, where the optimum is known: how far a search is from it.

Periodic textures with a Gaussian covariance of several length scales, and white noise. The best
estimate of a pixel from all pixels is the posterior mean; the best one from all *others* is
the posterior mean without it, which no J-invariant function can beat. Both are linear
filters, known to whoever knows the covariance and the noise; the search is told neither.
"""

import numpy as np  # noqa: I001
from sklearn.linear_model import Ridge

from sk_n2s import JInvariantWrapper, SelfSupervisedSearchCV
from sk_n2s.denoisers import RegressionDenoiser, butterworth, gaussian, uniform, wiener

from ._common import arguments, cpu_seconds, table

SIDE = 256
SIGMA = 0.5


def spectrum(length_scale):
    """Return the power spectrum of a texture of variance 1 on a torus."""
    steps = np.minimum(np.arange(SIDE), SIDE - np.arange(SIDE))
    covariance = np.exp(-((steps[:, None] ** 2 + steps**2) / (2 * length_scale**2)))
    return np.maximum(np.fft.rfft2(covariance).real, 0)


def posterior_means(noisy, power):
    """Return the posterior mean of each pixel, with and without its own measurement.

    With A the covariance of the measurements, these are x − σ²A⁻¹x and
    x − A⁻¹x / (A⁻¹)ᵢᵢ: the latter is the formula of leave-one-out cross-validation.
    """
    inverse = 1 / (power + SIGMA**2)
    white = np.fft.irfft2(np.fft.rfft2(noisy) * inverse, s=noisy.shape)
    diagonal = np.fft.irfft2(inverse, s=noisy.shape)[0, 0]
    return noisy - SIGMA**2 * white, noisy - white / diagonal, SIGMA**2 * diagonal


def main():
    args = arguments(__doc__)
    scales = [0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0] if args.full else [0.7, 1.0, 2.0, 4.0]
    grid = [
        {"denoiser": [gaussian], "sigma": np.geomspace(0.4, 8, 14)},
        {"denoiser": [uniform], "radius": range(1, 6)},
        {"denoiser": [butterworth], "cutoff": np.geomspace(0.02, 0.4, 8), "order": [2, 4]},
        {"denoiser": [wiener], "cutoff": np.geomspace(0.02, 0.4, 10), "exponent": [2, 4, 8]},
    ]
    windows = {"radius": [1, 2, 4, 6]}
    rows = []
    for seed, scale in enumerate(scales):
        rng = np.random.default_rng(seed)
        power = spectrum(scale)
        white = rng.normal(size=(SIDE, SIDE))
        clean = np.fft.irfft2(np.fft.rfft2(white) * np.sqrt(power), s=white.shape)
        noisy = clean + rng.normal(scale=SIGMA, size=clean.shape)
        with_pixel, without, share = posterior_means(noisy, power)

        def error(found, clean=clean):
            return float(np.mean((found - clean) ** 2)) / SIGMA**2

        def searches(noisy=noisy):
            yield SelfSupervisedSearchCV(JInvariantWrapper(gaussian), grid).fit(noisy)
            linear = RegressionDenoiser(Ridge(), scales=(1,), random_state=0)
            yield SelfSupervisedSearchCV(linear, windows).fit(noisy)

        done, seconds = cpu_seconds(lambda: list(searches()))
        search = max(done, key=lambda one: one.best_score_)
        found = error(search.transform(noisy))
        # In theory the first is 1 − σ²(A⁻¹)ᵢᵢ, and the second 1/(σ²(A⁻¹)ᵢᵢ) − 1, of σ².
        theory = [1 - share, 1 / share - 1]
        best = search.best_params_.get("denoiser", search.estimator)
        rows.append(
            [
                scale,
                float(theory[0]),
                error(with_pixel),
                float(theory[1]),
                error(without),
                found,
                found / error(without),
                getattr(best, "__name__", type(best).__name__),
                seconds,
            ]
        )
    table(
        [
            "length scale",
            "with: theory",
            "measured",
            "without: theory",
            "measured",
            "search",
            "search/optimum",
            "chosen",
            "CPU s",
        ],
        rows,
    )
    print("mean squared errors, in units of the variance of the noise")


if __name__ == "__main__":
    main()
