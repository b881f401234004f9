"""Whether what was taken away looks like noise: centred, white, as large as noise is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import fft

from .._utils.tiling import middle
from ._shown import Shown

__all__ = ["Residual", "residual_of", "standardised"]

#: Entries that are looked at, and lags along each axis.
_LOOKED_AT, _LAGS = 2**21, 8

#: In so many standard errors chance is not believed.
_ERRORS = 4.0

#: With less correlation than this, a mean nearer to 0, and a size within these limits, all in
#: units of the noise, a residual looks like noise: denoisers change it by about as much.
_CORRELATED, _CENTRED, _SMALL, _LARGE = 0.2, 0.1, 0.6, 1.4

#: A residual of more than so many standard deviations is an outlier.
_FAR = 6.0


class Residual(NamedTuple):
    """The residual, in units of the standard deviation of the noise.

    Attributes
    ----------
    values : ndarray
        The residual, NaN where nothing was measured.
    unit : str
        What it was divided by, in words.
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

    values: np.ndarray
    unit: str
    mean: float
    deviation: float
    n_far: int
    autocorrelation: np.ndarray | None
    axes: tuple[int, ...]
    error: float
    findings: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def looks_like_noise(self) -> bool:
        """Whether it is white, centred, and as large as the noise."""
        return not self.findings


def standardised(before: np.ndarray, after: np.ndarray, shown: Shown) -> tuple[np.ndarray, str]:
    """Return before minus after in units of the noise, and what these are, in words."""
    values = before.astype(np.float64) - after
    level = None
    if shown.noise is not None and before.shape == shown.before.shape:
        level = np.sqrt(np.maximum(shown.noise.variance(after), 0))
        level = np.broadcast_to(level, values.shape)
        if not (level > 0).all():  # dark places without noise, of which there is no unit
            least = level[level > 0].min(initial=np.inf)
            level = np.maximum(level, least) if np.isfinite(least) else None
    if level is not None:
        return values / level, "the standard deviation of the noise at each entry"
    level = float(np.nanstd(values))
    return (values / level if level > 0 else values), "its own standard deviation"


def residual_of(shown: Shown) -> Residual:
    """Look at the residual."""
    whole, unit = standardised(shown.before, shown.after, shown)
    axes = shown.axes
    batch = 0 if axes.is_table else axes.batch
    values = whole[middle(whole.shape, _LOOKED_AT, axes.channel, batch)]
    known = values[np.isfinite(values)]
    usual = np.abs(known) <= _FAR
    n_far = int(np.count_nonzero(~usual))
    usual = known[usual] if usual.any() else known
    mean, deviation = float(usual.mean()), float(usual.std())
    table, error = None, 0.0
    if shown.long_axes:
        table, error = _autocorrelation(np.clip(values, -_FAR, _FAR), shown.long_axes)
    sized = shown.noise is not None and not shown.noise.doubts and unit.startswith("the")
    findings = _findings(mean, deviation, usual.size, sized)
    notes = []
    if table is not None and deviation > 0:
        said = _correlated(table, error, shown.long_axes)
        if said and shown.noise is not None and shown.noise.is_correlated:
            notes.append(
                f"{said} The noise model says so of the noise as well: it was taken into account."
            )
        elif said:
            findings.append(
                f"{said} So it is not white: structure was taken away with the noise, or the noise "
                "itself is correlated. For the first try weaker parameters, for the second "
                'AutoDenoiser, or partition="auto" of JInvariantWrapper.'
            )
    if n_far:
        notes.append(
            f"{n_far} entries are off by more than {_FAR:g} standard deviations: outliers, or "
            "details that were taken away."
        )
    return Residual(
        whole,
        unit,
        mean,
        deviation,
        n_far,
        table,
        shown.long_axes,
        error,
        tuple(findings),
        tuple(notes),
    )


def _findings(mean: float, deviation: float, n: int, sized: bool) -> list[str]:
    """Return what mean and size have that noise has not."""
    if not deviation > 0:
        return ["Nothing was taken away: the output is the same as the noisy data."]
    found = []
    if abs(mean) > max(_CENTRED, _ERRORS * deviation / np.sqrt(n)):
        found.append(
            f"The residual is not centred: its mean is {mean:.2g} standard deviations of the "
            "noise, so that the output is biased."
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


def _correlated(table: np.ndarray, error: float, axes: tuple[int, ...]) -> str:
    """Return a sentence about the largest correlation, or nothing if all are small."""
    middle_of = tuple(n // 2 for n in table.shape)
    others = table.copy()
    others[middle_of] = 0
    place = np.unravel_index(np.argmax(np.abs(others)), table.shape)
    value = float(others[place])
    if abs(value) <= max(_CORRELATED, _ERRORS * error):
        return ""
    steps = [abs(int(p) - m) for p, m in zip(place, middle_of, strict=True)]
    lags = " and ".join(f"{s} along axis {a}" for s, a in zip(steps, axes, strict=True) if s)
    return f"The residual of neighbours is correlated: {value:.2f} at a distance of {lags}."


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
    error = 1 / np.sqrt(max(float(pairs[centre]), 1.0))
    return (covariance / scale if scale > 0 else covariance), float(error)
