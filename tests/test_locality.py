"""What denoisers say of how far they look, against what they do."""

from functools import partial, wraps
from math import inf

import numpy as np
import pytest
from sklearn.decomposition import PCA

from sk_n2s import CheckerboardPartition, ColumnPartition, GridPartition, RandomPartition
from sk_n2s._utils.tiling import Piece
from sk_n2s.denoisers import DENOISERS, declare, gaussian, get_exact_form, median, reach_of, tv
from sk_n2s.masking.fills import MeanFill
from sk_n2s.masking.views import ViewPlan
from sk_n2s.noise import NoiseModel

PARAMS = {
    "bilateral": {"sigma_color": 0.3},
    "dct": {"sigma": 0.1},
    "gaussian": {"sigma": (1.5, 0.7)},
    "median": {"radius": (1, 3)},
    "nl_means": {"h": 0.08, "patch_size": 3, "patch_distance": 4},
    "lichi": {"sigma": 0.1, "window": 9},
    "nl_ridge": {"sigma": 0.1, "window": 9},
    "tv": {"weight": 0.1, "num_iter": 8},
    "tv_bregman": {"weight": 8.0},
    "wavelet": {"sigma": 0.1, "wavelet_levels": 2},
}


@pytest.mark.parametrize("name", DENOISERS)
@pytest.mark.parametrize("form", ["plain", "exact"])
def test_the_answer_does_not_depend_on_what_is_beyond(name, form, noisy):
    denoiser, params = DENOISERS[name], PARAMS.get(name, {})
    reach = reach_of(denoiser, params, noisy.ndim)
    if inf in reach.distance:
        assert name in ("butterworth", "wiener")
        return
    if form == "exact":
        denoiser = get_exact_form(denoiser)
        if denoiser is None:
            return
    core = (slice(40, 88), slice(48, 80))
    outer = tuple(
        slice(max(0, int(c.start - d)), int(c.stop + d))
        for c, d in zip(core, reach.distance, strict=True)
    )
    inner = tuple(
        slice(c.start - o.start, c.stop - o.start) for c, o in zip(core, outer, strict=True)
    )
    whole, piece = denoiser(noisy, **params)[core], denoiser(noisy[outer], **params)[inner]
    if reach.exactly:
        np.testing.assert_allclose(piece, whole, rtol=1e-6)
    else:  # a tenth of the standard deviation of the noise
        assert np.sqrt(np.mean((piece - whole) ** 2)) < 0.01


def test_what_is_estimated_from_all_is_not_exactly_local():
    assert reach_of(tv, {"weight": 0.1}, 3) == ((31.0,) * 3, True)
    assert reach_of(tv, {}, 3) == ((31.0,) * 3, False)


def test_how_reaches_are_found():
    assert reach_of(partial(median, radius=4), {}, 1).distance == (4,)
    assert reach_of(partial(median, radius=4), {"radius": 2}, 1).distance == (2,)
    assert reach_of(gaussian, {"sigma": 2.0, "mode": "wrap"}, 2).distance == (inf, inf)
    assert reach_of(PCA(), {}, 2).distance == (inf, inf)
    assert reach_of(np.sort, {}, 1) is None
    assert reach_of(median, {"radius": -1}, 1) is None  # the call will say why
    assert reach_of(median, {"radios": 1}, 1) is None

    @wraps(median)
    def other(X, *, radius=1, mode="nearest"):
        return median(X, radius=2 * radius)

    assert reach_of(other, {"radius": 1}, 1) is None
    assert declare(reach=3)(other) is other
    assert reach_of(other, {"radius": 1}, 1).distance == (3,)
    assert reach_of(other, {"width": 1}, 1) is None

    @declare(reach=lambda ndim, *, step, power: (step * power,) * ndim)
    def by_place(X, step=2, power=1, channel_axis=None):
        return X

    assert reach_of(by_place, {"power": 3, "channel_axis": 0}, 2).distance == (6, 6)
    assert reach_of(partial(by_place, step=5), {}, 1).distance == (5,)
    assert reach_of(declare(reach=(1, 2))(lambda X: X), {}, 3) is None


@pytest.mark.parametrize(
    "partition",
    [GridPartition((4, 3)), CheckerboardPartition(), RandomPartition(3, 0), ColumnPartition(5)],
    ids=repr,
)
def test_views_of_pieces_cover_their_insides(partition, noisy):
    plan = ViewPlan(partition, MeanFill(), (0, 1), False)
    core = (slice(7, 31), slice(5, 40))
    piece = Piece((slice(20, 60), slice(30, 75)), core, n_blocks=2)
    part = noisy[piece.outer]
    times = np.zeros(part.shape, dtype=int)
    for index in range(partition.get_n_splits(part)):
        view = plan.view_of_piece(part, piece, index, first_split=10)
        times[view.where] += 1
        np.testing.assert_array_equal(view.target, part[view.where])
        assert not np.any(view.input[view.where] == view.target)  # it was hidden
        assert view.splits[0] == 10 and len(view.splits) == len(view.counts) <= 4
        assert view.counts.sum() == view.target.size
        np.testing.assert_allclose(view.totals(view.target).sum(), view.target.sum())
    inside = np.zeros(part.shape, dtype=int)
    inside[core] = 1
    np.testing.assert_array_equal(times, inside)


def test_an_exact_form_is_asked_once_for_a_piece(noisy):
    plan = ViewPlan(GridPartition(4), MeanFill(), (0, 1), True, NoiseModel(np.full((1, 128), 2.0)))
    piece = Piece((slice(0, 30), slice(50, 90)), (slice(0, 20), slice(10, 30)))
    view = plan.view_of_piece(noisy[piece.outer], piece, None)
    np.testing.assert_array_equal(view.input, noisy[:30, 50:90])
    np.testing.assert_array_equal(view.target, noisy[:20, 60:80])
    assert view.exact and view.counts.tolist() == [400] and view.noise.level.shape == (1, 40)
