import matplotlib
import numpy as np
import pytest
from skimage import data

matplotlib.use("agg")


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
