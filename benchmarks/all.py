"""Run the benchmarks, and write their tables into a page.

``python -m benchmarks.all`` runs all of them, which takes about an hour; with names
(``benchmarks.all noise speed``) those are run again, and what the page says of the others stays.
Each runs in a process of its own, one after the other; what needs a package that is not installed
is left out by itself.
"""

import argparse
import datetime
import os
import platform
import re
import subprocess
import sys
import time
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

#: The scripts, with what they are run with.
SCRIPTS = {
    "others": [],
    "noise": [],
    "ground_truth": [],
    "quality": [],
    "data_kinds": [],
    "directions": [],
    "gaussian_process": [],
    "speed": [],
    "median_calibration": [],
    "networks": ["--only", "single_shot"],
}

PACKAGES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "scikit-image",
    "bm3d",
    "opencv-python-headless",
    "torch",
)

HEAD = """\
# Benchmarks

What `python -m benchmarks.all` printed. Each table is that of a script, `python -m benchmarks.NAME`
on images that scikit-image brings along. Images, seeds and what each method was told stand in
the script. Times are CPU seconds of one thread unless it says otherwise; where another method is
better, the row stays.
"""


def installed():
    """Return the versions of what the tables depend on."""
    found = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def section(name, flags):
    """Run a script, and return its part of the page."""
    start = time.monotonic()
    command = [sys.executable, "-m", f"benchmarks.{name}", *flags]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"benchmarks.{name} failed, and the page is as it was")
    minutes = (time.monotonic() - start) / 60
    text = import_module(f"benchmarks.{name}").__doc__.strip()
    lines = done.stdout.strip("\n")
    printed = lines if lines.startswith("|") else f"```text\n{lines}\n```"
    today = datetime.date.today().isoformat()
    call = " ".join(["python -m", f"benchmarks.{name}", *flags])
    told = f"{today}, {minutes:.0f} minutes on {os.cpu_count()} cores; {installed()}"
    return f"## {name}\n\n{text}\n\n{printed}\n\n<sub>`{call}`, {told}</sub>\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SCRIPTS)}")
    parser.add_argument("--full", action="store_true", help="more images; takes hours")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("README.md"))
    args = parser.parse_args()
    for name in args.names:
        if name not in SCRIPTS:
            parser.error(f"there is no {name!r}, but {', '.join(SCRIPTS)}")
    known = {}
    if args.out.exists():
        parts = re.split(r"^(?=## )", args.out.read_text(encoding="utf-8"), flags=re.MULTILINE)
        known = {part.splitlines()[0].removeprefix("## "): part for part in parts[1:]}
    for name in args.names or SCRIPTS:
        print(f"benchmarks.{name} ...", file=sys.stderr, flush=True)
        known[name] = section(name, [*SCRIPTS[name], *(["--full"] if args.full else [])])
        page = [HEAD, *(known[n].strip("\n") + "\n" for n in SCRIPTS if n in known)]
        args.out.write_text("\n".join(page), encoding="utf-8")


if __name__ == "__main__":
    main()
