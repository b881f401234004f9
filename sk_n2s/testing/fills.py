"""The checks of fills: instances of `sk_n2s.masking.Fill`, and functions ``fill(X, hidden)``."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import Any

import numpy as np

from ..denoisers import gaussian
from ..j_invariance import JInvariantWrapper, check_j_invariance
from ..masking import GridPartition
from ..masking.fills import Fill, _CallableFill, check_fill
from ._common import SIDES, Check, check_copies, picture, require, same

__all__ = ["checks"]


def checks(fill: Any) -> Iterator[Check]:
    """Yield the checks that apply to a fill."""
    yield check_hidden_entries_do_not_count
    yield check_visible_entries_stay
    yield check_values_are_finite
    yield check_float32_stays
    yield check_a_wrapper_with_it_is_j_invariant
    if not hasattr(fill, "random_state"):
        yield check_slices_and_masks_give_the_same_values
    if getattr(fill, "random_state", 0) is not None:
        yield check_values_are_repeatable
    if isfinite(check_fill(fill).reach):
        yield check_nothing_beyond_the_reach_counts
    if isinstance(fill, Fill) and not isinstance(fill, _CallableFill):
        yield check_copies_are_equal


def check_hidden_entries_do_not_count(fill: Any) -> None:
    """What is hidden may be anything: the values that replace it are the same."""
    for X, hidden in _cases():
        expected = _filled(fill, X, hidden)
        for value in (1e3, np.nan):
            found = _filled(fill, np.where(hidden, value, X), hidden)
            require(
                np.array_equal(found, expected),
                fill,
                f"fills with other values where the hidden entries are {value}: it must use only "
                "entries where visible is True, for instance np.where(visible, X, 0).",
            )


def check_visible_entries_stay(fill: Any) -> None:
    """What is visible stays as it is, and the data are not written to."""
    for X, hidden in _cases():
        shown = X.copy()  # writable, unlike what a fill gets otherwise
        check_fill(fill).values(shown, ~hidden, hidden, tuple(range(X.ndim)))
        require(
            np.array_equal(shown, X)
            and np.array_equal(_filled(fill, X, hidden)[~hidden], X[~hidden]),
            fill,
            "changes entries that are not hidden, or the data themselves: return new values for "
            "X[where], and write into copies only.",
        )


def check_values_are_finite(fill: Any) -> None:
    """Each hidden entry gets a finite value, in the middle of a large hole as well."""
    for X, hidden in _cases():
        require(
            np.isfinite(_filled(fill, X, hidden)).all(),
            fill,
            "leaves NaN or an infinity where no neighbour is visible: fall back on the mean of all "
            "visible entries there.",
        )


def check_float32_stays(fill: Any) -> None:
    """The values have the dtype of the data."""
    for X, hidden in _cases():
        values = check_fill(fill).values(
            X.astype(np.float32), ~hidden, hidden, tuple(range(X.ndim))
        )
        require(
            values.dtype == np.float32,
            fill,
            f"gives {values.dtype} for float32: return values.astype(X.dtype).",
        )


def check_slices_and_masks_give_the_same_values(fill: Any) -> None:
    """The entries may be told by slices or by a mask."""
    X = picture((*SIDES, 3))
    where = (slice(1, None, 4), slice(2, None, 3), slice(None))
    visible = np.ones(X.shape, dtype=bool)
    visible[where] = False
    by_slices, by_mask = (
        check_fill(fill).values(X, visible, index, (0, 1)) for index in (where, ~visible)
    )
    require(
        np.shape(by_slices) == X[where].shape and same(np.ravel(by_slices), by_mask),
        fill,
        "gives other values where the same entries are told by slices and by a mask: return "
        "values[where] of values for the whole array.",
    )


def check_values_are_repeatable(fill: Any) -> None:
    """The same data are filled with the same values."""
    X, hidden = next(_cases())
    require(
        np.array_equal(_filled(fill, X, hidden), _filled(fill, X, hidden)),
        fill,
        "fills with other values at each call: make a generator from its parameter random_state in "
        "each call.",
    )


def check_nothing_beyond_the_reach_counts(fill: Any) -> None:
    """Entries beyond its reach, and those of other channels or items, do not count."""
    fill = check_fill(fill)
    distance = int(fill.reach)
    X, other = (picture((2 * distance + 9, 12, 2), seed) for seed in (0, 1))
    visible = np.ones(X.shape, dtype=bool)
    where = (slice(1, None, 4), slice(1, None, 4), slice(None))
    visible[where] = False
    near = np.zeros(X.shape, dtype=bool)
    near[: 2 + distance, :, 0] = True
    before, after = (
        fill.values(data, visible, where, (0, 1))[0, 0, 0] for data in (X, np.where(near, X, other))
    )
    require(
        same(after, before),
        fill,
        f"looks further than {distance}, its reach, or across axes along which entries are no "
        "neighbours: return a larger reach (math.inf is always right), and use only axes.",
    )


def check_copies_are_equal(fill: Fill) -> None:
    """Deep copies and pickles are equal to the original, so that views are shared."""
    check_copies(fill)


def check_a_wrapper_with_it_is_j_invariant(fill: Any) -> None:
    """A masked denoiser with this fill does not see what it predicts."""
    X = picture(SIDES)
    wrapper = JInvariantWrapper(gaussian, partition=GridPartition(2), fill=fill, method="mask")
    check_j_invariance(wrapper, X, random_state=0, n_sets=2)
    X[np.random.default_rng(0).random(X.shape) < 0.3] = np.nan
    check_j_invariance(wrapper, X, random_state=0, n_sets=2)


def _filled(fill: Any, X: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    return check_fill(fill)(X, hidden)


def _cases() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield data, and what is hidden of them: a few entries, and a large hole."""
    rng = np.random.default_rng(0)
    for shape in (SIDES, (30,), (4, 5, 6)):
        X = picture(shape)
        hidden = rng.random(shape) < 0.3
        hidden[tuple(slice(0, n // 2) for n in shape)] = True
        yield X, hidden
