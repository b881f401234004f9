"""How the variance of the noise depends on the signal."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import special

from .._utils.arrays import as_float_array
from .._utils.tiling import sample
from ._lattice import grey_levels, lattice_of
from ._levels import Blocks, Levels, levels_of, measure
from ._moments import clipped_moments, rician_moments
from ._shapes import doubt_of_counts, sigma_of_air

__all__ = ["MUCH_CLIPPED", "NoiseCurve", "curve_and_error", "estimate_noise_curve"]

#: Entries of large data that are looked at.
_BUDGET = 2**19

#: Fewer blocks than this tell nothing.
_FEWEST = 40

#: A curve is believed if it explains the levels better than a constant by so much of
#: chi-square, and a parameter more if it does so by that.
_BEYOND_DOUBT, _WORTH = 16.0, 4.0

#: And if it leaves no more than this share of the chi-square of a constant.
_EXPLAINED = 0.5

#: An error of the variance of this share of the usual one does not matter.
_NEGLIGIBLE = 0.02

#: Where the variance differs by less than this share of its mean, white noise will do.
_MATTERS = 0.15

#: What the place explains of the noise may exceed what the signal explains by this share.
_PLACE = 0.4

#: Counts on the grey levels found may explain them worse than the best line by so much.
_NO_WORSE = 9.0

#: By this share rounding changes the slope of the line of few counts.
_ROUNDING = 0.2

#: Gains that differ by less than this share are the same.
_SAME = 0.08

#: A block with a larger share of entries at an end of the data is affected by clipping.
_CLIPPED = 0.02

#: Grey levels are few if the noise deviates by fewer than so many.
_COARSE = 3

#: Where there is little signal, the lowest of many counts is less than this.
_DARK = 10

#: A larger share of negative data than this is not of read noise about a signal of 0.
_FEW_BELOW = 0.01

#: An offset of this share of the mean signal is none.
_EXACT = 1e-3

#: How often blocks are chosen for a curve, and a curve is fitted to them.
_ITERATIONS = 4


#: A smaller share of clipped entries than this does not matter.
MUCH_CLIPPED = 0.005


class NoiseCurve(NamedTuple):
    """The variance of noise: relative · signal² + gain · signal + intercept, and at least 0.

    Attributes
    ----------
    gain : float
        What one count of the Poisson part adds to the data: variance per signal.
    intercept : float
        The variance at signal 0: read noise² − gain · offset, of which the data do not
        tell more than the sum.
    gain_error : float
        The standard error of the gain.
    is_signal_dependent : bool
        Whether the noise depends on the signal, beyond doubt and by so much that it matters.
    relative : float
        Variance per squared signal, of multiplicative noise: 1 / the number of looks of
        speckle.
    rician : float
        The sigma of Rician noise, which magnitudes of complex data have, or 0. If it is
        not 0, the signal is the expectation of the data, and the other coefficients are not
        used.
    clipped_low, clipped_high : float
        The share of entries where noise was clipped at the lowest and at the highest value
        of the data, in excess of what counts do. Near these values denoised data are
        biased, and their variance is less than the curve says.
    """

    gain: float
    intercept: float
    gain_error: float = 0.0
    is_signal_dependent: bool = True
    relative: float = 0.0
    rician: float = 0.0
    clipped_low: float = 0.0
    clipped_high: float = 0.0

    def scaled(self, share: float) -> NoiseCurve:
        """Return the curve of noise whose variance is a share of this one's.

        Parameters
        ----------
        share : float
            The share.

        Returns
        -------
        NoiseCurve
            The curve.
        """
        return self._replace(
            gain=share * self.gain,
            intercept=share * self.intercept,
            gain_error=share * self.gain_error,
            relative=share * self.relative,
            rician=float(np.sqrt(share)) * self.rician,
        )

    def offset_and_read_noise(self, X: np.ndarray) -> tuple[float, float]:
        """Return an offset of the data and a read noise that together explain the intercept.

        The data do not tell them apart: it is the read noise, unless the intercept is
        negative, or the data are partly so, which counts with an offset of 0 are not.

        Parameters
        ----------
        X : ndarray
            The noisy data.

        Returns
        -------
        offset, read_noise : float
            In the unit of the data.
        """
        below = np.count_nonzero(X < 0) > _FEW_BELOW * X.size
        if self.gain > 0 and (self.intercept < 0 or below):
            return -self.intercept / self.gain, 0.0
        return 0.0, float(np.sqrt(max(self.intercept, 0.0)))

    def variance(self, signal: Any) -> np.ndarray:
        """Return the variance of the noise where the signal is known.

        Parameters
        ----------
        signal : array-like
            The clean data, or what stands for them: denoised data.

        Returns
        -------
        ndarray of that shape
            The variance.
        """
        signal = np.asarray(signal)
        if self.rician:
            _, mean, variance = rician_moments()
            found = self.rician**2 * np.interp(signal / self.rician, mean, variance)
            return found.astype(signal.dtype) if signal.dtype.kind == "f" else found
        return np.maximum((self.relative * signal + self.gain) * signal + self.intercept, 0.0)


def estimate_noise_curve(
    X: Any, *, channel_axis: int | None = None, batch_axis: int | None = None
) -> NoiseCurve:
    """Estimate how the variance of the noise depends on the signal.

    The noise power of quiet blocks is compared with their brightness, level by level. Blocks
    are quiet by comparison with others of their level; a level without any that is free of
    structure counts for little. A constant, the lines of counts with and without an offset
    or read noise, the parabola of multiplicative noise and the curve of Rician noise compete,
    and a constant wins unless another is better beyond doubt. Counts that lie on evenly
    spaced grey levels, rounded or not, tell their gain by these.

    Parameters
    ----------
    X : array-like of one or more axes
        The noisy data; NaN marks missing entries.
    channel_axis, batch_axis : int, default=None
        Axes along which entries are not neighbours.

    Returns
    -------
    NoiseCurve
        The curve; a gain of 0 for data that are too small, or whose parts are equally bright.

    References
    ----------
    .. [1] A. Foi, M. Trimeche, V. Katkovnik and K. Egiazarian, "Practical
       Poissonian-Gaussian noise modeling and fitting for single-image raw-data", IEEE
       Trans. Image Process. 17(10):1737-1754, 2008. :doi:`10.1109/TIP.2008.2001399`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.noise import estimate_noise_curve
    >>> ramp = np.broadcast_to(np.linspace(5, 50, 256), (256, 256))
    >>> counts = 3.0 * np.random.default_rng(0).poisson(ramp)
    >>> curve = estimate_noise_curve(counts)
    >>> round(curve.gain, 1), curve.is_signal_dependent
    (3.0, True)
    """
    return curve_and_error(X, channel_axis, batch_axis)[0]


def curve_and_error(
    X: Any, channel_axis: int | None, batch_axis: int | None
) -> tuple[NoiseCurve, float]:
    """Return the curve, and the relative standard error of the variance at the mean signal."""
    X, channel, batch = sample(as_float_array(X), channel_axis, batch_axis, budget=_BUDGET)
    if np.isnan(X).all():
        return NoiseCurve(0.0, 0.0, 0.0, False), 0.0
    blocks = measure(X, channel, batch)
    low, high = float(np.nanmin(X)), float(np.nanmax(X))
    size = max(abs(low), abs(high))
    # Up to rounding, no noise at all: a constant area tells nothing of it elsewhere.
    blocks = blocks.where(blocks.power > (8 * np.finfo(X.dtype).eps * size) ** 2)
    is_told = len(blocks.power) >= _FEWEST and bool((blocks.high <= _CLIPPED).any())
    if not is_told or np.ptp(blocks.level) <= 1e-9 * size:
        level = float(np.mean(blocks.power)) if len(blocks.power) else 0.0
        return NoiseCurve(0.0, level, 0.0, False), 0.0
    # In units of the largest value: least squares are blind to what is tiny.
    blocks = blocks._replace(
        power=blocks.power / size**2,
        largest=blocks.largest / size**2,
        slope=blocks.slope / size**2,
        level=blocks.level / size,
        third=blocks.third / size**3,
    )
    values, counts, step = grey_levels(X)
    mean = float(np.nanmean(X, dtype=np.float64)) / size
    found = _counts_on_a_lattice(values / size, counts, step / size, blocks)
    sigma = None if found is not None or low < 0 else sigma_of_air(blocks)
    if sigma is not None:
        found, error = NoiseCurve(0.0, 0.0, rician=sigma), 0.0
    elif found is None:
        found, levels = _with_clipping(blocks, low / size, high / size, step / size)
        error = _error_at(mean, found, levels)
    else:  # whose gain is known, and whose offset is, if it is 0
        error = found.gain_error / found.gain
        if abs(found.intercept) > max(_EXACT * found.gain * abs(mean), (step / size) ** 2):
            expected = found.variance(blocks.level)
            levels = levels_of(blocks, np.maximum(expected, 1e-2 * np.median(blocks.power)))
            error = float(np.hypot(error, _error_of_sum(mean, found, levels, (0,))))
    found = found._replace(
        gain=found.gain * size,
        intercept=found.intercept * size**2,
        gain_error=found.gain_error * size,
        rician=found.rician * size,
    )
    return found, error


# Curves through levels ----------------------------------------------------------------


def _misfit(fitted: np.ndarray | NoiseCurve, levels: Levels) -> float:
    """Return chi-square of a curve, or of its values; no level counts for more than 25."""
    if isinstance(fitted, NoiseCurve):
        fitted = fitted.variance(levels.level)
    least = _NEGLIGIBLE * np.median(levels.power)
    ratio = (levels.power + least) / (fitted + least)
    return float(np.minimum(np.square(np.log(ratio) / levels.error), 25).sum())


def _line(levels: Levels, powers: tuple[int, ...]) -> NoiseCurve | None:
    """Return the least squares of some powers of the signal, if it is one of noise."""
    if not (len(levels.power) and np.median(levels.power) > 0):
        return None
    design = levels.level[:, None] ** np.array(powers)
    fitted = levels.power
    for _ in range(6):
        weights = 1 / (levels.error * np.maximum(fitted, 1e-2 * np.median(levels.power)))
        rows = design * weights[:, None]
        scale = np.sqrt(np.sum(rows**2, axis=0))
        found, *_ = np.linalg.lstsq(rows / scale, levels.power * weights, rcond=None)
        found /= scale
        fitted = design @ found
    by_power = dict(zip(powers, found, strict=True))
    relative, gain = (float(by_power.get(n, 0.0)) for n in (2, 1))
    intercept = float(by_power.get(0, 0.0))
    if found[0] <= 0 or (2 in powers and intercept < 0):
        return None
    error = np.sqrt(np.linalg.pinv((rows / scale).T @ (rows / scale))[0, 0]) / scale[0]
    return NoiseCurve(gain, intercept, float(error), powers != (0,), relative)


def _error_at(mean: float, curve: NoiseCurve, levels: Levels) -> float:
    """Return the relative standard error of the variance where the signal is its mean."""
    if curve.rician:
        return 0.0
    if not curve.is_signal_dependent:
        # What the quiet levels do not rule out: that the noise depends on the signal nevertheless.
        line, constant = _line(levels, (1, 0)), _constant(levels)
        if line is None or not constant.intercept > 0:
            return 0.0
        evidence = _misfit(constant, levels) - _misfit(line, levels)
        change = abs(float(line.variance(mean)) / constant.intercept - 1)
        return change if evidence > _WORTH else 0.0
    terms = (curve.relative, curve.gain, curve.intercept)
    powers = tuple(n for n, term in zip((2, 1, 0), terms, strict=True) if term)
    return _error_of_sum(mean, curve, levels, powers)


def _error_of_sum(mean: float, curve: NoiseCurve, levels: Levels, powers: tuple[int, ...]) -> float:
    """Return the relative standard error of the variance at a signal, if only the coefficients
    of these powers were fitted.
    """
    weights = 1 / (levels.error * np.maximum(curve.variance(levels.level), 1e-300))
    rows = levels.level[:, None] ** np.array(powers) * weights[:, None]
    scale = np.sqrt(np.sum(rows**2, axis=0))
    at = mean ** np.array(powers) / scale
    variance = at @ np.linalg.pinv((rows / scale).T @ (rows / scale)) @ at
    return float(np.sqrt(variance)) / max(float(curve.variance(mean)), 1e-300)


def _constant(levels: Levels) -> NoiseCurve:
    line = _line(levels, (0,))
    return NoiseCurve(0.0, 0.0, 0.0, False) if line is None else line


def _sigma(levels: Levels, moments: tuple[np.ndarray, ...]) -> tuple[float, float]:
    """Return the sigma whose mean and variance explain the levels best, and its misfit."""
    _, mean, variance = moments
    sigmas = np.geomspace(0.5, 8, 140) * np.sqrt(np.median(levels.power))
    fitted = [s**2 * np.interp(levels.level / s, mean, variance) for s in sigmas]
    costs = [_misfit(each, levels) for each in fitted]
    best = int(np.argmin(costs))
    return float(sigmas[best]), costs[best]


def _fit(blocks: Blocks, magnitudes: bool) -> tuple[NoiseCurve, Levels]:
    """Return the curve of blocks, and their levels; `magnitudes`: Rician noise is possible."""
    expected = np.full(len(blocks.power), np.median(blocks.power))
    for k in range(_ITERATIONS):
        levels = levels_of(blocks, expected)
        if k == 0:
            expected = np.interp(blocks.level, levels.level, levels.power)
            continue
        constant = _constant(levels)
        curves = [_line(levels, powers) for powers in ((1,), (1, 0), (2,), (2, 0))]
        if magnitudes and levels.level.min() > 0:
            sigma, _ = _sigma(levels, rician_moments())
            # There is no mean below that of no signal.
            sigma = min(sigma, 1.05 * levels.level.min() / np.sqrt(np.pi / 2))
            curves.append(NoiseCurve(0.0, 0.0, rician=sigma))
        costs = [np.inf if c is None else _misfit(c, levels) for c in curves]
        costs = [cost + _WORTH * (n in (1, 2, 3)) for n, cost in enumerate(costs)]
        best, least = curves[int(np.argmin(costs))], min(costs)
        believed = min(_EXPLAINED * (most := _misfit(constant, levels)), most - _BEYOND_DOUBT)
        chosen = constant if best is None or least > believed else best
        expected = np.maximum(chosen.variance(blocks.level), 1e-2 * np.median(levels.power))
    if chosen is constant or (_matters(chosen, levels) and _is_of_signal(chosen, blocks, levels)):
        return chosen, levels
    return constant, levels


def _matters(curve: NoiseCurve, levels: Levels) -> bool:
    variance = curve.variance(levels.level)
    return bool(np.std(variance) > _MATTERS * np.mean(variance))


def _is_of_signal(curve: NoiseCurve, blocks: Blocks, levels: Levels) -> bool:
    """Return whether the signal explains the noise about as well as place and channel do."""
    quiet = blocks.where(levels.quiet)
    if len(quiet.power) < 4 * _FEWEST:
        return True
    root = np.cbrt(quiet.power)  # which is about normal
    items = np.unique(quiet.item, return_inverse=True)[1]
    by_item = np.bincount(items, root) / np.bincount(items)
    left = root - by_item[items]
    place = np.concatenate([quiet.place**n for n in range(4)], axis=1)
    left = left - place @ np.linalg.lstsq(place, left, rcond=None)[0]
    by_signal = np.cbrt(curve.variance(quiet.level))
    by_signal = np.stack([by_signal, np.ones_like(root)], axis=1)
    unexplained = root - by_signal @ np.linalg.lstsq(by_signal, root, rcond=None)[0]
    total = root.var()
    return bool(total - np.var(unexplained) > (1 - _PLACE) * (total - np.var(left)))


# Counts and clipping --------------------------------------------------------------------


def _counts_on_a_lattice(
    values: np.ndarray, counts: np.ndarray, step: float, blocks: Blocks
) -> NoiseCurve | None:
    """Return the curve of counts whose grey levels can be seen."""
    unsaturated = blocks.high <= 0.1
    if np.count_nonzero(unsaturated) < _FEWEST:
        return None
    blocks = blocks.where(unsaturated)
    _, levels = _fit(blocks, False)
    constant = _constant(levels)
    lines = [line for powers in ((1,), (1, 0)) if (line := _line(levels, powers)) is not None]
    best = min((_misfit(line, levels) for line in lines), default=0.0)
    least, found = _misfit(constant, levels), None
    found_on = [lattice_of(values, counts, step, line.gain) for line in lines]
    for lattice in filter(None, found_on):
        gain, is_grid = lattice.gain, lattice.gain == step
        rounding = 0.0 if is_grid else step**2 / 12
        # The offset is a level, too: that below the data which explains the variance best.
        offsets = lattice.offset - gain * np.arange(-1e3, 1e3)
        end = np.median(levels.level - levels.power / gain)
        offsets = offsets[(np.abs(offsets - end) < 2.5 * gain) & (offsets < values[0] + 0.6 * step)]
        if blocks.low.mean() > _CLIPPED:
            offsets = offsets[offsets > values[0] - 0.6 * step]  # else they are clipped
        offsets = np.where(np.abs(offsets) < (1e-3 if is_grid else 1) * step, 0.0, offsets)
        if is_grid:  # which is little evidence, unless it begins where counts do
            offsets = offsets[(offsets == 0) | (values[0] - offsets < _DARK * gain)]
        curves = [NoiseCurve(gain, float(rounding - gain * o), lattice.error) for o in offsets]
        if is_grid and lattice.offset % gain < 1e-3 * gain:
            # Many counts hardly tell an offset, and most have none.
            none = NoiseCurve(gain, 0.0, lattice.error)
            if not curves or _misfit(none, levels) < _NO_WORSE + min(
                _misfit(c, levels) for c in curves
            ):
                curves = [none]
        if not curves:
            continue
        curve = min(curves, key=lambda c: _misfit(c, levels))
        misfit = _misfit(curve, levels)
        # Uneven levels are evidence enough, and rounding bends the line of few counts.
        near = abs(gain / lines[-1].gain - 1) < (_SAME if is_grid else _ROUNDING)
        if (near or misfit < best + _NO_WORSE) and misfit < least - _WORTH * (found is None):
            found, least = curve, misfit
    if found is None and values[0] >= 0 and _is_multiple(values, step):
        doubt = doubt_of_counts(blocks, step)
        found = None if doubt is None else NoiseCurve(step, 0.0, step * doubt)
    return found


def _is_multiple(values: np.ndarray, step: float) -> bool:
    """Return whether all values are multiples of a step, so that nothing was added to counts."""
    return step > 0 and bool((np.abs(values / step - np.rint(values / step)) < 1e-2).all())


def _with_clipping(
    blocks: Blocks, low: float, high: float, step: float
) -> tuple[NoiseCurve, Levels]:
    """Return the curve of the blocks that clipping does not affect, with how much it does, and
    their levels.
    """
    magnitudes = low >= 0
    affected = (blocks.low > _CLIPPED) | (blocks.high > _CLIPPED)
    if not affected.any():
        return _fit(blocks, magnitudes)
    if np.count_nonzero(~affected) < _FEWEST:
        curve, levels = _fit(blocks.where(blocks.high <= _CLIPPED), magnitudes)
        sigma, misfit = _sigma(levels._replace(level=levels.level - low), clipped_moments())
        # Few grey levels are of few counts rather than of a range that is much too small.
        coarse = np.sqrt(np.median(levels.power)) < _COARSE * step
        better = _misfit(curve, levels) + (-_NO_WORSE if coarse else _NO_WORSE)
        if blocks.high.mean() > _CLIPPED or misfit < better:
            curve = NoiseCurve(0.0, sigma**2, 0.0, False)
        else:  # the lowest value is that of no signal
            affected = blocks.high > _CLIPPED
    else:
        curve, levels = _fit(blocks.where(~affected), magnitudes)
        dark = (blocks.low > _CLIPPED) & (blocks.high <= _CLIPPED)
        if curve.is_signal_dependent and np.count_nonzero(dark) >= _FEWEST:
            both, of_both = _fit(blocks.where(blocks.high <= _CLIPPED), magnitudes)
            if _misfit(curve, of_both) < _misfit(both, of_both) + _BEYOND_DOUBT:
                curve, levels = both, of_both
                affected = blocks.high > _CLIPPED
    shares = []
    for end, share, sign in ((low, blocks.low, 1), (high, blocks.high, -1)):
        # Of clipped noise, some is left where the signal is a little further in.
        partly = (share > _CLIPPED) & (share < 1 - _CLIPPED)
        deviation = np.sqrt(np.maximum(curve.variance(blocks.level), 1e-300))
        within = sign * (blocks.level - end) / deviation
        if np.median(deviation) > step:
            # The mean of clipped noise is nearer to the middle than the signal is.
            signals, means, _ = clipped_moments()
            within = np.interp(within, means, signals)
        predicted = float(special.ndtr(-within).mean())
        observed = float(np.mean(share))
        is_clipping = (
            (affected & (share > _CLIPPED)).any()
            and partly.sum() > 0.1 * np.count_nonzero(share > _CLIPPED)
            and observed < 4 * predicted
        )
        shares.append(float(observed) if is_clipping else 0.0)
    return curve._replace(clipped_low=shares[0], clipped_high=shares[1]), levels
