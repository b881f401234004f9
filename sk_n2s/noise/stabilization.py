"""Variance stabilisation: noise that depends on the signal is made white, and back."""

from __future__ import annotations

from functools import lru_cache
from numbers import Real
from typing import Any

import numpy as np
from scipy import stats
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from ._stabilizer import Stabilizer
from .curve import estimate_noise_curve

__all__ = ["GeneralizedAnscombe"]

#: Beyond this mean count the asymptotic expansion is exact to seven digits.
_LARGEST_TABLED = 200.0


class GeneralizedAnscombe(Stabilizer):
    """The generalised Anscombe transform, with its exact unbiased inverse.

    Data x = gain · Poisson + normal(offset, read_noise²) become data whose noise has
    variance 1 [1]_. The inverse is the signal whose transform has the given expectation,
    so that denoised values come back without bias [2]_; the algebraic inverse reads
    too low.

    Parameters
    ----------
    gain : float, default=1.0
        What one count adds to the data. None estimates gain, offset and read noise at
        `fit`, whatever they are set to.
    offset : float, default=0.0
        The value of the data at no signal.
    read_noise : float, default=0.0
        The standard deviation of the signal-independent noise, in the unit of the data.

    Attributes
    ----------
    gain_, offset_, read_noise_ : float
        The values used. If `gain` is None and the noise of the data is not that of
        counts, `gain_` is 0, and the transform divides by the noise level.

    References
    ----------
    .. [1] J.-L. Starck, F. Murtagh and A. Bijaoui, "Image Processing and Data Analysis",
       Cambridge University Press, 1998.
    .. [2] M. Mäkitalo and A. Foi, "Optimal inversion of the generalized Anscombe
       transformation for Poisson-Gaussian noise", IEEE Trans. Image Process. 22(1):91-103,
       2013. :doi:`10.1109/TIP.2012.2202675`

    Examples
    --------
    Inside a wrapped pipeline, the loss stays on the scale of the data:

    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from sk_n2s import JInvariantWrapper
    >>> from sk_n2s.denoisers import tv
    >>> from sk_n2s.noise import GeneralizedAnscombe
    >>> signal = np.repeat([2.0, 20.0, 5.0], 100)
    >>> counts = np.random.default_rng(0).poisson(signal)
    >>> pipeline = make_pipeline(
    ...     GeneralizedAnscombe(), FunctionTransformer(tv, kw_args={"weight": 3.0})
    ... )
    >>> denoised = JInvariantWrapper(pipeline, output="plain").fit_transform(counts)
    >>> bool(np.mean((denoised - signal) ** 2) < 0.1 * np.mean((counts - signal) ** 2))
    True
    """

    _parameter_constraints: dict = {
        "gain": [Interval(Real, 0, None, closed="neither"), None],
        "offset": [Interval(Real, None, None, closed="neither")],
        "read_noise": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, gain: float | None = 1.0, offset: float = 0.0, read_noise: float = 0.0):
        self.gain = gain
        self.offset = offset
        self.read_noise = read_noise

    def _learn(self, X: np.ndarray) -> dict[str, Any]:
        gain, offset, read_noise = self.gain, self.offset, self.read_noise
        if gain is None:
            curve = estimate_noise_curve(X)
            offset, read_noise = curve.offset_and_read_noise(X)
            gain = curve.gain
            if not (curve.is_signal_dependent and curve.gain > 0):
                variance = float(curve.variance(np.nanmean(X)))
                gain, offset, read_noise = 0.0, 0.0, float(np.sqrt(variance)) or 1.0
        learnt = {"gain_": gain, "offset_": offset, "read_noise_": read_noise}
        return {name: float(value) for name, value in learnt.items()}

    def transform(self, X: Any) -> Any:  # noqa: D102
        X = self._checked(X)
        if not self.gain_:
            return X / X.dtype.type(self.read_noise_)
        counts, spread = self._counts(X)
        return _forward(counts, spread)

    def inverse_transform(self, X: Any) -> np.ndarray:  # noqa: D102
        X = self._checked(X)
        if not self.gain_:
            return X * X.dtype.type(self.read_noise_)
        spread = self.read_noise_ / self.gain_
        means, expected = _table(round(spread, 9))
        # Above the table: the closed form of the reference, whose error is negligible there.
        root = np.maximum(X.astype(np.float64), expected[-1])
        half = np.sqrt(1.5)
        large = root**2 / 4 + half / 4 / root - 11 / 8 / root**2 + 5 / 8 * half / root**3
        large += -1 / 8 - spread**2
        counts = np.where(X < expected[-1], np.interp(X, expected, means), large)
        return (counts * self.gain_ + self.offset_).astype(X.dtype)

    def variance(self, signal: np.ndarray) -> np.ndarray:  # noqa: D102
        check_is_fitted(self)
        if not self.gain_:
            return np.ones_like(signal)
        counts, spread = self._counts(signal)
        means, expected = _table(round(spread, 9))
        second = 4 * (means + 3 / 8 + spread**2)
        # For negative arguments of the root, of which read noise makes a few, this is not
        # exact, and bounded by 1 from below no more than the noise is.
        found = np.interp(counts, means, np.maximum(second - expected**2, 1e-3))
        return found.astype(signal.dtype)

    def slope(self, X: np.ndarray) -> np.ndarray:  # noqa: D102
        check_is_fitted(self)
        if not self.gain_:
            return np.full_like(X, 1 / self.read_noise_)
        counts, spread = self._counts(X)
        return 1 / (self.gain_ * np.sqrt(np.maximum(counts + 3 / 8 + spread**2, 3 / 8)))

    def _counts(self, X: np.ndarray) -> tuple[np.ndarray, float]:
        return (X - X.dtype.type(self.offset_)) / X.dtype.type(self.gain_), (
            self.read_noise_ / self.gain_
        )


def _forward(counts: np.ndarray, spread: float) -> np.ndarray:
    return 2 * np.sqrt(np.maximum(counts + counts.dtype.type(3 / 8 + spread**2), 0))


@lru_cache(maxsize=8)
def _table(spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Return mean counts, and the expectation of the transform at each."""
    means = np.concatenate([np.arange(0, 10, 0.01), np.linspace(10, _LARGEST_TABLED, 2000)])
    k = np.arange(int(_LARGEST_TABLED + 12 * np.sqrt(_LARGEST_TABLED)) + 1, dtype=float)
    at_count = _forward(k, 0.0)
    if spread:
        # The normal part: a mean over equally likely values, since the root has a corner.
        shares = (np.arange(2000) + 0.5) / 2000
        normal = spread * stats.norm.ppf(shares)
        at_count = _forward(k[:, None] + normal, spread).mean(axis=1)
    return means, stats.poisson.pmf(k, means[:, None]) @ at_count
