"""Noise as instruments make it: what `AutoDenoiser`, told nothing, makes of each kind.

One row for each image and kind: the noisy data, the result, and what the denoiser claims, all in
dB for a peak of 1; then CPU seconds, and what is said of the noise. ``--kinds FILE`` takes kinds
from a Python file with a generator ``kinds(clean, seed)`` of pairs (name, noisy); ``--only WORD``
those with that word in their name; ``--size N`` is the side of the crop.
"""

import runpy
import warnings

import numpy as np
from scipy import ndimage

from benchmarks._common import arguments, cpu_seconds, images, psnr, table
from sk_n2s import AutoDenoiser
from sk_n2s.noise import NoiseModel

#: Correlations of the noise, by name: what two entries have in common at each distance.
CORRELATIONS = {
    "independent": None,
    "of two in a row": [[0.5, 1.0, 0.5]],
    "of a disc": None,  # see _disc
    "the same in each column": np.ones((3, 1)),
}


def _disc(radius=2.0):
    """Return the correlation of noise that an average over a disc leaves."""
    side = np.arange(-8, 9)
    weights = (np.hypot(*np.meshgrid(side, side)) <= radius).astype(float)
    found = ndimage.correlate(weights, weights, mode="constant")
    return found / found.max()


def kinds(clean, seed=0):
    """Yield names, clean data and noisy data."""
    rng = np.random.default_rng(seed)
    white = rng.normal(size=clean.shape)
    for name, correlation in CORRELATIONS.items():
        correlation = _disc() if name == "of a disc" else correlation
        noise = NoiseModel(0.1, correlation=correlation)
        yield f"0.1, {name}", clean, clean + noise.sample(clean, seed)
    radius = np.hypot(*np.meshgrid(*(np.linspace(-1, 1, n) for n in clean.shape[::-1])))
    yield "0.03 in the middle, 0.2 in the corners", clean, clean + (0.03 + 0.12 * radius) * white
    hit = rng.random(clean.shape) < 0.01
    yield (
        "0.05, 1 % of 0 or 1",
        clean,
        np.where(hit, rng.integers(0, 2, clean.shape), clean + white / 20),
    )
    yield "0.05, 0.5 % rays", clean, clean + white / 20 + 8 * (rng.random(clean.shape) < 0.005)
    yield "logistic, 0.1", clean, clean + rng.logistic(scale=0.055, size=clean.shape)
    for peak in (1.5, 10, 50):
        yield f"counts, {peak} at the peak", clean, rng.poisson(peak * clean) / peak
    raw = 1.7 * rng.poisson(60 * clean) + 400 + rng.normal(scale=5, size=clean.shape)
    yield "raw data of a camera", 1.7 * 60 * clean + 400, np.rint(raw).astype(np.uint16)
    yield "speckle of 10 looks", clean, clean * rng.gamma(10, 0.1, clean.shape)
    a, b = 0.07 * rng.normal(size=(2, *clean.shape))
    yield "magnitude of complex data", clean, np.hypot(clean + a, b)
    clipped = np.clip(np.rint(255 * (clean + 0.15 * white)), 0, 255)
    yield "0.15, clipped to 8 bits", 255 * clean, clipped.astype(np.uint8)
    yield "0.02, steps of 0.1", clean, np.rint(10 * (clean + 0.02 * white)) / 10
    yield "0.008", clean, clean + 0.008 * white


def _of_file(path):
    """Return the generator of kinds of a file; the scale of integers is read off the data."""
    found = runpy.run_path(str(path))["kinds"]

    def kinds_of_file(clean, seed=0):
        for name, noisy in found(clean, seed):
            scale = (1.0, 0.0)
            if noisy.dtype.kind in "iu":
                scale = (
                    (255.0, 0.0)
                    if noisy.dtype == np.uint8
                    else np.polyfit(clean.ravel(), noisy.ravel(), 1)
                )
            yield name, scale[0] * clean + scale[1], noisy

    return kinds_of_file


def main():
    options = arguments(
        __doc__.splitlines()[0],
        kinds={"help": "a file with a generator kinds(clean, seed)"},
        only={"default": "", "help": "a word of the names of the kinds"},
        size={"type": int, "default": 160, "help": "the side of the crop"},
    )
    make = kinds if options.kinds is None else _of_file(options.kinds)
    rows = []
    for image, whole in images(options.data, options.full):
        start = [(n - options.size) // 2 for n in whole.shape]
        clean = whole[tuple(slice(max(0, s), max(0, s) + options.size) for s in start)]
        for name, truth, noisy in make(clean):
            if options.only not in name:
                continue
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                auto, seconds = cpu_seconds(lambda noisy=noisy: AutoDenoiser().fit(noisy))
            # For a peak of 1, whatever the scale of the data is.
            unit = np.ptp(truth) / np.ptp(clean)
            before, after = (psnr(v / unit, truth / unit) for v in (noisy, auto.transform(noisy)))
            claimed = -10 * np.log10(auto.estimated_mse_ / unit**2)  # NaN: unknown
            cells = [f"{v:.2f}" for v in (before, after, claimed, seconds)]
            words = str(auto.noise_)[:60] + (f" [{len(said)} warnings]" if said else "")
            rows.append([image, name, *cells, words])
    table(["image", "noise", "noisy", "result", "claimed", "CPU s", "what it says"], rows)


if __name__ == "__main__":
    main()
