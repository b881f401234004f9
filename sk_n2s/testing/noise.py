"""The checks of noise models: `sk_n2s.noise.NoiseModel`, and what answers like it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..noise import NoiseModel
from ._common import SIDES, Check, asked, check_copies, require, same

__all__ = ["checks"]

#: Samples that variances are measured on, and how many standard errors they may be off.
_SAMPLES, _ERRORS = 400, 6


def checks(noise: NoiseModel) -> Iterator[Check]:
    """Yield the checks that apply to a noise model."""
    yield check_variance_is_finite_and_fits
    yield check_properties_say_what_the_variance_does
    yield check_samples_have_the_variance
    yield check_samples_follow_the_seed
    yield check_a_part_has_the_noise_of_the_whole
    yield check_copies_are_equal
    yield check_text_has_no_address


def check_variance_is_finite_and_fits(noise: NoiseModel) -> None:
    """The variance is finite, not negative, and broadcasts to the shape of the data."""
    signal = _signal(noise)
    variance = np.asarray(noise.variance(signal))
    require(
        np.isfinite(variance).all()
        and (variance >= 0).all()
        and np.broadcast_shapes(variance.shape, signal.shape) == signal.shape,
        noise,
        f"has variances that are negative, not finite, or of shape {variance.shape} for data of "
        f"shape {signal.shape}: return a number, or what broadcasts to that shape.",
    )


def check_properties_say_what_the_variance_does(noise: NoiseModel) -> None:
    """`is_uniform` and `is_signal_dependent` agree with the variances."""
    signal = _signal(noise)
    variance = _variance(noise, signal)
    depends = not same(variance, _variance(noise, signal[::-1, ::-1] + 1.0))
    for name, found in (
        ("is_uniform", bool(np.ptp(variance) == 0)),
        ("is_signal_dependent", depends),
    ):
        require(
            getattr(noise, name) == found,
            noise,
            f"has {name} = {getattr(noise, name)}, and its variances say {found}: what estimates "
            "the error trusts that property.",
        )


def check_samples_have_the_variance(noise: NoiseModel) -> None:
    """Samples have the mean 0, and at each entry the variance, up to their own error."""
    signal = _signal(noise)
    drawn = np.stack([noise.sample(signal, random_state=seed) for seed in range(_SAMPLES)])
    expected = _variance(noise, signal)
    allowed = _ERRORS * np.sqrt(2 / _SAMPLES) * expected
    off = np.abs(np.mean(np.square(drawn), axis=0) - expected)
    require(
        (off <= allowed).all(),
        noise,
        f"draws samples whose variance is {np.mean(np.square(drawn)):.4g} on average, and "
        f"variance() says {np.mean(expected):.4g}: at some entry they differ by more than "
        f"{_ERRORS} standard errors; multiply by the square root of the variance.",
    )
    mean = np.abs(drawn.mean(axis=0)) * np.sqrt(_SAMPLES)
    require(
        (mean <= _ERRORS * np.sqrt(expected)).all(),
        noise,
        f"draws samples of mean {drawn.mean():.4g}: noise has the mean 0, and what has another is "
        "part of the signal.",
    )


def check_samples_follow_the_seed(noise: NoiseModel) -> None:
    """The same seed draws the same noise, and another seed other noise."""
    signal = _signal(noise)
    first, again, other = (noise.sample(signal, random_state=seed) for seed in (1, 1, 2))
    require(
        np.array_equal(first, again) and (not first.any() or not np.array_equal(first, other)),
        noise,
        "draws noise that does not follow random_state: draw from "
        "sklearn.utils.check_random_state(random_state).",
    )


def check_a_part_has_the_noise_of_the_whole(noise: NoiseModel) -> None:
    """The noise of a part has the variance that the whole has there."""
    signal = _signal(noise)
    part = tuple(slice(n // 3, n - n // 4) for n in signal.shape)
    advice = "within must cut a map along each axis in which it is longer than 1."
    found = asked(
        noise,
        f"for a part of the data: {advice}",
        lambda: _variance(noise.within(part), signal[part]),
    )
    require(
        same(found, _variance(noise, signal)[part]),
        noise,
        f"has other variances within a part than in the whole: {advice}",
    )


def check_copies_are_equal(noise: NoiseModel) -> None:
    """Deep copies and pickles are equal to the original, so that views are shared."""
    check_copies(noise)


def check_text_has_no_address(noise: NoiseModel) -> None:
    """Its text says something, and the same in every process."""
    for text in (str(noise), repr(noise)):
        require(
            text.strip() and " at 0x" not in text and "object" not in text,
            type(noise),
            f"is printed as {text!r}: let __str__ say in plain words what the noise is.",
        )


def _signal(noise: NoiseModel) -> np.ndarray:
    """Return a signal that rises along the last axis, of a shape that a map of levels fits."""
    own = np.shape(noise.level) if noise.level is not None else ()
    own = (1,) * (2 - len(own)) + own
    usual = (1,) * (len(own) - 2) + SIDES
    shape = [n if n > 1 else side for n, side in zip(own, usual, strict=True)]
    return np.broadcast_to(np.linspace(5.0, 50.0, shape[-1]), shape).copy()


def _variance(noise: NoiseModel, signal: np.ndarray) -> np.ndarray:
    """Return the variance at each entry."""
    return np.broadcast_to(np.asarray(noise.variance(signal), dtype=float), signal.shape)
