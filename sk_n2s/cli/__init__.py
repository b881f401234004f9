"""The command ``sk-n2s``: denoise files, and look at their noise, from the shell.

One module a subcommand. What takes long to import is imported when it is needed, so that
``--version``, ``--help`` and refusals are there at once.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

from .. import __version__
from . import _interrupts, calibrate, compare, denoise, noise, report

__all__ = ["main"]

_LONGEST = 600  # characters of a sentence

_EXAMPLES = """\
examples:
  sk-n2s denoise noisy.tif                     what is best is chosen; noisy_denoised.tif
  sk-n2s denoise *.png -o results              several files, each by itself, into a folder
  sk-n2s noise noisy.tif                       what the noise is like, in words
  sk-n2s compare noisy.tif noisy_denoised.tif  what was taken away, and whether it is noise
  sk-n2s report noisy.tif                      whether to trust the result, as an HTML page
  sk-n2s calibrate noisy.tif --denoiser tv --param weight=1,5,25

exit codes: 0 all is well, 1 some of several files failed, 2 usage or input
"""


class _Parser(argparse.ArgumentParser):
    """Refuses in one line, as everything else does."""

    def error(self, message: str) -> NoReturn:
        line = " ".join(message.split())
        self.exit(2, f"sk-n2s: error: {line} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="sk-n2s",
        description="Denoising without clean data.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"sk_n2s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (denoise, noise, compare, report, calibrate):
        module.add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, default=None
        The arguments; None takes those of the process.

    Returns
    -------
    int
        The exit code: 0, 1 if some of several files failed, 2 for usage or input that is refused,
        130 if it was interrupted.
    """
    with _interrupts.at_once(), warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(
            f"sk-n2s: warning: {message}", file=sys.stderr
        )
        try:
            args = _parser().parse_args(argv)
            return args.run(args) or 0
        except BrokenPipeError:  # whoever read the output has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except KeyboardInterrupt:
            print("sk-n2s: interrupted", file=sys.stderr)
            return 130
        except Exception as error:
            print(f"sk-n2s: error: {reason_of(error)}", file=sys.stderr)
            return 2


def reason_of(error: Exception) -> str:
    """Return why something failed, in a line."""
    from ..files.picture import Refusal

    if isinstance(error, MemoryError):
        return "there is not enough memory: cut the data, or save a zarr array, read in blocks"
    lines = [line for line in str(error).splitlines() if line]
    reason = " ".join(dict.fromkeys((lines[0], lines[-1]))) if lines else type(error).__name__
    reason = reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]} ..."
    expected = isinstance(error, Refusal | ValueError | TypeError | ImportError)
    return reason if expected or not lines else f"{type(error).__name__}: {reason}"
