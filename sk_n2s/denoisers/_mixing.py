"""Weights by which similar patches are combined into estimates of each other."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..noise._lags import checked_correlation, with_more_lags

__all__ = ["RIDGE", "SURE", "Correlation", "Risk", "combine", "inverse", "noisier"]

#: Lags of a correlation that are looked up.
_LAGS = 48

#: Matrices up to this order are inverted by LAPACK.
_LEAF = 12

#: Groups whose patches differ by so many times the noise are worked out in double precision, and
#: matrices whose inverse is off by so much are inverted in that by LAPACK.
_LOUD, _OFF = 1e4, 0.02

#: Matrices up to this condition can be inverted in double precision, and the rest done in single.
_SINGULAR = 1e6

#: What is added to a covariance, in units of the noise.
_FLOOR = 1e-4


class Risk(NamedTuple):
    """The error that weights minimise, by what it makes of the noise D of a group.

    They are I − (YYᵀ + aD)⁻¹·rD, with a correction so that those of each estimate sum to one.
    What is inverted has a floor, in units of the noise.
    """

    added: float  # a
    removed: float  # r
    floor: float = 0.0


#: Stein's estimate of the error of the weights for the noisy patches themselves.
SURE = Risk(0.0, 1.0, floor=1e-3)

#: The error where the patches of a pilot are the truth.
RIDGE = Risk(1.0, 1.0)


def noisier(alpha: float) -> Risk:
    """Return the error that is seen if `alpha` times the noise is added to what is noisy."""
    return Risk(alpha**2, 1 + alpha**2)


class Correlation:
    """The correlation of the noise of two patches, by their distance."""

    def __init__(self, correlation: Any, ndim: int) -> None:
        table = checked_correlation(correlation)
        if table.ndim != ndim:
            raise ValueError(
                f"correlation of shape {table.shape} must have an axis for each of the {ndim} axes "
                "of space."
            )
        table = _positive(table)
        self.table = table.astype(np.float32).ravel()
        self.shape = table.shape

    def __call__(
        self, first: np.ndarray, second: np.ndarray, extent: tuple[int, ...]
    ) -> np.ndarray:
        """Return it for positions that are counted within a block; the arrays broadcast."""
        index: Any = 0
        places = (np.unravel_index(p.astype(np.int32), extent) for p in (first, second))
        for a, b, n in zip(*places, self.shape, strict=True):
            lag = a.astype(np.int32) - b.astype(np.int32)
            index = index * n + np.clip(lag, -(n // 2), n // 2) + n // 2
        return self.table[index]


def _positive(table: np.ndarray) -> np.ndarray:
    """Return the nearest correlation without negative power, which an estimate may have."""
    for axis, n in enumerate(table.shape):
        # One period, which ends where nothing is left, or what goes on beyond all lags.
        table = with_more_lags(table, axis, max(_LAGS - n // 2, n // 2) if n > 1 else 0)
    power = np.fft.fftn(np.fft.ifftshift((table + np.flip(table)) / 2)).real
    table = np.fft.fftshift(np.fft.ifftn(np.maximum(power, 0)).real)
    return table / table.max()


def combine(
    group: np.ndarray,
    basis: np.ndarray,
    power: np.ndarray,
    noise: np.ndarray | None,
    risk: Risk,
) -> tuple[np.ndarray, np.ndarray]:
    """Return estimates of the patches of each group, and the variances of their noise.

    Parameters
    ----------
    group : ndarray of shape (n_groups, n_patches, size)
        The noisy patches.
    basis : ndarray of that shape
        The patches of the pilot, or the noisy ones where there is none.
    power : ndarray of shape (n_groups, n_patches)
        The variance of the noise of each, over all its entries.
    noise : ndarray of shape (n_groups, n_patches, n_patches) or None
        The covariance of the noise of the patches; None stands for diag(`power`).
    risk : Risk
        What the weights minimise.

    Returns
    -------
    estimates : ndarray of shape (n_groups, n_patches, size)
        What is estimated.
    spread : ndarray of shape (n_groups, n_patches)
        The variance of the noise that the weights leave.
    """
    # Entries of a patch are fewer than patches: the smaller of two matrices is inverted.
    is_small = noise is None and risk == RIDGE and group.shape[2] < group.shape[1]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if is_small:
            estimates, spread, careful = _by_entries(group, basis, power)
        else:
            estimates, spread, careful = _by_patches(group, basis, power, noise, risk)
    if careful.any():
        # Weights next to the identity keep their digits as I − PrD only.
        of_these = None if noise is None else noise[careful].astype(np.float64)
        group, basis, power = (v[careful].astype(np.float64) for v in (group, basis, power))
        exact = _by_patches(group, basis, power, of_these, risk, is_careful=True)
        estimates[careful], spread[careful], _ = exact
    return estimates, spread


def _by_entries(
    group: np.ndarray, basis: np.ndarray, power: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Combine patches by a matrix of the order of their entries.

    With X the pilot's patches less their mean, weighted by W = 1/D as all means are here, and
    B = I + XᵀWX, the weights are Θ = WXB⁻¹Xᵀ + W·11ᵀ/tr W, by the formula of Woodbury.
    """
    precision = 1 / power
    shares = precision / precision.sum(axis=1, keepdims=True)
    group, mean = _less_mean(group, shares)
    basis, _ = _less_mean(basis, shares)
    weighted = basis * precision[:, :, np.newaxis]
    gram = basis.swapaxes(1, 2) @ weighted
    order = np.arange(gram.shape[1])
    trace = gram[:, order, order].sum(axis=1)
    gram[:, order, order] += 1
    inverted, careful = inverse(gram, trace)
    mixed = basis @ inverted
    estimates = mixed @ (weighted.swapaxes(1, 2) @ group)
    estimates += mean
    spread = np.einsum("nij,nij->ni", mixed, basis) - np.einsum("nij,nij->ni", mixed, mixed)
    spread += 1 / precision.sum(axis=1, keepdims=True)
    return estimates, spread, careful


def _by_patches(
    group: np.ndarray,
    basis: np.ndarray,
    power: np.ndarray,
    noise: np.ndarray | None,
    risk: Risk,
    is_careful: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Combine patches by a matrix of the order of their number.

    The weights are I − PrD, where P inverts YYᵀ + aD for weights that sum to 0.
    """
    # Weights that sum to one let any patch be taken out first, and put back: the mean patch
    # leaves the smallest values, whose squares do not drown the noise.
    equal = np.full_like(power, 1 / power.shape[1])
    has_no_pilot = basis is group
    group, mean = _less_mean(group, equal)
    basis = group if has_no_pilot else _less_mean(basis, equal)[0]
    gram = basis @ basis.swapaxes(1, 2)
    order = np.arange(gram.shape[1])
    loudness = gram[:, order, order].sum(axis=1) / power.min(axis=1)
    if noise is None:
        gram[:, order, order] += (risk.added + risk.floor) * power
    else:  # which lines that share an offset make singular
        gram += risk.added * noise
        gram[:, order, order] += (risk.floor + _FLOOR) * power
    # Patches less their mean sum to zero. Any multiple of 11ᵀ leaves the same weights; with this
    # one, nothing is next to zero that is inverted.
    gram += power.mean(axis=1)[:, np.newaxis, np.newaxis]
    inverted, careful = inverse(gram, loudness, is_careful)
    row = inverted.sum(axis=2)
    inverted -= row[:, :, np.newaxis] * (row / row.sum(axis=1, keepdims=True))[:, np.newaxis, :]
    inverted *= -risk.removed
    mixing = inverted * power[:, np.newaxis, :] if noise is None else inverted @ noise
    mixing[:, order, order] += 1
    if noise is None:
        spread = (power[:, np.newaxis] @ np.square(mixing))[:, 0]
    else:
        spread = np.einsum("nij,nij->nj", mixing, noise @ mixing)
    return mixing.swapaxes(1, 2) @ group + mean, spread, careful


def _less_mean(patches: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the patches of each group less their weighted mean, and that."""
    mean = shares[:, np.newaxis] @ patches
    return patches - mean, mean


def inverse(
    matrices: np.ndarray, loudness: np.ndarray, is_careful: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Invert positive definite matrices, and say which have to be worked out with more care.

    `loudness` is about the largest of the eigenvalues, in units of the smallest.
    """
    order = np.arange(matrices.shape[1])
    if is_careful:
        # Patches that are the same, as in saturated areas, leave next to nothing to invert.
        eps = len(order) * np.finfo(matrices.dtype).eps
        matrices[:, order, order] += eps * matrices[:, order, order].max(axis=1, keepdims=True)
        return np.linalg.inv(matrices), np.zeros(len(matrices), dtype=bool)
    try:
        found = _by_blocks(matrices)
    except np.linalg.LinAlgError:
        return matrices, np.ones(len(matrices), dtype=bool)
    # A step of Newton's method, which also tells how far they were off.
    residual = matrices @ found
    residual *= -1
    residual[:, order, order] += 1
    off = np.abs(residual).max(axis=(1, 2))
    residual[:, order, order] += 1
    found = found @ residual
    careful = ~(loudness < _LOUD)
    rough = ~(off < _OFF) & ~careful
    if rough.any():  # noise that goes far is next to singular
        found[rough], careful[rough] = _in_double_precision(matrices[rough])
    return found, careful


def _in_double_precision(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the inverses that LAPACK finds, and which have fewer digits than single precision."""
    exact = matrices.astype(np.float64)
    try:
        found = np.linalg.inv(exact)
    except np.linalg.LinAlgError:
        return matrices, np.ones(len(matrices), dtype=bool)
    condition = np.abs(exact).max(axis=(1, 2)) * np.abs(found).max(axis=(1, 2))
    return found, ~(exact.shape[1] * condition < _SINGULAR)


def _by_blocks(matrices: np.ndarray) -> np.ndarray:
    """Invert positive definite matrices by blocks: products are faster than LAPACK's LU."""
    order = matrices.shape[-1]
    if order <= _LEAF:
        return np.linalg.inv(matrices)
    half = order // 2
    first = _by_blocks(matrices[:, :half, :half])
    right = matrices[:, :half, half:]
    solved = first @ right
    last = _by_blocks(matrices[:, half:, half:] - right.swapaxes(1, 2) @ solved)
    corner = solved @ last
    found = np.empty_like(matrices)
    found[:, :half, :half] = first + corner @ solved.swapaxes(1, 2)
    found[:, :half, half:] = -corner
    found[:, half:, :half] = found[:, :half, half:].swapaxes(1, 2)
    found[:, half:, half:] = last
    return found
