"""Pieces of large data: what the noise is read from, and the race is run on."""

from math import prod

import numpy as np
import pytest

from sk_n2s._utils.tiling import middle, sample


@pytest.mark.parametrize(
    ("shape", "channel", "batch"),
    [
        ((4000,), None, None),
        ((90, 100), None, None),
        ((3, 90, 100), 0, None),
        ((40, 30, 20), None, 0),
        ((10, 30, 20, 3), 3, 0),
        ((2, 4000), None, 0),
    ],
    ids=str,
)
def test_a_sample_is_spread_over_the_data(shape, channel, batch):
    X = np.arange(prod(shape), dtype=float).reshape(shape)
    found, new_channel, new_batch = sample(X, channel, batch, budget=800)
    n_channels = 1 if channel is None else shape[channel]
    assert 400 <= found.size / n_channels <= 800
    assert len(np.unique(found)) == found.size and np.isin(found, X).all()
    # Neighbours stay neighbours: along the last axis of places, one entry apart.
    axis = max(a for a in range(found.ndim) if a not in (new_channel, new_batch))
    assert (np.diff(found, axis=axis) == (n_channels if channel == len(shape) - 1 else 1)).all()
    if channel is not None:
        assert found.shape[new_channel] == n_channels
    low, high = np.quantile(X, [0.2, 0.8])
    assert (found < low).any() and (found > high).any()


def test_small_data_are_their_own_sample():
    X = np.zeros((20, 30))
    found, channel, batch = sample(X, None, 0, budget=600)
    assert found is X and (channel, batch) == (None, 0)


def test_a_sample_without_measurements_is_not_taken():
    X = np.full((64, 64), np.nan)
    X[0, 0] = 1.0
    assert sample(X, budget=256)[0] is X


@pytest.mark.parametrize("budget", [1, 7, 100, 10_000])
def test_the_middle_is_within_the_budget(budget):
    X = np.zeros((31, 5, 40))
    part = middle(X.shape, budget, channel=1)
    assert X[part].shape[1] == 5
    assert X[part].size / 5 <= max(budget, 1)
    for s, n in zip(part, X.shape, strict=True):
        assert abs((s.start + s.stop) - n) <= 1
