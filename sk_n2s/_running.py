"""How the tasks of a search are run: in parallel, remembered, one core each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from joblib import wrap_non_picklable_objects
from sklearn.utils.parallel import Parallel, delayed

from ._callbacks import Task
from ._evaluation import Answer
from ._threads import one_thread
from .denoisers._sharing import sharing

__all__ = ["portable", "run", "task"]


def portable(ask: Callable) -> Callable:
    """Return a task that any backend can carry, with lambdas and functions of a notebook.

    Parameters
    ----------
    ask : callable
        A function of a view.

    Returns
    -------
    callable
        The same.
    """
    return wrap_non_picklable_objects(ask)


def task(ask: Callable, progress: Task, *args: Any):
    """Return one call as joblib wants it.

    Parameters
    ----------
    ask : callable
        A portable function.
    progress : Task
        What callbacks are told of it.
    *args : object
        The function's arguments.

    Returns
    -------
    tuple
        The delayed call.
    """
    # scikit-learn's `delayed` copies what it wraps, and would unwrap what has to be wrapped.
    return delayed(_call)(ask, progress, args)


def _call(ask, progress, args):
    with progress, one_thread():
        return ask(*args)


def run(
    calls: Iterable, *, threads: bool, n_jobs: int | None, verbose: int, pre_dispatch
) -> list[Answer]:
    """Run tasks in parallel, each on one core: their results do not depend on how many.

    Parameters
    ----------
    calls : iterable
        What `task` returns; taken as they become due.
    threads : bool
        Whether threads do as well as processes, to which the data have to be carried.
        Backends chosen by `joblib.parallel_config` go before.
    n_jobs, verbose, pre_dispatch
        As for `joblib.Parallel`.

    Returns
    -------
    list of Answer
        The answers, in the order of the calls.
    """
    parallel = Parallel(
        n_jobs=n_jobs,
        verbose=verbose,
        pre_dispatch=pre_dispatch,
        prefer="threads" if threads else None,
    )
    with one_thread(), sharing():
        return parallel(calls)
