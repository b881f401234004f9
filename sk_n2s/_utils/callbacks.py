"""scikit-learn's callbacks, where it has them (1.9): the one place that asks for its version."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing to support."""

    def with_callbacks(method: Callable) -> Callable:
        """Return the method as it is."""
        return method


__all__ = ["CallbackSupportMixin", "Task", "with_callbacks"]


class Task:
    """A task of a fit, as callbacks are told of it; without callbacks, nothing happens.

    It is a context manager around what is done, and travels to other processes.

    Parameters
    ----------
    owner : estimator
        What is fitted.
    context : CallbackContext or None
        scikit-learn's context of the task.
    """

    def __init__(self, owner: Any, context: Any = None):
        self._owner = owner if context is not None else None
        self._context = context

    @classmethod
    def of_fit(cls, estimator: Any, n_parts: int | None) -> Task:
        """Return the fit itself, of `n_parts` parts; None if their number is not known."""
        if not getattr(estimator, "_skl_callbacks", None):
            return cls(None)
        return cls(estimator, estimator._init_callback_context(max_subtasks=n_parts))

    def part(self, name: str, n_parts: int | None = 0) -> Task:
        """Return the next part of this task, itself of `n_parts` parts."""
        if self._context is None:
            return self
        return Task(self._owner, self._context.subcontext(name, max_subtasks=n_parts))

    def shared_with(self, estimator: Any) -> AbstractContextManager:
        """Return a context within which the callbacks follow the fit of `estimator`."""
        if self._context is None or not hasattr(estimator, "set_callbacks"):
            return nullcontext()
        return self._context.propagate_callback_context(estimator)

    def __enter__(self) -> Task:
        if self._context is not None:
            self._context.call_on_fit_task_begin(estimator=self._owner)
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if self._context is not None and error is None:
            self._context.call_on_fit_task_end(estimator=self._owner)
