"""What the benchmarks share: images, noise, figures of merit, and how a table is printed."""

import argparse
import os
import time
from pathlib import Path

# One thread for BLAS and OpenMP, before NumPy is loaded: CPU seconds are then comparable.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402


def arguments(description, **flags):
    """Parse the flags that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, help="a folder of PNG images instead of embedded ones")
    parser.add_argument("--full", action="store_true", help="more images; takes longer")
    for name, options in flags.items():
        parser.add_argument(f"--{name}", **options)
    return parser.parse_args()


def images(data=None, full=False):
    """Yield names and clean images, on a scale of 0 to 1."""
    from skimage import data as embedded
    from skimage import io

    if data is not None:
        paths = sorted(data.glob("*.png"))
        for path in paths if full else paths[:3]:
            yield path.stem, io.imread(path, as_gray=True) / 255.0
        return
    names = ["camera", "brick", "moon", "coins", "grass", "gravel"]
    for name in names if full else names[:3]:
        yield name, getattr(embedded, name)() / 255.0


def psnr(denoised, clean):
    """Return the peak signal-to-noise ratio in dB, for a peak of 1."""
    return 10 * np.log10(1 / np.mean((denoised - clean) ** 2))


def cpu_seconds(function, repeats=1):
    """Return the result of a call, and the median of the CPU seconds it takes."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        result = function()
        times.append(time.process_time() - start)
    return result, float(np.median(times))


def table(header, rows, markdown=False):
    """Print rows of strings and numbers in columns."""
    cells = [[f"{c:.4f}" if isinstance(c, float) else str(c) for c in row] for row in rows]
    if markdown:
        rule = ["---", *["---:"] * (len(header) - 1)]
        for row in [header, rule, *cells]:
            print(f"| {' | '.join(row)} |")
        return
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    for row in [header, *cells]:
        print("  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)))
