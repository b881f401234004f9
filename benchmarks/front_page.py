"""The picture of the README: a photograph with noise, and what is made of it.

scikit-image's NL-means is told the level of the noise, as in its gallery; `AutoDenoiser` is told
nothing. PSNR in dB, on the whole crop.
"""

from pathlib import Path

from ._common import arguments, cpu_seconds, psnr, table

import numpy as np  # isort: skip
from skimage import data

from benchmarks.others import nl_means
from sk_n2s import AutoDenoiser

SIGMA = 0.12

#: The part of the photograph that is denoised, and that of it which is shown.
CROP, SHOWN = np.s_[0:256, 96:352], np.s_[48:208, 40:200]


def main():
    args = arguments(
        __doc__.splitlines()[0], figure={"type": Path, "default": Path("front_page.jpg")}
    )
    clean = data.astronaut()[CROP] / 255
    noisy = clean + np.random.default_rng(0).normal(scale=SIGMA, size=clean.shape)
    usual, usual_time = cpu_seconds(lambda: nl_means(noisy, SIGMA, channel_axis=-1))
    auto, time = cpu_seconds(lambda: AutoDenoiser(channel_axis=-1).fit(noisy))
    ours = auto.transform(noisy)
    rows = [
        ["the noisy photograph", "", psnr(noisy, clean), ""],
        ["NL-means of scikit-image", "the level", psnr(usual, clean), f"{usual_time:.1f}"],
        ["AutoDenoiser", "nothing", psnr(ours, clean), f"{time:.1f}"],
    ]
    table(["", "told", "PSNR dB", "CPU s"], rows)
    print(auto.error_estimate_)
    _draw(args.figure, rows, [noisy, usual, ours, clean])


def _draw(path, rows, pictures):
    from matplotlib.figure import Figure

    names = [
        f"noisy: {rows[0][2]:.1f} dB",
        f"scikit-image's NL-means,\ntold the level: {rows[1][2]:.1f} dB",
        f"sk_n2s, told nothing:\n{rows[2][2]:.1f} dB",
        "the truth, which nobody knew",
    ]
    figure = Figure(figsize=(9.6, 2.7), layout="constrained")
    for ax, picture, name in zip(figure.subplots(1, 4), pictures, names):
        ax.imshow(np.clip(picture[SHOWN], 0, 1), interpolation="nearest")
        ax.set_title(name, fontsize="small")
        ax.set_axis_off()
    figure.savefig(path, dpi=150, pil_kwargs={"quality": 85})


if __name__ == "__main__":
    main()
