"""Chained linear combinations of similar patches, which take the noise out by and by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._utils.arrays import per_axis
from ._groups import Grid, Tile
from ._input import as_data
from ._mixing import noisier
from ._multiscale import over_scales
from ._noise_units import in_units_of_noise
from ._steps import Groups, Layout, Noise, Side, average_of_groups, reach_of_steps
from .traits import declare

__all__ = ["PATCH_SIZE", "lichi"]

#: Defaults for 1, 2, 3, and more axes: sides of the patches of the pilot and of the steps.
PATCH_SIZE = {1: (61, 31), 2: (11, 6), 3: (5, 4)}

#: How much noise is added, as a share of what there is, to find the weights of the pilot.
_ALPHA = 0.5

#: Share of the noise that is left after no step at all, from which it falls linearly to 0.
_FIRST = 0.75

#: Of the noise of a group, this share is left at least: what was taken out is not all noise.
_LEAST_LEFT = 0.3

#: After so many steps groups are looked for anew.
_RENEWED = 3


def _reach(
    ndim: int, *, patch_size: int | Sequence[Side] | None, window: Side | None, **_: Any
) -> tuple[int, ...]:
    # What a later step sees of what is beyond counts for less than where patches begin.
    return reach_of_steps(ndim, 2, patch_size, window, PATCH_SIZE)


@declare(reach=_reach, exactly=False, releases_gil=True)
def lichi(
    X: ArrayLike,
    *,
    sigma: ArrayLike | None = None,
    n_steps: int = 6,
    patch_size: int | Sequence[Side] | None = None,
    group_size: int | Sequence[int] = (16, 64),
    window: Side | None = None,
    step: Side = 3,
    n_scales: int = 2,
    correlation: ArrayLike | None = None,
    channel_axis: int | None = None,
) -> np.ndarray:
    """Linear combinations of similar patches, iterated: each step takes out a part of the noise.

    A pilot is found as in `nl_ridge`, but with weights that would be the best if there were
    some more noise, which are more stable. In each step that follows, patches of data with less
    and less noise are combined by weights found in the pilot; the result is the pilot of the
    next step, and mixed with these data, so that a share of the noise is left, it takes their
    place.

    Parameters
    ----------
    X : ndarray of float, any number of axes
        The data.
    sigma : float or array-like, default=None
        The standard deviation of the noise, in the unit of the data, or one that
        broadcasts to the shape of `X`. None takes what `estimate_noise` reads in `X`.
    n_steps : int, default=6
        In how many steps the noise is taken out. Four take two thirds of the time, and lose up
        to 0.1 dB where the noise is strong.
    patch_size : int or tuple of two, default=None
        Side of the patches, in the pilot and then; None takes (11, 6) for images, (61, 31) for
        signals, and (5, 4) for volumes. Each of the two may be a tuple of one for each axis:
        ((1, 11, 11), (1, 6, 6)) are patches of single frames of a film.
    group_size : int or tuple of two int, default=(16, 64)
        How many patches form a group, in the pilot and then; at most half as many as a
        patch has entries in the pilot.
    window : int or tuple of int, default=None
        Side of the window of positions that are searched, or one for each axis; None takes 37 for
        images, 1369 for signals, 11 for volumes.
    step : int or tuple of int, default=3
        Distance between reference patches, or one for each axis. 6 takes a quarter of the time of
        3, and loses 0.05 dB.
    n_scales : int, default=2
        At how many scales, each half as fine as the one before; a coarser one knows more of
        strong noise's lowest frequencies. Two take a fifth more of the time, and gain 0.02 dB at
        σ = 15/255, 0.04 dB at 25/255, and 0.1 dB at 50/255. Axes along which patches hold one
        entry stay as fine as they are.
    correlation : array-like with an odd length along each axis of space, default=None
        The correlation of the noise of two entries by their distance, as `nl_ridge` takes it. There
        is then one scale.
    channel_axis : int, default=None
        An axis of channels. They are taken in units of their noise and turned to their principal
        axes; groups are found in those that tell patches apart, and weights for each. Channels
        that have nothing in common are denoised one by one.

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
    As in `nl_ridge`, weights sum to one. The share of the noise that is left in a group is
    read off what was taken out, and taken for 0.3 at least, which gains 0.02 to 0.1 dB over [1]_,
    where it may be less.

    References
    ----------
    .. [1] S. Herbreteau and C. Kervrann, "Linear combinations of patches are unreasonably
       effective for single-image denoising", IEEE Trans. Image Process. 33:4600-4613, 2024.
       :arxiv:`2212.00422`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.denoisers import lichi
    >>> stripes = np.tile([0.0, 0.0, 0.0, 9.0, 9.0, 9.0], (48, 8))
    >>> noisy = stripes + np.random.default_rng(0).normal(size=stripes.shape)
    >>> bool(np.std(lichi(noisy, sigma=1.0) - stripes) < 0.3 * np.std(noisy - stripes))
    True
    """
    X = as_data(X)
    sizes = patch_size, group_size, window, step, PATCH_SIZE
    layout = Layout.of_data(X, channel_axis, *sizes)
    n_steps = per_axis(n_steps, 1, name="n_steps", minimum=1)[0]
    n_scales = per_axis(n_scales, 1, name="n_scales", minimum=1)[0]

    def once(values: np.ndarray, noise: Noise) -> np.ndarray:
        first, second = layout.steps(values.shape[1:], noisier(_ALPHA), in_pilot=False)
        pilot = average_of_groups(values, None, noise, first)[0]
        groups: Groups | None = None
        left = values
        for k in range(n_steps):
            if k % _RENEWED == 0:
                groups = None
            goal = _FIRST * (1 - (k + 1) / n_steps)
            level = _Level(values - left, noise, second.grid, goal)
            pilot, share, groups = average_of_groups(left, pilot, noise, second, groups, level)
            left = pilot + share * (left - pilot)
        return left

    def work(values: np.ndarray, noise: Noise) -> np.ndarray:
        return over_scales(once, values, noise, n_scales, layout.flat)

    return in_units_of_noise(X, sigma, correlation, channel_axis, work)


class _Level:
    """How much of the noise is left in each group of patches.

    Parameters
    ----------
    taken : ndarray of shape (n_channels, *shape)
        What was taken out of the data.
    noise : Noise
        The noise that they had.
    grid : Grid
        Where patches are.
    goal : float
        The share of it that is to be left.
    """

    def __init__(self, taken: np.ndarray, noise: Noise, grid: Grid, goal: float) -> None:
        deviation = np.sqrt(noise.variance)
        relative = taken / deviation.reshape(deviation.shape + (1,) * (taken.ndim - deviation.ndim))
        self._moments = [
            [grid.sums(channel**order) / grid.size for order in (1, 2)] for channel in relative
        ]
        self._goal, self._dtype = goal, taken.dtype

    def __call__(
        self, tile: Tile, members: np.ndarray, channel: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the share of the variance that is left, and that of noise that shall stay."""
        mean, square = (
            moment[tile.box].ravel()[members].mean(axis=1) for moment in self._moments[channel]
        )
        taken = np.sqrt(np.maximum(square - mean**2, 0.0))
        left = np.maximum(1 - taken, max(self._goal, _LEAST_LEFT)).astype(self._dtype)[
            :, np.newaxis
        ]
        return left**2, self._goal / left
