"""What the result is worth: against the best denoiser that is told what nobody knows.

Six tables: `nl_ridge` against BM3D, both told the noise level; `AutoDenoiser`, told nothing,
against BM3D told it, on Gaussian noise and (between Anscombe's transform and its inverse) on
counts; what the choice of parameters without clean data loses; how often a plain output is the
noisy image; how far the estimated PSNR is off; what blending gains. BM3D is run if the package
`bm3d` is installed (its licence is non-commercial); noise is from `default_rng(3)`, not clipped.

By default two images of 256×256; `--full` takes all images in full.
"""

from benchmarks import _common  # noqa: F401  one thread, before NumPy is loaded

import warnings  # isort: skip
from functools import partial  # isort: skip

import numpy as np

from benchmarks._common import arguments, cpu_seconds, images, psnr, table
from sk_n2s import AutoDenoiser, GeneralizedAnscombe, JInvariantWrapper, SelfSupervisedSearchCV
from sk_n2s.denoisers import gaussian, median, nl_means, nl_ridge, tv, wavelet

try:
    import bm3d
except ImportError:
    bm3d = None

LEVELS = (15, 25, 50)
PEAKS = (20, 5)
IN_NOISE = (0.3, 0.45, 0.6, 0.8, 1.0, 1.3, 1.7)
GRIDS = {
    "median": (median, "radius", [1, 2, 3, 4], False),
    "gaussian": (gaussian, "sigma", [0.3, 0.5, 0.7, 0.9, 1.2, 1.6, 2.2], False),
    "tv": (tv, "weight", [0.2, 0.4, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2], True),
    "wavelet": (wavelet, "sigma", [0.01, 0.5, 0.7, 0.85, 1.0, 1.2, 1.5], True),
    "nl_means": (nl_means, "h", [0.01, *IN_NOISE], True),
}


def gaussian_noise(clean, level):
    return clean + np.random.default_rng(3).normal(scale=level / 255, size=clean.shape)


def counts(clean, peak):
    return np.random.default_rng(3).poisson(clean * peak) / peak


def told(denoiser, X, sigma):
    """Return a denoiser's output, told the noise level, and its CPU seconds."""
    return cpu_seconds(lambda: denoiser(X, sigma))


def between_anscombe(denoiser, X, peak):
    transform = GeneralizedAnscombe(1 / peak).fit(X)

    def run():
        return transform.inverse_transform(denoiser(transform.transform(X), 1.0))

    return cpu_seconds(run)


def compare(data):
    """Return the rows of the first two tables, and errors of the estimated PSNR."""
    ridge, auto, off = [], [], []
    for kind, level in [("sigma", s) for s in LEVELS] + [("peak", p) for p in PEAKS]:
        rows = []
        for _, clean in data:
            noisy = gaussian_noise(clean, level) if kind == "sigma" else counts(clean, level)
            found = [np.nan] * 4
            if bm3d is not None and kind == "sigma":
                found[:2] = told(bm3d.bm3d, noisy, level / 255)
            elif bm3d is not None:
                found[:2] = between_anscombe(bm3d.bm3d, noisy, level)
            if bm3d is not None:
                found[0] = psnr(found[0], clean)
            run = nl_ridge_told if kind == "sigma" else nl_ridge_counts
            denoised, seconds = run(noisy, level)
            found[2:] = psnr(denoised, clean), seconds
            chosen, seconds = cpu_seconds(partial(AutoDenoiser().fit, noisy))
            true = psnr(chosen.transform(noisy), clean)
            off.append((kind, level, -10 * np.log10(chosen.estimated_mse_) - true))
            rows.append([*found, true, seconds])
        mean = np.mean(rows, axis=0)
        name = f"{kind} {level}"
        ridge.append([name, *mean[:4], mean[3] / mean[1]])
        auto.append([name, mean[0], mean[4], mean[4] - mean[0], mean[5], mean[5] / mean[1]])
    return ridge, auto, off


def nl_ridge_told(X, level):
    return cpu_seconds(lambda: nl_ridge(X, sigma=level / 255))


def nl_ridge_counts(X, peak):
    return between_anscombe(lambda Z, sigma: nl_ridge(Z, sigma=sigma), X, peak)


def choices(data):
    """Return the rows of the tables of regret, of the trap, and of estimated PSNRs."""
    regret, trapped, off = [], 0, {"given": [], "estimated": []}
    for name, (denoiser, param, values, relative) in GRIDS.items():
        losses = {"invariant": [], "plain": []}
        for _, clean in data:
            for kind, level in [("sigma", s) for s in LEVELS] + [("peak", 20)]:
                noisy = gaussian_noise(clean, level) if kind == "sigma" else counts(clean, level)
                variance = np.mean((noisy - clean) ** 2)
                unit = np.sqrt(variance) if relative else 1
                grid = {param: [v * unit if relative else v for v in values]}
                for output, lost in losses.items():
                    wrapper = JInvariantWrapper(denoiser, output=output)
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")  # of candidates that do not help
                        search = SelfSupervisedSearchCV(wrapper, grid).fit(noisy)
                    every = [
                        psnr(wrapper.set_params(**p).fit(noisy).transform(noisy), clean)
                        for p in search.cv_results_["params"]
                    ]
                    found, before = every[search.best_index_], psnr(noisy, clean)
                    lost.append(max(every) - found)
                    if output == "plain":
                        trapped += max(every) > before + 3 and found < before + 1
                    if kind == "sigma":
                        estimate = -10 * np.log10(search.estimated_mse_)
                        off["estimated"].append(estimate - found)
                        best = search.best_estimator_.set_params(noise_variance=(level / 255) ** 2)
                        one = {param: [search.best_params_[param]]}
                        given = SelfSupervisedSearchCV(best, one).fit(noisy)
                        off["given"].append(-10 * np.log10(given.estimated_mse_) - found)
        regret.append(
            [name, *(f(losses[k]) for k in losses for f in (np.mean, np.max))],
        )
    means = np.mean([row[1:] for row in regret], axis=0)
    regret.append(["all", means[0], max(r[2] for r in regret), means[2], max(r[4] for r in regret)])
    return regret, trapped, off


def main():
    args = arguments(__doc__.splitlines()[0])
    data = list(images(args.data, args.full))
    if not args.full:
        data = [(name, clean[-256:, :256]) for name, clean in data[:2]]
    print(f"{len(data)} images; PSNR in dB for a peak of 1, CPU seconds of one thread\n")
    ridge, auto, blind = compare(data)
    print("1. Told the noise level")
    table(["noise", "BM3D", "seconds", "nl_ridge", "seconds", "ratio"], ridge)
    print("\n2. Told nothing, against BM3D told the noise level")
    table(["noise", "BM3D", "AutoDenoiser", "difference", "seconds", "ratio"], auto)
    regret, trapped, off = choices(data)
    print("\n3. PSNR lost by choosing without clean data, by grid search told the truth")
    table(["grid", "invariant, mean", "largest", "plain, mean", "largest"], regret)
    print("\n4. Plain outputs within 1 dB of the noisy image, where 3 dB could be had:", trapped)
    print("\n5. Estimated PSNR minus true PSNR")
    rows = [[f"search, noise level {k}", np.mean(np.abs(v)), np.mean(v)] for k, v in off.items()]
    white = [gap for kind, _, gap in blind if kind == "sigma"]
    rows.append(["AutoDenoiser, told nothing", np.mean(np.abs(white)), np.mean(white)])
    table(["", "mean size", "mean"], rows)
    print("\n6. NL-means on camera, 512×512, noise of 0.1")
    from skimage.data import camera

    clean = camera() / 255
    noisy = gaussian_noise(clean, 25.5)
    rows = []
    for output in ("invariant", "plain", "blend"):
        wrapper = JInvariantWrapper(nl_means, output=output)
        search = SelfSupervisedSearchCV(wrapper, {"h": [0.06, 0.07, 0.08, 0.09, 0.1]}).fit(noisy)
        rows.append([output, search.best_params_["h"], psnr(search.transform(noisy), clean)])
    table(["output", "h", "PSNR"], rows)


if __name__ == "__main__":
    main()
