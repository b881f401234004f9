"""Facts about the package as a whole: its documents, its imports, its structure."""

import ast
import doctest
import importlib.util
import re
import shlex
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from skimage import data

import sk_n2s
from sk_n2s.cli import main

ROOT = Path(__file__).parents[1]


def _modules():
    """Yield the names of all modules, none of which is imported: an extra may be absent."""
    for path in Path(sk_n2s.__path__[0]).rglob("*.py"):
        parts = path.relative_to(Path(sk_n2s.__path__[0])).with_suffix("").parts
        yield ".".join(["sk_n2s", *parts]).removesuffix(".__init__")


MODULES = sorted(name for name in _modules() if not name.endswith("__main__"))
HAS_TORCH = importlib.util.find_spec("torch") is not None
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    "name", [name for name in MODULES if HAS_TORCH or not name.startswith("sk_n2s.nn")]
)
def test_examples_in_docstrings(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.filterwarnings("ignore")  # Optuna's, of what is experimental or deprecated in it
def test_python_blocks_of_the_readme(tmp_path, monkeypatch, capsys):
    """They run one after the other, and print what the comments behind `print` say."""
    monkeypatch.chdir(tmp_path)
    namespace = {}
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        if "sk_n2s.nn" in block and not HAS_TORCH:
            continue
        exec(compile(block, "README.md", "exec"), namespace)
        printed = capsys.readouterr().out.splitlines()
        promised = re.findall(r"^print\(.*\) +# (.*)$", block, flags=re.MULTILINE)
        assert printed[: len(promised)] == promised


def test_shell_blocks_of_the_readme(tmp_path, monkeypatch):
    """Installing and testing is what .ci/run does; every other command runs here, on a crop."""
    monkeypatch.chdir(tmp_path)
    camera = data.camera()[64:192, 64:192]
    monkeypatch.setattr(data, "camera", lambda: camera)
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
            assert words[0] in ("pip", "pytest", "python", "bash")
    assert ran >= 2


def test_the_pages_of_the_api_are_those_of_all_public_modules():
    listed = set(re.findall(r"sk_n2s\.(\w+)", (ROOT / ".ci" / "api").read_text()))
    # What is not listed has its names at the root, or is not public.
    assert listed == set(ROOMS) - {
        *("__main__", "cli", "__init__", "files", "_utils"),
        *("auto", "search", "stacking", "j_invariance"),
    }


def test_the_pictures_of_the_readme_are_there_and_have_alternative_texts():
    pictures = re.findall(r"!\[(.*?)\]\((.*?)\)", README)
    assert len(pictures) == 2 and all(len(text) > 40 for text, _ in pictures)
    for _, path in pictures:
        assert (ROOT / path).stat().st_size < 300_000
    for link in re.findall(r"\]\(#(.*?)\)", README):
        assert any(line.lower().replace(" ", "-") == f"##-{link}" for line in README.splitlines())


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
            module = ".".join([*base, node.module] if node.module else base)
            parts = {f"{module}.{alias.name}" for alias in node.names} & set(MODULES)
            found |= parts or {module}
    return found


#: The rooms of the design, from the top down: a room imports only from those below it.
ROOMS = [
    "__main__",
    "cli",
    "__init__",
    "testing",
    "plotting",
    "report",
    "files",
    "auto",
    "stacking",
    "search",
    "nn",
    "j_invariance",
    "risk",
    "denoisers",
    "noise",
    "masking",
    "losses",
    "_utils",
]


def _room(module: str) -> str:
    """Return the room that a module of the package belongs to."""
    return module.split(".")[1] if "." in module else "__init__"


def test_rooms_import_only_from_those_below():
    root = Path(sk_n2s.__path__[0])
    for path in root.rglob("*.py"):
        own = path.relative_to(root).with_suffix("").parts[0]
        for module in _imports(path):
            room = _room(module)
            if room != own:
                assert ROOMS.index(room) > ROOMS.index(own), f"{path} imports {module}"


def test_no_module_imports_itself_in_a_circle():
    root = Path(sk_n2s.__path__[0])
    graph = {}
    for path in root.rglob("*.py"):
        name = ".".join(("sk_n2s", *path.relative_to(root).with_suffix("").parts))
        name = name.removesuffix(".__init__")
        graph[name] = {m for m in _imports(path) if m in MODULES and m != name}
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_the_root_holds_only_what_users_name():
    files = [path.name for path in Path(sk_n2s.__path__[0]).iterdir() if path.is_file()]
    assert len(files) <= 8, files


def test_only_the_networks_import_torch():
    root = Path(sk_n2s.__path__[0])
    for path in root.rglob("*.py"):
        if path.parent.name != "nn":
            assert not re.search(r"^\s*(import|from) (torch|skorch|safetensors)", path.read_text())


def test_public_names_are_there():
    for name in sk_n2s.__all__:
        assert getattr(sk_n2s, name).__doc__
    assert (Path(sk_n2s.__path__[0]) / "py.typed").exists()


def test_the_command_line_starts_without_what_it_may_not_need():
    late = ("sklearn", "scipy", "skimage", "matplotlib", "torch")
    code = f"import sys, sk_n2s.cli; print([m for m in {late} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_names_are_found_where_they_are_promised():
    assert set(sk_n2s.__all__) <= set(dir(sk_n2s))
    for name in sk_n2s.__all__:
        assert getattr(sk_n2s, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Denoiser'"):
        _ = sk_n2s.Denoiser
