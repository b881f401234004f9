"""All that can be told of the noise of an array, in one `NoiseModel`."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage, special, stats

from .._utils.arrays import mean_of_measured, split_axes
from .._utils.lazy import as_float_data, is_lazy
from .._utils.tiling import sample
from ._blocks import block_means, block_side, items
from ._lattice import grey_levels
from .correlation import NoiseCorrelation, estimate_noise_correlation
from .curve import MUCH_CLIPPED, NoiseCurve, curve_and_error
from .level import estimate_noise
from .map import estimate_noise_map
from .model import NoiseModel
from .outliers import estimate_tails, find_outliers

__all__ = ["estimate_noise_model"]

#: Entries that are looked at, at most.
_READ = 2**20

#: How far correlations are looked for, in entries: as far as patches of a denoiser are apart.
_MAX_LAG = 40

_UNTOLD = (
    "whether the noise of neighbours is correlated cannot be told, since structure is everywhere"
)

_LINES = "there is little but lines, which may be the scene as well as noise"
_BIASED = "noise was clipped, so that the mean of the data is not the signal near their ends"
_SHIFTED = "the mean of magnitudes is not their signal, but above it"
_NEVER_NEGATIVE = (
    "values are never negative, though the signal comes near 0, as of magnitudes or clipped noise, "
    "whose mean is not the signal there"
)
_ROUNDED = "values were rounded to coarse steps, beside which the noise is small"
_HEAVY = "its variance lies in what is rare, and cannot be told from the quiet parts"

#: Standard errors of levels, as a share of them, measured on photographs: for one entry, and at
#: least; what structure adds, by the power 3/2 of its size in units of the noise, more where data
#: are small; of a map, and what structure adds to that; of correlated noise; of counts whose
#: grey levels tell.
_ERROR_OF_ONE, _LEAST_ERROR = 1.3, 0.005
_OF_STRUCTURE, _SMALL = 0.0016, 160
_ERROR_OF_MAP, _OF_STRUCTURE_IN_MAPS, _ERROR_OF_CORRELATED = 0.035, 0.016, 0.06
_ERROR_OF_COUNTS = 0.002

#: Noise that deviates by less than this share of the step to which values were rounded is seen in
#: part; data of fewer values than this are graphics.
_COARSE, _FEWEST_VALUES = 0.55, 5

#: Lines that deviate by so many times what else there is are the scene rather than noise, if their
#: offsets, against those of so many lines, are not normal.
_MOST_OF_ALL, _LINES_AROUND = 2.0, 9

#: Noise of less than this share of the extent of the data is hard to tell from structure: where
#: that is everywhere, so much of the level is assumed.
_WEAK, _CAUTION = 0.15, 0.5

#: So many values, expected to be negative, are not by chance all positive; of noise that differs
#: between places, it is that of quieter ones.
_MANY_NEGATIVES, _QUIETEST = 10.0, 0.25

#: Texture alone falls by this factor among the highest frequencies; this share of the variance is
#: assumed to be noise at least. A larger share of the level than the last is all of it.
_STEEP, _LEAST_SHARE, _ALL = 2.2, 0.1, 0.9


def estimate_noise_model(
    X: Any, *, channel_axis: int | None = None, batch_axis: int | None = None
) -> NoiseModel:
    """Estimate what the noise is like.

    Parameters
    ----------
    X : array-like of one or more axes
        The noisy data; NaN marks missing entries.
    channel_axis, batch_axis : int, default=None
        Axes along which entries are not neighbours.

    Returns
    -------
    NoiseModel
        Outliers are looked for first, and left out. What differs beyond doubt from noise that is
        normal, of one level, and independent between entries is part of the model, or stands in
        its notes; what cannot be told stands in its doubts. Of more than a million entries pieces
        are looked at that are spread over the data.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.noise import estimate_noise_model
    >>> ramp = np.broadcast_to(np.linspace(5, 50, 256), (256, 256))
    >>> counts = np.random.default_rng(0).poisson(ramp)
    >>> print(estimate_noise_model(counts))
    variance 1 · signal
    """
    X = as_float_data(X)
    part, channel, batch = sample(X, channel_axis, batch_axis, _READ)
    outliers = find_outliers(part, channel_axis=channel, batch_axis=batch)
    if outliers.any():
        part = np.where(outliers, np.nan, part)
    level = estimate_noise(part, channel_axis=channel, batch_axis=batch)
    share = float(np.mean(outliers))
    correlation = _correlation(part, channel, batch)
    if correlation is not None and correlation.lines:
        rest = _without_lines(part, correlation, channel, batch)
        of_rest = estimate_noise(rest, channel_axis=channel, batch_axis=batch)
        structure = np.sqrt(max(_deviation(rest) ** 2 - of_rest**2, 0.0))
        lines = np.sqrt(sum(correlation.stripes) * correlation.variance)
        if lines > _MOST_OF_ALL * structure and not _are_normal(part, correlation):
            return NoiseModel(of_rest, outliers=share, doubts=[_LINES])
    is_told = correlation is None or correlation.is_told
    found: dict[str, Any] = {"outliers": share, "doubts": [] if is_told else [_UNTOLD]}
    extent = _deviation(part)
    if correlation is not None and any(correlation.reach):
        if np.sqrt(correlation.variance) > _WEAK * extent:
            of_part, of_all = (
                split_axes(v.ndim, *lone)[2]
                for v, lone in ((part, (channel, batch)), (X, (channel_axis, batch_axis)))
            )
            found["correlation"] = _expanded(correlation, of_part, of_all, X.ndim)
            found["level_error"] = _ERROR_OF_CORRELATED
            return NoiseModel(float(np.sqrt(correlation.variance)), **found)
        is_told, found["doubts"] = False, [_UNTOLD]
    if not level > 0:
        return NoiseModel(0.0, outliers=share)
    lone = (channel_axis, batch_axis), (channel, batch)
    model = _independent(X, part, level, *lone, is_told, found)
    if _lacks_negatives(part, model, channel, batch):
        model = model.replace(doubts=[*model.doubts, _NEVER_NEGATIVE])
    weak = np.sqrt(np.nanmean(model.variance(part))) < _WEAK * extent
    # The quietest parts say little of strong noise that follows the signal.
    if is_told or (model.curve is not None and not weak):
        return model
    assert correlation is not None
    return _cautious(model, (_CAUTION if weak else 1.0) * _not_of_texture(correlation.steepness))


def _independent(
    X: Any,
    part: np.ndarray,
    level: float,
    lone: tuple,
    lone_of_part: tuple,
    is_told: bool,
    found: dict,
) -> NoiseModel:
    """Return a model of noise that is independent between entries."""
    doubts = found.pop("doubts")
    axes = dict(zip(("channel_axis", "batch_axis"), lone_of_part, strict=True))
    curve, doubt_of_curve = curve_and_error(part, *lone_of_part)
    clipped = max(curve.clipped_low, curve.clipped_high)
    if curve.is_signal_dependent or clipped > 0:
        doubts += [_BIASED] if clipped > MUCH_CLIPPED else []
        doubts += [_SHIFTED] if curve.rician else []
        model = NoiseModel(curve=curve, doubts=doubts, **found)
        if _is_known(curve):
            return model.replace(level_error=max(_ERROR_OF_COUNTS, doubt_of_curve / 2))
        return model.replace(level_error=_error_of(part, model, doubt_of_curve))
    tails = estimate_tails(part, **axes)
    doubts += [f"the noise is {tails}: {_HEAVY}"] if tails.is_heavy else []
    if not is_lazy(X):
        axes = dict(zip(("channel_axis", "batch_axis"), lone, strict=True))
        uneven = estimate_noise_map(part if part.shape == X.shape else X, **axes)
        if not uneven.is_uniform:
            model = NoiseModel(uneven.map, doubts=doubts, **found)
            is_map = "places" in uneven.varies
            return model.replace(level_error=_error_of(X, model, is_map=is_map))
    values, _, step = grey_levels(part)
    if is_told and level < _COARSE * step and len(values) >= _FEWEST_VALUES:
        level = _with_rounding(level / step) * step
        doubts += [_ROUNDED]
    model = NoiseModel(level, doubts=doubts, **found)
    return model.replace(level_error=_error_of(part, model, doubt_of_curve))


def _with_rounding(seen: float) -> float:
    """Return the level of noise and of rounding together, in steps of the latter."""
    # The quietest parts of the data are where the signal is in the middle of a step: there the
    # noise changes a value only if it is larger than half of one.
    noise = 0.5 / special.ndtri(1 - seen**2 / 2)
    return float(np.sqrt(noise**2 + 1 / 12))


def _is_known(curve: NoiseCurve) -> bool:
    """Return whether grey levels tell of counts, and nothing else."""
    return curve.gain > 0 and not curve.gain_error


def _error_of(
    X: np.ndarray, model: NoiseModel, doubt_of_curve: float = 0.0, is_map: bool = False
) -> float:
    """Return the standard error of the level, as a share of it."""
    n = max(1, int(np.count_nonzero(~np.isnan(X))))
    n_told = max(1.0, n * _share_around(~np.isnan(X)) ** 4)  # few gaps are in many neighbourhoods
    level = float(np.sqrt(np.nanmean(np.asarray(model.variance(X)))))
    structure = (_deviation(X) / level) ** 1.5 if level > 0 else 0.0
    structure *= max(1.0, _SMALL / np.sqrt(n))
    parts = [_LEAST_ERROR, _ERROR_OF_ONE / np.sqrt(n_told), doubt_of_curve / 2]
    if is_map:
        parts += [_ERROR_OF_MAP, _OF_STRUCTURE_IN_MAPS * structure]
    else:
        parts += [_OF_STRUCTURE * structure]
    return float(np.linalg.norm(parts))


def _share_around(measured: np.ndarray) -> float:
    """Return the share of the neighbours of measured entries that are measured as well."""
    if measured.all():
        return 1.0
    both = either = 0
    for axis in range(measured.ndim):
        one, other = np.split(measured, [1], axis=axis)[1], measured
        other = np.delete(other, -1, axis=axis)
        both += 2 * int(np.count_nonzero(one & other))
        either += int(np.count_nonzero(one)) + int(np.count_nonzero(other))
    return both / either if either else 1.0


def _deviation(X: np.ndarray) -> float:
    """Return the standard deviation of all entries, whose squares may not fit into float32."""
    return float(np.nanstd(X.astype(np.float64, copy=False)))


def _are_normal(X: np.ndarray, correlation: NoiseCorrelation) -> bool:
    """Return whether the offsets of lines are distributed as those of noise may be."""
    for axis in correlation.lines:
        across = [a for a in correlation.axes if a != axis and X.shape[a] > 1]
        if across:
            offsets = mean_of_measured(X, axis)
            along = max(across, key=lambda a: X.shape[a])
            fine = offsets - ndimage.uniform_filter1d(offsets, _LINES_AROUND, axis=along)
            if abs(stats.kurtosis(fine, axis=None)) > 2 * np.sqrt(24 / fine.size):
                return False
    return True


def _without_lines(
    X: np.ndarray, correlation: NoiseCorrelation, channel: int | None, batch: int | None
) -> np.ndarray:
    """Return data without what is constant along axes, and without a mean."""
    for axis in correlation.lines:
        X = X - mean_of_measured(X, axis)
    return X - mean_of_measured(X, split_axes(X.ndim, channel, batch)[2])


def _not_of_texture(steepness: float) -> float:
    """Return the share of a level that texture of a falling spectrum does not explain."""
    return float(np.sqrt(np.clip(1 - (steepness - 1) / (_STEEP - 1), _LEAST_SHARE, 1)))


def _lacks_negatives(
    X: np.ndarray, model: NoiseModel, channel: int | None, batch: int | None
) -> bool:
    """Return whether noise of that size would have made values negative, and there are none."""
    curve = model.curve
    if not np.nanmin(X) >= 0:
        return False
    # Counts are as small as the signal, and of magnitudes it is known.
    if curve is not None and (_is_known(curve) or curve.rician or curve.intercept <= 0):
        return False
    signal = np.concatenate(
        [block_means(item, block_side(item.ndim)) for item, _ in items(X, channel, batch)]
    )
    if curve is None:
        deviation = np.full(len(signal), float(np.quantile(np.asarray(model.level), _QUIETEST)))
    else:
        deviation = np.sqrt(curve.variance(signal))
    seen = deviation > 0
    share = special.ndtr(-signal[seen] / deviation[seen]).sum() / max(1, len(signal))
    return bool(share > MUCH_CLIPPED / 2 and share * X.size > _MANY_NEGATIVES)


def _cautious(model: NoiseModel, share: float) -> NoiseModel:
    """Return a model of less noise, where what is called noise may be structure."""
    curve = model.curve
    if share > _ALL or (curve is not None and _is_known(curve)):
        return model
    notes = [f"{share:.2g} of what could be noise is assumed"]
    if curve is None:
        assert model.level is not None
        return model.replace(level=share * model.level, notes=notes)
    return model.replace(curve=curve.scaled(share**2), notes=notes)


def _correlation(X: np.ndarray, channel: int | None, batch: int | None) -> NoiseCorrelation | None:
    """Return the correlation as far as the data allow; None if they are too small to tell any."""
    if channel is not None:
        measured = ~np.isnan(X).all(axis=tuple(a for a in range(X.ndim) if a != channel))
        X = X if measured.all() else np.compress(measured, X, axis=channel)
    shortest = min((X.shape[a] for a in split_axes(X.ndim, channel, batch)[2]), default=1)
    try:
        return estimate_noise_correlation(
            X,
            max_lag=max(1, min(_MAX_LAG, (shortest - 1) // 4)),
            channel_axis=channel,
            batch_axis=batch,
        )
    except ValueError:
        return None


def _expanded(
    found: NoiseCorrelation, of_part: tuple[int, ...], axes: tuple[int, ...], ndim: int
) -> np.ndarray:
    """Return the map of a correlation with an axis for each of the data."""
    shape = [1] * ndim
    for axis, length in zip(found.axes, found.map.shape, strict=True):
        shape[axes[of_part.index(axis)]] = length
    centre = found.map.flat[found.map.size // 2]
    return np.clip(found.map / centre, -1, 1).reshape(shape)
