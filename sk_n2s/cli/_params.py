"""A denoiser with parameters that are known: given, or found by an earlier calibration."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..files.picture import Refusal
from ..files.whole import write
from . import _options

__all__ = ["Method", "check_names", "method_of", "save_params"]

_OUTPUTS = ("invariant", "plain", "blend")


@dataclass
class Method:
    """A denoiser by its name, with its parameters."""

    name: str
    params: dict[str, Any] = field(default_factory=dict)
    output: str = "plain"
    where: str = "--param"

    def wrapper(self, where: dict[str, Any], noise: float | None) -> Any:
        """Return an estimator that denoises so, along these axes and within this mask."""
        from ..denoisers import DENOISERS
        from ..j_invariance.wrapper import JInvariantWrapper

        wrapper = JInvariantWrapper(DENOISERS[self.name], output=self.output, noise=noise, **where)
        check_names(self.where, self.name, self.params, wrapper)
        return wrapper.set_params(**self.params)

    def __str__(self) -> str:
        return ", ".join([f"by {self.name}", *(f"{k}={v}" for k, v in self.params.items())])


def check_names(where: str, denoiser: str, names: Iterable[str], wrapper: Any) -> list[str]:
    """Return the parameters that a denoiser has, and refuse others."""
    has = sorted(wrapper.get_params(deep=True).keys() - wrapper.get_params(deep=False).keys())
    for name in names:
        if name not in has:
            raise Refusal(f"{where}: {denoiser} has no {name!r}, it has {', '.join(has)}")
    return has


def method_of(args: argparse.Namespace) -> Method | None:
    """Return the denoiser that is asked for; None if there is to be a race."""
    if args.load_params is None:
        return None if args.method == "auto" else Method(args.method, _options.fixed(args.param))
    path = Path(args.load_params)
    if not path.is_file():
        raise Refusal(f"{path}: there is no such file of parameters")
    try:
        found = json.loads(path.read_text())
        method = Method(found["denoiser"], dict(found["params"]), found["output"], str(path))
    except (ValueError, KeyError, TypeError, OSError, RecursionError):
        raise Refusal(f"{path}: is no file that calibrate --save-params wrote") from None
    if method.name not in _options.DENOISERS or method.output not in _OUTPUTS:
        raise Refusal(f"{path}: names no denoiser or output that is known")
    return method


def save_params(path: Path, method: Method) -> None:
    """Save parameters as JSON."""
    content = {"denoiser": method.name, "params": method.params, "output": method.output}

    def save(partial: str) -> None:
        Path(partial).write_text(json.dumps(content, indent=2, default=float) + "\n")

    write(path, save)
