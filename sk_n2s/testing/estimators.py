"""The checks of estimators, which answer the contract of `BaseDenoiser`.

They come beside scikit-learn's own (`sklearn.utils.estimator_checks`). Where an estimator would
estimate the noise, it is told, so that checks are quick and know the truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from .._utils.base import BaseDenoiser
from ..auto import AutoDenoiser
from ..j_invariance import JInvariantWrapper, check_j_invariance
from ..noise import NoiseModel
from ._common import SIDES, Check, asked, named, pickled, picture, require, same

__all__ = ["checks"]

#: The noise of the data that estimators are checked on.
_NOISE = NoiseModel(1.0)

#: Draws of fresh noise, and how far the estimate of the error may be off: by its own standard
#: errors, and by a share of the variance of the noise, which is what one probe may be off.
_DRAWS, _ERRORS, _SHARE = 6, 5, 0.1


def checks(estimator: BaseDenoiser) -> Iterator[Check]:
    """Yield the checks that apply to an estimator."""
    yield check_shape_and_dtype_stay
    yield check_input_is_not_written_to
    yield check_integers_and_lists_are_read_as_floats
    yield check_missing_entries_are_filled
    yield check_transform_predict_and_the_contract_agree
    yield check_estimated_error_is_the_true_error
    yield check_clones_and_pickles_give_the_same_output
    yield check_fit_leaves_parameters_as_they_are
    yield check_text_has_no_address
    yield check_other_axes_are_refused
    yield check_axes_are_named_once
    if _new(estimator).is_j_invariant:
        yield check_output_does_not_depend_on_its_own_entry
    if _hides(estimator):
        yield check_predictions_are_j_invariant
    if isinstance(estimator, JInvariantWrapper | AutoDenoiser):  # others learn from all items
        yield check_items_are_independent
    if find_spec("pandas"):
        yield check_column_names_stay
    if find_spec("dask"):
        yield check_dask_arrays_are_refused_or_lazy


def check_shape_and_dtype_stay(estimator: BaseDenoiser) -> None:
    """The output has the shape and the dtype of the data, is finite, and any lengths are taken."""
    for dtype in (np.float64, np.float32):
        fitted = _new(estimator).fit(picture(SIDES).astype(dtype))
        for shape in (SIDES, (15, 11)):
            found = fitted.transform(picture(shape, 1).astype(dtype))
            require(
                found.shape == shape and found.dtype == dtype and np.isfinite(found).all(),
                estimator,
                f"returns {found.dtype} of shape {found.shape} for {np.dtype(dtype)} of shape "
                f"{shape}, or values that are not finite: return X.dtype and X.shape in _denoise.",
            )


def check_input_is_not_written_to(estimator: BaseDenoiser) -> None:
    """The data are what they were after fit and transform, and may be read-only."""
    X = picture(SIDES)
    before = X.copy()
    _new(estimator).fit(X).transform(X)
    advice = "work on a copy."
    require(np.array_equal(X, before), estimator, f"writes into its data: {advice}")
    X.setflags(write=False)
    asked(estimator, f"for read-only data: {advice}", lambda: _new(estimator).fit(X).transform(X))


def check_integers_and_lists_are_read_as_floats(estimator: BaseDenoiser) -> None:
    """Integers and lists have the output of the floats that they stand for."""
    X = np.round(picture(SIDES))
    fitted = _new(estimator).fit(X)
    expected = fitted.transform(X)
    for name, shown in (("integers", X.astype(np.uint8)), ("lists", X.tolist())):
        advice = "begin fit with array = self._as_data(X), and define _denoise, not transform."
        found = asked(
            estimator, f"for {name}: {advice}", partial(_new(estimator).fit_transform, shown)
        )
        require(same(found, expected), estimator, f"answers differently for {name}: {advice}")


def check_missing_entries_are_filled(estimator: BaseDenoiser) -> None:
    """NaN is filled in the output, with values in the range of the data."""
    X = picture(SIDES)
    X[np.random.default_rng(0).random(SIDES) < 0.2] = np.nan
    found = asked(
        estimator,
        "for data with NaN, which marks missing entries: fill them before the denoiser is called",
        lambda: _new(estimator).fit(X).transform(X),
    )
    low, high = np.nanmin(X), np.nanmax(X)
    size = high - low
    require(
        np.isfinite(found).all() and found.min() > low - size and found.max() < high + size,
        estimator,
        "does not fill missing entries with values in the range of the data: NaN marks them, and "
        "no value of theirs may count.",
    )


def check_transform_predict_and_the_contract_agree(estimator: BaseDenoiser) -> None:
    """`predict` and `output_and_divergence` return the output of `transform`."""
    X = picture(SIDES)
    fitted = _new(estimator).fit(X)
    expected = fitted.transform(X)
    for name, found in (
        ("predict", fitted.predict(X)),
        ("output_and_divergence", fitted.output_and_divergence(X, _NOISE)[0]),
    ):
        require(
            same(found, expected, 1e-6),
            estimator,
            f"returns another output by {name} than by transform: both must return what _denoise "
            "returns.",
        )


def check_estimated_error_is_the_true_error(estimator: BaseDenoiser) -> None:
    """On fresh noise, mean(loss + divergence) minus the variance is the true error on average."""
    fitted = _new(estimator)
    shape = tuple(2 * n for n in SIDES)
    clean = picture(shape, noise=0)
    fitted.fit(clean + _NOISE.sample(clean, 99))
    off = []
    for seed in range(_DRAWS):
        noise = _NOISE.sample(clean, seed)
        output, divergence = fitted.output_and_divergence(clean + noise, _NOISE)
        estimate = np.mean(np.square(output - clean - noise)) + np.mean(divergence)
        # The variance of this very noise, which is closer to the truth than its expectation.
        off.append(estimate - np.mean(np.square(noise)) - np.mean(np.square(output - clean)))
    mean, error = float(np.mean(off)), float(np.std(off, ddof=1)) / np.sqrt(_DRAWS)
    require(
        abs(mean) <= _ERRORS * error + _SHARE,
        estimator,
        f"estimates an error that differs from the true one by {mean:.3g} (standard error "
        f"{error:.2g}) for noise of variance 1: output_and_divergence must return "
        "2·σ²·∂hᵢ/∂xᵢ, see sk_n2s.risk.sure.probed_divergence.",
    )


def check_clones_and_pickles_give_the_same_output(estimator: BaseDenoiser) -> None:
    """A clone fitted to the same data, and a pickle of a fitted one, give the same output."""
    X = picture(SIDES)
    fitted = _new(estimator).fit(X)
    expected = fitted.transform(X)
    advice = "keep parameters in __init__ as they are, random numbers behind a random_state, and "
    advice += "functions at the top level of a module."
    for name, make in (
        ("a clone", lambda: clone(fitted).fit(X)),
        ("a pickle", partial(pickled, fitted)),
        ("a second call", lambda: fitted),
    ):
        other = asked(estimator, f"to make {name}: {advice}", make)
        require(
            same(other.transform(X), expected),
            estimator,
            f"and {name} answer differently: {advice}",
        )


def check_fit_leaves_parameters_as_they_are(estimator: BaseDenoiser) -> None:
    """What was given to the constructor is the same after fit."""
    fitted = _new(estimator)
    before = dict(fitted.get_params(deep=False))
    fitted.fit(picture(SIDES))
    after = fitted.get_params(deep=False)
    changed = [name for name, value in before.items() if after.get(name) is not value]
    require(
        not changed,
        estimator,
        f"changes its parameters {changed} in fit: keep what is found under a name that ends with "
        "an underscore.",
    )


def check_text_has_no_address(estimator: BaseDenoiser) -> None:
    """Its text is the same in every process."""
    require(
        " at 0x" not in repr(estimator),
        estimator,
        "shows an address in memory: give what is inside of it a __repr__.",
    )


def check_other_axes_are_refused(estimator: BaseDenoiser) -> None:
    """An unfitted estimator, and data with another number of axes, are refused by a sentence."""
    X = picture(SIDES)
    fitted = _new(estimator).fit(X)
    cases = (
        (_new(estimator), X, NotFittedError, "before it is fitted"),
        (fitted, X[np.newaxis], ValueError, "data with another number of axes than in fit"),
    )
    for asking, shown, kind, what in cases:
        try:
            asking.transform(shown)
        except kind:
            continue
        except Exception as error:
            what += f", with a {type(error).__name__} ({error})"
        raise AssertionError(
            f"{named(estimator)} must refuse {what}, by a {kind.__name__}: call "
            "self._remember(X, array) in fit, and define _denoise, not transform."
        )


def check_axes_are_named_once(estimator: BaseDenoiser) -> None:
    """`axes` names each axis of the data once: as channels, items, or neighbours."""
    for ndim in (2, 3):
        channel, batch, neighbours, _ = _new(estimator).axes(ndim)
        found = sorted(a for a in (channel, batch, *neighbours) if a is not None)
        require(
            found == list(range(ndim)) and neighbours,
            estimator,
            f"names the axes {found} of data with {ndim}: axes must name each once, not negative, "
            "and leave one along which entries are neighbours.",
        )


def check_output_does_not_depend_on_its_own_entry(estimator: BaseDenoiser) -> None:
    """An estimator that says it is J-invariant is: each entry, and no divergence."""
    X = picture(SIDES)
    fitted = _new(estimator).fit(X)
    output, divergence = fitted.output_and_divergence(X, _NOISE)
    require(
        not np.any(divergence),
        estimator,
        "is J-invariant, and has a divergence: return np.zeros(()), or let is_j_invariant be "
        "False.",
    )
    for entry in ((0, 0), (SIDES[0] // 2, SIDES[1] // 2), (SIDES[0] - 1, 1)):
        changed = X.copy()
        changed[entry] += 10
        moved = abs(float(fitted.transform(changed)[entry] - output[entry]))
        require(
            moved <= 1e-8 * 20,
            estimator,
            f"says that it is J-invariant, and its output at {entry} moved by {moved:.3g} when "
            "that entry was changed: let is_j_invariant be False.",
        )


def check_predictions_are_j_invariant(estimator: BaseDenoiser) -> None:
    """What it predicts of a view does not depend on what was hidden in it."""
    check_j_invariance(_new(estimator), picture(SIDES), random_state=0, n_sets=1)


def check_items_are_independent(estimator: BaseDenoiser) -> None:
    """Along `batch_axis`, the output of one item does not depend on another."""
    X = np.stack([picture(SIDES, seed) for seed in range(2)])
    fitted = _new(estimator).set_params(batch_axis=0).fit(X)
    other = X.copy()
    other[1] = picture(SIDES, 7)[::-1]
    require(
        same(fitted.transform(other)[0], fitted.transform(X)[0], 1e-6),
        estimator,
        "gives an item another output if another item changes: denoise items along batch_axis one "
        "at a time.",
    )


def check_column_names_stay(estimator: BaseDenoiser) -> None:
    """A table comes out as a table with its names, if `set_output` asks for that."""
    import pandas as pd

    X = picture(SIDES)
    table = pd.DataFrame(X, columns=[f"gene {k}" for k in range(SIDES[1])])
    fitted = _new(estimator).set_output(transform="pandas").fit(table)
    found = fitted.transform(table)
    require(
        isinstance(found, pd.DataFrame) and list(found.columns) == list(table.columns),
        estimator,
        "loses the names of columns: call self._remember(X, array) in fit, where X is what was "
        "given.",
    )
    require(
        same(found, _new(estimator).fit(X).transform(X)),
        estimator,
        "has another output for a table than for its values: begin fit with self._as_data(X).",
    )


def check_dask_arrays_are_refused_or_lazy(estimator: BaseDenoiser) -> None:
    """A dask array is refused by a sentence that says so, or stays one."""
    import dask.array as da

    X = da.from_array(picture(SIDES))
    try:
        found = _new(estimator).fit(X).transform(X)
    except (TypeError, ValueError) as error:
        require(
            any(word in str(error) for word in ("dask", "halo", "block")),
            estimator,
            f"refuses a dask array without saying so ({error}): begin fit with self._as_data(X).",
        )
    else:
        require(
            isinstance(found, da.Array) and found.shape == SIDES,
            estimator,
            "computes a dask array without being asked to: refuse it (self._as_data(X) does), or "
            "return one.",
        )


def _new(estimator: BaseDenoiser) -> Any:
    """Return a clone that is told the noise, where it would estimate it."""
    fresh: Any = clone(estimator)
    params = {"": fresh, **fresh.get_params()}
    unknown = [
        name
        for name, value in params.items()
        if name.split("__")[-1] == "noise"
        and value is None
        and isinstance(params[name.removesuffix("noise").removesuffix("__")], BaseDenoiser)
    ]
    return fresh.set_params(**dict.fromkeys(unknown, 1.0))


def _hides(estimator: BaseDenoiser) -> bool:
    """Return whether an estimator answers to views whose sets can be chosen."""
    try:
        plan = _new(estimator).view_plan(picture(SIDES))
    except TypeError:
        return False
    return plan.exact or "partition" in estimator.get_params(deep=False)
