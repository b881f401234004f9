"""Tables, counts and gaps: what the package finds, told nothing, against what is best in truth.

``python -m benchmarks.data_kinds [--full]``. Ranks: those that searches choose by hidden entries,
by blocks (bi-cross-validation), by thinning, and by Stein's unbiased risk estimate of the output,
and how much larger than that of the best rank the true error of the output of that rank is, in dB.
Where entries are hidden, what is chosen is the best prediction from the others, which is less.
Tables: the PSNR of what each denoiser makes of them. Gaps: a photograph not all of which was
measured.
"""

import time
import warnings

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits

from sk_n2s import AutoDenoiser, JInvariantWrapper, SelfSupervisedSearchCV
from sk_n2s.denoisers import ConditionalGaussianDenoiser, DiffusionDenoiser, LowRankDenoiser
from sk_n2s.masking import BinomialThinning, BlockPartition, GaussianThinning

from ._common import arguments, table

RANKS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 20, 25, 30]


def low_rank(rng, n, m, rank, strengths=1.0, offset=0.0):
    """Return a table of a rank, with offsets of its features."""
    scores = rng.normal(size=(n, rank)) * strengths
    return scores @ rng.normal(size=(rank, m)) + offset * rng.normal(size=m)


def normal_tables(full):
    """Yield names, clean tables and levels of noise."""
    rng = np.random.default_rng(0)
    yield "2000 x 200, rank 8", low_rank(rng, 2000, 200, 8) / np.sqrt(8), 1.0
    graded = low_rank(rng, 2000, 200, 8, np.geomspace(1, 0.15, 8), offset=5.0)
    yield "graded, offsets", graded, 1.0
    yield "digits", load_digits().data / 16, 0.2
    if full:
        yield "150 x 600, rank 5", low_rank(rng, 150, 600, 5) / np.sqrt(5), 0.7
        features = load_breast_cancer().data
        yield "breast cancer", (features - features.mean(axis=0)) / features.std(axis=0), 0.5


def rates(rank, mean, n=1000, m=400):
    """Return the rates of a table of counts, of a rank and a mean."""
    rng = np.random.default_rng(rank)
    rate = rng.gamma(1, size=(n, rank)) @ rng.gamma(1, size=(rank, m))
    return rate * (mean / rate.mean())


def chosen_rank(X, denoiser, partition, output, errors):
    """Return the rank that a search chooses, and by how many dB its output is not the best."""
    wrapper = JInvariantWrapper(denoiser, kind="table", partition=partition, output=output)
    search = SelfSupervisedSearchCV(wrapper, {"denoiser__rank": list(errors)}).fit(X)
    rank = search.best_params_["denoiser__rank"]
    return f"{rank} ({10 * np.log10(errors[rank] / min(errors.values())):.2f})"


def true_errors(X, clean, denoiser, ranks):
    """Return the true error of the output for each rank."""
    return {
        r: np.mean((clone(denoiser).set_params(rank=r).fit_transform(X) - clean) ** 2)
        for r in ranks
    }


def ranks(full):
    """Print what rank each way of scoring finds."""
    header = ["rank", "best", "entries", "blocks", "thinning", "thinning, sparse", "SURE"]
    rows = []
    for name, clean, level in normal_tables(full):
        X = clean + level * np.random.default_rng(1).normal(size=clean.shape)
        ranks = [r for r in RANKS if r < 0.6 * min(X.shape)]
        for shrinkage in (None, "optimal"):
            denoiser = LowRankDenoiser(shrinkage=shrinkage)
            ways = [
                (None, "invariant"),
                (BlockPartition(), "invariant"),
                (GaussianThinning(), "plain"),
                (None, "plain"),
            ]
            errors = true_errors(X, clean, denoiser, ranks)
            found = [chosen_rank(X, denoiser, *way, errors) for way in ways]
            label = f"{name}, {'shrunk' if shrinkage else 'truncated'}"
            rows.append([label, min(errors, key=errors.get), *found[:3], "", found[3]])
    for rank in (6, 8):
        for mean in (0.05, 0.5, 5.0) if full else (0.05, 0.5):
            clean = rates(rank, mean)
            X = np.random.default_rng(2).poisson(clean).astype(np.float32)
            denoiser = LowRankDenoiser(shrinkage=None, center=False)
            few = [1, 2, 4, 5, 6, 7, 8, 9, 10, 12]
            ways = [
                (X, None, "invariant"),
                (X, BlockPartition(), "invariant"),
                (X, BinomialThinning(), "plain"),
                (sparse.csr_array(X), BinomialThinning(), "plain"),
                (X, None, "plain"),
            ]
            errors = true_errors(X, clean, denoiser, few)
            found = [chosen_rank(Y, denoiser, *way, errors) for Y, *way in ways]
            label = f"counts, rank {rank}, mean {mean}"
            rows.append([label, min(errors, key=errors.get), *found])
    table(header, rows)


def large(full):
    """Print what a search over a large sparse table takes."""
    rng = np.random.default_rng(0)
    n = 20_000 if full else 5_000
    scores, loads = rng.gamma(0.5, size=(n, 6)), rng.gamma(0.3, size=(6, 2000))
    factor = 0.055 / (scores.mean(axis=0) @ loads.mean(axis=1))
    X = sparse.vstack([
        sparse.csr_array(rng.poisson(factor * scores[i : i + 500] @ loads).astype(np.float32))
        for i in range(0, n, 500)
    ])  # fmt: skip
    wrapper = JInvariantWrapper(
        LowRankDenoiser(shrinkage=None, center=False),
        kind="table",
        partition=BinomialThinning(),
        output="plain",
    )
    start = time.process_time()
    search = SelfSupervisedSearchCV(wrapper, {"denoiser__rank": RANKS[:12]}).fit(X)
    seconds = time.process_time() - start
    share = 100 * X.nnz / np.prod(X.shape)
    rows = [[f"{n} x 2000, {share:.1f} % stored", search.best_params_["denoiser__rank"], seconds]]
    table(["counts of rank 6", "rank found", "CPU s for 12 ranks"], rows)


def denoised_tables(full):
    """Print the PSNR of tables, a search over the parameters included where there is one."""
    rows = []
    for name, clean, level in normal_tables(full):
        X = clean + level * np.random.default_rng(3).normal(size=clean.shape)
        denoiser = ConditionalGaussianDenoiser()
        ways = {
            "low rank": LowRankDenoiser(),
            "conditional, invariant": JInvariantWrapper(denoiser, kind="table"),
            "conditional, Wiener": denoiser,
            "diffusion": DiffusionDenoiser(),
            "AutoDenoiser": AutoDenoiser(kind="table"),
        }
        cells = [_psnr(X, clean)]
        for way in ways.values():
            start = time.process_time()
            found = way.fit(X).transform(X)
            cells.append(f"{_psnr(found, clean):.2f} ({time.process_time() - start:.1f} s)")
        rows.append([name, *cells])
    table(["table", "noisy", *ways], rows)


def gaps(full):
    """Print how well a photograph is denoised of which entries are missing."""
    from skimage import data

    rows = []
    names = ("camera", "moon", "coins") if full else ("camera",)
    for name in names:
        clean = getattr(data, name)()[100:260, 120:280] / 255
        noisy = clean + 0.1 * np.random.default_rng(0).normal(size=clean.shape)
        for label, missing in kinds_of_gaps(clean.shape).items():
            X = np.where(missing, np.nan, noisy)
            start = time.process_time()
            auto = AutoDenoiser().fit(X)
            seconds = time.process_time() - start
            found = auto.transform(X)
            there, gone = (_psnr(found[w], clean[w]) for w in (~missing, missing))
            estimated = -10 * np.log10(auto.estimated_mse_)
            rows.append([name, label, there, gone, estimated - there, seconds])
    header = ["photograph", "missing", "visible, dB", "missing, dB", "estimated - true", "CPU s"]
    table(header, rows)


def kinds_of_gaps(shape):
    """Return masks of what is missing, by name."""
    rng = np.random.default_rng(1)
    found = {f"{100 * share:.0f} %": rng.random(shape) < share for share in (0, 0.2, 0.5, 0.8)}
    for label, place in (("column", np.s_[:, 80]), ("20 x 20", np.s_[70:90, 70:90])):
        found[label] = np.zeros(shape, bool)
        found[label][place] = True
    return found


def _psnr(found, clean):
    """Return the peak signal-to-noise ratio for a peak of 1, in dB; NaN of nothing."""
    return float(-10 * np.log10(np.mean((found - clean) ** 2))) if clean.size else float("nan")


if __name__ == "__main__":
    flags = arguments(__doc__.splitlines()[0])
    warnings.simplefilter("ignore")
    for part in (ranks, large, denoised_tables, gaps):
        part(flags.full)
        print()
