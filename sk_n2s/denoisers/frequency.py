"""Linear filters in the frequency domain."""

from __future__ import annotations

from math import inf

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft

from .._utils.arrays import along, split_axes
from ._input import as_data
from ._scale import non_negative
from ._sharing import shared
from .linear import least_weight, take_out
from .traits import declare

__all__ = ["butterworth", "wiener"]


def butterworth_exact(
    X: ArrayLike, *, cutoff: float = 0.25, order: float = 2.0, channel_axis: int | None = None
) -> np.ndarray:
    """Filter as `butterworth` does, each entry itself left out."""
    X = as_data(X)
    gain = _butterworth_gain(X, cutoff, order, channel_axis)
    return _leave_one_out(X, gain, split_axes(X.ndim, channel_axis, None)[2], cutoff)


@declare(reach=inf, exact=butterworth_exact, releases_gil=True)
def butterworth(
    X: ArrayLike, *, cutoff: float = 0.25, order: float = 2.0, channel_axis: int | None = None
) -> np.ndarray:
    """Low-pass filter of Butterworth's transfer function.

    The amplitude at frequency f is multiplied by 1 / √(1 + (f/cutoff)^(2·order)). The data
    are continued by reflection, so that opposite borders do not mix.

    Parameters
    ----------
    X : ndarray of float, any number of axes
        The data.
    cutoff : float, default=0.25
        The frequency whose power is halved, in cycles per entry; 0.5 is the highest along
        an axis. 0 leaves nothing but the mean.
    order : float, default=2.0
        How steep the transition is.
    channel_axis : int, default=None
        An axis of channels, each of which is filtered on its own.

    Returns
    -------
    ndarray of the shape and dtype of `X`
        The filtered data.

    Raises
    ------
    ValueError
        If `cutoff` or `order` is negative or not finite.

    Notes
    -----
    ``butterworth.exact`` is the leave-one-out form.

    References
    ----------
    .. [1] S. Butterworth, "On the theory of filter amplifiers", Experimental Wireless and
       the Wireless Engineer 7:536-541, 1930.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.denoisers import butterworth
    >>> butterworth(np.array([3.0, 0.0, 6.0, 0.0]), cutoff=0.0)
    array([2.25, 2.25, 2.25, 2.25])
    """
    X = as_data(X)
    gain = _butterworth_gain(X, cutoff, order, channel_axis)
    return _filtered(X, gain, split_axes(X.ndim, channel_axis, None)[2])


def wiener_exact(
    X: ArrayLike, *, cutoff: float = 0.1, exponent: float = 2.0, channel_axis: int | None = None
) -> np.ndarray:
    """Filter as `wiener` does, each entry itself left out."""
    X = as_data(X)
    gain = _wiener_gain(X, cutoff, exponent, channel_axis)
    return _leave_one_out(X, gain, split_axes(X.ndim, channel_axis, None)[2], cutoff)


@declare(reach=inf, exact=wiener_exact, releases_gil=True)
def wiener(
    X: ArrayLike, *, cutoff: float = 0.1, exponent: float = 2.0, channel_axis: int | None = None
) -> np.ndarray:
    """Wiener filter for a signal whose power falls with frequency, in white noise.

    The amplitude at frequency f is multiplied by 1 / (1 + (f/cutoff)^exponent), which is
    the best linear filter if the power of the signal is (f/cutoff)^−exponent times that of
    the noise. The data are continued by reflection, so that opposite borders do not mix.

    Parameters
    ----------
    X : ndarray of float, any number of axes
        The data.
    cutoff : float, default=0.1
        The frequency at which signal and noise are equally strong, in cycles per entry;
        0.5 is the highest along an axis. 0 leaves nothing but the mean.
    exponent : float, default=2.0
        How fast the power of the signal falls; that of photographs falls with about 2.
    channel_axis : int, default=None
        An axis of channels, each of which is filtered on its own.

    Returns
    -------
    ndarray of the shape and dtype of `X`
        The filtered data.

    Raises
    ------
    ValueError
        If `cutoff` or `exponent` is negative or not finite.

    Notes
    -----
    ``wiener.exact`` is the leave-one-out form.

    References
    ----------
    .. [1] N. Wiener, "Extrapolation, Interpolation, and Smoothing of Stationary Time
       Series", Wiley, 1949.
    .. [2] D. J. Field, "Relations between the statistics of natural images and the
       response properties of cortical cells", J. Opt. Soc. Am. A 4(12):2379-2394, 1987.
       :doi:`10.1364/JOSAA.4.002379`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.denoisers import wiener
    >>> line = np.linspace(0, 10, 512)
    >>> noisy = line + np.random.default_rng(0).normal(size=512)
    >>> bool(np.std(wiener(noisy, cutoff=0.01) - line) < 0.3 * np.std(noisy - line))
    True
    """
    X = as_data(X)
    gain = _wiener_gain(X, cutoff, exponent, channel_axis)
    return _filtered(X, gain, split_axes(X.ndim, channel_axis, None)[2])


def _butterworth_gain(
    X: np.ndarray, cutoff: float, order: float, channel_axis: int | None
) -> np.ndarray:
    order = non_negative(order, name="order")
    with np.errstate(over="ignore"):  # the gain is 0 then
        return 1 / np.sqrt(1 + _ratio(X, cutoff, channel_axis) ** (2 * order))


def _wiener_gain(
    X: np.ndarray, cutoff: float, exponent: float, channel_axis: int | None
) -> np.ndarray:
    exponent = non_negative(exponent, name="exponent")
    with np.errstate(over="ignore"):
        return 1 / (1 + _ratio(X, cutoff, channel_axis) ** exponent)


def _ratio(X: np.ndarray, cutoff: float, channel_axis: int | None) -> np.ndarray:
    """Return frequencies in units of the cutoff; 0 for the mean, whatever that is."""
    cutoff = non_negative(cutoff, name="cutoff")
    square = np.zeros((1,) * X.ndim, dtype=X.dtype)
    for axis in split_axes(X.ndim, channel_axis, None)[2]:
        n = X.shape[axis]
        squares = np.square(np.arange(n) / (2 * n)).astype(X.dtype)
        square = square + along(squares, axis, X.ndim)
    ratio = np.sqrt(square, out=square)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio /= X.dtype.type(cutoff)
    ratio[(0,) * X.ndim] = 0
    return ratio


def _filtered(X: np.ndarray, gain: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    spectrum = fft.dctn(X, axes=axes, norm="ortho")
    spectrum *= gain
    return fft.idctn(spectrum, axes=axes, norm="ortho", overwrite_x=True)


def _centred_spectrum(X: np.ndarray, axes: tuple[int, ...]) -> tuple[np.floating, np.ndarray]:
    """Return the mean, and the spectrum without it, whose small values keep more digits."""
    centre = X.dtype.type(np.mean(X, dtype=np.float64))
    return centre, fft.dctn(X - centre, axes=axes, norm="ortho", overwrite_x=True)


def _leave_one_out(
    X: np.ndarray, gain: np.ndarray, axes: tuple[int, ...], cutoff: float
) -> np.ndarray:
    """Return (g(x)ᵢ − cᵢ·xᵢ) / (1 − cᵢ) for the filter g of a gain."""
    own = _own_weight(gain, axes)
    if X.size > 1 and own.max() > 1 - least_weight(X.dtype):
        raise ValueError(
            f"cutoff={cutoff!r} leaves each entry as it is, so that the others do not predict it: "
            "choose a lower one."
        )
    centre, spectrum = shared(_centred_spectrum, X, axes)  # by all candidates of a search
    others = fft.idctn(spectrum * gain, axes=axes, norm="ortho", overwrite_x=True)
    place = (slice(None),) * axes[0]
    for half, mirrored in _halves(X.shape[axes[0]]):
        take_out(others[(*place, half)], X[(*place, half)], own[(*place, mirrored)], centre)
    return others


def _own_weight(gain: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Return how much of itself each entry keeps, in the first half of the first of the axes."""
    own = gain
    for axis in axes:
        n = gain.shape[axis]
        half, step = (n + 1) // 2, 1 + n % 2  # of an odd length, every other coefficient is 0
        shape = list(own.shape)
        shape[axis] = step * (half - 1) + 1
        folded = np.zeros(shape, dtype=gain.dtype)
        lines, into = np.moveaxis(own, axis, 0), np.moveaxis(folded, axis, 0)
        into[0] = 2 * np.sum(lines, axis=0, dtype=np.float64)  # the transform doubles the others
        np.subtract(lines[1:half], lines[: n // 2 : -1], out=into[step::step])
        own = folded
    own = fft.dctn(own, type=3, axes=axes, overwrite_x=True)
    own *= 1 / np.prod([2.0 * gain.shape[axis] for axis in axes])
    for axis in axes:
        place = (slice(None),) * axis
        halves = [own[(*place, mirrored)] for _, mirrored in _halves(gain.shape[axis])]
        own = halves[0] if axis == axes[0] else np.concatenate(halves, axis=axis)
    return own


def _halves(n: int) -> list[tuple[slice, slice]]:
    """Return both halves of an axis, and where their mirror image is in the first."""
    half = (n + 1) // 2
    halves = [(slice(half), slice(half)), (slice(half, n), slice(n // 2 - 1, None, -1))]
    return halves[: min(n, 2)]
