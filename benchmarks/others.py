"""What people use today, on the same noisy data: what each is told, what it makes of it, its time.

For each kind of noise the mean over images of 256×256 (their middles): PSNR in dB for a peak of 1,
and CPU seconds of one thread. Of scikit-image: `calibrate_denoiser` over the weights of TV,
wavelets and NL-means, of which that with the least loss is taken; BayesShrink wavelets, which
estimate the level themselves; NL-means told the level, by the rule of its documentation. OpenCV's
NL-means told the level, on 8 bits. BM3D told the level (non-commercial licence). OpenCV and BM3D
are run where they are installed. The level is the standard deviation of the noise.
"""

import warnings

from benchmarks import _common  # noqa: F401  one thread, before NumPy is loaded

import numpy as np  # isort: skip
from skimage.restoration import (
    calibrate_denoiser,
    denoise_invariant,
    denoise_nl_means,
    denoise_tv_chambolle,
    denoise_wavelet,
)

from benchmarks._common import arguments, cpu_seconds, images, psnr, table
from benchmarks.noise import kinds
from sk_n2s import AutoDenoiser

try:
    from bm3d import bm3d
except ImportError:
    bm3d = None
try:
    import cv2
except ImportError:
    cv2 = None

#: The kinds of noise, by their names in `benchmarks.noise`, and what they are called here.
KINDS = {
    "0.1, independent": "white, 0.1",
    "0.1, of a disc": "correlated over a disc",
    "0.1, the same in each column": "the same in each column",
    "0.03 in the middle, 0.2 in the corners": "stronger in the corners",
    "0.05, 1 % of 0 or 1": "1 % of the pixels broken",
    "counts, 10 at the peak": "counts, 10 at the peak",
    "raw data of a camera": "raw data of a camera",
    "0.15, clipped to 8 bits": "0.15, clipped to 8 bits",
}

#: What `calibrate_denoiser` chooses from, on data with a range of about 1.
GRIDS = [
    (denoise_tv_chambolle, {"weight": [0.03, 0.05, 0.08, 0.12, 0.18, 0.27]}),
    (denoise_wavelet, {"sigma": [0.04, 0.07, 0.1, 0.14, 0.2]}),
    (denoise_nl_means, {"h": [0.04, 0.06, 0.08, 0.12, 0.16], "patch_size": [5]}),
]


def calibrated(X, level):
    """Return what scikit-image's calibration makes of an image: of three denoisers the best."""
    best = (np.inf, None)
    for denoiser, grid in GRIDS:
        tried = {k: list(v) for k, v in grid.items()}
        _, (params, losses) = calibrate_denoiser(X, denoiser, tried, extra_output=True)
        k = int(np.argmin(losses))
        if losses[k] < best[0]:
            best = losses[k], (denoiser, params[k])
    denoiser, params = best[1]
    return denoise_invariant(X, denoiser, denoiser_kwargs=params)


def nl_means(X, level, channel_axis=None):
    """Return the result of scikit-image's NL-means, as its gallery tells it the level."""
    told = {"h": 0.6 * level, "sigma": level, "patch_size": 5, "patch_distance": 6}
    return denoise_nl_means(X, fast_mode=True, channel_axis=channel_axis, **told)


def open_cv(X, level):
    """Return the result of OpenCV's NL-means on 8 bits: a strength of the level is the usual."""
    values = np.clip(np.rint(255 * X), 0, 255).astype(np.uint8)
    return cv2.fastNlMeansDenoising(values, None, 255 * level, 7, 21) / 255


METHODS = {
    "scikit-image, calibrate_denoiser": ("nothing", calibrated),
    "scikit-image, BayesShrink": ("nothing", lambda X, level: denoise_wavelet(X)),
    "scikit-image, NL-means": ("the level", nl_means),
    "OpenCV, NL-means": ("the level", open_cv if cv2 else None),
    "BM3D": ("the level", (lambda X, level: bm3d(X, level)) if bm3d else None),
    "AutoDenoiser, fast": ("nothing", lambda X, level: AutoDenoiser("fast").fit_transform(X)),
    "AutoDenoiser": ("nothing", lambda X, level: AutoDenoiser().fit_transform(X)),
}


def noisy_images(data, full):
    """Return for each kind of noise the clean and the noisy images, on a scale of 0 to 1."""
    found = {name: [] for name in KINDS.values()}
    for _, whole in images(data, full):
        start = [max(0, (n - 256) // 2) for n in whole.shape]
        clean = whole[start[0] : start[0] + 256, start[1] : start[1] + 256]
        for name, truth, noisy in kinds(clean):
            if name in KINDS:
                unit = np.ptp(truth) / np.ptp(clean)
                offset = np.min(truth) - unit * np.min(clean)
                found[KINDS[name]].append((clean, (noisy - offset) / unit))
    return found


def main():
    args = arguments(__doc__)
    data = noisy_images(args.data, args.full)
    methods = {name: how for name, how in METHODS.items() if how[1] is not None}
    header = ["", "told", *data, "CPU s an image"]
    noisy = [f"{np.mean([psnr(x, c) for c, x in pairs]):.1f}" for pairs in data.values()]
    rows = [["the noisy data", "", *noisy, ""]]
    for name, (told, denoise) in methods.items():
        quality, times = [], []
        for pairs in data.values():
            found = []
            for clean, noisy in pairs:
                level = float(np.sqrt(np.mean((noisy - clean) ** 2)))
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    output, seconds = cpu_seconds(lambda: denoise(noisy, level))  # noqa: B023
                found.append(psnr(output, clean))
                times.append(seconds)
            quality.append(f"{np.mean(found):.1f}")
        rows.append([name, told, *quality, f"{np.mean(times):.1f}"])
    table(header, rows, markdown=True)


if __name__ == "__main__":
    main()
