"""A step of what combines similar patches: all groups are estimated, and averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._utils.arrays import per_axis
from .._utils.threads import in_threads
from ._groups import Average, Grid, Tile, most_similar
from ._mixing import RIDGE, Correlation, Risk, combine

__all__ = [
    "Groups",
    "Layout",
    "Noise",
    "Side",
    "Step",
    "WINDOW",
    "average_of_groups",
    "reach_of_steps",
]

#: Members of a group, for each tile of each slab of a grid.
Groups = list[list[np.ndarray]]

#: Sides of windows for 1, 2, 3 and more axes: some 1,300 positions.
WINDOW = {1: 1369, 2: 37, 3: 11}


#: A side for all axes, or one for each.
Side = int | Sequence[int]


class Layout(NamedTuple):
    """The sizes of patches, groups and windows, in a first step and in those that follow.

    Attributes
    ----------
    patches : tuple of two tuple of int
        Sides of the patches along each axis.
    groups : tuple of two int
        How many patches form a group.
    window, step : tuple of int
        Sides of windows, and distances of references, along each axis.
    """

    patches: tuple[tuple[int, ...], tuple[int, ...]]
    groups: tuple[int, ...]
    window: tuple[int, ...]
    step: tuple[int, ...]

    @classmethod
    def of(
        cls,
        kind: int,
        ndim: int,
        patch_size: int | Sequence[Side] | None,
        group_size: int | Sequence[int],
        window: Side | None,
        step: Side,
        defaults: dict[int, tuple[int, int]],
    ) -> Layout:
        """Return what the parameters of a denoiser say, or its defaults for data of a kind.

        The kind is 1 for signals, 2 for images, 3 for volumes.
        """
        sides: Any = defaults[kind] if patch_size is None else patch_size
        if np.ndim(sides) == 0:
            sides = (sides, sides)
        if len(sides) != 2:
            raise ValueError(
                f"patch_size={patch_size!r} has {len(sides)} values for 2 steps: give an integer, "
                "or one for each, and a tuple in its place for sides that differ between axes."
            )
        side = WINDOW[kind] if window is None else window
        first, second = (per_axis(p, ndim, name="patch_size", minimum=1) for p in sides)
        return cls(
            (first, second),
            per_axis(group_size, 2, name="group_size", minimum=2),
            per_axis(side, ndim, name="window", minimum=1),
            per_axis(step, ndim, name="step", minimum=1),
        )

    @classmethod
    def of_data(cls, X: np.ndarray, channel_axis: int | None, *parameters: Any) -> Layout:
        """Return the same for data; axes of one entry make no volume of an image."""
        channel = None if channel_axis is None else channel_axis % X.ndim
        lengths = [n for a, n in enumerate(X.shape) if a != channel]
        kind = max(1, min(sum(n > 1 for n in lengths), 3))
        return cls.of(kind, len(lengths), *parameters)

    @property
    def flat(self) -> tuple[int, ...]:
        """The axes along which patches hold one entry."""
        first, second = self.patches
        return tuple(a for a, sides in enumerate(zip(first, second, strict=True)) if max(sides) < 2)

    def steps(self, shape: tuple[int, ...], risk: Risk, in_pilot: bool) -> tuple[Step, Step]:
        """Return the first step, which minimises a risk, and those that follow it."""
        first, second = (Grid(shape, sides, self.window, self.step) for sides in self.patches)
        # More patches than half the entries of one would explain their noise.
        n_first = max(2, min(self.groups[0], first.size // 2))
        return Step(first, n_first, risk), Step(second, self.groups[1], RIDGE, in_pilot)


def reach_of_steps(
    ndim: int,
    n_steps: int,
    patch_size: int | Sequence[Side] | None,
    window: Side | None,
    defaults: dict[int, tuple[int, int]],
) -> tuple[int, ...]:
    """Return from how far the result of a number of steps depends on the data, for each axis."""
    found = Layout.of(min(ndim, 3), ndim, patch_size, 2, window, 1, defaults)
    sides = (max(both) for both in zip(*found.patches, strict=True))
    return tuple(n_steps * (w // 2 + p) for w, p in zip(found.window, sides, strict=True))


class Noise(NamedTuple):
    """The noise of data whose channels come first.

    Attributes
    ----------
    variance : ndarray
        That of each entry, or of each channel.
    correlation : Correlation or None
        Of entries of one channel.
    n_told : int
        How many channels, from the first, have enough signal to tell which patches are alike.
    """

    variance: np.ndarray
    correlation: Correlation | None
    n_told: int = 1

    def powers(self, grid: Grid) -> list[np.ndarray]:
        """Return the variance over all entries of a patch, by position, for each channel."""
        dtype = self.variance.dtype
        if self.variance.ndim == 1:
            uniform = (grid.size * self.variance).astype(dtype)
            return [np.broadcast_to(power, grid.positions) for power in uniform]
        return [grid.sums(channel).astype(dtype) for channel in self.variance]


class Step(NamedTuple):
    """What a step does.

    Attributes
    ----------
    grid : Grid
        Where patches are.
    group_size : int
        How many form a group.
    risk : Risk
        What their weights minimise.
    in_pilot : bool
        Whether groups are those that are alike in the pilot, rather than in the noisy data.
    """

    grid: Grid
    group_size: int
    risk: Risk = RIDGE
    in_pilot: bool = True


def average_of_groups(
    values: np.ndarray,
    pilot: np.ndarray | None,
    noise: Noise,
    step: Step,
    groups: Groups | None = None,
    level: Callable | None = None,
) -> tuple[np.ndarray, np.ndarray, Groups]:
    """Estimate all groups of patches, and average.

    Parameters
    ----------
    values, pilot : ndarray of shape (n_channels, *shape)
        The noisy data, and a pilot in which the weights are found; None where there is none.
    noise : Noise
        The noise of `values`.
    step : Step
        What is done.
    groups : list of list of ndarray, default=None
        The groups of an earlier step; None looks for them.
    level : callable, default=None
        ``level(tile, members, channel)`` returns, for each group, the factor by which its
        variance is larger than that of `noise`, and a share that is averaged as estimates are.

    Returns
    -------
    averages : ndarray of shape (n_channels, *shape)
        The estimates.
    shares : ndarray of that shape
        What `level` returned, averaged; zeros where there is none.
    groups : list of list of ndarray
        The groups of this step.
    """
    work = _Slabs(values, pilot, noise, step, level)
    slabs = step.grid.slabs()
    known = [None] * len(slabs) if groups is None else groups
    # In the order of the slabs, so that sums are the same in any number of threads.
    averages, found = zip(*in_threads(work, slabs, known), strict=True)
    by_channel = [Average.of_all(step.grid, parts) for parts in zip(*averages, strict=True)]
    of_estimates, of_shares = zip(*by_channel, strict=True)
    return np.stack(of_estimates), np.stack(of_shares), list(found)


class _Slabs:
    """Estimates the groups of one slab at a time."""

    def __init__(
        self,
        values: np.ndarray,
        pilot: np.ndarray | None,
        noise: Noise,
        step: Step,
        level: Callable | None,
    ) -> None:
        self.values, self.pilot, self.noise = values, pilot, noise
        self.step, self.level = step, level
        self.powers = noise.powers(step.grid)

    def __call__(
        self, slab: list[Tile], known: list[np.ndarray] | None
    ) -> tuple[list[Average], list[np.ndarray]]:
        """Return the averages of each channel, and the groups."""
        averages = [Average(self.step.grid, slab, self.values.dtype) for _ in self.values]
        groups = [self._members(tile) for tile in slab] if known is None else known
        for tile, members in zip(slab, groups, strict=True):
            for channel, average in enumerate(averages):
                average.add(tile, members, *self._estimates(tile, members, channel))
        return averages, groups

    def _members(self, tile: Tile) -> np.ndarray:
        """Return the groups of a tile, found in the channels that tell patches apart."""
        seen = self.values if self.pilot is None or not self.step.in_pilot else self.pilot
        patches = [
            self.step.grid.patches(channel, tile.box) for channel in seen[: self.noise.n_told]
        ]
        guide = np.concatenate(patches, axis=1)
        guide -= guide.mean(dtype=np.float64).astype(guide.dtype)  # digits for the distances
        alike: Any = 0
        if self.noise.correlation is not None and self.pilot is None:
            candidates = tile.first[:, np.newaxis] + tile.window
            reference = tile.reference[:, np.newaxis]
            alike = self.noise.correlation(candidates, reference, tile.extent)
            alike *= 2 * self.powers[0][tile.box].mean()
        return most_similar(guide, tile, self.step.group_size, alike)

    def _estimates(
        self, tile: Tile, members: np.ndarray, channel: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Return estimates of the patches of groups, their weights, and the share of each group."""
        grid = self.step.grid
        noisy = grid.patches(self.values[channel], tile.box)
        centre = noisy.mean(dtype=np.float64).astype(noisy.dtype)
        group = noisy[members] - centre
        basis = group
        if self.pilot is not None:
            basis = grid.patches(self.pilot[channel], tile.box)[members] - centre
        power = self.powers[channel][tile.box].ravel()[members]
        share, factor = None, np.ones((len(members), 1), power.dtype)
        if self.level is not None:
            factor, share = self.level(tile, members, channel)
            power *= factor
        covariance = None
        if self.noise.correlation is not None:
            covariance = self.noise.correlation(
                members[:, :, np.newaxis], members[:, np.newaxis, :], tile.extent
            )
            covariance *= np.sqrt(power[:, :, np.newaxis] * power[:, np.newaxis, :])
        estimates, spread = combine(group, basis, power, covariance, self.step.risk)
        estimates += centre
        least = 1e-6 * power.mean(axis=1, keepdims=True)
        return estimates, factor / np.maximum(spread, least), share
