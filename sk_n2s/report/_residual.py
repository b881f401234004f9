"""Whether what was taken away looks like noise: centred, white, as large as noise is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import fft

from .._utils.tiling import middle
from ..noise._lags import with_more_lags
from ._shown import Shown

__all__ = ["Residual", "profiles", "residual_of"]

#: Entries that are looked at, and lags along each axis.
_LOOKED_AT, _LAGS = 2**21, 8

#: In so many standard errors chance is not believed.
_ERRORS = 4.0

#: With less correlation than this, a mean nearer to 0, and a size within these limits, all in
#: units of the noise, a residual looks like noise: denoisers change it by about as much.
_CORRELATED, _CENTRED, _SMALL, _LARGE = 0.2, 0.1, 0.6, 1.4

#: The correlation of noise is estimated no better than this.
_UNLIKE = 0.3

_REMEDY = 'use AutoDenoiser, or partition="auto" of JInvariantWrapper.'
_AS_EXPECTED = "The residual of neighbours is as correlated as the noise"

#: A residual of more than so many standard deviations is an outlier.
_FAR = 6.0


class Residual(NamedTuple):
    """The residual, in units of the standard deviation of the noise.

    Attributes
    ----------
    shown : Shown
        The data.
    least : float or None
        The least standard deviation that noise has where it has any; None if it is not known.
    own : float or None
        What the residual is divided by instead.
    values : ndarray
        The residual in the middle of the data, NaN where nothing was measured.
    mean, deviation : float
        Its mean and its standard deviation, without outliers.
    n_far : int
        How many entries are outliers.
    autocorrelation : ndarray or None
        The correlation of neighbours by their distance, 1 in the centre, with an axis for each of
        `axes`; None where entries have no neighbours.
    axes : tuple of int
        The axes of the data behind its axes.
    error : float
        The standard error of a correlation of 0.
    findings : tuple of str
        What does not look like noise, a sentence each.
    notes : tuple of str
        What else is to be said.
    """

    shown: Shown
    least: float | None
    own: float | None
    values: np.ndarray
    mean: float
    deviation: float
    n_far: int
    autocorrelation: np.ndarray | None
    axes: tuple[int, ...]
    error: float
    findings: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def unit(self) -> str:
        """What it was divided by, in words."""
        at_each = "the standard deviation of the noise at each entry"
        return at_each if self.own is None else "its own standard deviation"

    def within(self, where: tuple) -> np.ndarray:
        """Return the residual at a place of the data, indexed by integers and slices."""
        part = tuple(slice(i, i + 1) if isinstance(i, int) else i for i in where)
        values = _standardised(self.shown, part, self.least, self.own)
        return values[tuple(0 if isinstance(i, int) else slice(None) for i in where)]

    @property
    def is_correlated(self) -> bool:
        """Whether it is correlated as the noise is."""
        return any(note.startswith(_AS_EXPECTED) for note in self.notes)

    @property
    def looks_like_noise(self) -> bool:
        """Whether it is white, centred, and as large as the noise."""
        return not self.findings


def profiles(table: np.ndarray) -> list[np.ndarray]:
    """Return an autocorrelation along each axis, from distance 0 on."""
    middle = [n // 2 for n in table.shape]
    return [
        table[tuple(slice(m, None) if i == k else c for i, c in enumerate(middle))]
        for k, m in enumerate(middle)
    ]


def residual_of(shown: Shown) -> Residual:
    """Look at the residual, in the middle of the data if they are large."""
    axes = shown.axes
    batch = 0 if axes.is_table else axes.batch
    part = middle(shown.before.shape, _LOOKED_AT, axes.channel, batch)
    least, own = _least_level(shown, part), None
    if least is None:
        spread = float(np.nanstd(shown.before[part] - shown.after[part], dtype=np.float64))
        own = spread if spread > 0 else 1.0
    values = _standardised(shown, part, least, own)
    known = values[np.isfinite(values)]
    usual = np.abs(known) <= _FAR
    n_far = int(np.count_nonzero(~usual))
    usual = known[usual] if usual.any() else known
    mean, deviation = float(usual.mean()), float(usual.std())
    table, error = None, 0.0
    if shown.long_axes:
        table, error = _autocorrelation(np.clip(values, -_FAR, _FAR), shown.long_axes)
    sized = shown.noise is not None and not shown.noise.doubts and own is None
    findings = _findings(mean, deviation, usual.size, sized)
    notes: list[str] = []
    if table is not None and deviation > 0:
        more, notes = _of_neighbours(table, error, shown)
        findings += more
    if n_far:
        notes.append(
            f"{n_far} entries are off by more than {_FAR:g} standard deviations: outliers, or "
            "details that were taken away."
        )
    return Residual(
        shown,
        least,
        own,
        values,
        mean,
        deviation,
        n_far,
        table,
        shown.long_axes,
        error,
        tuple(findings),
        tuple(notes),
    )


def _least_level(shown: Shown, part: tuple[slice, ...]) -> float | None:
    """Return the least level of the noise but 0, which is no unit; None if there is none."""
    if shown.noise is None:
        return None
    level = np.sqrt(np.asarray(shown.noise.within(part).variance(shown.after[part])))
    least = float(level[level > 0].min(initial=np.inf))
    return least if np.isfinite(least) else None


def _standardised(
    shown: Shown, part: tuple[slice, ...], least: float | None, own: float | None
) -> np.ndarray:
    """Return before minus after in units of the noise."""
    after = shown.after[part].astype(np.float64)
    values = shown.before[part] - after
    if least is None or shown.noise is None:
        return values / (own or 1.0)
    variance = np.asarray(shown.noise.within(part).variance(after))
    return values / np.sqrt(np.maximum(variance, least**2))


def _findings(mean: float, deviation: float, n: int, sized: bool) -> list[str]:
    """Return what mean and size have that noise has not."""
    if not deviation > 0:
        return ["Nothing was taken away: the output is the same as the noisy data."]
    found = []
    if abs(mean) > max(_CENTRED, _ERRORS * deviation / np.sqrt(n)):
        side = "below" if mean > 0 else "above"
        found.append(
            f"The residual is not centred: on average the output is {abs(mean):.2g} standard "
            f"deviations of the noise {side} the data."
        )
    if sized and deviation > _LARGE:
        found.append(
            f"The residual is {deviation:.2g} times as large as the noise: structure was taken "
            "away, or there is more noise than assumed."
        )
    if sized and deviation < _SMALL:
        found.append(
            f"The residual is only {deviation:.2g} times as large as the noise: much of the noise "
            "is still in the output, or there is less than assumed."
        )
    return found


def _of_neighbours(table: np.ndarray, error: float, shown: Shown) -> tuple[list[str], list[str]]:
    """Return what the correlation of the residual has that of noise has not, and what it has."""
    expected = _expected(table.shape, shown)
    lag, gap = _largest(table - expected)
    has, should = float(table[lag]), float(expected[lag])
    least = _CORRELATED if not expected.any() else _UNLIKE
    if abs(gap) <= max(least, _ERRORS * error):
        if not expected.any():
            return [], []
        lag, value = _largest(expected)
        far = _in_words(lag, table.shape, shown.long_axes)
        return [], [
            f"{_AS_EXPECTED}: at a distance of {far} by {table[lag]:.2f}, where the noise is "
            f"estimated to have {value:.2f}."
        ]
    far = _in_words(lag, table.shape, shown.long_axes)
    if abs(should) > abs(has):
        return [
            f"The noise of neighbours is correlated by {should:.2f} at a distance of {far}, and "
            f"what was taken away by {has:.2f}: the part of the noise that neighbours share is "
            f"still in the output: {_REMEDY}"
        ], []
    return [
        f"The residual is not white: neighbours are correlated by {has:.2f} at a distance of "
        f"{far}. Structure was taken away with the noise, or the noise itself is correlated. For "
        f"the first try weaker parameters; for the second {_REMEDY}"
    ], []


def _expected(shape: tuple[int, ...], shown: Shown) -> np.ndarray:
    """Return the correlation of the noise at these distances; 0 everywhere if it has none."""
    found = np.zeros(shape)
    model = None if shown.noise is None else shown.noise.correlation
    if model is None or model.ndim != shown.before.ndim:
        return found
    for axis in shown.long_axes:
        least = shape[shown.long_axes.index(axis)] // 2
        if model.shape[axis] // 2 < least:
            model = with_more_lags(model, axis, least - model.shape[axis] // 2)
    ends = dict(zip(shown.long_axes, shape, strict=True))
    cut = []
    for axis, n in enumerate(model.shape):
        half = ends.get(axis, 1) // 2
        cut.append(slice(n // 2 - half, n // 2 + half + 1))
    return model[tuple(cut)].reshape(shape)


def _largest(table: np.ndarray) -> tuple[tuple[int, ...], float]:
    """Return where the largest value is, the centre left out, and the value."""
    others = table.copy()
    others[tuple(n // 2 for n in table.shape)] = 0
    place = tuple(int(p) for p in np.unravel_index(np.argmax(np.abs(others)), table.shape))
    return place, float(others[place])


def _in_words(place: tuple[int, ...], shape: tuple[int, ...], axes: tuple[int, ...]) -> str:
    steps = [abs(p - n // 2) for p, n in zip(place, shape, strict=True)]
    return " and ".join(f"{s} along axis {a}" for s, a in zip(steps, axes, strict=True) if s)


def _autocorrelation(values: np.ndarray, axes: tuple[int, ...]) -> tuple[np.ndarray, float]:
    """Return the correlation of entries by their distance along axes, and its standard error."""
    last = tuple(range(-len(axes), 0))
    moved = np.moveaxis(values, axes, last)
    lengths = moved.shape[-len(axes) :]
    parts = moved.reshape(-1, *lengths)
    lags = [min(_LAGS, (n - 1) // 2) for n in lengths]
    size = [fft.next_fast_len(n + k, real=True) for n, k in zip(lengths, lags, strict=True)]
    total = pairs = np.zeros([2 * k + 1 for k in lags])
    over = tuple(range(len(axes)))
    for part in parts:
        known = np.isfinite(part)
        if known.any():
            shown = np.where(known, part - part[known].mean(), 0)
            for array, is_pairs in ((shown, False), (known.astype(np.float64), True)):
                power = np.square(np.abs(fft.rfftn(array, size)))
                found = np.roll(fft.irfftn(power, size), lags, over)
                found = found[tuple(slice(0, 2 * k + 1) for k in lags)]
                total, pairs = (total, pairs + found) if is_pairs else (total + found, pairs)
    covariance = total / np.maximum(pairs, 1)
    centre = tuple(lags)
    scale = covariance[centre]
    error = 1 / np.sqrt(max(float(pairs.min()), 1.0))
    return (covariance / scale if scale > 0 else covariance), float(error)
