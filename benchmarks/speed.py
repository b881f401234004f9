"""What a search costs in time and memory, against what it is compared with.

Each row is measured in a process of its own, whose peak memory is the last column (with what
is loaded by importing: about 0.15 GiB). Times are CPU seconds of one thread, medians of runs
in turn, except where two cores are compared, which are seconds of the clock; a ratio is ours
divided by the other. `--only` takes the names of the first column, and the rows of others
are left out. The images are 1024 x 1024, 2048 x 2048 for the race, and 4096 x 4096 from disk;
with `--full` they are 2048 x 2048, and 16384 x 16384 from disk. What the race chose is compared
with the candidates near the best, by the loss of all entries.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sk_n2s import JInvariantWrapper, SelfSupervisedHalvingSearchCV, SelfSupervisedSearchCV
from sk_n2s.denoisers import bilateral, gaussian, median, nl_means, tv, uniform, wavelet

from ._common import arguments, cpu_seconds, images, table

SIGMA = 0.1


def mosaic(side, data=None, dtype=float):
    """Return a noisy image of any size, of mirrored copies of one, on a scale of 0 to 1."""
    clean = next(images(data))[1]
    block = np.block([[clean, clean[:, ::-1]], [clean[::-1], clean[::-1, ::-1]]])
    times = [-(-side // n) for n in block.shape]
    clean = np.tile(block, times)[:side, :side]
    noise = np.random.default_rng(3).normal(scale=SIGMA, size=clean.shape)
    return (clean + noise).astype(dtype)


class Row(NamedTuple):
    """What was measured: seconds, their ratio, what else there is to say, and GiB held."""

    ours: float
    other: float
    ratio: float
    said: str = ""
    held: float = 0.0


def _held():
    """Return the peak memory of this process in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def in_turn(ours, other, repeats, seconds=lambda function: cpu_seconds(function)[1]):
    """Return the median seconds of two functions that are called in turn, and their ratio."""
    times = np.array([[seconds(f) for f in (ours, other)] for _ in range(repeats)])
    medians = np.median(times, axis=0)
    return Row(*map(float, medians), float(np.median(times[:, 0] / times[:, 1])))


# 1. Exact forms ------------------------------------------------------------------------------

EXACT = {
    "median": (median, "radius", [1, 2, 3, 4, 5, 6]),
    "gaussian": (gaussian, "sigma", [0.5, 0.75, 1.0, 1.5, 2.0, 3.0]),
    "box": (uniform, "radius", [1, 2, 3, 4, 5, 6]),
}


def exact(case, args):
    names = list(EXACT) if case == "all three" else [case]
    noisy = mosaic(2048 if args.full else 1024, args.data)
    grid = [{"denoiser": [f], name: values} for f, name, values in (EXACT[n] for n in names)]
    search = SelfSupervisedSearchCV(JInvariantWrapper(median), grid, refit=False)
    calls = [
        partial(f, noisy, **{name: v})
        for f, name, values in (EXACT[n] for n in names)
        for v in values
    ]
    repeats = 3 if "median" in case or case == "all three" else 9
    return in_turn(lambda: search.fit(noisy), lambda: [call() for call in calls], repeats)


# 2. Racing -----------------------------------------------------------------------------------

RACES = {
    "nl_means": (nl_means, {"h": np.linspace(0.04, 0.14, 8), "patch_size": [3, 5, 7]}),
    "tv": (tv, {"weight": np.linspace(0.04, 0.2, 24)}),
    "wavelet": (wavelet, {"sigma": np.linspace(0.02, 0.2, 24)}),
}
#: Candidates whose loss on one mask is further from the best are not looked at more closely.
NEAR = 0.01


def race(case, args):
    from skimage.restoration import calibrate_denoiser

    noisy = mosaic(2048, args.data)
    denoiser, grid = RACES[case]
    wrapper = JInvariantWrapper(denoiser)
    search = SelfSupervisedHalvingSearchCV(wrapper, grid, refit=False)
    ours = cpu_seconds(lambda: search.fit(noisy))[1]
    lists = {name: list(values) for name, values in grid.items()}
    (_, (params, losses)), theirs = cpu_seconds(
        lambda: calibrate_denoiser(noisy, denoiser, lists, approximate_loss=True, extra_output=True)
    )
    # The exact loss, of all entries, of every candidate that may be the best.
    near = [p for p, loss in zip(params, losses) if loss < (1 + NEAR) * min(losses)]
    near += [p for p in [search.best_params_] if p not in near]
    near = [{name: [value] for name, value in p.items()} for p in near]
    for n_splits in (4, None):
        whole = SelfSupervisedSearchCV(wrapper, near, n_splits=n_splits, n_jobs=2, refit=False)
        results = whole.fit(noisy).cv_results_
        excess = results["mean_test_score"] / whole.best_score_ - 1
        chosen = [search.best_params_, params[int(np.argmin(losses))]]
        kept = [p in chosen or e < NEAR / 5 for p, e in zip(results["params"], excess)]
        near = [grid for grid, keep in zip(near, kept) if keep]
    found = dict(zip(map(str, results["params"]), 100 * excess))
    ours_is, theirs_is = (found[str(p)] for p in chosen)
    said = f"loss {ours_is:+.3f} % above the best (theirs {theirs_is:+.3f} %)"
    return Row(ours, theirs, ours / theirs, said)


# 3. Masks and cores --------------------------------------------------------------------------

MASKED = {
    "tv": (tv, {"weight": [0.05, 0.1, 0.2]}),
    "wavelet": (wavelet, {"sigma": [0.05, 0.1, 0.2]}),
    "nl_means": (nl_means, {"h": [0.05, 0.08, 0.12]}),
    "bilateral": (bilateral, {"sigma_color": [0.1, 0.2, 0.4]}),
}


def overhead(case, args):
    noisy = mosaic(1024, args.data)
    denoiser, grid = MASKED[case]
    wrapper = JInvariantWrapper(denoiser)
    search = SelfSupervisedSearchCV(wrapper, grid, refit=False)
    [(name, values)] = grid.items()
    shown = [view.input for view in wrapper.view_plan(noisy).views(noisy, 4)]

    def calls():
        for X in shown:
            for value in values:
                denoiser(X, **{name: value})

    return in_turn(lambda: search.fit(noisy), calls, 7 if args.full else 5)


def _in_python(X, weight):
    """TV that joblib does not know to leave the interpreter to others."""
    return tv(X, weight=weight)


def two_jobs(case, args):
    noisy = mosaic(1024, args.data)
    wrapper = JInvariantWrapper(tv if case == "threads" else _in_python)
    grid = {"weight": np.linspace(0.05, 0.2, 8)}

    def seconds(n_jobs):
        search = SelfSupervisedSearchCV(wrapper, grid, n_jobs=n_jobs, refit=False)
        start = time.perf_counter()
        search.fit(noisy)
        return time.perf_counter() - start, search.cv_results_["mean_test_score"]

    seconds(2)  # starts the workers
    runs = [(seconds(2), seconds(1)) for _ in range(3)]
    same = all(np.array_equal(two[1], one[1]) for two, one in runs)
    two, one = (float(np.median([run[k][0] for run in runs])) for k in (0, 1))
    said = "bit for bit the same" if same else "OTHER RESULTS"
    return Row(two, one, two / one, f"{one / two:.2f} times as fast, {said}")


# 4. Growth -----------------------------------------------------------------------------------


GROWTH = {
    "exact": (gaussian, {"sigma": [0.5, 1.0, 2.0]}, {}),
    "masks": (tv, {"weight": [0.05, 0.1, 0.2]}, {"num_iter": 5}),
    "race": (tv, {"weight": [0.05, 0.1, 0.2]}, {"num_iter": 5}),
    "do nothing": (lambda X, k=0: X, {"k": range(6)}, {}),
}


def growth(case, args):
    sides = [256, 512, 1024, 2048, 4096][: 5 if args.full else 4]
    denoiser, grid, params = GROWTH[case]
    kind = SelfSupervisedHalvingSearchCV if case == "race" else SelfSupervisedSearchCV
    wrapper = JInvariantWrapper(denoiser, **params)
    search = kind(wrapper, grid, refit=False)
    [(name, values)] = grid.items()
    seconds, arrays = [], []
    for side in sides:
        noisy = mosaic(side, args.data)

        def calls(X=noisy):
            for _ in range(4 if case == "masks" else 1):
                for value in values:
                    denoiser(X, **params, **{name: value})

        seconds.append(in_turn(lambda X=noisy: search.fit(X), calls, 3))
        if side <= 1024:
            own = _peak(lambda X=noisy: denoiser(X, **params))
            arrays.append((_peak(lambda X=noisy: search.fit(X)) - own) / noisy.nbytes)
    per_pixel = [row.ours / side**2 for row, side in zip(seconds, sides)]
    times = " ".join(f"{side}: {row.ours:.3f}" for side, row in zip(sides, seconds))
    ratios = " ".join(f"{row.ratio:.2f}" for row in seconds)
    bare = "" if case == "do nothing" else f"{ratios} of the bare calls; "
    said = f"{times} s; {bare}{max(arrays):.1f} arrays beyond the denoiser's"
    return Row(seconds[-1].ours, seconds[1].ours, per_pixel[-1] / per_pixel[1], said)


def _peak(function):
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    function()
    held = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return held


# 5. From disk --------------------------------------------------------------------------------

DISK = {
    "gaussian": ["--denoiser", "gaussian", "--param", "sigma=0.5:2:0.25"],
    "tv, plain": ["--denoiser", "tv", "--param", "weight=0.05,0.1,0.15", "--output", "plain"],
    "tv, all masks": ["--denoiser", "tv", "--param", "weight=0.05,0.1,0.15"],
}


def disk(case, args):
    import zarr

    side = 16384 if args.full and "masks" not in case else 4096
    with tempfile.TemporaryDirectory() as folder:
        noisy = mosaic(1024, args.data, np.float32)
        store = zarr.open(
            f"{folder}/noisy.zarr", mode="w", shape=(side, side), chunks=(1024, 1024), dtype="f4"
        )
        for i in range(0, side, 1024):
            for j in range(0, side, 1024):
                store[i : i + 1024, j : j + 1024] = noisy
        command = [sys.executable, "-m", "sk_n2s", "calibrate", f"{folder}/noisy.zarr"]
        command += [*DISK[case], "-o", f"{folder}/out.zarr", "--jobs", "2"]
        wall, used = _command(command)
    cpu = used.ru_utime + used.ru_stime
    said = f"{side} x {side}, {wall:.0f} s by the clock: {cpu / wall:.2f} cores busy"
    held = used.ru_maxrss / 2**20
    return Row(cpu, wall, held / 1.5, said, held)


def _command(command):
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - start, used


# 6. Importing --------------------------------------------------------------------------------

BASE = "import sklearn.model_selection, skimage.restoration, scipy.ndimage"


def importing(case, args):
    def seconds(code):
        used = _command([sys.executable, "-c", code])[1]
        return used.ru_utime + used.ru_stime

    return in_turn("import sk_n2s", BASE, 9, seconds)


#: Name, cases, what does the measuring, what the other is, and what is asked of the ratio.
FIGURES = [
    ("exact", ["all three", *EXACT], exact, "one plain pass of the grid", "1.15"),
    ("race", list(RACES), race, "calibrate_denoiser, approximate", "0.15 / 0.25"),
    ("overhead", list(MASKED), overhead, "the bare calls", "1.03"),
    ("jobs", ["threads", "processes"], two_jobs, "one job, by the clock", "0.59"),
    ("growth", ["exact", "masks", "race", "do nothing"], growth, "512 x 512, per pixel", "1"),
    ("disk", list(DISK), disk, "the clock; ratio: of 1.5 GiB", "1"),
    ("import", ["sk_n2s"], importing, BASE.removeprefix("import "), "1.3"),
]


def main():
    flags = {"only": {"nargs": "*", "help": "names of figures"}, "row": {"nargs": 2}}
    args = arguments(__doc__, **flags)
    if args.row is not None:
        name, case = args.row
        measure = next(figure[2] for figure in FIGURES if figure[0] == name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            row = measure(case, args)
        print(json.dumps(row._replace(held=row.held or _held())))
        return
    rows = []
    for name, cases, _, other, asked in FIGURES:
        if args.only and name not in args.only:
            continue
        for case in cases:
            command = [sys.executable, "-m", "benchmarks.speed", "--row", name, case]
            command += ["--full"] * args.full
            command += [] if args.data is None else ["--data", str(args.data)]
            done = subprocess.run(command, capture_output=True, text=True, cwd=Path.cwd())
            if done.returncode:
                sys.exit(done.stderr)
            row = Row(*json.loads(done.stdout.splitlines()[-1]))
            numbers = [row.ours, row.other, row.ratio, asked, f"{row.held:.2f}"]
            rows.append([name, case, other, *numbers, row.said])
            print(*rows[-1], sep="  ", file=sys.stderr)
    header = ["figure", "case", "against", "ours s", "other s", "ratio", "asked", "peak GiB", ""]
    table(header, rows)


if __name__ == "__main__":
    main()
