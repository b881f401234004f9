"""The checks of partitions, instances of `sk_n2s.Partition`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..denoisers import gaussian
from ..j_invariance import JInvariantWrapper, check_j_invariance
from ..masking import BlindSpotPartition, Partition
from ._common import SIDES, Check, check_copies, labels_of, named, picture, require, same

__all__ = ["checks"]

#: Shapes, and the axes along which they may be cut.
_CASES: tuple[tuple[tuple[int, ...], tuple[int, ...] | None], ...] = (
    (SIDES, None),
    ((30,), None),
    ((6, 8, 10), None),
    ((*SIDES, 3), (0, 1)),
    ((4, *SIDES), (1, 2)),
)


def checks(partition: Partition) -> Iterator[Check]:
    """Yield the checks that apply to a partition."""
    yield check_scored_sets_are_disjoint_and_cover
    yield check_scored_entries_are_hidden
    yield check_n_splits_is_the_number_of_sets
    # First, since what cuts other axes breaks the following promises as well.
    yield check_axes_that_may_not_be_cut_stay_whole
    yield check_totals_are_sums_over_the_sets
    yield check_sets_repeat_themselves_by_the_period
    yield check_a_piece_is_divided_as_the_whole
    yield check_what_does_not_fit_is_refused
    yield check_copies_are_equal
    yield check_what_stands_in_is_not_hidden
    yield check_a_wrapper_with_it_is_j_invariant
    if isinstance(partition, BlindSpotPartition):
        yield check_a_prediction_does_not_depend_on_its_footprint
    if getattr(partition, "random_state", 0) is not None:
        yield check_sets_are_the_same_at_every_call


def check_scored_sets_are_disjoint_and_cover(partition: Partition) -> None:
    """Each entry is scored in exactly one set."""
    for X, axes in _fitting(partition):
        times = np.zeros(X.shape, dtype=int)
        for _, scored in partition.split(X, axes):
            times[scored] += 1
        require(
            (times == 1).all(),
            partition,
            f"scores {(times == 0).sum()} entries of data of shape {X.shape} in no set and "
            f"{(times > 1).sum()} in several: the scored sets must be disjoint and cover the data.",
        )


def check_scored_entries_are_hidden(partition: Partition) -> None:
    """What is scored is hidden, and what is hidden is not everything."""
    for X, axes in _fitting(partition):
        for hidden, scored in partition.split(X, axes):
            inside = labels_of(hidden, X.shape)
            require(
                inside[scored].all() and not inside.all(),
                partition,
                "must hide what it scores, and leave something to predict it from: look at the "
                f"pairs (hidden, scored) of split for data of shape {X.shape}.",
            )


def check_n_splits_is_the_number_of_sets(partition: Partition) -> None:
    """`get_n_splits` returns how many sets `split` yields."""
    for X, axes in _fitting(partition):
        promised, found = partition.get_n_splits(X, axes), len(list(partition.split(X, axes)))
        require(
            promised == found,
            partition,
            f"yields {found} sets for data of shape {X.shape}, and get_n_splits returns "
            f"{promised}: both must agree.",
        )


def check_sets_are_the_same_at_every_call(partition: Partition) -> None:
    """The sets do not differ between two calls."""
    for X, axes in _fitting(partition):
        first, again = (
            [labels_of(scored, X.shape) for _, scored in partition.split(X, axes)] for _ in "ab"
        )
        require(
            np.array_equal(first, again),
            partition,
            "draws other sets at each call: give it a parameter random_state, and draw from "
            "sklearn.utils.check_random_state(self.random_state) in split.",
        )


def check_totals_are_sums_over_the_sets(partition: Partition) -> None:
    """`totals` returns the sum over each set in turn, also of parts that are cut by the period."""
    if getattr(partition, "random_state", 0) is None:
        return  # other sets each time
    for X, axes in _fitting(partition):
        expected = [float(X[scored].sum()) for _, scored in partition.split(X, axes)]
        advice = "leave totals to the base class, or add up what split scores."
        require(
            same(partition.totals(X, axes), expected),
            partition,
            f"returns other totals than the sums over its sets: {advice}",
        )
        period = partition.period(X.ndim, axes)[0]
        if period and len(X) >= 2 * period:
            parts = X[:period], X[period:]
            require(
                same(sum(partition.totals(part, axes) for part in parts), expected),
                partition,
                f"returns other totals for parts that begin at multiples of {period}, its period "
                f"along the first axis: {advice}",
            )


def check_sets_repeat_themselves_by_the_period(partition: Partition) -> None:
    """Entries that lie a period apart are in the same set."""
    for X, axes in _fitting(partition):
        sets = _sets(partition, X, axes)
        for axis, period in enumerate(partition.period(X.ndim, axes)):
            n = X.shape[axis]
            if not period or period >= n:
                continue
            near, far = (np.take(sets, range(a, n - period + a), axis) for a in (0, period))
            require(
                np.array_equal(near, far),
                partition,
                f"says that its sets repeat themselves after {period} entries along axis {axis}, "
                "and they do not: let period return 0 there if the axis must stay whole.",
            )


def check_a_piece_is_divided_as_the_whole(partition: Partition) -> None:
    """A piece that begins at a multiple of the period is hidden as it is in the whole."""
    for X, axes in _fitting(partition):
        periods = [p for p in partition.period(X.ndim, axes) if p]
        if len(periods) < X.ndim:
            continue
        start = tuple(p if 2 * p < n else 0 for p, n in zip(periods, X.shape, strict=True))
        piece = X[tuple(slice(s, None) for s in start)]
        try:
            parts = list(partition.split(piece, axes))
        except ValueError:
            continue  # too small
        inside = tuple(slice(s, None) for s in start)
        for (hidden, _), (part, _) in zip(partition.split(X, axes), parts, strict=True):
            require(
                np.array_equal(labels_of(hidden, X.shape)[inside], labels_of(part, piece.shape)),
                partition,
                f"divides a piece from {start} on in another way than the whole, although that is "
                f"a multiple of its period {periods}: let period return None where it is so.",
            )


def check_axes_that_may_not_be_cut_stay_whole(partition: Partition) -> None:
    """Channels and items are hidden together, unless the period says 0 along that axis."""
    for X, axes in _fitting(partition):
        periods = partition.period(X.ndim, axes)
        whole = [a for a in range(X.ndim) if axes is not None and a not in axes and periods[a] != 0]
        sets = _sets(partition, X, axes)
        for axis in whole:
            require(
                (sets == np.take(sets, [0], axis)).all(),
                partition,
                f"cuts axis {axis}, which is not among axes={axes}: an entry is hidden in all "
                "channels and items together; cut only along axes.",
            )


def check_what_does_not_fit_is_refused(partition: Partition) -> None:
    """A single entry cannot be divided: a ValueError names the partition or a parameter."""
    X = np.zeros((1, 1))
    names = [type(partition).__name__, *vars(partition)]
    for way in (lambda: partition.get_n_splits(X), lambda: list(partition.split(X))):
        try:
            way()
        except ValueError as error:
            if any(name in str(error) for name in names):
                continue
            what = f"raises a ValueError that names neither ({error})"
        except Exception as error:
            what = f"raises a {type(error).__name__} instead ({error})"
        else:
            what = "takes it"
        raise AssertionError(
            f"{named(partition)} must refuse data of one entry, in get_n_splits and in split, with "
            f"a ValueError that names the class or a parameter, and {what}."
        )


def check_copies_are_equal(partition: Partition) -> None:
    """Deep copies and pickles are equal to the original, so that views are shared."""
    check_copies(partition)


def check_what_stands_in_is_not_hidden(partition: Partition) -> None:
    """What takes the place of hidden entries has their shape and does not depend on them."""
    for X, axes in _fitting(partition):
        for hidden, _ in partition.split(X, axes):
            before = partition.stand_in(X, hidden)
            if before is None:
                break
            changed = X.copy()
            changed[hidden] += 100
            require(
                np.shape(before) == X[hidden].shape
                and np.array_equal(np.asarray(partition.stand_in(changed, hidden)), before),
                partition,
                "lets hidden entries stand in for themselves: stand_in must return entries from "
                "outside the set, of the shape of X[hidden].",
            )


def check_a_wrapper_with_it_is_j_invariant(partition: Partition) -> None:
    """A masked denoiser with this partition does not see what it predicts."""
    X, axes = next(_fitting(partition))
    wrapper = JInvariantWrapper(gaussian, partition=partition, method="mask")
    check_j_invariance(wrapper, X, random_state=0, n_sets=2)


def check_a_prediction_does_not_depend_on_its_footprint(partition: BlindSpotPartition) -> None:
    """What a wrapper predicts for an entry does not depend on any entry of its footprint."""
    X, axes = next(_fitting(partition))
    cut = range(X.ndim) if axes is None else axes
    wrapper = JInvariantWrapper(gaussian, partition=partition, method="mask").fit(X)
    before, rng = wrapper.transform(X), np.random.default_rng(0)
    footprint, lines = partition.footprint_for(len(cut))
    places = np.argwhere(footprint) - np.array(footprint.shape) // 2
    for entry in rng.integers(0, X.shape, (5, X.ndim)):
        around = np.zeros(X.shape, dtype=bool)
        for place in places:
            index: list = list(entry)
            for axis, step, line in zip(cut, place, lines, strict=True):
                index[axis] = slice(None) if line else index[axis] + step
            if all(isinstance(i, slice) or 0 <= i < n for i, n in zip(index, X.shape, strict=True)):
                around[tuple(index)] = True
        after = wrapper.transform(np.where(around, rng.normal(100, 10, X.shape), X))
        require(
            after[tuple(entry)] == before[tuple(entry)],
            partition,
            f"shows entries of the footprint of entry {tuple(entry.tolist())} where that is "
            "predicted: split must hide all of them with it.",
        )


def _fitting(
    partition: Partition,
) -> Iterator[tuple[np.ndarray, tuple[int, ...] | None]]:
    """Yield data that the partition can divide, and the axes along which it may."""
    found = False
    for shape, axes in _CASES:
        X = picture(shape)
        try:
            partition.get_n_splits(X, axes)
        except ValueError:
            continue
        found = True
        yield X, axes
    shapes = ", ".join(str(shape) for shape, _ in _CASES)
    require(
        found,
        partition,
        f"fits none of the shapes {shapes}: give smaller parameters, with which it can be checked.",
    )


def _sets(partition: Partition, X: np.ndarray, axes: tuple[int, ...] | None) -> np.ndarray:
    """Return the number of the set that scores each entry."""
    sets = np.full(X.shape, -1)
    for j, (_, scored) in enumerate(partition.split(X, axes)):
        sets[scored] = j
    return sets
