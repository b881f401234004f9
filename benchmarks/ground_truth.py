"""Does the self-supervised loss choose what the truth would choose?

Three ways to choose from the same grid, on one core: scikit-learn's GridSearchCV, told the
clean image; scikit-image's calibrate_denoiser, with the loss approximated on one mask of
sixteen (its default) and exact; and SelfSupervisedSearchCV. Each chosen candidate is then
judged by the true PSNR of its J-invariant output, all masks, same fill.
"""

import numpy as np  # noqa: I001
from skimage.restoration import calibrate_denoiser
from sklearn.model_selection import GridSearchCV, ParameterGrid

from sk_n2s import JInvariantWrapper, SelfSupervisedSearchCV, WholeArray
from sk_n2s.denoisers import median, nl_means, tv, wavelet

from ._common import arguments, cpu_seconds, images, psnr, table

GRIDS = [
    (median, {"radius": [1, 2, 3, 4, 5, 6]}),
    (tv, {"weight": [0.03, 0.05, 0.08, 0.12, 0.18, 0.27]}),
    (wavelet, {"sigma": [0.04, 0.07, 0.1, 0.14, 0.2], "max_shifts": [0]}),
    (nl_means, {"h": [0.05, 0.08, 0.12], "patch_size": [3, 5], "patch_distance": [5]}),
]


def _by_scikit_image(denoiser, grid, noisy, approximate):
    _, (candidates, losses) = calibrate_denoiser(
        noisy,
        denoiser,
        denoise_parameters=grid,
        approximate_loss=approximate,
        extra_output=True,
    )
    return candidates[int(np.argmin(losses))]


def main():
    args = arguments(__doc__)
    rows = []
    for name, clean in images(args.data, args.full):
        clean = clean[:256, :256]
        noisy = clean + np.random.default_rng(0).normal(scale=0.1, size=clean.shape)
        for denoiser, grid in GRIDS:
            wrapper = JInvariantWrapper(denoiser, method="mask")
            quality = {
                tuple(p.values()): psnr(wrapper.set_params(**p).fit_transform(noisy), clean)
                for p in ParameterGrid(grid)
            }
            ways = {
                "GridSearchCV + truth": lambda d=denoiser, g=grid, n=noisy, c=clean: (
                    GridSearchCV(JInvariantWrapper(d), g, cv=WholeArray(), refit=False)
                    .fit(n, c)
                    .best_params_
                ),
                "scikit-image, 1 mask": lambda d=denoiser, g=grid, n=noisy: _by_scikit_image(
                    d, g, n, True
                ),
                "scikit-image, exact": lambda d=denoiser, g=grid, n=noisy: _by_scikit_image(
                    d, g, n, False
                ),
                "SelfSupervisedSearchCV": lambda d=denoiser, g=grid, n=noisy: (
                    SelfSupervisedSearchCV(JInvariantWrapper(d), g, refit=False).fit(n).best_params_
                ),
            }
            for way, choose in ways.items():
                chosen, seconds = cpu_seconds(choose)
                chosen = {k: chosen[k] for k in sorted(grid)}
                text = ", ".join(f"{k}={v}" for k, v in chosen.items() if len(grid[k]) > 1)
                found = quality[tuple(chosen.values())]
                lost = max(quality.values()) - found
                rows.append(
                    [name, denoiser.__name__, way, text, f"{found:.2f}", f"{lost:.2f}"]
                    + [f"{seconds:.2f}"]
                )
    header = ["image", "denoiser", "chosen by", "chosen", "PSNR dB", "below best dB", "CPU s"]
    table(header, rows)


if __name__ == "__main__":
    main()
