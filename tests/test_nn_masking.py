"""Hiding pixels of tensors is hiding entries of arrays."""

import numpy as np
import pytest
import torch
from sklearn.base import clone

from sk_n2s import CheckerboardPartition, ColumnPartition, GridPartition, PairPartition
from sk_n2s import RandomPartition as Random
from sk_n2s.masking import BlindSpotPartition, LatticePartition
from sk_n2s.masking.fills import MeanFill, MedianFill, RandomFill, ZeroFill
from sk_n2s.masking.views import ViewPlan
from sk_n2s.nn import Masker

MODES = {
    "zero": ZeroFill(),
    "interpolate": MeanFill("square"),
    "mean": MeanFill("cross"),
    "median": MedianFill(),
    "random": RandomFill(),
}
PARTITIONS = [
    None,
    CheckerboardPartition(),
    LatticePartition(5),
    ColumnPartition(3),
    Random(4, random_state=0),
    GridPartition((1, 3)),
]


@pytest.fixture
def images(rng):
    return rng.normal(size=(2, 3, 13, 10)).astype(np.float32)


def network(n_channels=3, seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Conv2d(n_channels, 4, 5, padding=2), torch.nn.Tanh(), torch.nn.Conv2d(4, 3, 1)
    ).double()


@pytest.mark.parametrize("width", [2, 3, 4, (2, 3), (1, 5)])
def test_masks_are_the_sets_of_the_grid_partition(width, images):
    masker = Masker(width)
    sets = [hidden for hidden, _ in GridPartition(width).split(images[0, 0])]
    assert len(masker) == len(sets)
    for i, hidden in enumerate(sets):
        expected = np.zeros((13, 10), dtype=bool)
        expected[hidden] = True
        np.testing.assert_array_equal(masker.mask(torch.from_numpy(images), i)[1], expected)


@pytest.mark.parametrize("partition", PARTITIONS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("mode", [*MODES, MeanFill([[0, 1, 2], [3, 0, 1], [1, 1, 5]], "mirror")])
@pytest.mark.parametrize("gaps", [False, True])
def test_what_is_shown_is_what_a_denoiser_is_shown(partition, mode, gaps, images, rng):
    if gaps:
        images[rng.random(images.shape) < 0.1] = np.nan
    masker = Masker(3, mode, partition=partition)
    plan = ViewPlan(
        partition or GridPartition(3),
        MODES[mode] if isinstance(mode, str) else mode,
        (2, 3),
        exact=False,
    )
    X = torch.from_numpy(images.copy())
    views = list(plan.views(images))
    assert len(masker) == len(views)
    for i, view in enumerate(views):
        shown, mask = masker.mask(X, i)
        np.testing.assert_allclose(shown, view.input, rtol=1e-5, atol=1e-6)
        hidden = np.zeros(images.shape, dtype=bool)
        hidden[view.where] = True
        np.testing.assert_array_equal(np.broadcast_to(mask, images.shape), hidden)
    np.testing.assert_array_equal(X, images)  # the input is left as it was


def test_interpolation_is_the_published_kernel(images):
    kernel = torch.tensor([[0.5, 1, 0.5], [1, 0, 1], [0.5, 1, 0.5]]) / 6
    X = torch.from_numpy(images)
    blurred = torch.nn.functional.conv2d(X.reshape(-1, 1, 13, 10), kernel[None, None])
    blurred = blurred.reshape(2, 3, 11, 8)
    shown, mask = Masker(4, "interpolate").mask(X, 5)
    inside = mask[1:-1, 1:-1]
    torch.testing.assert_close(shown[:, :, 1:-1, 1:-1][..., inside], blurred[..., inside])


@pytest.mark.parametrize("partition", PARTITIONS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("mode", MODES)
def test_inference_is_blind_at_each_pixel(partition, mode, images, rng):
    masker = Masker(3, mode, partition=partition, include_mask_as_input=True)
    model = network(4)
    X = torch.from_numpy(images.astype(float))
    before = masker.infer_full_image(X, model)
    assert before.shape == X.shape
    changed = 0
    for _ in range(8):
        place = (int(rng.integers(2)), slice(None), *map(int, rng.integers([13, 10])))
        other = X.clone()
        other[place] += 100
        after = masker.infer_full_image(other, model)
        assert torch.equal(after[place], before[place])
        changed += int((after != before).sum())
    assert changed > 100


def test_single_pass_is_the_answer_to_the_whole_image(images):
    X, model = torch.from_numpy(images.astype(float)), network()
    masker = Masker(4, infer_single_pass=True)
    assert torch.equal(masker.infer_full_image(X, model), model(X))
    X[0, 1, 4, 4] = torch.nan
    found = masker.set_params(mode="interpolate").infer_full_image(X, model)
    assert torch.isfinite(found).all()
    neighbours = X[0, 1, 3:6, 3:6] * torch.tensor([[0.5, 1, 0.5], [1, 0, 1], [0.5, 1, 0.5]]) / 6
    X[0, 1, 4, 4] = neighbours.nansum()
    torch.testing.assert_close(found, model(X))


def test_the_mask_is_a_channel(images):
    X = torch.from_numpy(images)
    masker = Masker(4, include_mask_as_input=True)
    shown, mask = masker.mask(X, 6)
    assert shown.shape == (2, 4, 13, 10)
    assert torch.equal(shown[:, 3], mask.float().expand(2, -1, -1))
    assert torch.equal(shown[:, :3], Masker(4).mask(X, 6)[0])
    assert not masker.complete(X)[:, 3].any()


def test_numbers_of_masks_go_round(images):
    X = torch.from_numpy(images)
    masker = Masker(2, "interpolate")
    for one, other in zip(masker.mask(X, 1), masker.mask(X, 5), strict=True):
        assert torch.equal(one, other)


def test_any_memory_layout_and_precision(images):
    plain = torch.from_numpy(images)
    expected, _ = Masker(4, "interpolate").mask(plain, 3)
    for X in (
        plain.contiguous(memory_format=torch.channels_last),
        plain.flip(3).contiguous().flip(3),
        plain.double(),
    ):
        shown, _ = Masker(4, "interpolate").mask(X, 3)
        assert shown.dtype == X.dtype
        torch.testing.assert_close(shown.float(), expected)


def test_other_modes_of_torch_do_not_matter(images):
    X = torch.from_numpy(images)
    masker = Masker(5, "interpolate")
    expected, _ = masker.mask(X, 7)
    other = X[..., :9]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        shown, _ = masker.mask(X, 7)
        masker.mask(other, 7)  # what is kept from here is used below
    torch.testing.assert_close(shown, expected)
    other.requires_grad_()
    masker.mask(other, 7)[0].sum().backward()
    assert torch.isfinite(other.grad).all()
    rough, _ = Masker(3, "median").mask(X.bfloat16(), 0)
    assert rough.dtype == torch.bfloat16


def test_copies_along_an_axis_stand_in_for_each_other(images):
    X = torch.from_numpy(np.concatenate([images, images + 5], axis=3))
    for mode in ("zero", "interpolate"):
        shown, _ = Masker(mode=mode, partition=PairPartition(axis=3)).mask(X, 0)
        torch.testing.assert_close(shown[..., :10], X[..., 10:])


def test_a_network_may_write_into_its_input(images):
    X = torch.from_numpy(images)
    before = X.clone()
    Masker(3, infer_single_pass=True).infer_full_image(X, lambda shown: shown.sub_(1.0))
    assert torch.equal(X, before)


def test_gradients_reach_the_network(images):
    model = network().float()
    Masker(4).infer_full_image(torch.from_numpy(images), model).square().mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())


def test_it_is_an_estimators_parameter():
    masker = Masker(4, "interpolate", True, partition=ColumnPartition(3))
    assert masker  # whatever its length
    assert clone(masker).get_params() == masker.get_params()
    assert clone(masker).set_params(width=2, partition=None).get_partition() == GridPartition(
        (2, 2)
    )
    assert repr(Masker(2)) == "Masker(width=2)"


@pytest.mark.parametrize(
    "parameters, match",
    [
        ({"width": 1}, "hides all pixels at once"),
        ({"width": 11}, "width=11 is larger than a side of the images, which are 13 × 10"),
        ({"width": 2.5}, "width=2.5 must be an integer"),
        ({"mode": "zeros"}, "mode='zeros' must be"),
        ({"mode": MeanFill(np.ones((3, 3, 3)))}, "2 axes"),
        ({"partition": 4}, "partition=4 must be a Partition"),
        ({"partition": PairPartition()}, "divides the items of a batch"),
    ],
)
def test_bad_parameters(parameters, match, images):
    with pytest.raises((TypeError, ValueError), match=match):
        Masker(**parameters).mask(torch.from_numpy(images), 0)


@pytest.mark.parametrize("X", [torch.zeros(4, 4), torch.zeros(1, 1, 4, 4).int(), np.zeros((4, 4))])
def test_bad_images(X):
    with pytest.raises(ValueError, match="X must be a floating-point tensor of shape"):
        Masker(2).mask(X, 0)


def test_a_network_that_changes_the_sides(images):
    model = torch.nn.Conv2d(3, 3, 3)
    with pytest.raises(ValueError, match=r"Conv2d returned shape \(2, 3, 11, 8\)"):
        Masker(4).infer_full_image(torch.from_numpy(images), model)


def test_blind_spots_hide_a_footprint_and_score_its_centre():
    masker = Masker(partition=BlindSpotPartition(footprint=(0, 1)), mode="mean")
    X = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 1, 24, 24)))
    scored = torch.zeros(24, 24, dtype=torch.int)
    for i in range(len(masker)):
        shown, mask = masker.mask(X, i)
        scored += mask
        beside = mask | mask.roll(1, 1) | mask.roll(-1, 1)
        # Nothing of the centres and of their neighbours in the row is shown.
        other = torch.where(beside, 100.0, X)
        inner = mask.clone()
        inner[:, [0, -1]] = False
        assert torch.equal(masker.mask(other, i)[0][..., inner], shown[..., inner])
    assert bool((scored == 1).all())
    # Each pixel is asked for once, where its row's neighbours are hidden with it.
    answer = masker.infer_full_image(X, lambda shown: shown)
    moved = X.clone()
    moved[..., 10, 10:13] += 5
    assert answer[0, 0, 10, 11] == masker.infer_full_image(moved, lambda shown: shown)[0, 0, 10, 11]
