"""What a search costs beyond the denoiser itself, in CPU seconds on one core.

"plain" is one plain call of the denoiser for each candidate. An exact form is searched at
about that price. With masks, a candidate is called once for each scored set; "calls" is the
price of just these calls, and the ratio to it is what the package adds.
"""

from functools import partial  # noqa: I001

import numpy as np

from sk_n2s import JInvariantWrapper, SelfSupervisedSearchCV
from sk_n2s.denoisers import bilateral, gaussian, median, nl_means, tv, uniform, wavelet

from ._common import arguments, cpu_seconds, images, table

GRIDS = [
    (median, "radius", range(1, 7)),
    (gaussian, "sigma", [0.5, 0.75, 1.0, 1.5, 2.0, 3.0]),
    (uniform, "radius", range(1, 7)),
    (tv, "weight", [0.05, 0.1, 0.2]),
    (wavelet, "sigma", [0.05, 0.1, 0.2]),
    (nl_means, "h", [0.05, 0.08, 0.12]),
    (bilateral, "sigma_color", [0.1, 0.2, 0.4]),
]


def main():
    args = arguments(__doc__)
    name, clean = next(images(args.data))
    noisy = clean + np.random.default_rng(3).normal(scale=0.1, size=clean.shape)
    print(f"{name}, {noisy.shape[0]} x {noisy.shape[1]}, noise 0.1; medians of 5 runs in turn")
    rows = []
    for denoiser, parameter, values in GRIDS:
        wrapper = JInvariantWrapper(denoiser)
        search = SelfSupervisedSearchCV(wrapper, {parameter: values}, refit=False)
        exact = hasattr(denoiser, "exact")
        n_calls = 1 if exact else 4
        # A masked input is other data than the noisy array: iterations take longer on it.
        shown = [v.input for v in wrapper.view_plan(noisy).views(noisy, 4)] if not exact else []
        times = {"plain": [], "calls": [], "search": []}
        for _ in range(5 if exact or args.full else 3):
            calls = [partial(denoiser, **{parameter: v}) for v in values]
            times["plain"].append(cpu_seconds(lambda c=calls: [g(noisy) for g in c])[1])
            masked = cpu_seconds(lambda c=calls, s=shown: [g(x) for x in s for g in c])[1]
            times["calls"].append(times["plain"][-1] if exact else masked)
            times["search"].append(cpu_seconds(lambda s=search: s.fit(noisy))[1])
        plain, calls, spent = (np.array(times[k]) for k in ("plain", "calls", "search"))
        to_plain, to_calls = np.median(spent / plain), np.median(spent / calls)
        rows.append(
            [denoiser.__name__, "exact" if exact else "mask", len(values), n_calls]
            + [float(np.median(t)) for t in (plain, calls, spent)]
            + [f"{to_plain:.2f}", f"{to_calls:.3f}"]
        )
    header = ["denoiser", "form", "candidates", "calls each"]
    table([*header, "plain s", "calls s", "search s", "search/plain", "search/calls"], rows)


if __name__ == "__main__":
    main()
