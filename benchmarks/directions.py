"""Volumes of one place: diffusion MRI directions, denoised one by one, and from each other.

A phantom of 64×64×16 places and 33 volumes: compartments with partial volumes, bending fibres,
free water and a slowly varying proton density, 3 volumes without and 30 with diffusion weighting,
and Rician noise. What is printed is the gain in dB over the noisy data within the mask, and CPU
seconds.
"""

import numpy as np  # noqa: I001
from scipy import ndimage


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
