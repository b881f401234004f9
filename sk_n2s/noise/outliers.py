"""Outliers: entries that are no noise of the kind that the rest has; and heavy tails."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from joblib import hash as digest
from scipy import fft, ndimage
from sklearn.utils._param_validation import Interval

from .._utils.arrays import as_float_array, split_axes
from .._utils.base import ArrayTransformer
from ..masking.fills import MeanFill, MedianFill

__all__ = [
    "OutlierMasker",
    "Tails",
    "estimate_tails",
    "find_outliers",
    "look_at",
    "prepared_items",
]

Array = np.ndarray

#: Fewer entries tell nothing.
_FEWEST = 16

#: Entries that are sorted with their neighbours at a time: they fit in a cache.
_SLAB = 2**15

#: From the median of |normal| to its standard deviation.
_MAD = 1.4826

#: No entry nearer to its prediction than this, in standard deviations, is an outlier.
_NEAREST = 5.5

#: The tail of the residuals is fitted between these shares of the entries and with at most
#: this steepness, from outside in: outliers that were found do not take part in the next fit.
_FITS = ((0.5, 0.25, 1.25), (0.2, 0.05, 3.0), (0.1, 0.01, 3.0))

#: Only where more than this share is new, the data are looked at again without them.
_MANY = 1e-3

#: Outliers stand apart: no fewer lie beyond the bound than within it down to this part of it.
_GAP = 1.4

#: Entries around each that tell the scale of its residual.
_AROUND = 81

#: Entries on which the scale over the signal, and the unit, are estimated.
_SAMPLE = 2**14

#: A value that this share of the entries has, alone, may be one of impulses; so many are tried.
_IMPULSES, _VALUES = 0.002, 4

#: So many of the lone entries that have it are far from their prediction.
_FAR = 0.3

#: Regular patterns are looked for within this distance, if so many outliers were found.
_PERIOD, _PATTERN = 32, 8

#: Entries of a block of which the tails are measured; the ratio of the quantiles 95 % and 50 %
#: of its absolute residuals, where they are normal; and the share of blocks that is taken.
_BLOCK, _NORMAL_RATIO, _QUIET = 256, 2.9, 0.25

#: This share of the entries of a block has neighbours between which there is only noise.
_FLAT = 0.4

#: Beyond this tails are heavy: Student's t with 5 degrees of freedom.
_HEAVY = 0.1


def find_outliers(
    X: Any,
    *,
    false_positives: float = 0.02,
    channel_axis: int | None = None,
    batch_axis: int | None = None,
) -> Array:
    """Find entries that are no noise of the kind that the rest has.

    Impulses, hot and dead pixels, hits of cosmic rays. Each entry is compared with the median
    of its neighbours, in units of what that leaves at entries like it: near it and at the same
    level of the signal, so that the noise may grow with both. How far is too far follows from
    the tail of the residuals, which is extrapolated as that of a Weibull distribution [1]_.
    A value that many lone entries share, far from their neighbours, is taken for that of
    impulses, and they are compared with neighbours that do not have it.

    What two or more neighbours have as well is structure: lines, stars of 2×2 entries.
    So is what repeats with a period.

    Parameters
    ----------
    X : array-like of one or more axes
        The noisy data; NaN marks missing entries.
    false_positives : float, default=0.02
        How many entries of the array, on average, may be taken for outliers where there are
        none. With more, smaller outliers are found; none is nearer to the prediction than 5.5
        standard deviations of the noise.
    channel_axis, batch_axis : int, default=None
        Axes along which entries are not neighbours: channels and items are looked at one by
        one.

    Returns
    -------
    ndarray of bool of the shape of `X`
        True for outliers; False for missing entries.

    Notes
    -----
    Outliers in fine texture, or less bright than the noise is strong, are not found. Images of
    two values have none. Neighbours are entries that differ by one along at most two axes; in
    signals, by two.

    References
    ----------
    .. [1] L. Gardes and S. Girard, "Estimation of the Weibull tail-coefficient with linear
       combination of upper order statistics", J. Stat. Plan. Inference 138(5):1416-1427, 2008.
    .. [2] R. Garnett, T. Huegerich, C. Chui and W. He, "A universal noise removal algorithm
       with an impulse detector", IEEE Trans. Image Process. 14(11):1747-1754, 2005.
       :doi:`10.1109/TIP.2005.857261`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.noise import find_outliers
    >>> noisy = np.random.default_rng(0).normal(size=(64, 64))
    >>> noisy[20, 30] = 50.0
    >>> np.argwhere(find_outliers(noisy))
    array([[20, 30]])
    """
    X = as_float_array(X)
    where = np.zeros(X.shape, dtype=bool)
    for place, item, data in prepared_items(X, channel_axis, batch_axis):
        chance = min(false_positives / data.values.size, 0.5)
        found = _outliers(data, chance).reshape(item.shape)
        if item.ndim > 1:  # a line that meets a corner leaves one entry of itself
            found[np.ix_(*([0, -1],) * item.ndim)] = False
        where[place] = found
    return where


class Tails(NamedTuple):
    """How heavy the tails of the noise are.

    Attributes
    ----------
    excess : float
        By which part the ratio of the quantiles 95 % and 50 % of the absolute noise exceeds
        that of normal noise: about 0 for normal noise, 0.4 for Laplace's and for Student's t
        with 3 degrees of freedom.
    error : float
        Its standard error; infinite where there are too few data.
    """

    excess: float
    error: float

    @property
    def is_heavy(self) -> bool:
        """Whether they are heavier than those of normal noise beyond doubt."""
        return self.excess - 3 * self.error > _HEAVY

    def __str__(self) -> str:
        return "heavy-tailed, like Student's t or Laplace's" if self.is_heavy else "no heavy tails"


def estimate_tails(
    X: Any, *, channel_axis: int | None = None, batch_axis: int | None = None
) -> Tails:
    """Estimate how heavy the tails of the noise are.

    The ratio of two quantiles of the absolute residuals, a robust kurtosis [1]_, is the same
    however strong normal noise is. It is measured in small blocks, so that the noise
    may differ between them, of which the quietest count.

    Parameters
    ----------
    X : array-like of one or more axes
        The noisy data; NaN marks missing entries.
    channel_axis, batch_axis : int, default=None
        Axes along which entries are not neighbours.

    Returns
    -------
    Tails
        How heavy they are. Where no part of the data is without fine texture, that
        counts as noise.

    References
    ----------
    .. [1] T.-H. Kim and H. White, "On more robust estimation of skewness and kurtosis",
       Finance Res. Lett. 1(1):56-73, 2004. :doi:`10.1016/S1544-6123(03)00003-5`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.noise import estimate_tails
    >>> rng = np.random.default_rng(0)
    >>> print(estimate_tails(rng.normal(size=(128, 128))))
    no heavy tails
    >>> print(estimate_tails(rng.laplace(size=(128, 128))))
    heavy-tailed, like Student's t or Laplace's
    """
    X = as_float_array(X)
    ratios, slopes = [np.empty(0)], [np.empty(0)]
    for *_, data in prepared_items(X, channel_axis, batch_axis):
        ratio, slope = _block_ratios(data)
        ratios.append(ratio)
        slopes.append(slope)
    ratio, slope = np.concatenate(ratios), np.concatenate(slopes)
    if ratio.size < 4:
        return Tails(0.0, np.inf)
    quiet = ratio[np.argsort(slope, kind="stable")[: max(4, int(_QUIET * slope.size))]]
    excess = float(np.median(quiet)) / _NORMAL_RATIO - 1
    error = 1.25 * float(np.std(quiet)) / np.sqrt(quiet.size) / _NORMAL_RATIO
    return Tails(excess, error)


class OutlierMasker(ArrayTransformer):
    """Set outliers to NaN, which marks missing entries everywhere in the package.

    See `find_outliers` for what an outlier is.

    Parameters
    ----------
    false_positives : float, default=0.02
        How many entries of the array, on average, may be taken for outliers where there are
        none.
    channel_axis, batch_axis : int, default=None
        Axes along which entries are not neighbours.

    Attributes
    ----------
    outliers_ : ndarray of bool
        Where the outliers of the data given to `fit` are.
    n_outliers_ : int
        How many.
    share_ : float
        Their share of the measured entries.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sk_n2s import JInvariantWrapper, OutlierMasker
    >>> from sk_n2s.denoisers import gaussian
    >>> noisy = np.random.default_rng(0).normal(size=(64, 64))
    >>> noisy[20, 30] = 1e4
    >>> pipeline = make_pipeline(OutlierMasker(), JInvariantWrapper(gaussian))
    >>> bool(np.abs(pipeline.fit_transform(noisy)).max() < 3)
    True
    >>> pipeline[0].n_outliers_
    1
    """

    _parameter_constraints: dict = {
        "false_positives": [Interval(Real, 0, None, closed="neither")],
        "channel_axis": [Integral, None],
        "batch_axis": [Integral, None],
    }

    def __init__(
        self,
        false_positives: float = 0.02,
        *,
        channel_axis: int | None = None,
        batch_axis: int | None = None,
    ):
        self.false_positives = false_positives
        self.channel_axis = channel_axis
        self.batch_axis = batch_axis

    def fit(self, X: Any, y: Any = None) -> OutlierMasker:
        """Find the outliers.

        Parameters
        ----------
        X : array-like of one or more axes
            The noisy data; NaN marks missing entries.
        y : object
            Ignored, present for scikit-learn's interface.

        Returns
        -------
        OutlierMasker
            The transformer itself.

        Raises
        ------
        TypeError, ValueError
            If the data or a parameter are not valid, or do not fit each other.
        """
        self._validate_params()
        array = self._as_data(X)
        where = self._found(array)
        self._remember(X, array)
        self.outliers_ = where
        self.n_outliers_ = int(np.count_nonzero(where))
        self.share_ = self.n_outliers_ / int(np.count_nonzero(~np.isnan(array)))
        self._known = digest(array)
        return self

    def transform(self, X: Any) -> Any:
        """Set outliers to NaN.

        Parameters
        ----------
        X : array-like
            Noisy data, with as many axes as those given to `fit`. The outliers of other data
            than those are found anew.

        Returns
        -------
        ndarray of the shape of `X`
            The data as floats, with NaN for outliers.
        """
        X = self._checked(X)
        where = self.outliers_ if self._known == digest(X) else self._found(X)
        return np.where(where, X.dtype.type(np.nan), X)

    def _found(self, X: Array) -> Array:
        return find_outliers(
            X,
            false_positives=self.false_positives,
            channel_axis=self.channel_axis,
            batch_axis=self.batch_axis,
        )


# Data ---------------------------------------------------------------------------------


class _Data(NamedTuple):
    """An item in units of its own spread: outliers are far, and float32 holds all others."""

    values: Array  # missing ones are filled
    known: Array
    quantum: float  # the step between values that are next to each other


def prepared_items(
    X: Array, channel_axis: int | None, batch_axis: int | None
) -> Iterator[tuple[Any, Array, _Data]]:
    """Yield where each channel and item is, itself, and what it is in units of its spread."""
    channel, batch, _ = split_axes(X.ndim, channel_axis, batch_axis)
    lone = [a for a in (batch, channel) if a is not None]
    for place in np.ndindex(*(X.shape[a] for a in lone)):
        index: list[Any] = [slice(None)] * X.ndim
        for axis, i in zip(lone, place, strict=True):
            index[axis] = i
        item = X[tuple(index)]
        data = _prepared(item)
        if data is not None:
            yield tuple(index), item, data


def _prepared(item: Array) -> _Data | None:
    """Return an item in units of its spread, or None where it tells nothing."""
    item = np.squeeze(item)
    known = ~np.isnan(item)
    n = np.count_nonzero(known)
    if n < _FEWEST:
        return None
    sample = np.sort(item[known][:: max(1, n // _SAMPLE)].astype(np.float64))
    middle = sample[sample.size // 2]
    low, high = np.quantile(sample, [0.1, 0.9])
    # Halved first: the difference of the largest numbers does not fit.
    unit = 2 * np.abs(np.clip(sample, low, high) / 2 - middle / 2).mean()
    if not unit > 0:
        unit = 2 * np.abs(sample / 2 - middle / 2).mean()
    if not unit > 0:
        unit = 2 * np.abs(item[known] / 2 - middle / 2).max(initial=0)
    if not unit > 0:
        return None
    steps = np.diff(np.unique(sample))
    quantum = float(np.median(steps)) / unit if steps.size else 0.0
    with np.errstate(over="ignore"):
        values = np.clip((item - middle) / unit, -1e15, 1e15).astype(np.float32)
    if n < item.size:
        values = MedianFill()(values, ~known)
    return _Data(values, known, max(quantum, 1e-6))


# What neighbours say ------------------------------------------------------------------


class _Ranks(NamedTuple):
    """The neighbours of each entry by rank; of a signal, low is lowest and high highest."""

    lowest: Array
    low: Array  # the second lowest
    middle: Array
    high: Array  # the second highest
    highest: Array
    tied: Array  # whether low or high is no other than the middle


class _Look(NamedTuple):
    """Entries beside what their neighbours predict; scores are in standard deviations."""

    prediction: Array
    scale: Array
    above: Array  # whether an entry is above its prediction
    size: Array  # how far it is from it
    excess: Array  # the same, but 0 where structure may be the reason


def look_at(values: Array, filled: Array, known: Array, quantum: float) -> _Look:
    """Compare entries with their neighbours in `filled`, where outliers are replaced."""
    ranks = _ranked(filled, 1)
    prediction = ranks.middle
    wider = _ranked(prediction, 2).middle
    size = np.abs(values - prediction)
    above = values > prediction
    second = np.where(above, ranks.high - prediction, prediction - ranks.low)
    first = np.where(above, ranks.highest - prediction, prediction - ranks.lowest)
    excess = np.minimum(size, 2 * (size - second))
    # A few neighbours stand out as well: it is a line, or a small star.
    excess[size < 2.5 * second] = 0
    # One neighbour does: it may be the end of a line, if it is not far beyond doubt.
    excess[size < 2.5 * first] /= 2
    # All neighbours stand out against what is around them: it is the tip of a blurred star.
    excess[size < 5 * np.where(above, prediction - wider, wider - prediction)] = 0
    scale = _scale(size, prediction, ranks.tied, known, quantum)
    np.maximum(excess, 0, out=excess)
    excess /= scale
    size /= scale
    excess[~known] = 0
    return _Look(prediction, scale, above, size, excess)


def _scale(size: Array, prediction: Array, tied: Array, known: Array, quantum: float) -> Array:
    """Return the standard deviation of residuals like that of each entry."""
    if not known.all():
        size = MeanFill()(size, ~known)
    fine = size
    for axis in range(size.ndim):
        fine = _median_of_5(fine, axis)
    side = 2 * round(_AROUND ** (1 / size.ndim) / 2 - 0.5) + 1
    scale = np.float32(_MAD) * ndimage.uniform_filter(fine, side, mode="mirror")
    np.maximum(scale, np.float32(0.5 * _MAD) * fine, out=scale)
    np.maximum(scale, np.float32(quantum), out=scale)
    if tied.any():
        # Equal neighbours: the noise has been clipped, and does not tell how large it was.
        rest = scale[~tied] if np.count_nonzero(tied) < 0.99 * tied.size else scale
        scale[tied] = np.maximum(scale[tied], np.median(rest))
    # Where the noise grows with the signal, it is larger than around it at bright entries.
    level = ndimage.uniform_filter(prediction, 3, mode="mirror")
    at = np.flatnonzero(known)
    if at.size > _SAMPLE:
        at = at[np.random.default_rng(0).integers(at.size, size=_SAMPLE)]
    levels, relative = level.ravel()[at], size.ravel()[at] / scale.ravel()[at]
    n_parts = max(1, min(32, at.size // 64))
    # Parts of the same size are worked on together; the few that are left over are the darkest.
    order = np.argsort(levels, kind="stable")[at.size % n_parts :].reshape(n_parts, -1)
    factors = _MAD * np.median(relative[order], axis=1)
    places = levels[order].mean(axis=1)
    scale *= np.interp(level, places, np.maximum(factors, 1)).astype(np.float32)
    return scale


def _ranked(X: Array, step: int) -> _Ranks:
    """Rank the neighbours at a distance."""
    n = X.ndim
    steps = [o for o in product((-1, 0, 1), repeat=n) if 0 < sum(map(abs, o)) <= 2]
    offsets = np.array([(-2,), (-1,), (1,), (2,)] if n == 1 else steps) * step
    reach = int(offsets.max())
    padded = np.pad(X, reach, mode="reflect")
    empty = [np.empty_like(X) for _ in range(5)]
    found = _Ranks._make([*empty, np.empty(X.shape, dtype=bool)])
    k, last, half = min(2, n) - 1, len(offsets) - 1, len(offsets) // 2
    rows = max(1, _SLAB * X.shape[0] // X.size)
    for start in range(0, X.shape[0], rows):
        lengths = (min(rows, X.shape[0] - start), *X.shape[1:])
        firsts = offsets + reach
        firsts[:, 0] += start
        layers = _sorted(
            [
                padded[tuple(slice(f, f + m) for f, m in zip(first, lengths, strict=True))]
                for first in firsts
            ]
        )
        left, right = layers[last - half], layers[half]
        ranks = (layers[0], layers[k], (left + right) / 2, layers[last - k], layers[last])
        tied = (layers[k] == left) | (right == layers[last - k])
        for whole, part in zip(found, (*ranks, tied), strict=True):
            whole[start : start + rows] = part
    return found


def _median_of_5(X: Array, axis: int) -> Array:
    """Return the running median of five entries along an axis."""
    padded = np.pad(X, [(2, 2) if a == axis else (0, 0) for a in range(X.ndim)], mode="reflect")
    before = (slice(None),) * axis
    n = X.shape[axis]
    return _sorted([padded[(*before, slice(k, k + n))] for k in range(5)])[2]


def _sorted(layers: list[Array]) -> list[Array]:
    """Sort arrays against each other, entry by entry."""
    for i, j in _sorting_network(len(layers)):
        a, b = layers[i], layers[j]
        layers[i], layers[j] = np.minimum(a, b), np.maximum(a, b)
    return layers


@lru_cache
def _sorting_network(n: int) -> list[tuple[int, int]]:
    """Return the pairs that Batcher's odd-even merge sort compares."""
    found = []
    p = 1
    while p < n:
        k = p
        while k:
            for j in range(k % p, n - k, 2 * k):
                for i in range(j, j + min(k, n - j - k)):
                    if i // (2 * p) == (i + k) // (2 * p):
                        found.append((i, i + k))
            k //= 2
        p *= 2
    return found


# What is too far ----------------------------------------------------------------------


def _outliers(data: _Data, chance: float) -> Array:
    """Return where the outliers of an item are."""
    values, known, quantum = data
    look = look_at(values, values, known, quantum)
    impulses, filled = _impulses(data, look)
    if impulses.any():
        known = known & ~impulses
        look = look_at(values, filled, known, quantum)
        # The scale is now that of the rest alone.
        impulses &= look.size > 1
    found = large = np.zeros(values.shape, dtype=bool)
    for high, low, steepest in _FITS:
        before = found
        found, large = _beyond(look, known, found, (high, low), steepest, chance)
        if np.count_nonzero(found != before) > _MANY * found.size:
            look = look_at(values, np.where(found, look.prediction, filled), known, quantum)
    return impulses | _irregular(found, large)


def _beyond(
    look: _Look,
    known: Array,
    found: Array,
    shares: tuple[float, float],
    steepest: float,
    chance: float,
) -> tuple[Array, Array]:
    """Return which entries lie beyond what the tail on their side allows, and beyond half of it."""
    new, large = np.zeros_like(found), np.zeros_like(found)
    for side in (look.above, ~look.above):
        side = side & known
        scores = look.excess[side]
        bound = _bound(look.size[side & ~found], shares, steepest, chance)
        while 0 < np.count_nonzero(scores > bound) < np.count_nonzero(scores > bound / _GAP) / 2:
            bound *= _GAP
        new |= side & (look.excess > bound)
        large |= side & (look.excess > bound / 2)
    return new, large


def _bound(sizes: Array, shares: tuple[float, float], steepest: float, chance: float) -> float:
    """Return what is exceeded with a chance, by a Weibull tail fitted between two shares."""
    n = sizes.size
    if n < _FEWEST:
        return np.inf
    between = np.geomspace(max(shares[0], 8 / n), max(shares[1], 2 / n), 8)
    places = np.unique((n * between).astype(int))
    ordered = np.partition(sizes, n - 1 - places)[n - 1 - places]
    # Under ln(−ln share) the logarithm of what is exceeded is a straight line.
    x, y = np.log(-np.log((places + 0.5) / n)), np.log(np.maximum(ordered, 0.3))
    slope = np.clip(np.cov(x, y)[0, 1] / np.var(x, ddof=1), 0.5, steepest)
    far = np.log(-np.log(min(2 * chance, 0.5)))  # half of the entries are on this side
    return max(_NEAREST, float(np.exp(np.mean(y) + slope * (far - np.mean(x)))))


def _impulses(data: _Data, look: _Look) -> tuple[Array, Array]:
    """Return entries that may be impulses of a few values, and the data without them."""
    values, known, quantum = data
    found, suspects = np.zeros(values.shape, dtype=bool), ~known
    far = look.size > _NEAREST
    shared, counts = np.unique(values[far & known], return_counts=True)
    common = np.argsort(-counts)[:_VALUES]
    fewest = max(10, _IMPULSES * values.size)
    for v in shared[common[counts[common] > fewest / 4]]:
        if not _is_spike(values[known], v):
            continue
        at = known & (values == v)
        share = _share_by_chance(at)
        near, wide = (share * (side**values.ndim - 1) for side in (3, 5))
        near *= 1.6  # a margin, since true values lie among them
        alike = _alike(at, 3)
        lone = at & (alike < near + 3 * np.sqrt(near) + 0.5)
        # No line: its entries have two such neighbours, who have others.
        lone &= (alike < near + 1.3) | (_alike(at, 5) < wide + 3 * np.sqrt(wide) + 0.5)
        n = np.count_nonzero(lone)
        # Nor a small star, of which some entries have this value and others nearly.
        alone = lone & far & (alike < 0.5)
        stars = np.count_nonzero(alone & (look.excess == 0))
        if (
            n >= fewest
            and np.count_nonzero(lone & far) > _FAR * n
            and stars < 0.5 * np.count_nonzero(alone)
        ):
            found |= lone
            suspects |= at
    found = _irregular(found, far)
    if not found.any():
        return found, values
    filled = np.where(known, MedianFill()(values, suspects), values)
    found &= np.abs(values - filled) > 3 * quantum
    return found, np.where(found, filled, values)


def _alike(at: Array, side: int) -> Array:
    """Return how many others are True in a box around each entry."""
    return ndimage.uniform_filter(at.astype(np.float32), side, mode="nearest") * side**at.ndim - at


def _share_by_chance(at: Array) -> float:
    """Return the share of impulses of which chance leaves as many without a direct neighbour."""
    beside = sum(
        ndimage.correlate1d(at.astype(np.float32), [1, 0, 1], axis=axis, mode="nearest")
        for axis in range(at.ndim)
    )
    alone = float(np.mean(at & (beside == 0)))
    share = alone
    for _ in range(10):
        share = min(alone / (1 - share) ** (2 * at.ndim), 0.15)
    return share


def _is_spike(values: Array, v: np.float32) -> bool:
    """Return whether a value is an extreme one, or far more frequent than those next to it."""
    if v in (values.min(), values.max()):
        return True
    beside = values[values < v].max(), values[values > v].min()
    most = max(np.count_nonzero(values == b) for b in beside)
    return bool(np.count_nonzero(values == v) > 10 * most)


def _irregular(found: Array, large: Array) -> Array:
    """Return outliers without those that are part of a regular pattern, which noise is not.

    `large` are outliers and other entries that are far from their prediction: not all of
    a pattern need be found.
    """
    n = np.count_nonzero(found)
    if n < _PATTERN:
        return found
    shape = [fft.next_fast_len(m + _PERIOD, real=True) for m in found.shape]
    spectra = [fft.rfftn(a.astype(np.float32), shape) for a in (found, large)]
    pairs = fft.irfftn(np.conj(spectra[0]) * spectra[1], shape)
    lags = [np.arange(1 - min(_PERIOD + 1, m), min(_PERIOD + 1, m)) for m in found.shape]
    near = pairs[np.ix_(*lags)]
    # Outliers may come in twos and threes.
    near[np.abs(np.stack(np.meshgrid(*lags, indexing="ij"))).max(axis=0) <= 2] = 0
    best = np.unravel_index(near.argmax(), near.shape)
    if near[best] < 0.5 * n + 3 * n * np.count_nonzero(large) / found.size:
        return found
    lag = [int(values[i]) for values, i in zip(lags, best, strict=True)]
    part = np.zeros_like(found)
    for sign in (1, -1):
        moves = [(sign * d, m) for d, m in zip(lag, found.shape, strict=True)]
        here = tuple(slice(max(0, -d), min(m, m - d)) for d, m in moves)
        there = tuple(slice(max(0, d), min(m, m + d)) for d, m in moves)
        part[here] |= large[there]
    return _irregular(found & ~part, large)


def _block_ratios(data: _Data) -> tuple[Array, Array]:
    """Return the ratio of quantiles of residuals in each block, and how much structure is there."""
    values, known, quantum = data
    ranks = _ranked(values, 1)
    prediction = ranks.middle
    ends = (values == values.min()) | (values == values.max())
    side = max(2, round(_BLOCK ** (1 / values.ndim)))
    whole = [m // side for m in values.shape]
    if not all(whole):
        return np.empty(0), np.empty(0)
    # Steps between values would make the quantiles jump.
    steps = np.random.default_rng(0).uniform(-0.5, 0.5, values.shape) * quantum
    residual = np.abs(values - prediction + steps)
    even = [np.ravel([m, side], "F") for m in whole]

    def blocks(a: Array) -> Array:
        cut = a[tuple(slice(0, m * side) for m in whole)].reshape(np.concatenate(even))
        order = [*range(0, 2 * a.ndim, 2), *range(1, 2 * a.ndim, 2)]
        return cut.transpose(order).reshape(int(np.prod(whole)), -1)

    # Entries are chosen by what their neighbours are like, and not by themselves.
    ranges = blocks(ranks.high - ranks.low)
    typical = np.quantile(ranges, _FLAT, axis=1, keepdims=True)
    flat = blocks(known) & (ranges <= 2 * typical)
    kept = (flat.mean(axis=1) > _FLAT) & (blocks(ends).mean(axis=1) <= 0.1) & (typical[:, 0] > 0)
    if not kept.any():
        return np.empty(0), np.empty(0)
    chosen = np.where(flat, blocks(residual), np.nan)[kept]
    middle, tail = np.nanquantile(chosen, [0.5, 0.95], axis=1)
    spread = blocks(prediction)[kept].std(axis=1)
    good = middle > 0
    return tail[good] / middle[good], spread[good] / middle[good]
