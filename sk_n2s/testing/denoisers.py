"""The checks of denoising functions ``g(X, *, param=default)``.

Four of them ask more than `JInvariantWrapper` needs, which shows a denoiser a writable copy of
floats and converts its answer: those of integers, of the memory layout, of the dtype, and that
the input is not written to. A function of another package that fails these alone can be wrapped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import isfinite
from typing import Any

import numpy as np

from ..denoisers import get_exact_form, reach_of, traits_of
from ..denoisers.calling import signature_of
from ..denoisers.traits import Reach
from ..j_invariance import JInvariantWrapper, check_j_invariance
from ..masking import CheckerboardPartition
from ._common import SIDES, Check, asked, named, pickled, picture, require, same

__all__ = ["checks"]

_SHAPES = (SIDES, (30,), (4, 5, 6))

#: What lies beyond a reach that is not exact may move an answer by this share of the noise.
_LITTLE = 0.3


def checks(denoiser: Callable) -> Iterator[Check]:
    """Yield the checks that apply to a denoising function."""
    yield check_shape_and_dtype_stay
    yield check_input_is_not_written_to
    yield check_memory_layout_does_not_matter
    yield check_integers_and_lists_are_read_as_floats
    yield check_answers_are_repeatable
    yield check_blank_data_stay_finite
    yield check_masks_leak_nothing
    yield check_pickles_inside_a_wrapper
    if "channel_axis" in signature_of(denoiser).names():
        yield check_channels_may_lie_along_any_axis
    reach = _reach(denoiser, _data(denoiser).ndim)
    if reach is not None and all(map(isfinite, reach.distance)):
        yield check_nothing_beyond_the_reach_counts
    if get_exact_form(denoiser) is not None:
        yield check_exact_form_keeps_shape_and_dtype
        yield check_exact_form_does_not_write
        yield check_exact_form_is_j_invariant
        yield check_exact_form_is_on_the_scale_of_the_denoiser
        if traits_of(denoiser).handles_missing:
            yield check_exact_form_leaves_missing_entries_out


def check_shape_and_dtype_stay(denoiser: Callable) -> None:
    """An answer has the shape and the dtype of the data, and is finite."""
    for X in _all_data(denoiser):
        for dtype in (np.float64, np.float32):
            _check_kind(denoiser, denoiser(X.astype(dtype)), X.astype(dtype))


def check_input_is_not_written_to(denoiser: Callable) -> None:
    """The data are what they were after a call."""
    X = _data(denoiser)
    shown = X.copy()
    denoiser(shown)
    require(np.array_equal(shown, X), denoiser, "writes into its data: let it work on X.copy().")


def check_memory_layout_does_not_matter(denoiser: Callable) -> None:
    """Data that are Fortran-ordered, strided, reversed or read-only have the same answer."""
    X = _data(denoiser)
    expected = denoiser(X.copy())
    every_second = tuple(slice(None, None, 2) for _ in X.shape)
    strided = np.full([2 * n for n in X.shape], 1e3)[every_second]
    strided[...] = X
    read_only = X.copy()
    read_only.setflags(write=False)
    layouts = {
        "Fortran-ordered": np.asfortranarray(X),
        "strided": strided,
        "reversed": X[::-1].copy()[::-1],
        "read-only": read_only,
    }
    for name, shown in layouts.items():
        advice = "begin with X = np.ascontiguousarray(X), and write into a copy."
        found = asked(denoiser, f"for {name} data: {advice}", partial(denoiser, shown))
        require(same(found, expected), denoiser, f"answers differently for {name} data: {advice}")


def check_integers_and_lists_are_read_as_floats(denoiser: Callable) -> None:
    """Integers and lists have the answer of the floats that they stand for."""
    X = np.round(_data(denoiser)).astype(np.uint8)
    expected = denoiser(X.astype(np.float64))
    for name, shown in (("integers", X), ("lists", X.astype(np.float64).tolist())):
        advice = "begin with X = np.asarray(X), and make integers floats."
        found = asked(denoiser, f"for {name}: {advice}", partial(denoiser, shown))
        require(same(found, expected), denoiser, f"answers differently for {name}: {advice}")


def check_answers_are_repeatable(denoiser: Callable) -> None:
    """The same data have the same answer, whatever was asked in between."""
    X = _data(denoiser)
    first = np.array(denoiser(X.copy()))
    denoiser(X[::-1] + 3.0)
    require(
        np.array_equal(denoiser(X.copy()), first),
        denoiser,
        "answers differently for the same data: give what is random in it a seed, and keep nothing "
        "between calls.",
    )


def check_blank_data_stay_finite(denoiser: Callable) -> None:
    """Data that are the same everywhere have a finite answer."""
    for value in (0.0, 3.0):
        X = np.full_like(_data(denoiser), value)
        require(
            np.isfinite(denoiser(X)).all(),
            denoiser,
            f"returns NaN or an infinity for data that are {value} everywhere: look for a division "
            "by their spread.",
        )


def check_masks_leak_nothing(denoiser: Callable) -> None:
    """What is hidden by masks has no influence on its own prediction."""
    wrapper = JInvariantWrapper(denoiser, partition=CheckerboardPartition(), method="mask")
    check_j_invariance(wrapper, _data(denoiser), random_state=0, n_sets=2)


def check_pickles_inside_a_wrapper(denoiser: Callable) -> None:
    """A wrapper with it can be pickled, and gives the same output afterwards."""
    X = _data(denoiser)
    wrapper = JInvariantWrapper(denoiser, output="plain").fit(X)
    advice = "define it at the top level of a module; a functools.partial of such is fine."
    other = asked(denoiser, f"to be pickled: {advice}", partial(pickled, wrapper))
    require(
        same(other.transform(X), wrapper.transform(X)),
        denoiser,
        "answers differently after pickling: keep what it needs in its parameters.",
    )


def check_channels_may_lie_along_any_axis(denoiser: Callable) -> None:
    """Channels along the first axis have the answer of the same along the last."""
    X = np.stack([_data(denoiser, seed) for seed in range(3)], axis=-1)
    last = denoiser(X.copy(), channel_axis=-1)
    first = denoiser(np.moveaxis(X, -1, 0).copy(), channel_axis=0)
    require(
        same(np.moveaxis(first, 0, -1), last, 1e-6),
        denoiser,
        "answers differently where channels lie along another axis: begin with "
        "np.moveaxis(X, channel_axis, -1).",
    )


def check_nothing_beyond_the_reach_counts(denoiser: Callable) -> None:
    """Entries that are further away than its reach do not change an answer."""
    ndim = _data(denoiser).ndim
    estimates = traits_of(denoiser).estimates
    # An estimate rests upon all entries, wherever they are; with a value, the reach holds.
    given = getattr(denoiser, "keywords", {})  # of a partial object
    params = {} if estimates is None or given.get(estimates) is not None else {estimates: 1.0}
    reach = reach_of(denoiser, params, ndim)
    assert reach is not None
    forms = [f for f in (denoiser, get_exact_form(denoiser)) if f is not None]
    for axis, distance in enumerate(reach.distance):
        shape = [8] * ndim
        shape[axis] = int(distance) + 12
        for form in forms:
            for first in (True, False):  # which end of the axis is watched
                ask = partial(form, **params)
                moved = _moved(ask, tuple(shape), axis, int(distance), first)
                require(
                    moved <= (1e-6 if reach.exactly else _LITTLE),
                    denoiser,
                    f"depends on entries more than {distance:g} away along axis {axis}, the reach "
                    f"that it declares: answers moved by {moved:.3g} for noise of 1. Declare a "
                    "larger reach, or math.inf where it wraps around at the border.",
                )


def _moved(ask: Callable, shape: tuple[int, ...], axis: int, distance: int, first: bool) -> float:
    """Return how much the answers at one end of an axis move if all beyond a distance changes."""
    X, other = picture(shape), 20 - picture(shape, seed=1)  # the signal upside down
    place = np.arange(shape[axis])
    place = place if first else place[::-1]
    near = (place < 4 + distance).reshape([-1 if a == axis else 1 for a in range(X.ndim)])
    change = ask(np.where(near, X, other)) - ask(X.copy())
    return float(np.sqrt(np.mean(np.square(np.compress(place < 4, change, axis=axis)))))


def check_exact_form_keeps_shape_and_dtype(denoiser: Callable) -> None:
    """The answer of the exact form has the shape and the dtype of the data, and is finite."""
    form = _form(denoiser)
    for X in _all_data(denoiser):
        for dtype in (np.float64, np.float32):
            _check_kind(denoiser, form(X.astype(dtype)), X.astype(dtype), "its exact form")


def check_exact_form_does_not_write(denoiser: Callable) -> None:
    """The exact form takes read-only data, which it is shown without a copy."""
    X = _data(denoiser)
    X.setflags(write=False)
    advice = "let its exact form work on X.copy() if it writes."
    asked(denoiser, f"for read-only data: {advice}", lambda: _form(denoiser)(X))


def check_exact_form_is_j_invariant(denoiser: Callable) -> None:
    """The answer of the exact form at an entry does not depend on that entry."""
    for X in _all_data(denoiser):
        wrapper = JInvariantWrapper(denoiser, method="exact")
        check_j_invariance(wrapper, X, random_state=0, n_sets=2)


def check_exact_form_is_on_the_scale_of_the_denoiser(denoiser: Callable) -> None:
    """Where the denoiser leaves blank data as they are, so does its exact form."""
    form, blank = get_exact_form(denoiser), np.full(_data(denoiser).shape, 3.0)
    assert form is not None
    if np.allclose(denoiser(blank), blank, rtol=1e-6):
        answer = form(blank)
        off = float(np.abs(answer - blank).max())
        require(
            off < 1e-6 * 3.0,
            denoiser,
            f"leaves data that are 3 everywhere as they are, and its exact form is off by {off:.3g}"
            ": let the weights of the other entries sum to 1.",
        )


def check_exact_form_leaves_missing_entries_out(denoiser: Callable) -> None:
    """Where one entry is NaN, its own answer is as before, and neither NaN nor 0 spreads."""
    form, X = _form(denoiser), _data(denoiser)
    before, blank = form(X), np.full_like(X, 3.0)
    for entry in (tuple(n // 2 for n in X.shape), (0,) * X.ndim):
        gap = X.copy()
        gap[entry] = np.nan
        after = form(gap)
        require(
            np.isfinite(after).all(),
            denoiser,
            f"lets NaN at {entry} spread in its exact form: take the weight of missing entries out "
            "of the sum, or do not declare handles_missing.",
        )
        blank[entry] = np.nan
        require(
            same(form(blank), form(np.full_like(X, 3.0)), 1e-6),
            denoiser,
            "gives other answers for blank data once an entry is NaN, by an exact form that must "
            "leave it out of account: divide by the weights of the measured entries alone, or do "
            "not declare handles_missing.",
        )
        require(
            same(after[entry], before[entry], 1e-6),
            denoiser,
            f"predicts {after[entry]:.4g} at {entry} if that entry is NaN, and {before[entry]:.4g} "
            "if it is not, by an exact form that must not look at it: leave NaN out of account, "
            "or do not declare handles_missing.",
        )


def _data(denoiser: Callable, seed: int = 0) -> np.ndarray:
    """Return data with as many axes as the denoiser takes: two, if it can."""
    for shape in _SHAPES:
        X = picture(shape, seed)
        if _takes(denoiser, X):
            return X
    raise AssertionError(
        f"{named(denoiser)} takes no data with one, two or three axes: it must be a function "
        "g(X, *, param=default), whose other parameters are set with functools.partial."
    )


def _all_data(denoiser: Callable) -> list[np.ndarray]:
    """Return data of one to three axes, as many as the denoiser takes."""
    return [X for X in map(picture, _SHAPES) if _takes(denoiser, X)]


def _takes(denoiser: Callable, X: np.ndarray) -> bool:
    """Return whether data are taken; those that are not are refused by a ValueError."""
    try:
        denoiser(X.copy())
    except ValueError:
        return False
    except Exception as error:
        raise AssertionError(
            f"{named(denoiser)} fails for data with {X.ndim} axes ({type(error).__name__}: "
            f"{error}): raise a ValueError that says how many it takes."
        ) from error
    return True


def _reach(denoiser: Callable, ndim: int) -> Reach | None:
    return reach_of(denoiser, {}, ndim)


def _form(denoiser: Callable) -> Callable:
    form = get_exact_form(denoiser)
    assert form is not None
    return form


def _check_kind(denoiser: Callable, answer: Any, X: np.ndarray, who: str = "it") -> None:
    """Check the shape and the dtype of an answer, and that it is finite."""
    shape, dtype = np.shape(answer), getattr(answer, "dtype", None)
    require(
        shape == X.shape and dtype == X.dtype and np.isfinite(answer).all(),
        denoiser,
        f"is a denoiser, and {who} returns {dtype} of shape {shape} for {X.dtype} of shape "
        f"{X.shape}: it must return finite values of that dtype and shape.",
    )
