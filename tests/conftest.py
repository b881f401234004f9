from importlib.util import find_spec

import matplotlib
import numpy as np
import pytest
from skimage import data

matplotlib.use("agg")

# What the tests of networks need and is not installed: an extra of its own, by far the largest.
NN_MISSING = [name for name in ("torch", "skorch", "safetensors") if find_spec(name) is None]
collect_ignore_glob = ["test_nn_*.py"] if NN_MISSING else []


def pytest_terminal_summary(terminalreporter):
    if NN_MISSING:
        terminalreporter.write_line(
            f"tests of networks: not run, {' and '.join(NN_MISSING)} not installed "
            '(pip install ".[test,nn]")'
        )


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def clean():
    """A 128 x 128 piece of a photograph, on a scale of 0 to 1."""
    return data.camera()[64:192, 160:288] / 255


@pytest.fixture(scope="session")
def noisy(clean):
    array = clean + np.random.default_rng(0).normal(scale=0.1, size=clean.shape)
    array.setflags(write=False)
    return array
