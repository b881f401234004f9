"""How the tasks of a search are run: in parallel, remembered, one core each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from joblib import wrap_non_picklable_objects
from sklearn.utils.parallel import Parallel, delayed

from .._utils.callbacks import Task
from .._utils.threads import one_thread
from ..denoisers._sharing import Store
from ._evaluation import Answer

__all__ = ["portable", "run", "task"]


def portable(ask: Callable) -> Callable:
    """Return a task that any backend can carry, with lambdas and functions of a notebook."""
    return wrap_non_picklable_objects(ask)


def task(ask: Callable, progress: Task, *args: Any) -> tuple:
    """Return one call of `ask`, whose first argument is a view, for `run`."""
    return ask, progress, args


def run(
    calls: Iterable[tuple],
    *,
    threads: bool,
    n_jobs: int | None,
    verbose: int,
    pre_dispatch: int | str,
) -> list[Answer]:
    """Run tasks in parallel, each on one core: their results do not depend on how many."""
    parallel = Parallel(
        n_jobs=n_jobs,
        verbose=verbose,
        pre_dispatch=pre_dispatch,
        prefer="threads" if threads else None,
    )
    store = Store()
    with one_thread():
        # scikit-learn's `delayed` copies what it wraps, and would unwrap what has to be wrapped.
        return parallel(delayed(_call)(store, *call) for call in calls)


def _call(store: Store, ask: Callable, progress: Task, args: tuple) -> Answer:
    with progress, one_thread(), store.entered(args[0].input):
        return ask(*args)
