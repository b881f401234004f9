"""Non-local ridge regression: similar patches denoise each other linearly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._utils.arrays import per_axis
from ._input import as_data
from ._mixing import SURE
from ._noise_units import in_units_of_noise
from ._steps import Layout, Noise, Side, average_of_groups, reach_of_steps
from .traits import declare

__all__ = ["nl_ridge"]

#: Defaults for 1, 2, 3, and more axes: sides of the patches of the two steps, of some 50 to 125
#: entries.
_PATCH_SIZE = {1: (41, 31), 2: (9, 7), 3: (5, 4)}


def _reach(
    ndim: int,
    *,
    patch_size: int | Sequence[Side] | None,
    window: Side | None,
    n_refinements: int,
    **_: Any,
) -> tuple[int, ...]:
    return reach_of_steps(ndim, 1 + n_refinements, patch_size, window, _PATCH_SIZE)


# Which patches are references depends on the place.
@declare(reach=_reach, exactly=False, releases_gil=True)
def nl_ridge(
    X: ArrayLike,
    *,
    sigma: ArrayLike | None = None,
    patch_size: int | Sequence[Side] | None = None,
    group_size: int | Sequence[int] = (18, 60),
    window: Side | None = None,
    step: Side = 3,
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
    patch_size : int or tuple of two, default=None
        Side of the patches, in both steps or in each; None takes (9, 7) for images,
        (41, 31) for signals, and (5, 4) for volumes. Each of the two may be a tuple of one for
        each axis: ((1, 9, 9), (1, 7, 7)) are patches of single frames of a film.
    group_size : int or tuple of two int, default=(18, 60)
        How many patches form a group, in both steps or in each; at most half as many as a
        patch has entries in the first step.
    window : int or tuple of int, default=None
        Side of the window of positions that are searched, or one for each axis; None takes 37 for
        images, 1369 for signals, 11 for volumes.
    step : int or tuple of int, default=3
        Distance between reference patches, or one for each axis. Smaller is slightly better, and
        slower: 4 takes 0.6 of the time for images and loses 0.03 to 0.05 dB.
    n_refinements : int, default=1
        How often the second step is made: 2 takes the first result as the pilot of
        another, which is a little better where the noise is not strong.
    correlation : array-like with an odd length along each axis of space, default=None
        The correlation of the noise of two entries by their distance: 1 in the centre, which is
        distance 0. Beyond its ends it is 0, but where it does not change towards them, as for
        lines that share an offset. None means independent noise.
        Where it is given, patches and groups should be larger: (17, 13) and (30, 90), say.
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
    sizes = patch_size, group_size, window, step, _PATCH_SIZE
    layout = Layout.of_data(X, channel_axis, *sizes)
    n_refinements = per_axis(n_refinements, 1, name="n_refinements")[0]

    def work(values: np.ndarray, noise: Noise) -> np.ndarray:
        first, second = layout.steps(values.shape[1:], SURE, in_pilot=True)
        pilot = average_of_groups(values, None, noise, first)[0]
        for _ in range(n_refinements):
            pilot = average_of_groups(values, pilot, noise, second)[0]
        return pilot

    return in_units_of_noise(X, sigma, correlation, channel_axis, work)
