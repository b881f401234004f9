"""Non-local ridge regression: similar patches denoise each other linearly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from .._utils.arrays import per_axis
from .._utils.threads import one_thread
from ..noise._lags import checked_correlation, with_more_lags
from ._input import as_data
from ._scale import noise_relative
from .traits import declare

__all__ = ["nl_ridge"]

#: Defaults for 1, 2, 3, and more axes: sides of the patches of the two steps, side of the
#: window. Patches of some 50 to 125 entries, windows of some 1,300 positions.
_PATCH_SIZE = {1: (41, 31), 2: (9, 7), 3: (5, 4)}
#: With channels, a patch holds more in the same space.
_PATCH_SIZE_OF_CHANNELS = {1: (21, 15), 2: (6, 4), 3: (3, 3)}
_WINDOW = {1: 1369, 2: 37, 3: 11}

#: Data up to this many units of the noise are worked on in single precision.
_SINGLE = 1e3

#: An entry without noise is taken for one with this share of the noise of the others.
_LEAST = 1e-4

#: Reference patches that are worked on together, which bounds the memory.
_TILE = 64

#: Lags of a correlation that are looked up.
_LAGS = 48

#: Matrices up to this order are inverted by LAPACK.
_LEAF = 12

#: Groups whose patches differ by more than this times the noise, and weights whose squares add
#: up to more than noise makes likely, are worked out by LAPACK, in double precision.
_LOUD = 1e2
_UNLIKELY = 300


def _reach(
    ndim: int,
    *,
    patch_size: int | Sequence[int] | None,
    window: int | None,
    n_refinements: int,
    **_: Any,
) -> int:
    kind = min(ndim, 3)
    sides: int | Sequence[int] = _PATCH_SIZE[kind] if patch_size is None else patch_size
    side = max(per_axis(sides, 2, name="patch_size"))
    return (1 + n_refinements) * ((_WINDOW[kind] if window is None else window) // 2 + side)


# Which patches are references depends on the place.
@declare(reach=_reach, exactly=False, releases_gil=True)
def nl_ridge(
    X: ArrayLike,
    *,
    sigma: ArrayLike | None = None,
    patch_size: int | Sequence[int] | None = None,
    group_size: int | Sequence[int] = (18, 60),
    window: int | None = None,
    step: int = 3,
    n_refinements: int = 1,
    correlation: ArrayLike | None = None,
    channel_axis: int | None = None,
) -> np.ndarray:
    """Non-local ridge regression: each patch is a linear combination of similar ones.

    For each reference patch, the patches within a window that resemble it most are the
    columns of a matrix Y. All of them are estimated as YΘ with weights Θ that sum to one
    in each column and minimise Stein's estimate of the error. The result serves as the
    pilot of a second step, which finds its groups and its weights in the pilot: ridge
    regression, whose penalty is the variance of the noise. Overlapping estimates are
    averaged, each weighted by the inverse of its variance.

    Parameters
    ----------
    X : ndarray of float, any number of axes
        The data.
    sigma : float or array-like, default=None
        The standard deviation of the noise, in the unit of the data, or one that
        broadcasts to the shape of `X`. None takes what `estimate_noise` reads in `X`.
    patch_size : int or tuple of two int, default=None
        Side of the patches, in both steps or in each; None takes (9, 7) for images,
        (41, 31) for signals, (5, 4) for volumes, and (6, 4), (21, 15), (3, 3) if these have
        channels.
    group_size : int or tuple of two int, default=(18, 60)
        How many patches form a group, in both steps or in each; at most half as many as a
        patch has entries in the first step.
    window : int, default=None
        Side of the window of positions that are searched; None takes 37 for images, 1369
        for signals, 11 for volumes.
    step : int, default=3
        Distance between reference patches. Smaller is slightly better, and slower: 4 takes
        0.6 of the time for images and loses 0.03 to 0.05 dB.
    n_refinements : int, default=1
        How often the second step is made: 2 takes the first result as the pilot of
        another, which is a little better where the noise is not strong.
    correlation : array-like with an odd length along each axis of space, default=None
        The correlation of the noise of two entries by their distance: 1 in the centre, which is
        distance 0. Beyond its ends it is 0, but where it does not change towards them, as for
        lines that share an offset. None means independent noise.
        Where it is given, patches and groups should be larger: (17, 13) and (30, 90), say.
    channel_axis : int, default=None
        An axis of channels, whose patches are joined.

    Returns
    -------
    ndarray of the shape and dtype of `X`
        The denoised data.

    Raises
    ------
    ValueError
        If a parameter does not fit.

    Notes
    -----
    Unlike in [1]_, weights sum to one. This makes the result follow an offset of the data,
    and better: by 0.1 dB at σ = 25/255 and 0.3 dB at σ = 50/255, on average over images.
    A group of patches that are the same comes out as it is, whatever `sigma` is.

    With a correlation r, the noise D of a group is no longer diagonal: that of the patches i and
    j is n·σ²·r(their distance), of n entries. Distances of noisy patches are corrected by what
    their noise adds, 2n·σ²·(1 − r), since close patches share noise and would seem alike.

    References
    ----------
    .. [1] S. Herbreteau and C. Kervrann, "Towards a unified view of unsupervised non-local
       methods for image denoising: the NL-Ridge approach", ICIP 2022, 3376-3380.
       :arxiv:`2203.00570`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.denoisers import nl_ridge
    >>> stripes = np.tile([0.0, 0.0, 0.0, 9.0, 9.0, 9.0], (48, 8))
    >>> noisy = stripes + np.random.default_rng(0).normal(size=stripes.shape)
    >>> bool(np.std(nl_ridge(noisy, sigma=1.0) - stripes) < 0.3 * np.std(noisy - stripes))
    True
    """
    X = as_data(X)
    kind = min(X.ndim - (channel_axis is not None), 3)
    sides = (_PATCH_SIZE if channel_axis is None else _PATCH_SIZE_OF_CHANNELS)[kind]
    patches = per_axis(sides if patch_size is None else patch_size, 2, name="patch_size", minimum=1)
    groups = per_axis(group_size, 2, name="group_size", minimum=2)
    side = per_axis(_WINDOW[kind] if window is None else window, 1, name="window", minimum=1)[0]
    step = per_axis(step, 1, name="step", minimum=1)[0]
    n_refinements = per_axis(n_refinements, 1, name="n_refinements")[0]
    deviation = _deviation(sigma, X, channel_axis)
    level = float(np.sqrt(np.mean(np.square(deviation, dtype=np.float64))))
    offset = X.dtype.type(np.mean(X, dtype=np.float64))
    values = X - offset
    extent = float(np.abs(values).max())
    if level <= np.finfo(X.dtype).eps * extent:
        return X.copy()  # less noise than the data have digits for
    # In units of the noise, single precision has digits to spare, unless noise is minute.
    unit = 2.0 ** round(np.log2(level))
    if extent >= _SINGLE * unit:
        values = values.astype(np.float64, copy=False)
    values /= values.dtype.type(unit)
    if extent < _SINGLE * unit:
        values = values.astype(np.float32, copy=False)
    variance = np.square(np.maximum(deviation / unit, _LEAST)).astype(values.dtype)
    space = X.ndim - (channel_axis is not None)
    shared = None if correlation is None else _Correlation(correlation, space, values.dtype)
    axis = -1 if channel_axis is None else channel_axis
    if channel_axis is None:
        values, variance = values[..., np.newaxis], variance[..., np.newaxis]
    values, variance = np.moveaxis(values, axis, -1), np.moveaxis(variance, axis, -1)
    shape = values.shape[:-1]
    pilot: Any = None
    # Sums that another number of threads rounds differently would choose other patches. The
    # products are small, and gain nothing from threads.
    with one_thread():
        for size, count in ((patches[0], groups[0]), *[(patches[1], groups[1])] * n_refinements):
            grid = _Grid(shape, tuple(min(size, n) for n in shape), side, step)
            pilot = _one_step(values, pilot, variance, grid, count, shared)
    result = np.moveaxis(pilot, -1, axis).reshape(X.shape).astype(X.dtype)
    result *= X.dtype.type(unit)
    result += offset
    return result


def _deviation(sigma: Any, X: np.ndarray, channel_axis: int | None) -> np.ndarray:
    """Return the standard deviation of the noise of each entry."""
    if np.ndim(sigma) == 0:
        return np.broadcast_to(noise_relative(sigma, 1.0, X, channel_axis, name="sigma"), X.shape)
    deviation = np.asarray(sigma, dtype=float)
    try:
        fits = np.broadcast_shapes(deviation.shape, X.shape) == X.shape
    except ValueError:
        fits = False
    if not fits or not np.isfinite(deviation).all() or (deviation < 0).any():
        raise ValueError(
            f"sigma of shape {deviation.shape} must hold finite numbers that are not negative, and "
            f"broadcast to the shape {X.shape} of X."
        )
    return np.broadcast_to(deviation, X.shape)


class _Correlation:
    """The correlation of the noise of two patches, by their distance."""

    def __init__(self, correlation: Any, ndim: int, dtype: Any) -> None:
        table = checked_correlation(correlation)
        if table.ndim != ndim:
            raise ValueError(
                f"correlation of shape {table.shape} must have an axis for each of the {ndim} axes "
                "of space."
            )
        table = _positive(table)
        self.table = table.astype(dtype).ravel()
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


class _Tile(NamedTuple):
    """Neighbouring reference patches, and what they see.

    Positions are those of the patches' first entries; `candidates` and `reference` count
    within `box`, the block of all positions that the tile's windows cover.
    """

    box: tuple[slice, ...]
    reference: np.ndarray  # (n_references,)
    candidates: np.ndarray  # (n_references, n_candidates)


class _Grid:
    """Where patches are, over the axes of space."""

    def __init__(
        self, shape: tuple[int, ...], patch: tuple[int, ...], window: int, step: int
    ) -> None:
        self.shape = shape
        self.patch = patch
        self.positions = tuple(n - p + 1 for n, p in zip(shape, patch, strict=True))
        self.window = tuple(min(window, q) for q in self.positions)
        # No entry may be left out.
        self.steps = tuple(min(step, p) for p in patch)

    def tiles(self) -> Iterator[_Tile]:
        """Yield the reference patches: every `step`-th position, and the last."""
        side = max(1, round(_TILE ** (1 / len(self.shape))))
        axes = []
        for q, step in zip(self.positions, self.steps, strict=True):
            places = np.unique(np.append(np.arange(0, q, step), q - 1))
            axes.append([places[k : k + side] for k in range(0, len(places), side)])
        for block in product(*axes):
            # A window that would reach over the border is moved inwards.
            starts = [
                np.clip(p - w // 2, 0, q - w)
                for p, w, q in zip(block, self.window, self.positions, strict=True)
            ]
            low = [s[0] for s in starts]
            box = tuple(slice(s[0], s[-1] + w) for s, w in zip(starts, self.window, strict=True))
            extent = tuple(b.stop - b.start for b in box)
            reference = _flat([p - o for p, o in zip(block, low, strict=True)], extent)
            first = _flat([s - o for s, o in zip(starts, low, strict=True)], extent)
            offsets = _flat([np.arange(w) for w in self.window], extent)
            yield _Tile(box, reference, first[:, None] + offsets)

    def patches(self, values: np.ndarray, box: tuple[slice, ...]) -> np.ndarray:
        """Return the patches that start within a box, a row for each."""
        axes = tuple(range(len(self.shape)))
        view = np.lib.stride_tricks.sliding_window_view(values, self.patch, axis=axes)
        rows = view[box]
        return rows.reshape(np.prod(rows.shape[: len(axes)]), -1)

    def spread(self, total: np.ndarray, rows: np.ndarray, box: tuple[slice, ...]) -> None:
        """Add rows, one for each position of a box, to the entries that the patches cover."""
        extent = tuple(b.stop - b.start for b in box)
        planes = np.ascontiguousarray(rows.T).reshape(-1, *self.patch, *extent)
        planes = np.moveaxis(planes, 0, -1)  # channels last, as in `total`
        for offset in product(*(range(p) for p in self.patch)):
            place = tuple(slice(b.start + o, b.stop + o) for b, o in zip(box, offset, strict=True))
            total[place] += planes[offset]


def _flat(places: list[np.ndarray], extent: tuple[int, ...]) -> np.ndarray:
    """Return the positions of a grid of places, counted within a block."""
    return np.ravel_multi_index(np.meshgrid(*places, indexing="ij"), extent).ravel()


def _one_step(
    values: np.ndarray,
    pilot: np.ndarray | None,
    variance: np.ndarray,
    grid: _Grid,
    group_size: int,
    correlation: _Correlation | None = None,
) -> np.ndarray:
    """Estimate all groups of patches, and average; `pilot` is None in the first step."""
    size = int(np.prod(grid.patch)) * values.shape[-1]
    if pilot is None:
        group_size = max(2, min(group_size, size // 2))
    total = np.zeros_like(values)
    weights = np.zeros(grid.positions, values.dtype)
    for tile in grid.tiles():
        noisy = grid.patches(values, tile.box)
        centre = noisy.mean(dtype=np.float64).astype(noisy.dtype)  # digits for the distances
        noisy = noisy - centre
        guide = noisy if pilot is None else grid.patches(pilot, tile.box) - centre
        extent = tuple(b.stop - b.start for b in tile.box)
        power = grid.patches(variance, tile.box).sum(axis=1)
        alike: Any = 0
        if correlation is not None and pilot is None:
            alike = correlation(tile.candidates, tile.reference[:, None], extent)
            alike *= 2 * power.mean()
        members = _most_similar(guide, tile, group_size, alike)
        power = power[members]
        noise = None
        if correlation is not None:
            noise = correlation(members[:, :, None], members[:, None, :], extent)
            noise *= np.sqrt(power[:, :, None] * power[:, None, :])
        group = noisy[members]
        # Weights that sum to one let any patch be taken out first, and put back: the mean patch
        # leaves the smallest values, whose squares do not drown the noise.
        mean = group.mean(axis=1, keepdims=True)
        group -= mean
        basis = group
        if pilot is not None:
            basis = guide[members]
            basis -= basis.mean(axis=1, keepdims=True)
        mixing, spread = _mixing(basis, power, noise, ridge=pilot is not None)
        estimates = mixing.swapaxes(1, 2) @ group
        estimates += mean + centre
        weight = 1 / np.maximum(spread, _tiny(power))
        # A patch takes part in many groups: one sparse product adds up all its estimates.
        place = members.ravel()
        shape = (len(noisy), place.size)
        gather = sparse.csr_array((weight.ravel(), (place, np.arange(place.size))), shape=shape)
        grid.spread(total, gather @ estimates.reshape(place.size, -1), tile.box)
        sums = np.bincount(place, weight.ravel(), minlength=len(noisy))
        weights[tile.box] += sums.reshape([b.stop - b.start for b in tile.box])
    count = np.zeros(grid.shape, values.dtype)
    for offset in product(*(range(p) for p in grid.patch)):
        count[tuple(slice(o, o + q) for o, q in zip(offset, grid.positions, strict=True))] += (
            weights
        )
    total /= count[..., np.newaxis]
    return total


def _tiny(power: np.ndarray) -> np.ndarray:
    return 1e-6 * power.mean(axis=1, keepdims=True) + np.finfo(power.dtype).tiny


def _most_similar(
    guide: np.ndarray, tile: _Tile, group_size: int, alike: np.ndarray | int
) -> np.ndarray:
    """Return the positions of the patches nearest to each reference, itself among them."""
    distance = guide[tile.reference] @ guide.T  # ‖a‖² is the same for all candidates b
    distance *= -2
    distance += np.einsum("ij,ij->i", guide, guide)
    # Itself, even among many that are the same: no entry may be left without an estimate.
    distance[np.arange(len(distance)), tile.reference] = -np.inf
    count = min(group_size, tile.candidates.shape[1])
    inside = np.take_along_axis(distance, tile.candidates, axis=1)
    inside += alike  # that much less do patches differ which share noise
    nearest = np.argpartition(inside, count - 1, axis=1)[:, :count]
    return np.take_along_axis(tile.candidates, nearest, axis=1)


def _mixing(
    basis: np.ndarray, power: np.ndarray, noise: np.ndarray | None, *, ridge: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights Θ of each group, whose columns sum to one, and their noise diag(ΘᵀDΘ).

    `noise` is D, the covariance of the noise of the patches; None stands for diag(`power`).
    """
    gram = basis @ basis.swapaxes(1, 2)
    order = np.arange(gram.shape[1])
    loud = gram[:, order, order].max(axis=1) > _LOUD * power.min(axis=1)
    floor = power if ridge and noise is None else 1e-3 * power + _tiny(power)
    if ridge and noise is not None:
        gram += noise
    gram[loud] = 0  # they come later
    with np.errstate(over="ignore", invalid="ignore"):
        try:
            mixing = _weights(gram, power if noise is None else noise, floor, _inverse)
        except np.linalg.LinAlgError:
            mixing = np.full_like(gram, np.nan)
        spread = _spread(mixing, power if noise is None else noise)
    # Patches that are the same, as in saturated areas, leave next to nothing to invert.
    careful = loud | ~(spread.max(axis=1) < _UNLIKELY * power.max(axis=1))
    if careful.any():
        exact, power = basis[careful].astype(np.float64), power[careful]
        gram = exact @ exact.swapaxes(1, 2)
        rounding = len(order) * np.finfo(gram.dtype).eps * gram[:, order, order].max(axis=1)
        shared = power if noise is None else noise[careful]
        if ridge and noise is not None:
            gram += shared
        mixing[careful] = _weights(
            gram, shared, floor[careful] + rounding[:, np.newaxis], np.linalg.inv
        )
        spread[careful] = _spread(mixing[careful], shared)
    return mixing, spread


def _spread(mixing: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return the variance of the noise that weights leave in each estimate."""
    if noise.ndim == 2:  # independent
        return (noise[:, np.newaxis] @ np.square(mixing))[:, 0]
    return np.einsum("nij,nij->nj", mixing, noise @ mixing)


def _weights(
    gram: np.ndarray, noise: np.ndarray, floor: np.ndarray, invert: Callable
) -> np.ndarray:
    """Return I − PD, where P inverts the Gram matrices and a floor for weights that sum to 0."""
    order = np.arange(gram.shape[1])
    gram[:, order, order] += floor
    inverse = invert(gram)
    row = inverse.sum(axis=2)
    inverse -= row[:, :, None] * (row / row.sum(axis=1, keepdims=True))[:, None, :]
    if noise.ndim == 2:
        inverse *= -noise[:, None, :]
    else:
        inverse = -(inverse @ noise)
    inverse[:, order, order] += 1
    return inverse


def _inverse(matrices: np.ndarray) -> np.ndarray:
    """Invert positive definite matrices by blocks: products are faster than LAPACK's LU."""
    order = matrices.shape[-1]
    if order <= _LEAF:
        return np.linalg.inv(matrices)
    half = order // 2
    first = _inverse(matrices[:, :half, :half])
    right = matrices[:, :half, half:]
    solved = first @ right
    last = _inverse(matrices[:, half:, half:] - right.swapaxes(1, 2) @ solved)
    corner = solved @ last
    inverse = np.empty_like(matrices)
    inverse[:, :half, :half] = first + corner @ solved.swapaxes(1, 2)
    inverse[:, :half, half:] = -corner
    inverse[:, half:, :half] = inverse[:, :half, half:].swapaxes(1, 2)
    inverse[:, half:, half:] = last
    return inverse
