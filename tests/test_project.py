"""Facts about the package as a whole: its documents, its imports, its structure."""

import ast
import doctest
import importlib
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import sk_n2s
from sk_n2s.cli import main

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    name
    for _, name, _ in pkgutil.walk_packages(sk_n2s.__path__, "sk_n2s.")
    if not name.endswith("__main__")
)
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_python_blocks_of_the_readme(tmp_path, monkeypatch, capsys):
    """They run one after the other, and print what the comments behind `print` say."""
    monkeypatch.chdir(tmp_path)
    namespace = {}
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        exec(compile(block, "README.md", "exec"), namespace)
        printed = capsys.readouterr().out.splitlines()
        promised = re.findall(r"^print\(.*\) +# (.*)$", block, flags=re.MULTILINE)
        assert printed[: len(promised)] == promised


def test_shell_blocks_of_the_readme(tmp_path, monkeypatch):
    """Installing and testing is what .ci/run does; every other command runs here."""
    monkeypatch.chdir(tmp_path)
    commands = [
        part.strip()
        for block in re.findall(r"```shell\n(.*?)```", README, flags=re.DOTALL)
        for line in block.splitlines()
        for part in line.split("&&")
    ]
    ran = 0
    for command in dict.fromkeys(commands):
        words = shlex.split(command)
        if words[0] == "sk-n2s":
            assert main(words[1:]) == 0
            ran += 1
        else:
            assert words[0] in ("pip", "pytest", "python")
    assert ran >= 2


def test_importing_loads_no_extra():
    extras = ("torch", "dask", "zarr", "matplotlib")
    code = f"import sys, sk_n2s; print([m for m in {extras} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _imports(path: Path) -> set[str]:
    """Return the modules of the package that a file imports at its top level."""
    package = ".".join(("sk_n2s", *path.relative_to(Path(sk_n2s.__path__[0])).parts[:-1]))
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            found.add(".".join([*base, node.module] if node.module else base))
    return found


def test_modules_import_only_from_floors_below():
    """The map of the design; a module that is not on it must be given a floor."""
    floors = [
        {"_arrays", "_callbacks", "_threads", "_warn"},
        {"distributed"},
        {"pieces"},
        {"partitions", "fills", "losses", "risk", "splitters"},
        {"noise"},
        {"stabilization", "views"},
        {"denoisers"},
        {"_calling"},
        {"_blocks", "_parameters", "blending", "levels"},
        {"wrapper", "invariance", "_evaluation", "_grouping"},
        {"_estimates", "_rounds", "_memory"},
        {"_running"},
        {"_base_search", "stacking"},
        {"search"},
        {"auto", "nn", "plotting", "racing"},
        {"cli"},
        {"__main__", "__init__"},
    ]
    floor_of = {name: k for k, names in enumerate(floors) for name in names}
    root = Path(sk_n2s.__path__[0])
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        for module in _imports(path):
            target = module.split(".")[1] if "." in module else "__init__"
            if parts[0] == target in ("denoisers", "nn") or (
                parts == ("cli",) and target == "__init__"
            ):
                continue  # within the folder; the version
            assert floor_of[target] < floor_of[parts[0]], f"{path} imports {module}"


def test_only_the_networks_import_torch():
    root = Path(sk_n2s.__path__[0])
    for path in root.rglob("*.py"):
        if path.parent.name != "nn":
            assert not re.search(r"^\s*(import|from) (torch|skorch|safetensors)", path.read_text())


def test_public_names_are_there():
    for name in sk_n2s.__all__:
        assert getattr(sk_n2s, name).__doc__
    assert (Path(sk_n2s.__path__[0]) / "py.typed").exists()
