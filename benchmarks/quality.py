"""What the result is worth: against the best denoiser that is told what nobody knows.

Nine tables: `lichi` and `nl_ridge` against BM3D, all told the noise level; `AutoDenoiser`, told
nothing, against BM3D told it, on Gaussian noise and (between Anscombe's transform and its inverse)
on counts; what the choice of parameters without clean data loses; how often a plain output is the
noisy image; how far the estimated PSNR is off; what blending gains; colours, against BM3D told the
level; signals, against the best wavelet; volumes and films. BM3D is run if the package `bm3d` is
installed (its licence is non-commercial); noise is from `default_rng(3)`, not clipped.

By default two images of 256×256; `--full` takes all images in full, which takes hours; with
`--only` some of the parts: `told` (tables 1, 2), `choice` (3, 4, 5), `blend` (6), `colour` (7),
`signals` (8), `volumes` (9); `--effort` is that of AutoDenoiser.
"""

from benchmarks import _common  # noqa: F401  one thread, before NumPy is loaded

import sys  # isort: skip
import warnings  # isort: skip
from functools import partial  # isort: skip
from itertools import product  # isort: skip

import numpy as np
from scipy import ndimage

from benchmarks._common import arguments, cpu_seconds, images, psnr, table
from sk_n2s import AutoDenoiser, GeneralizedAnscombe, JInvariantWrapper, SelfSupervisedSearchCV
from sk_n2s.denoisers import gaussian, lichi, median, nl_means, nl_ridge, tv, wavelet

try:
    from bm3d import bm3d, bm3d_rgb
except ImportError:
    bm3d = bm3d_rgb = None

GAUSSIAN = [("sigma", 15), ("sigma", 25), ("sigma", 50)]
POISSON = [("peak", 20), ("peak", 5)]
IN_NOISE = (0.3, 0.45, 0.6, 0.8, 1.0, 1.3, 1.7)
GRIDS = {  # the denoiser, its parameter, the values, and whether these are in units of the noise
    "median": (median, "radius", [1, 2, 3, 4], False),
    "gaussian": (gaussian, "sigma", [0.3, 0.5, 0.7, 0.9, 1.2, 1.6, 2.2], False),
    "tv": (tv, "weight", [0.2, 0.4, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2], True),
    "wavelet": (wavelet, "sigma", [0.01, 0.5, 0.7, 0.85, 1.0, 1.2, 1.5], True),
    "nl_means": (nl_means, "h", [0.01, *IN_NOISE], True),
}


def with_noise(clean, kind, level):
    rng = np.random.default_rng(3)
    if kind == "peak":
        return rng.poisson(clean * level) / level
    return clean + rng.normal(scale=level / 255, size=clean.shape)


def told(denoiser, X, kind, level):
    """Return the output of a denoiser that is told the noise."""
    if kind == "sigma":
        return denoiser(X, level / 255)
    transform = GeneralizedAnscombe(1 / level).fit(X)
    return transform.inverse_transform(denoiser(transform.transform(X), 1.0))


#: What is told the noise level, as BM3D is.
TOLD = {
    "nl_ridge": lambda X, sigma: nl_ridge(X, sigma=sigma),
    "lichi": lambda X, sigma: lichi(X, sigma=sigma),
    "lichi, step 6": lambda X, sigma: lichi(X, sigma=sigma, step=6),
    "lichi, step 6, 4 steps": lambda X, sigma: lichi(X, sigma=sigma, step=6, n_steps=4),
}


def compare(data, effort):
    """Print the first two tables, and how far the AutoDenoiser's own estimate is off."""
    against = TOLD if bm3d is None else {"BM3D": bm3d, **TOLD}
    rows, off = {method: [] for method in [*TOLD, "AutoDenoiser"]}, []
    for kind, level in GAUSSIAN + POISSON:
        found = {method: [] for method in ["BM3D", *rows]}
        for name, clean in data:
            noisy = with_noise(clean, kind, level)
            for method, denoiser in against.items():
                output, seconds = cpu_seconds(partial(told, denoiser, noisy, kind, level))
                found[method].append((psnr(output, clean), seconds))
            chosen, seconds = cpu_seconds(partial(AutoDenoiser(effort).fit, noisy))
            quality = psnr(chosen.transform(noisy), clean)
            found["AutoDenoiser"].append((quality, seconds))
            if kind == "sigma":
                off.append(-10 * np.log10(chosen.estimated_mse_) - quality)
            note = ", ".join(
                f"{m} {v[-1][0]:.2f} dB {v[-1][1]:.1f} s" for m, v in found.items() if v
            )
            print(kind, level, name, note, file=sys.stderr)
        means = {m: np.mean(v, axis=0) if v else np.full(2, np.nan) for m, v in found.items()}
        best = means.pop("BM3D")
        for method, ours in means.items():
            case = f"{kind} {level}"
            rows[method].append([case, *best, *ours, ours[0] - best[0], ours[1] / best[1]])
    for method, of_method in rows.items():
        is_auto = method == "AutoDenoiser"
        print(f"{1 + is_auto}. {method}, told {'nothing' if is_auto else 'the noise level'}")
        header = ["noise", "BM3D, told", "CPU s", method, "CPU s", "difference", "ratio"]
        table(header, of_method)
        print()
    known = np.isfinite(off)
    print(f"5b. Estimated PSNR of AutoDenoiser minus the true one: {np.mean(known):.0%} known")
    table(["mean size", "mean"], [[np.mean(np.abs(off), where=known), np.mean(off, where=known)]])


def colour(effort):
    """Print what `lichi` told the level, and AutoDenoiser told nothing, make of colours."""
    from skimage import data as embedded

    crops = {
        "astronaut": embedded.astronaut()[:256, 100:356],
        "astronaut, suit": embedded.astronaut()[256:, :256],
        "coffee": embedded.coffee()[80:336, 180:436],
        "chelsea": embedded.chelsea()[20:276, 100:356],
        "retina": embedded.retina()[500:756, 500:756],
        "stained tissue": embedded.immunohistochemistry()[100:356, 200:456],
    }
    rows = []
    for _, level in GAUSSIAN:
        found = []
        for name, image in crops.items():
            clean = image / 255.0
            noisy = with_noise(clean, "sigma", level)
            best, lasted = np.nan, np.nan
            if bm3d_rgb is not None:
                output, lasted = cpu_seconds(partial(bm3d_rgb, noisy, level / 255))
                best = psnr(output, clean)
            ours, seconds = cpu_seconds(partial(lichi, noisy, sigma=level / 255, channel_axis=-1))
            auto = AutoDenoiser(effort, channel_axis=-1)
            output, of_auto = cpu_seconds(partial(auto.fit_transform, noisy))
            found.append([best, lasted, psnr(ours, clean), seconds, psnr(output, clean), of_auto])
            rows.append([f"{name}, {level}", *found[-1]])
        rows.append([f"mean, {level}", *np.mean(found, axis=0)])
    print("7. Colours, 256×256")
    header = ["image", "BM3D, told", "CPU s", "lichi, told", "CPU s", "AutoDenoiser", "CPU s"]
    table(header, rows)


def _heart(n):
    """Return what resembles an electrocardiogram, of 250 beats."""
    phase = (np.arange(n) / n * 250) % 1
    waves = [(0.2, 0.025, 0.15), (0.37, 0.01, -0.1), (0.4, 0.012, 1), (0.43, 0.01, -0.25)]
    return sum(a * np.exp(-(((phase - m) / s) ** 2) / 2) for m, s, a in [*waves, (0.65, 0.04, 0.3)])


def _threshold(band, sigma, rule, n):
    """Return the universal threshold, or that of the smallest estimate of the error."""
    if rule == "universal":
        return sigma * np.sqrt(2 * np.log(n))
    power = np.sort(np.square(band / sigma))
    k = np.arange(1, band.size + 1)
    risk = band.size - 2 * k + np.cumsum(power) + (band.size - k) * power
    return sigma * np.sqrt(power[np.argmin(risk)])


def _shrunk(X, sigma, basis, mode, rule):
    """Return a signal whose wavelet coefficients were shrunk, cycle-spun."""
    import pywt

    total = np.zeros_like(X)
    for k in range(16):
        bands = pywt.wavedec(np.roll(X, 37 * k), basis, "periodization", level=12)
        for i, band in enumerate(bands[1:], start=1):
            with np.errstate(invalid="ignore"):  # of coefficients that are 0
                bands[i] = pywt.threshold(band, _threshold(band, sigma, rule, X.size), mode)
        once = pywt.waverec(bands, basis, "periodization")
        total += np.roll(once[: X.size], -37 * k) / 16
    return total


def _best_wavelet(X, clean, sigma):
    """Return the best of soft and hard, haar and sym8, by SURE and universal, and what it gives."""
    found = {}
    for basis, mode, rule in product(("haar", "sym8"), ("soft", "hard"), ("universal", "SURE")):
        error = np.mean((_shrunk(X, sigma, basis, mode, rule) - clean) ** 2)
        found[f"{basis}, {mode}, {rule}"] = 10 * np.log10(np.var(clean) / error)
    return max(found.items(), key=lambda item: item[1])


def signals(effort):
    """Print what AutoDenoiser makes of signals, against the best wavelet that is told the level."""
    import pywt

    n, rows = 100_000, []
    names = ("Blocks", "Bumps", "Doppler", "HeaviSine")
    cleans = {name: pywt.data.demo_signal(name, n) for name in names} | {"heart": _heart(n)}
    for name, clean in cleans.items():
        for ratio in (7, 2):
            sigma = np.std(clean) / ratio
            X = clean + np.random.default_rng(3).normal(scale=sigma, size=n)
            which, best = _best_wavelet(X, clean, sigma)
            output, seconds = cpu_seconds(partial(AutoDenoiser(effort).fit_transform, X))
            ours = 10 * np.log10(np.var(clean) / np.mean((output - clean) ** 2))
            rows.append([f"{name}, {ratio}", which, best, ours, ours - best, seconds])
    print("8. Signals of 100,000 samples: signal to noise in dB")
    table(["signal", "best wavelet, told", "dB", "AutoDenoiser", "difference", "CPU s"], rows)


def _phantom(n):
    """Return ellipsoids within each other."""
    z, y, x = np.mgrid[:n, :n, :n] / (n / 2) - 1
    shells = [(1, 0.7, 0.9, 0.8, 0), (-0.6, 0.66, 0.87, 0.78, 0), (-0.2, 0.1, 0.3, 0.2, 0.2)]
    shells += [
        (-0.2, 0.16, 0.4, 0.3, -0.22),
        (0.2, 0.2, 0.25, 0.4, 0),
        (0.2, 0.05, 0.05, 0.05, 0.3),
    ]
    return sum(
        height * (((x - at) / a) ** 2 + (y / b) ** 2 + (z / c) ** 2 <= 1)
        for height, a, b, c, at in shells
    )


def _blobs(shape, seed):
    """Return smooth blobs of two levels."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 4)
    return ndimage.gaussian_filter(0.1 + 0.8 * (field > np.quantile(field, 0.7)), 0.7)


def _film(image, n_frames, n, speed):
    """Return frames of a camera that pans over an image."""
    shifts = [(-speed[0] * t, -speed[1] * t) for t in range(n_frames)]
    frames = [ndimage.shift(image, s, order=3, mode="mirror") for s in shifts]
    return np.stack([frame[100 : 100 + n, 150 : 150 + n] for frame in frames])


def volumes(effort):
    """Print what becomes of volumes and films, as volumes and frame by frame."""
    from skimage import data as embedded

    image = embedded.camera() / 255.0
    sets = {
        "phantom, 64³": _phantom(64),
        "blobs, slices four times as far apart": _blobs((96, 128, 128), 0)[::4],
        "film of 20 frames, slow": _film(image, 20, 128, (0.7, 1.3)),
        "film of 20 frames, fast": _film(image, 20, 128, (1.7, 2.2)),
        "phantoms, 128×128×64": np.tile(_phantom(64), (2, 2, 1)),
    }
    rows = []
    for name, clean in sets.items():
        noisy = clean + np.random.default_rng(3).normal(scale=0.1, size=clean.shape)
        cells = []
        for denoiser in (nl_ridge, lichi):
            frames = np.stack([denoiser(frame, sigma=0.1) for frame in noisy])
            cells += [psnr(denoiser(noisy, sigma=0.1), clean), psnr(frames, clean)]
        output, seconds = cpu_seconds(partial(AutoDenoiser(effort).fit_transform, noisy))
        rows.append([name, *cells, psnr(output, clean), seconds])
    print("9. Volumes and films, noise of 0.1: told the level, and AutoDenoiser, told nothing")
    header = ["data", *(f"{d}, {h}" for d in ("nl_ridge", "lichi") for h in ("volume", "frames"))]
    table([*header, "AutoDenoiser", "CPU s"], rows)


def choices(data):
    """Print the tables of regret, of the trap, and of estimated PSNRs."""
    regret, trapped, searches = [], [], 0
    off = {"given": [], "estimated": []}
    for name, (denoiser, param, values, relative) in GRIDS.items():
        losses = {"invariant": [], "plain": []}
        for image, clean in data:
            for kind, level in [*GAUSSIAN, POISSON[0]]:
                noisy = with_noise(clean, kind, level)
                unit = np.sqrt(np.mean((noisy - clean) ** 2)) if relative else 1
                grid = {param: [v * unit for v in values] if relative else values}
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
                    print(name, image, kind, level, output, f"{lost[-1]:.3f} dB", file=sys.stderr)
                    if output == "plain":
                        searches += 1
                        if max(every) > before + 3 and found < before + 1:
                            trapped.append((name, image, kind, level))
                    if kind == "sigma":
                        off["estimated"].append(-10 * np.log10(search.estimated_mse_) - found)
                        given = search.best_estimator_.set_params(noise=level / 255)
                        one = {param: [search.best_params_[param]]}
                        told = SelfSupervisedSearchCV(given, one).fit(noisy)
                        off["given"].append(-10 * np.log10(told.estimated_mse_) - found)
        regret.append([name, *(f(losses[k]) for k in losses for f in (np.mean, np.max))])
    columns = list(zip(*regret, strict=True))[1:]
    regret.append(["all", *(f(c) for f, c in zip((np.mean, np.max) * 2, columns, strict=True))])
    print("3. PSNR lost by choosing without clean data, by grid search told the truth")
    table(["grid", "invariant, mean", "largest", "plain, mean", "largest"], regret)
    print("\n4. Plain outputs within 1 dB of the noisy image, where 3 dB could be had:")
    print(f"{len(trapped)} of {searches} searches", *trapped, sep="\n")
    print("\n5. Estimated PSNR minus the true one, Gaussian noise")
    rows = [[f"noise level {k}", np.mean(np.abs(v)), np.mean(v)] for k, v in off.items()]
    table(["", "mean size", "mean"], rows)


def blending():
    """Print what blending gains, on the image for which it is known."""
    from skimage.data import camera

    clean = camera() / 255
    noisy = with_noise(clean, "sigma", 25.5)
    rows = []
    for output in ("invariant", "plain", "blend"):
        wrapper = JInvariantWrapper(nl_means, output=output)
        search = SelfSupervisedSearchCV(wrapper, {"h": [0.06, 0.07, 0.08, 0.09, 0.1]}).fit(noisy)
        rows.append([output, search.best_params_["h"], psnr(search.transform(noisy), clean)])
    print("6. NL-means on camera, 512×512, noise of 0.1")
    table(["output", "h", "PSNR"], rows)


def main():
    names = ["told", "choice", "blend", "colour", "signals", "volumes"]
    only = {"nargs": "+", "choices": names, "help": "some of the parts"}
    effort = {
        "choices": ["fast", "balanced", "best"],
        "default": "balanced",
        "help": "of AutoDenoiser",
    }
    args = arguments(__doc__.splitlines()[0], only=only, effort=effort)
    data = list(images(args.data, args.full))
    if not args.full:
        data = [(name, clean[-256:, :256]) for name, clean in data[:2]]
    parts = {
        "told": partial(compare, data, args.effort),
        "choice": partial(choices, data),
        "blend": blending,
        "colour": partial(colour, args.effort),
        "signals": partial(signals, args.effort),
        "volumes": partial(volumes, args.effort),
    }
    print(f"{len(data)} images; PSNR in dB for a peak of 1, CPU seconds of one thread")
    for name, part in parts.items():
        if args.only is None or name in args.only:
            print()
            part()


if __name__ == "__main__":
    main()
