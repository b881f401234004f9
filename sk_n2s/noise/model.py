"""`NoiseModel`: what is assumed of the noise, in one object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.fft import fftn, ifftn, next_fast_len
from sklearn.utils import check_random_state

from .._utils.arrays import as_float_array, unmasked
from ._lags import NEGLIGIBLE, checked_correlation, lines_of, with_more_lags
from .curve import NoiseCurve

__all__ = ["NoiseModel", "check_noise"]

_WHAT = (
    "must be a standard deviation in the unit of the data, an array of them, a NoiseModel, or None"
)

_PARAMETERS = ("level", "curve", "correlation", "outliers", "notes", "doubts", "level_error")


class NoiseModel:
    """The noise of an array: how large it is at each entry, and how that of neighbours depends.

    Parameters
    ----------
    level : float or array-like, default=None
        The standard deviation of the noise, in the unit of the data: one number, or a map of
        it that broadcasts to the shape of the data.
    curve : NoiseCurve, default=None
        How the variance depends on the signal, in place of a level.
    correlation : array-like, default=None
        The correlation of the noise of two entries by their distance: an array with an odd
        length along each axis of the data, 1 in its centre, which is distance 0. Along axes of
        length 1 noise is independent. Beyond its ends it is 0, but where it does not change towards
        them, as for lines that share an offset. None means independent noise.
    outliers : float, default=0.0
        The share of entries that are no such noise, but outliers.
    notes : sequence of str, default=()
        What else is known of the noise, in words.
    doubts : sequence of str, default=()
        What could not be told, in words: errors that are estimated with it are unknown.
    level_error : float, default=0.0
        The standard error of the level, as a share of it.

    Raises
    ------
    ValueError
        If neither or both of level and curve are given, or if a value is not valid.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.noise import NoiseCurve, NoiseModel
    >>> counts = NoiseModel(curve=NoiseCurve(gain=2.0, intercept=1.0))
    >>> counts.variance(np.array([0.0, 10.0]))
    array([ 1., 21.])
    >>> print(NoiseModel(0.1))
    standard deviation 0.1
    >>> rows = NoiseModel(0.1, correlation=[[0.5, 1, 0.5]])
    >>> print(rows)
    standard deviation 0.1; correlated along axis 1 over 1 entry
    >>> rows.blind_spot()
    array([[ True,  True,  True]])
    """

    def __init__(
        self,
        level: Any = None,
        curve: NoiseCurve | None = None,
        *,
        correlation: Any = None,
        outliers: float = 0.0,
        notes: Sequence[str] = (),
        doubts: Sequence[str] = (),
        level_error: float = 0.0,
    ):
        if (level is None) == (curve is None):
            raise ValueError(f"NoiseModel takes a level or a curve, got {level!r} and {curve!r}.")
        self.level: float | np.ndarray | None = None
        if level is not None:
            given = _as_level(level)
            self.level = float(given) if given.ndim == 0 else given
        self.curve = curve
        self.correlation = None if correlation is None else checked_correlation(correlation)
        self.outliers = float(outliers)
        self.notes = tuple(notes)
        self.doubts = tuple(doubts)
        self.level_error = float(level_error)

    @property
    def is_signal_dependent(self) -> bool:
        """Whether the variance depends on the signal."""
        return self.curve is not None

    @property
    def is_uniform(self) -> bool:
        """Whether the variance is the same at each entry."""
        return isinstance(self.level, float)

    @property
    def is_correlated(self) -> bool:
        """Whether the noise of different entries is dependent."""
        return self.correlation is not None

    def variance(self, signal: np.ndarray) -> float | np.ndarray:
        """Return the variance of the noise where the signal is known.

        Parameters
        ----------
        signal : ndarray
            The clean data or what stands for them: denoised data, or the noisy data, whose
            expectation the signal is.

        Returns
        -------
        float or ndarray that broadcasts to that shape
            The variance, in the squared unit of the data; a number if it is the same
            everywhere.
        """
        if self.curve is not None:
            return self.curve.variance(signal)
        return np.square(self.level)  # type: ignore[arg-type]

    def blind_spot(self) -> np.ndarray:
        """Return which neighbours have to be hidden with an entry, since their noise depends on it.

        Returns
        -------
        ndarray of bool
            A footprint with the entry itself in its centre, and an axis for each of the data; of
            one entry where the noise is independent.
        """
        if self.correlation is None:
            return np.ones((1,), dtype=bool)
        far = np.abs(self.correlation) > NEGLIGIBLE
        middle = [n // 2 for n in far.shape]
        half = np.abs(np.argwhere(far) - middle).max(axis=0)
        return far[tuple(slice(m - h, m + h + 1) for m, h in zip(middle, half, strict=True))]

    @property
    def lines(self) -> tuple[int, ...]:
        """The axes along which a part of the noise is constant: rows that share an offset."""
        return () if self.correlation is None else lines_of(self.correlation, NEGLIGIBLE)

    def within(self, part: tuple[slice, ...]) -> NoiseModel:
        """Return the noise of a part of the data.

        Parameters
        ----------
        part : tuple of slice, one for each axis of the data
            The part.

        Returns
        -------
        NoiseModel
            Its noise.
        """
        level = self.level
        if not isinstance(level, np.ndarray):
            return self
        level = level.reshape((1,) * (len(part) - level.ndim) + level.shape)
        cut = tuple(s if n > 1 else slice(None) for s, n in zip(part, level.shape, strict=True))
        return self.replace(level=level[cut])

    def replace(self, **changes: Any) -> NoiseModel:
        """Return a noise model that differs in some of its parameters.

        Parameters
        ----------
        **changes : object
            Parameters of the class.

        Returns
        -------
        NoiseModel
            The new one.
        """
        return NoiseModel(**{**{name: getattr(self, name) for name in _PARAMETERS}, **changes})

    def sample(self, signal: np.ndarray, random_state: Any = None) -> np.ndarray:
        """Draw noise like it: normal, of the variance that belongs to the signal.

        Parameters
        ----------
        signal : ndarray
            The clean data.
        random_state : int, RandomState instance or None, default=None
            Pass an int for the same noise at every call.

        Returns
        -------
        ndarray of that shape
            The noise, without outliers.
        """
        generator = check_random_state(random_state)
        if self.correlation is None:
            drawn = generator.normal(size=np.shape(signal))
        else:
            drawn = _correlated(self.correlation, np.shape(signal), generator)
        return drawn * np.sqrt(self.variance(signal))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NoiseModel):
            return NotImplemented
        return self.curve == other.curve and all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in _PARAMETERS
            if name != "curve"
        )

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        if self.curve is not None:
            parts = [_in_words(self.curve)]
        elif self.is_uniform:
            parts = [f"standard deviation {self.level:.4g}"]
        else:
            low, high = np.min(self.level), np.max(self.level)  # type: ignore[arg-type]
            parts = [f"standard deviation {low:.4g} to {high:.4g}"]
        if self.correlation is not None:
            lags = [
                f"along axis {axis} over {n // 2} {'entry' if n < 4 else 'entries'}"
                for axis, n in enumerate(self.blind_spot().shape)
                if n > 1
            ]
            parts.append("correlated " + " and ".join(lags) if lags else "correlated")
        if self.outliers:
            parts.append(f"{100 * self.outliers:.2g} % outliers")
        return "; ".join([*parts, *self.notes, *self.doubts])

    def assumptions(self) -> tuple[str, ...]:
        """Return what an estimated error rests upon, in words."""
        independent = "independent between entries"
        return (
            "the noise has a mean of 0 at each entry",
            f"it is {'correlated as the model says' if self.is_correlated else independent}",
            f"its size is {'as estimated' if self.level_error else 'as given'}: {self}",
        )

    def __repr__(self) -> str:
        return f"<NoiseModel: {self}>"


def _in_words(curve: NoiseCurve) -> str:
    """Return how the variance depends on the signal, in words."""
    if curve.rician:
        return f"Rician, of standard deviation {curve.rician:.4g}"
    terms = [
        f"{value:.4g}{of}"
        for value, of in (
            (curve.relative, " · signal²"),
            (curve.gain, " · signal"),
            (curve.intercept, ""),
        )
        if value
    ]
    text = "variance " + " + ".join(terms or ["0"]).replace("+ -", "- ")
    for share, end in ((curve.clipped_low, "lowest"), (curve.clipped_high, "highest")):
        if share:
            text += f"; {100 * share:.2g} % clipped at the {end} value"
    return text


def _correlated(
    correlation: np.ndarray, shape: tuple[int, ...], generator: np.random.RandomState
) -> np.ndarray:
    """Draw normal noise of variance 1 and a given correlation, on a torus that is large enough."""
    if correlation.ndim != len(shape):
        raise ValueError(
            f"The correlation of the noise has {correlation.ndim} axes, and the data of shape "
            f"{shape} have {len(shape)}: give it an axis for each of theirs."
        )
    table, large = correlation, list(shape)
    axes = [a for a, m in enumerate(correlation.shape) if m > 1]
    for axis in axes:
        n, half = shape[axis], table.shape[axis] // 2
        # What goes on beyond its ends needs room for all lags.
        beyond = np.take(with_more_lags(table, axis, 1), [0, -1], axis=axis)
        far = n if np.abs(beyond).max() > NEGLIGIBLE else min(n, half + 1)
        large[axis] = next_fast_len(n + far, real=True)
        table = with_more_lags(table, axis, large[axis] // 2 - half)
        lags = np.fft.ifftshift(np.arange(large[axis]) - large[axis] // 2)
        table = np.take(table, lags + table.shape[axis] // 2, axis=axis)
    # Its transform is the power spectrum, and none if an estimated correlation is no correlation.
    power = np.maximum(fftn(table, axes=axes).real, 0)
    power /= power.mean(axis=tuple(axes), keepdims=True)
    noise = ifftn(np.sqrt(power) * fftn(generator.normal(size=large), axes=axes), axes=axes).real
    return noise[tuple(slice(n) for n in shape)]


def _as_level(level: Any) -> np.ndarray:
    """Return standard deviations as an array of their own, of no axes if it is one number."""
    try:
        known = unmasked(level)
        given = np.asarray(known)
        if given.dtype.kind == "O":
            given = as_float_array(np.atleast_1d(given), name="noise").reshape(given.shape)
    except (TypeError, ValueError):
        raise ValueError(f"noise={level!r} {_WHAT}.") from None
    if given.dtype.kind not in "fiu":
        raise ValueError(f"noise={level!r} {_WHAT}.")
    if not np.isfinite(given).all() or (given < 0).any():
        raise ValueError(f"noise={level!r} must be finite and not negative.")
    return given.astype(np.float64)  # a copy, whatever is written into it later


def check_noise(value: Any, X: Any) -> NoiseModel:
    """Return the noise model that a parameter `noise` stands for, checked against the data."""
    if isinstance(value, NoiseCurve):
        raise ValueError(f"noise={value!r} {_WHAT}: give NoiseModel(curve=...).")
    model = value if isinstance(value, NoiseModel) else NoiseModel(value)
    shape = np.shape(model.level) if model.level is not None else ()
    try:
        fits = np.broadcast_shapes(shape, X.shape) == X.shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"noise of shape {shape} does not broadcast to the shape {X.shape} of X: give one "
            "standard deviation, or one for each entry."
        )
    return model
