"""`NoiseModel`: what is assumed of the noise, in one object."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from .._utils.arrays import as_float_array
from .curve import NoiseCurve, estimate_noise_curve
from .level import estimate_noise

__all__ = ["NoiseModel", "check_noise", "estimate_noise_model"]

_WHAT = (
    "must be a standard deviation in the unit of the data, an array of them, a NoiseModel, or None"
)


class NoiseModel:
    """The noise of an array, independent between its entries: how large it is at each.

    Parameters
    ----------
    level : float or array-like, default=None
        The standard deviation of the noise, in the unit of the data: one number, or a map of
        it that broadcasts to the shape of the data.
    curve : NoiseCurve, default=None
        How the variance depends on the signal, in place of a level.

    Raises
    ------
    ValueError
        If neither or both are given, or if the level is negative or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.noise import NoiseCurve, NoiseModel
    >>> counts = NoiseModel(curve=NoiseCurve(gain=2.0, intercept=1.0))
    >>> counts.variance(np.array([0.0, 10.0]))
    array([ 1., 21.])
    >>> print(NoiseModel(0.1))
    standard deviation 0.1
    """

    def __init__(self, level: Any = None, curve: NoiseCurve | None = None):
        if (level is None) == (curve is None):
            raise ValueError(f"NoiseModel takes a level or a curve, got {level!r} and {curve!r}.")
        self.level: float | np.ndarray | None = None
        if level is not None:
            try:
                given = np.asarray(level, dtype=float)
            except (TypeError, ValueError):
                raise ValueError(f"noise={level!r} {_WHAT}.") from None
            if not np.isfinite(given).all() or (given < 0).any():
                raise ValueError(f"noise={level!r} must be finite and not negative.")
            self.level = float(given) if given.ndim == 0 else given
        self.curve = curve

    @property
    def is_signal_dependent(self) -> bool:
        """Whether the variance depends on the signal."""
        return self.curve is not None

    @property
    def is_uniform(self) -> bool:
        """Whether the variance is the same at each entry."""
        return isinstance(self.level, float)

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
        return NoiseModel(level[cut])

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
            The noise.
        """
        drawn = check_random_state(random_state).normal(size=np.shape(signal))
        return drawn * np.sqrt(self.variance(signal))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NoiseModel):
            return NotImplemented
        return self.curve == other.curve and np.array_equal(self.level, other.level)  # type: ignore[arg-type]

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        if self.curve is not None:
            return f"variance {self.curve.gain:.4g} · signal {self.curve.intercept:+.4g}"
        if self.is_uniform:
            return f"standard deviation {self.level:.4g}"
        return f"standard deviation {np.min(self.level):.4g} to {np.max(self.level):.4g}"  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return f"<NoiseModel: {self}>"


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
        A curve if the noise grows with the signal beyond doubt, and otherwise a level. What
        it does not tell: whether the noise of neighbours is correlated, and whether its level
        differs from place to place.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.noise import estimate_noise_model
    >>> ramp = np.broadcast_to(np.linspace(5, 50, 256), (256, 256))
    >>> counts = np.random.default_rng(0).poisson(ramp)
    >>> print(estimate_noise_model(counts))
    variance 1 · signal +0
    """
    X = as_float_array(X)
    axes = {"channel_axis": channel_axis, "batch_axis": batch_axis}
    curve = estimate_noise_curve(X, **axes)
    if curve.is_signal_dependent:
        return NoiseModel(curve=curve)
    return NoiseModel(estimate_noise(X, **axes))
