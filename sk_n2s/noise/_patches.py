"""Small patches of an array, and how much of their variance is noise."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.fft import dct
from scipy.special import ndtr

from .._utils.arrays import has_nan, split_axes

__all__ = ["READ", "patch_variance"]

#: Entries of a patch: less where gaps leave too few complete ones. Along no axis more than
#: this side: longer pieces of a signal overlap so much that there are few of them.
_PATCH = (25, 16, 9)
_LONGEST = 12

#: With fewer patches than this, they tell too little.
_FEWEST = 256

#: Patches that are read at most (four times as many places are tried to find complete ones);
#: entries of the windows around patches that are held at once.
READ, _AT_ONCE = 2**16, 2**19

#: Frequencies up to this share of the highest tell structure, the others the noise.
_LOW = 0.5

#: The quietest patches, as shares of all, from which the noise may be read.
_SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.6, 1.0)

#: How far the eigenvalues of overlapping patches spread, by the spread of independent ones.
_SPREAD = 1.3

#: Of several estimates the least counts, so many standard errors above itself.
_DOUBT = 2.0

#: A single patch is quiet by chance as well, and the more so the heavier the tails of the
#: noise. This share of the patches and more is read where patches are chosen by themselves,
#: and only an estimate below this share of the other one counts.
_LEAST_BY_ITSELF, _CONTRADICTION = 0.05, 0.72

#: An end of the range that holds a larger share of the entries is where a sensor saturates.
_SATURATED = 1e-3

#: In a first estimate, patches with a larger share of saturated entries are left out.
_CUT = 0.1

#: Then those whose mean is nearer to such an end than so many standard deviations.
_NEAR, _ITERATIONS = 0.8, 6

#: By this factor at most, the variance that was cut off is put back. Data that are mostly 0
#: look saturated, and are something else.
_MOST_CUT = 1.7


class _Patches(NamedTuple):
    """Patches of an array: values of shape (n_patches, ...)."""

    supply: float  # how many independent patches there are in all the data, for each of these
    slow: np.ndarray  # (n_patches, 2): power of low frequencies, of a patch and of its window
    fast: np.ndarray  # (n_patches, n_fast): the other frequencies of a patch
    mean: np.ndarray
    constant: np.ndarray  # whether a part of a patch is constant
    at_ends: np.ndarray  # (n_patches, 2): the share of entries that are the least, the largest

    def at(self, kept: np.ndarray) -> _Patches:
        """Return some of the patches."""
        return _Patches(self.supply, *(values[kept] for values in self[1:]))


def patch_variance(
    X: np.ndarray, channel_axis: int | None, batch_axis: int | None, most: int = READ
) -> float | None:
    """Return the variance of white noise, or None where the data hold too few patches."""
    axes = tuple(a for a in split_axes(X.ndim, channel_axis, batch_axis)[2] if X.shape[a] > 1)
    ends = np.array([ufunc.reduce(X, axis=None) for ufunc in (np.fmin, np.fmax)], np.float64)
    found = (_gather(X, axes, n_entries, ends, most) for n_entries in _PATCH if axes)
    patches = next((some for some in found if some is not None), None)
    if patches is None:
        return None
    # Up to rounding, no noise at all: a constant area tells nothing of it elsewhere.
    rounding = (8 * np.finfo(X.dtype).eps * float(np.abs(ends).max())) ** 2
    noisy = np.square(patches.fast).mean(axis=1) > rounding
    if not noisy.any():
        return 0.0
    patches = patches.at(noisy)
    if not noisy.all() and patches.constant.mean() < 0.5:
        patches = patches.at(~patches.constant)  # without the borders of such areas
    return _uncut_variance(patches, ends)


def _uncut_variance(patches: _Patches, ends: np.ndarray) -> float:
    """Return the variance that the noise had before values beyond the ends were cut off."""
    saturated = patches.at_ends.mean(axis=0) > _SATURATED
    if not saturated.any():
        return _variance(patches)
    enough = min(_FEWEST, len(patches.mean))
    cut = patches.at_ends[:, saturated].sum(axis=1)
    first = variance = _variance(patches.at(cut <= max(_CUT, np.sort(cut)[enough - 1])))
    away = np.abs(patches.mean[:, None] - ends[saturated])
    nearest = away.min(axis=1)
    farthest = np.sort(nearest)[-enough]
    for _ in range(_ITERATIONS if first > 0 else 0):
        deviation = np.sqrt(variance)
        near = _NEAR * deviation
        left = _left_of_variance(np.maximum(away, near) / deviation).prod(axis=1)
        whole = patches._replace(fast=patches.fast / np.sqrt(left)[:, None])
        variance = _variance(whole.at(nearest >= min(farthest, near)))
        variance = float(np.clip(variance, first, _MOST_CUT * first))
    return variance


def _left_of_variance(mean: np.ndarray) -> np.ndarray:
    """Return the variance of max(x, 0) for normal x of variance 1, by the mean of max(x, 0)."""
    centre = np.linspace(-2, 5, 141)
    share, density = ndtr(centre), np.exp(-(centre**2) / 2) / np.sqrt(2 * np.pi)
    means = centre * share + density
    return np.interp(mean, means, (centre**2 + 1) * share + centre * density - means**2)


def _gather(
    X: np.ndarray, axes: tuple[int, ...], n_entries: int, ends: np.ndarray, most: int
) -> _Patches | None:
    """Return patches from all over the data, of measured entries only."""
    side = min(_LONGEST, max(2, round(n_entries ** (1 / len(axes)))))
    sides = [min(X.shape[a], side) for a in axes]
    wide = [min(X.shape[a], side + 2 * round(0.4 * side)) for a in axes]
    starts = [(w - n) // 2 for w, n in zip(wide, sides, strict=True)]
    inner = tuple(slice(start, start + n) for start, n in zip(starts, sides, strict=True))
    windows = np.lib.stride_tricks.sliding_window_view(X, wide, axis=axes)
    shape = windows.shape[: X.ndim]
    n_places, rng = float(np.prod(shape)), np.random.default_rng(0)
    places = _spread_out(int(n_places), 4 * most, rng)
    if has_nan(X):
        missing = np.lib.stride_tricks.sliding_window_view(np.isnan(X), wide, axis=axes)
        gaps = missing[np.unravel_index(places, shape)][(slice(None), *inner)]
        complete = ~gaps.reshape(len(places), -1).any(axis=1)
        n_places, places = n_places * float(complete.mean()), places[complete]
    if len(places) < _FEWEST:
        return None
    places = places[_spread_out(len(places), most, rng)]
    basis, frequency = _cosines(sides)
    wide_basis, wide_frequency = _cosines(wide)
    limit = _LOW * frequency.max()
    slow = basis[:, (frequency > 0) & (frequency <= limit)]
    wide_slow = wide_basis[:, (wide_frequency > 0) & (wide_frequency <= limit)]
    fast = basis[:, frequency > limit]
    same = max(1, frequency.size // 5)
    found = []
    for some in np.array_split(places, -(-len(places) * wide_frequency.size // _AT_ONCE)):
        window = windows[np.unravel_index(some, shape)].astype(np.float64, copy=False)
        patch = window[(slice(None), *inner)].reshape(len(some), -1)
        window, mean = window.reshape(len(some), -1), patch.mean(axis=1)
        window = np.where(np.isnan(window), mean[:, None], window)
        power = [np.square(patch @ slow).sum(axis=1), np.square(window @ wide_slow).sum(axis=1)]
        in_order = np.sort(patch, axis=1)
        constant = (in_order[:, same:] == in_order[:, :-same]).any(axis=1)
        at_ends = [np.mean(patch == end, axis=1) for end in ends]
        columns = np.stack(power, axis=1), patch @ fast, mean, constant, np.stack(at_ends, axis=1)
        found.append(columns)
    supply = n_places / len(places) / frequency.size
    return _Patches(supply, *map(np.concatenate, zip(*found, strict=True)))


def _spread_out(n_places: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return at most so many of the places, at random, one in each part of the data."""
    if n_places <= n:
        return np.arange(n_places)
    return ((np.arange(n) + rng.random(n)) * (n_places / n)).astype(np.intp)


def _cosines(sides: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return a cosine basis, its columns the vectors, and the sums of their frequencies."""
    basis, frequency = np.ones((1, 1)), np.zeros(1)
    for n in sides:
        basis = np.kron(basis, dct(np.eye(n), axis=1, norm="ortho"))
        frequency = np.add.outer(frequency, np.arange(n)).ravel()
    return basis, frequency


def _variance(patches: _Patches) -> float:
    """Return the variance in the quietest patches, by what is around them or by themselves."""
    by_itself, around = (
        min(_estimates(patches, slow, least))
        for slow, least in zip(patches.slow.T, (_LEAST_BY_ITSELF, 0), strict=True)
    )
    return (by_itself if by_itself[0] < _CONTRADICTION * around[0] else around)[1]


def _estimates(
    patches: _Patches, slow: np.ndarray, least_share: float
) -> list[tuple[float, float]]:
    """Return an upper bound and an estimate of the variance, for each share of the patches."""
    n, n_fast = patches.fast.shape
    order, done, total, found = np.argsort(slow), 0, np.zeros((n_fast, n_fast)), []
    for share in _SHARES:
        end = int(share * n)
        if share < 1 and (share < least_share or end < 4 * n_fast):
            continue
        part = patches.fast[order[done:end]]
        total, done = total + part.T @ part, end
        variance, n_noise = _least(np.linalg.eigvalsh(total / end), end)
        error = np.sqrt(2 / n_noise / end * (1 + 1 / patches.supply))
        found.append((variance / max(1 - _DOUBT * error, 1e-3), variance))
    return found


def _least(eigenvalues: np.ndarray, n: int) -> tuple[float, int]:
    """Return the mean of the least eigenvalues that may be those of noise, and their number."""
    eigenvalues = np.maximum(eigenvalues, 0)
    count = np.arange(1, len(eigenvalues) + 1)
    means = np.cumsum(eigenvalues) / count
    # Those of noise reach up to this, by the law of Marchenko and Pastur.
    beyond = eigenvalues > means * (1 + _SPREAD * np.sqrt(count / n)) ** 2
    n_noise = int(np.argmax(beyond)) if beyond.any() else len(eigenvalues)
    return float(means[n_noise - 1]), n_noise
