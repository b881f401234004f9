"""The classic experiment: calibrating the radius of a median filter without clean data.

The donut median is J-invariant: its distance to the noisy image is its true error plus the
variance of the noise, so that both are smallest at the same radius. The ordinary median is
not: its distance to the noisy image is smallest where it does least.
"""

from pathlib import Path

import numpy as np  # noqa: I001
from skimage import data, util

from sk_n2s import JInvariantWrapper, SelfSupervisedSearchCV
from sk_n2s.denoisers import median
from sk_n2s.plotting import SelfSupervisedCurveDisplay, true_errors

from ._common import arguments, table


def main():
    args = arguments(__doc__, figure={"type": Path, "default": Path("median_calibration.png")})
    image = data.camera() if args.data is None else util.img_as_ubyte(_first(args.data))
    clean = util.img_as_float(image)
    noisy = util.img_as_ubyte(util.random_noise(image, mode="gaussian", var=0.01, rng=3))
    noisy = util.img_as_float(noisy)
    radii = range(1, 7)
    search = SelfSupervisedSearchCV(JInvariantWrapper(median), {"radius": radii}).fit(noisy)
    loss = -search.cv_results_["mean_test_score"]
    errors = true_errors(search, clean)
    rows = zip(
        radii,
        loss,
        errors["invariant"],
        loss - errors["invariant"],
        errors["plain_loss"],
        errors["plain"],
        strict=True,
    )
    header = ["radius", "donut loss", "donut error", "difference", "plain loss", "plain error"]
    table(header, [[r, *map(float, values)] for r, *values in rows])
    print(f"variance of the noise: {np.mean((noisy - clean) ** 2):.4f}")
    for name, values in (("donut", loss), ("donut", errors["invariant"])):
        kind = "loss" if values is loss else "true error"
        print(f"{name}: smallest {kind} at radius {radii[int(np.argmin(values))]}")
    for name in ("plain_loss", "plain"):
        kind = "loss" if name == "plain_loss" else "true error"
        print(f"plain: smallest {kind} at radius {radii[int(np.argmin(errors[name]))]}")
    display = SelfSupervisedCurveDisplay.from_search(search, errors=errors)
    display.figure_.savefig(args.figure, dpi=100)
    print(f"wrote {args.figure}")


def _first(folder):
    from skimage import io

    return io.imread(sorted(folder.glob("*.png"))[0], as_gray=True) / 255.0


if __name__ == "__main__":
    main()
