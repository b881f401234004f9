"""Volumes of one place: diffusion MRI directions, denoised one by one, and from each other.

A phantom of 64×64×16 places and 33 volumes: compartments with partial volumes, bending fibres,
free water and a slowly varying proton density, 3 volumes without and 30 with diffusion weighting,
and Rician noise. What is printed is the gain in dB over the noisy data within the mask, and CPU
seconds.
"""

from functools import partial

import numpy as np  # noqa: I001
from scipy import ndimage

from sk_n2s import JInvariantWrapper
from sk_n2s.denoisers import DirectionsDenoiser, gaussian, nl_ridge, tv

from ._common import arguments, cpu_seconds, table

SHAPE = (64, 64, 16)


def gradients(n, rng):
    """Return directions that are spread over the sphere."""
    k = np.arange(n) + 0.5
    z, turn = 1 - 2 * k / n, np.pi * (1 + np.sqrt(5)) * k
    r = np.sqrt(1 - z**2)
    return np.stack([r * np.cos(turn), r * np.sin(turn), z], axis=1)


def phantom(seed, snr):
    """Return clean and noisy volumes, and the mask of the places that hold signal."""
    rng = np.random.default_rng(seed)
    y, x, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    mask = (y / 0.9) ** 2 + (x / 0.75) ** 2 + (z / 1.2) ** 2 < 1

    def blobs(size):
        field = ndimage.gaussian_filter(rng.normal(size=SHAPE), (size, size, size / 2))
        return field / field.std()

    white = ndimage.gaussian_filter((blobs(4) > 0.2).astype(float), 0.7)
    water = ndimage.gaussian_filter((blobs(4) > 1.4).astype(float), 0.7)
    white, grey = white * (1 - water), (1 - white) * (1 - water)
    angle, tilt = 2 * np.arctan2(y, x) + 0.8 * blobs(8), 0.6 * blobs(8)
    fibre = np.stack([np.cos(angle) * np.cos(tilt), np.sin(angle) * np.cos(tilt), np.sin(tilt)])
    density = (0.7 * white + 0.85 * grey + 1.3 * water) * (1 + 0.1 * blobs(10) + 0.05 * blobs(1))
    volumes = []
    for b, g in [(0.0, np.zeros(3))] * 3 + [(1.0, g) for g in gradients(30, rng)]:
        along = np.tensordot(g, fibre, axes=1) ** 2
        signal = white * np.exp(-b * (0.3 + 1.4 * along))
        signal += grey * np.exp(-b * (0.8 + 0.1 * blobs_of(fibre, g))) + water * np.exp(-b * 3.0)
        volumes.append(density * signal * mask)
    clean = np.stack(volumes, axis=-1)
    level = clean[mask][:, 0].mean() / snr
    real, imaginary = level * rng.normal(size=(2, *clean.shape))
    noisy = np.hypot(clean + real, imaginary)
    return clean, noisy.astype(np.float32), mask, level


def blobs_of(fibre, g):
    """Return a weak anisotropy of grey matter, across the fibres next to it."""
    return 1 - np.tensordot(g, fibre, axes=1) ** 2


def regressions(table, solve):
    """Return each volume predicted by one regression on all others."""
    mean = table.mean(axis=0, dtype=np.float64)
    centred = table - mean
    result = np.empty_like(centred)
    for k in range(table.shape[1]):
        others = np.delete(centred, k, axis=1)
        result[:, k] = others @ solve(others, centred[:, k])
    return result + mean


def normal_equations(A, b):
    return np.linalg.solve(A.T @ A, A.T @ b)


def least_squares(A, b):
    return np.linalg.lstsq(A, b, rcond=None)[0]


def methods(clean, noisy, mask, level):
    """Yield names, and functions that return the denoised places of the mask."""

    def each(denoiser, **params):
        found = [denoiser(noisy[..., k], **params)[mask] for k in range(noisy.shape[-1])]
        return np.stack(found, axis=-1)

    def best(denoiser, **grid):
        """Return the best of a grid by the true error: no estimate can choose better."""
        (name, values), truth = next(iter(grid.items())), clean[mask]
        errors = [np.mean((each(denoiser, **{name: v}) - truth) ** 2) for v in values]
        return partial(each, denoiser, **{name: values[int(np.argmin(errors))]})

    inside = noisy[mask]
    yield "gaussian, each volume", best(gaussian, sigma=[0.3, 0.4, 0.5, 0.6, 0.8])
    yield "tv, each volume", best(tv, weight=[0.3 * level, 0.5 * level, 0.8 * level])
    yield "nl_ridge, each volume", partial(each, nl_ridge, sigma=level)
    yield "33 regressions, normal equations", partial(regressions, inside, normal_equations)
    yield "33 regressions, lstsq", partial(regressions, inside, least_squares)

    def directions(**params):
        return DirectionsDenoiser(mask=mask, **params).fit_transform(noisy)[mask]

    blind = JInvariantWrapper(DirectionsDenoiser(mask=mask))
    yield "directions, J-invariant", lambda: blind.fit(noisy).transform(noisy)[mask]
    yield "directions, no windows, told noise", partial(directions, scales=(), noise=level)
    yield "directions, one window, told noise", partial(directions, scales=(0.5,), noise=level)
    yield "directions, told noise", partial(directions, noise=level)
    yield "directions", directions
    ridge = partial(nl_ridge, sigma=1.0)
    yield "directions, components by nl_ridge", partial(directions, denoiser=ridge)


def main():
    args = arguments(__doc__)
    levels = [10, 15, 20] if args.full else [10, 20]
    gains, seconds = {}, {}
    for seed, snr in enumerate(levels):
        clean, noisy, mask, level = phantom(seed, snr)
        before = np.mean((noisy - clean)[mask] ** 2)
        for name, method in methods(clean, noisy, mask, level):
            found, taken = cpu_seconds(method, 1 if "ridge" in name else 3)
            gain = 10 * np.log10(before / np.mean((found - clean[mask]) ** 2))
            gains.setdefault(name, []).append(f"{gain:.2f}")
            seconds.setdefault(name, []).append(taken)
    once = np.mean(seconds["33 regressions, normal equations"])
    rows = []
    for name, values in gains.items():
        taken = float(np.mean(seconds[name]))
        rows.append([name, *values, f"{taken:.3f}", f"{taken / once:.2f}"])
    header = ["method", *(f"dB, SNR {snr}" for snr in levels), "seconds", "to regressions"]
    table(header, rows)


if __name__ == "__main__":
    main()
