"""Networks trained on noisy images alone, as estimators."""

import importlib
import json
import os
import pickle
import sys
import threading

import dask.array as da
import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from skorch.callbacks import LRScheduler

from sk_n2s import (
    CheckerboardPartition,
    ColumnPartition,
    GeneralizedAnscombe,
    JInvariantWrapper,
    RandomPartition,
    SelfSupervisedHalvingSearchCV,
    SelfSupervisedSearchCV,
    SelfSupervisedStacker,
    WholeArray,
)
from sk_n2s.denoisers import median
from sk_n2s.nn import BabyUnet, DnCNN, Masker, NetworkDenoiser, SingleConvolution, Unet
from sk_n2s.nn._batches import TrainingBatches, ValidationWindows
from sk_n2s.nn._process import one_torch_thread, seeded
from sk_n2s.noise import NoiseCurve, NoiseModel

MASKER = Masker(3, "interpolate")
SMALL = {"module__width": 4, "module__depth": 1}


def tiny(module=SingleConvolution, **params):
    """A denoiser that trains in a tenth of a second."""
    options = {"masker": MASKER, "max_epochs": 3, "lr": 0.02, "random_state": 0}
    return NetworkDenoiser(module, **{**options, **params})


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def three_threads():
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def stack(clean):
    """Four noisy images of 24 × 20 pixels."""
    parts = [clean[24 * (i // 2) :, 20 * (i % 2) :][:24, :20] for i in range(4)]
    images = np.stack(parts) + np.random.default_rng(0).normal(scale=0.1, size=(4, 24, 20))
    images.setflags(write=False)
    return images


@pytest.fixture(scope="module")
def convolution(stack):
    """A trained network of one convolution; tests change only copies of it."""
    return tiny().fit(stack)


@pytest.fixture(scope="module")
def unet(stack):
    """A trained U-net."""
    return tiny(Unet, **SMALL).fit(stack)


# What is learnt ------------------------------------------------------------------------------


def test_a_convolution_learns_the_best_linear_filter(rng):
    """Least squares from the eight neighbours is the optimum, and known."""
    white = rng.normal(size=(80, 80))
    clean = sum(np.roll(white, (i, j), (0, 1)) for i in range(3) for j in range(3)) / 3
    noisy = clean + rng.normal(scale=0.5, size=clean.shape)
    windows = np.lib.stride_tricks.sliding_window_view(noisy, (3, 3)).reshape(-1, 9)
    neighbours = np.delete(windows, 4, axis=1)
    weights = np.linalg.lstsq(neighbours, windows[:, 4], rcond=None)[0]
    optimum = np.mean((neighbours @ weights - windows[:, 4]) ** 2)

    options = {"masker": Masker(3, "zero"), "patch_size": None, "validation_masks": 0}
    denoiser = tiny(max_epochs=25, lr=0.04, **options).fit(noisy)
    kernel = denoiser.module_.convolution.weight.detach().numpy()[0, 0]
    found = np.delete(kernel.ravel(), 4)
    np.testing.assert_allclose(found, weights, atol=0.02)
    inside = (slice(1, -1), slice(1, -1))
    loss = np.mean((denoiser.transform(noisy) - noisy)[inside] ** 2)
    assert optimum < loss < 1.01 * optimum


def test_single_shot(noisy, clean):
    """One image: the loss is the true error plus the variance of the noise."""
    denoiser = NetworkDenoiser(
        DnCNN,
        module__width=8,
        module__depth=4,
        module__normalise=False,
        max_epochs=20,
        steps_per_epoch=8,
        lr=1e-2,
        patch_size=32,
        batch_size=4,
        random_state=0,
    ).fit(noisy)
    denoiser.noise_ = NoiseModel(0.1)
    errors = {}
    for output in ("plain", "average", "blend", "invariant"):
        denoised = denoiser.set_params(output=output).transform(noisy)
        errors[output] = np.mean((denoised - clean) ** 2)
    assert denoiser.score(noisy, clean) == pytest.approx(-errors["invariant"], rel=1e-6)
    assert errors["blend"] < errors["invariant"] < 0.0040
    whole = np.mean((denoised - noisy) ** 2)
    assert whole == pytest.approx(errors["invariant"] + np.mean((noisy - clean) ** 2), rel=0.04)
    assert -denoiser.score(noisy) == pytest.approx(min(denoiser.validation_curve_), rel=1e-5)
    assert denoiser.best_epoch_ == 1 + np.argmin(denoiser.validation_curve_)
    assert denoiser.n_iter_ == 20
    assert denoiser.validation_masks_ == (8,)


def test_stacks_and_channels_are_images(stack, unet):
    """The layout of an array decides nothing but the layout of the answer."""
    expected = unet.transform(stack)
    assert expected.shape == stack.shape
    four = tiny(Unet, **SMALL).fit_transform(stack[:, np.newaxis])
    np.testing.assert_array_equal(four[:, 0], expected)
    for axis in (-1, 0):
        moved = np.expand_dims(stack, axis)
        found = clone_of(unet, channel_axis=axis)._ask(moved, True)
        np.testing.assert_array_equal(np.squeeze(found, axis), expected)

    colours = np.moveaxis(stack[:3], 0, -1)  # an image of three channels
    one = tiny(DnCNN, module__width=4, module__depth=3, channel_axis=-1).fit(colours)
    assert one.n_channels_ == 3
    other = tiny(DnCNN, module__width=4, module__depth=3).fit(stack[np.newaxis, :3])
    np.testing.assert_array_equal(
        one.transform(colours), np.moveaxis(other.transform(stack[np.newaxis, :3])[0], 0, -1)
    )


def test_invariant_outputs_are_blind_at_each_pixel(stack, unet, rng):
    blind = clone_of(unet, self_ensemble=True)
    plain = clone_of(unet, output="plain")
    before = blind.transform(stack)
    for _ in range(3):
        place = tuple(rng.integers([4, 24, 20]))
        other = stack.copy()
        other[place] += 50
        after = blind.transform(other)
        assert after[place] == before[place]
        assert np.count_nonzero(after != before) > 20
        assert plain.transform(other)[place] != before[place]
    assert blind.is_j_invariant and not plain.is_j_invariant


def test_kinds_of_output(stack, unet):
    kinds = ("plain", "invariant", "average")
    found = {kind: clone_of(unet, output=kind).transform(stack) for kind in kinds}
    np.testing.assert_allclose(
        found["average"], (found["plain"] + found["invariant"]) / 2, rtol=1e-12
    )
    assert not np.allclose(found["plain"], found["invariant"])
    # Turned images get turned answers.
    ensemble = clone_of(unet, output="plain", self_ensemble=True)
    once, turned = ensemble.transform(stack), ensemble.transform(stack[:, ::-1])
    np.testing.assert_allclose(turned[:, ::-1], once, atol=1e-5)


def clone_of(denoiser, **params):
    """Return a fitted copy with other parameters."""
    return pickle.loads(pickle.dumps(denoiser)).set_params(**params)


def test_scale_of_the_data(stack, convolution):
    expected = convolution.transform(stack)
    for scale, offset in ((1e4, 300.0), (1e-200, 0.0), (1e200, 0.0), (-2.0, 1.0)):
        found = tiny().fit_transform(scale * stack + offset)
        if scale > 0:
            np.testing.assert_allclose((found - offset) / scale, expected, atol=2e-4)
        else:
            assert np.ptp(found) == pytest.approx(2 * np.ptp(expected), rel=0.5)
    counts = np.round(1000 * np.clip(stack, 0, None)).astype(np.uint16)
    found = tiny().fit_transform(counts)
    assert found.dtype == np.float64
    assert found.mean() == pytest.approx(counts.mean(), rel=0.1)
    single = tiny().fit(stack.astype(np.float32))
    assert single.transform(stack.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(single.transform(stack.astype(np.float32)), expected, atol=1e-3)
    raw = tiny(standardize=False).fit(stack)
    assert (raw.offset_, raw.scale_) == (0, 1)


def test_a_seed_makes_it_repeatable(stack, unet):
    before = torch.get_rng_state()
    same, other = (tiny(Unet, **SMALL, random_state=s).fit(stack) for s in (0, 1))
    np.testing.assert_array_equal(unet.transform(stack), same.transform(stack))
    assert unet.loss_curve_ == same.loss_curve_
    assert not np.allclose(unet.transform(stack), other.transform(stack))
    assert torch.equal(torch.get_rng_state(), before)  # torch's own is left alone


def test_missing_pixels_are_filled_and_never_seen(stack):
    gaps = np.random.default_rng(1).random(stack.shape) < 0.2
    holed = np.where(gaps, np.nan, stack)
    denoiser = tiny(BabyUnet, module__width=4, max_epochs=6).fit(holed)
    found = denoiser.transform(holed)
    assert np.isfinite(found).all()
    assert np.std(found[gaps] - stack[gaps]) < 0.7 * np.std(stack[gaps])
    masked = np.ma.masked_array(np.where(gaps, 1e9, stack), gaps)
    np.testing.assert_array_equal(denoiser.transform(masked), found)
    assert tiny().fit(masked).loss_curve_ == tiny().fit(holed).loss_curve_
    assert denoiser.score(holed) == pytest.approx(-min(denoiser.validation_curve_), rel=1e-5)


def test_columns_are_hidden_whole(stack):
    """Where a column shares its noise, hiding single pixels copies it, hiding columns does not."""
    rng = np.random.default_rng(0)
    truth = np.cumsum(rng.normal(scale=0.05, size=(8, 24, 20)), axis=1)
    stripes = truth + rng.normal(scale=0.5, size=(8, 1, 20))
    errors = [
        np.mean((tiny(masker=m, max_epochs=20).fit_transform(stripes) - truth) ** 2)
        for m in (
            Masker(4, "interpolate"),
            Masker(partition=ColumnPartition(4), mode="interpolate"),
        )
    ]
    assert errors[1] < 0.6 * errors[0]
    assert errors[0] > 0.15


# The course of the training -------------------------------------------------------------------


def test_what_is_withheld_is_never_asked_for(rng):
    images = torch.from_numpy(rng.normal(size=(3, 1, 30, 26)).astype(np.float32))
    counts = torch.ones(images.shape, dtype=torch.bool)
    windows = ValidationWindows(images, Masker(4), [5, 7], batch_size=2)
    windows.withhold(counts)
    hidden = np.zeros((30, 26), dtype=bool)
    for i in (5, 7):
        hidden[i // 4 :: 4, i % 4 :: 4] = True
    np.testing.assert_array_equal(~counts[:, 0], np.broadcast_to(hidden, (3, 30, 26)))
    seen = [(len(b.images), b.mask) for b in windows]
    assert seen == [(2, 5), (2, 7), (1, 5), (1, 7)]
    assert len(windows) == 4

    marked = torch.where(counts, 1.0, 0.0)
    for patch_size in (None, 12):
        batches = TrainingBatches(
            marked,
            counts,
            masks=range(16),
            batch_size=2,
            patch_size=patch_size,
            steps=None,
            rng=np.random.default_rng(0),
        )
        masks = []
        for batch in batches:
            np.testing.assert_array_equal(batch.counts, batch.images == 1)
            masks.append(batch.mask)
        assert len(batches) == len(masks) == 16
        assert sorted(masks) == list(range(16))
    large = torch.zeros(1, 1, 1100, 600)
    assert ValidationWindows(large, Masker(4), [0], 4).places == [(0, 512, 0)]


def test_early_stopping_and_the_best_state(stack):
    denoiser = tiny(lr=0.2, max_epochs=50, early_stopping=3, lr_schedule="constant").fit(stack)
    assert denoiser.n_iter_ < 50
    assert denoiser.n_iter_ - denoiser.best_epoch_ == 3
    assert np.argmin(denoiser.validation_curve_) == denoiser.best_epoch_ - 1
    assert denoiser.score(stack) == pytest.approx(-min(denoiser.validation_curve_), rel=1e-5)


def test_without_validation_the_last_state_is_kept(stack):
    denoiser = tiny(validation_masks=0, ema_decay=None, max_epochs=4).fit(stack)
    assert np.isnan(denoiser.validation_curve_).all()
    assert denoiser.best_epoch_ == 4
    assert denoiser.validation_masks_ == ()
    state = denoiser.net_.module_.state_dict()
    for name, weights in denoiser.module_.state_dict().items():
        assert torch.equal(weights, state[name])
    denoiser.set_params(output="invariant")
    assert denoiser.score(stack) == pytest.approx(
        -np.mean((denoiser.transform(stack) - stack) ** 2), rel=1e-5
    )


def test_what_is_withheld_has_measurements(stack):
    """Else the loss of nothing, 0, would keep the first state; searches bring that about."""
    holed = stack.copy()
    holed[:, 1::3, 1::3] = np.nan  # the mask that would be withheld
    denoiser = tiny().fit(holed)
    assert denoiser.validation_masks_ == (5,)
    assert min(denoiser.validation_curve_) > 0
    search = SelfSupervisedSearchCV(
        tiny(masker=Masker(2, "interpolate"), max_epochs=20), {"lr": [0.02]}
    ).fit(stack)
    assert search.cv_results_["std_test_score"][0] < 0.2 * -search.best_score_
    with pytest.raises(ValueError, match="has 2 masks, and a search withholds one"):
        SelfSupervisedSearchCV(
            tiny(masker=Masker(partition=CheckerboardPartition())), {"lr": [0.02]}
        ).fit(stack)


def test_what_is_scored_stays_withheld_when_training_goes_on(rng):
    noise = rng.normal(size=(12, 12))
    denoiser = NetworkDenoiser(DnCNN, module__width=16, module__depth=3, lr=0.03, random_state=0)
    for _ in range(6):
        denoiser.partial_fit(noise)
    assert denoiser.loss_curve_[-1] < 0.5 * np.var(noise)  # learnt by heart, but for those
    assert denoiser.validation_masks_ == (8,)
    assert -denoiser.score(noise) > 0.8 * np.mean(noise[2::4, ::4] ** 2)


def test_training_goes_on_from_the_best_state(stack):
    denoiser = tiny(lr=0.3, max_epochs=8, lr_schedule="constant", warm_start=True).fit(stack)
    loss = min(denoiser.validation_curve_)
    denoiser.set_params(lr=1e-12, max_epochs=1).fit(stack)
    assert denoiser.validation_curve_[-1] == pytest.approx(loss, rel=1e-4)


def test_rates_of_single_weights(stack, convolution):
    groups = [("*bias", {"lr": 0.5})]
    found = tiny(optimizer__param_groups=groups).fit_transform(stack)
    assert not np.allclose(found, convolution.transform(stack))


def test_axes_of_partitions_are_those_of_the_images(stack):
    """Rows of (items, channels, rows, columns), however the data came."""
    masker = Masker(partition=ColumnPartition(3, axis=2), mode="interpolate")
    colours = np.moveaxis(stack[:3], 0, -1)
    for X, options, at in (
        (stack[0], {}, (slice(0, None, 3), slice(None))),
        (stack, {}, (slice(None), slice(0, None, 3), slice(None))),
        (colours, {"channel_axis": -1}, (slice(0, None, 3), slice(None), slice(None))),
    ):
        view = next(tiny(masker=masker, **options).view_plan(X).views(X))
        np.testing.assert_array_equal(np.isnan(view.input[at]), True)
        assert np.count_nonzero(np.isnan(view.input)) == view.input[at].size


def test_trainings_in_threads_do_not_disturb_each_other(stack, three_threads):
    grid = {"lr": [1e-3, 2e-2]}
    alone = SelfSupervisedSearchCV(tiny(), grid, n_splits=2, refit=False).fit(stack)
    with joblib.parallel_config("threading", n_jobs=2):
        together = SelfSupervisedSearchCV(tiny(), grid, n_splits=2, refit=False).fit(stack)
    assert thread_counts() == (3, 3)
    np.testing.assert_array_equal(
        alone.cv_results_["mean_test_score"], together.cv_results_["mean_test_score"]
    )


def thread_counts():
    """Return how many threads torch takes, here and in a new thread."""
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return torch.get_num_threads(), found[0]


def test_the_number_of_threads_is_given_back(three_threads):
    """By the last of several users, whichever of them came first."""
    entered, left, counts = threading.Event(), threading.Event(), []

    def second():
        with one_torch_thread():
            entered.set()
            assert left.wait(10)
            counts.append(torch.get_num_threads())  # the first is out again
        counts.append(torch.get_num_threads())

    other = threading.Thread(target=second)
    with one_torch_thread():
        other.start()
        assert entered.wait(10)
        assert torch.get_num_threads() == 1
    left.set()
    other.join()
    assert counts == [1, 3]
    assert thread_counts() == (3, 3)


def test_random_numbers_of_other_devices_are_left_alone(monkeypatch):
    seeds = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    before = torch.get_rng_state()
    with seeded(np.random.default_rng(0), torch.device("cpu")):
        drawn = torch.rand(3)
    seed = int(np.random.default_rng(0).integers(2**31))
    assert torch.equal(drawn, torch.rand(3, generator=torch.Generator().manual_seed(seed)))
    assert torch.equal(torch.get_rng_state(), before)
    assert seeds == []


def test_training_goes_on(stack, unet):
    denoiser = clone_of(unet)
    first = denoiser.score(stack)
    for epoch in range(4, 7):
        denoiser.partial_fit(stack)
        assert denoiser.n_iter_ == len(denoiser.loss_curve_) == epoch
    assert denoiser.score(stack) > 0.9 * first  # scores are negative
    denoiser.set_params(warm_start=True).fit(stack)
    assert denoiser.n_iter_ == 9
    denoiser.set_params(warm_start=False).fit(stack)
    assert denoiser.n_iter_ == 3
    assert denoiser.score(stack) == first
    fresh = tiny(Unet, **SMALL).partial_fit(stack)
    assert fresh.n_iter_ == 1


def test_an_instance_is_copied_and_trained_on(stack):
    module = BabyUnet(width=4)
    before = {name: weights.clone() for name, weights in module.state_dict().items()}
    denoiser = tiny(module).fit(stack)
    for name, weights in module.state_dict().items():
        assert torch.equal(weights, before[name])
    assert not torch.equal(denoiser.module_.last.weight, module.last.weight)
    frozen = tiny(module, lr=1e-12, ema_decay=None, validation_masks=0).fit(stack)
    torch.testing.assert_close(frozen.module_.last.weight, module.last.weight)


def test_mixed_precision_is_about_as_good(stack, unet):
    mixed = clone_of(unet, mixed_precision=True)
    assert mixed.score(stack) == pytest.approx(unet.score(stack), rel=0.1)
    assert mixed.score(stack) != unet.score(stack)
    losses = [
        tiny(max_epochs=8, mixed_precision=m).fit(stack).loss_curve_[-1] for m in (False, True)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
    assert losses[1] != losses[0]


def test_skorch_callbacks_are_called(stack, capsys):
    from skorch.callbacks import EpochScoring

    def epochs(net, X, y=None):
        return float(len(net.history))

    denoiser = tiny(
        callbacks=[
            EpochScoring(epochs, name="counted", use_caching=False),
            LRScheduler("StepLR", step_size=1, gamma=0.5),
        ],
        lr_schedule="constant",
        verbose=True,
    ).fit(stack)
    assert denoiser.net_.history[:, "counted"] == [1.0, 2.0, 3.0]
    assert denoiser.net_.history[:, "event_lr"] == [0.02, 0.01, 0.005]
    assert "valid_loss" in capsys.readouterr().out


# Stored, killed, and gone on -----------------------------------------------------------------


class Killed(BaseException):
    """What nothing catches."""


def test_a_training_that_was_killed_goes_on(stack, tmp_path, monkeypatch):
    """While it writes; and to the last bit as if nothing had happened."""
    path = tmp_path / "training.safetensors"
    replace, written = os.replace, []

    def fails_in_the_end(part, target):
        if len(written) == 3:
            raise Killed
        written.append(part)
        replace(part, target)

    def denoiser(**params):
        options = {"max_epochs": 5, "batch_size": 2, "early_stopping": 100}
        return tiny(BabyUnet, module__width=4, **{**options, **params})

    monkeypatch.setattr(os, "replace", fails_in_the_end)
    with pytest.raises(Killed):
        denoiser(checkpoint=path).fit(stack)
    monkeypatch.setattr(os, "replace", replace)
    half = NetworkDenoiser.load(path)
    assert half.n_iter_ == 3
    assert half.score(stack) == pytest.approx(-min(half.validation_curve_), rel=1e-5)

    gone_on = denoiser(checkpoint=path).fit(stack)
    straight = denoiser().fit(stack)
    assert gone_on.loss_curve_ == straight.loss_curve_
    assert gone_on.validation_curve_ == straight.validation_curve_
    np.testing.assert_array_equal(gone_on.transform(stack), straight.transform(stack))
    again = denoiser(checkpoint=path).fit(stack)  # nothing is left to do
    np.testing.assert_array_equal(again.transform(stack), straight.transform(stack))

    # The course of the learning rate depends on how long it is to take.
    longer = denoiser(max_epochs=6, checkpoint=path).fit(stack)
    assert longer.n_iter_ == 6
    assert longer.loss_curve_[:5] == straight.loss_curve_


def test_a_checkpoint_belongs_to_its_data_and_parameters(stack, tmp_path):
    path = tmp_path / "training.safetensors"
    tiny(checkpoint=path).fit(stack)
    with pytest.raises(ValueError, match="was written by a training on other data"):
        tiny(checkpoint=path).fit(stack + 1)
    with pytest.raises(ValueError, match="or with other parameters"):
        tiny(checkpoint=path, lr=0.1).fit(stack)
    assert tiny(checkpoint=path, max_epochs=5, verbose=False).fit(stack).n_iter_ == 5


def test_an_interrupt_leaves_nothing_but_the_checkpoint(stack, tmp_path):
    from skorch.callbacks import Callback

    class Interrupt(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2:
                raise KeyboardInterrupt

    path = tmp_path / "training.safetensors"
    denoiser = tiny(callbacks=[Interrupt()], early_stopping=5, checkpoint=path)
    with pytest.raises(KeyboardInterrupt):
        denoiser.fit(stack)
    assert not [name for name in vars(denoiser) if name.endswith("_")]
    assert os.listdir(tmp_path) == [path.name]
    assert tiny(early_stopping=5, checkpoint=path).fit(stack).n_iter_ == 3


@pytest.mark.parametrize(
    "parameters",
    [
        {"module": BabyUnet, "module__width": 4},
        {"module": Unet(width=4, depth=2, growth=1.5)},
        {"module": DnCNN, "module__width": 4, "module__depth": 3, "output": "blend"},
        {"masker": Masker(partition=ColumnPartition(3), mode="median", include_mask_as_input=True)},
    ],
    ids=["class", "instance", "blend", "columns"],
)
def test_saved_and_loaded(parameters, stack, tmp_path):
    path = tmp_path / "network.safetensors"
    denoiser = tiny(**parameters).fit(stack)
    denoiser.save(path)
    loaded = NetworkDenoiser.load(path)
    np.testing.assert_array_equal(loaded.transform(stack), denoiser.transform(stack))
    assert loaded.score(stack) == denoiser.score(stack)
    assert loaded.loss_curve_ == denoiser.loss_curve_
    for name, value in denoiser.get_params().items():
        if not name.startswith("module"):
            assert repr(getattr(loaded, name, value)) == repr(value)
    with safe_open(path, "pt") as file:
        json.loads(file.metadata()["sk_n2s"])
        assert set(file.keys()) == {f"module/{k}" for k in denoiser.module_.state_dict()}
    assert loaded.partial_fit(stack).n_iter_ >= 1
    copy = pickle.loads(pickle.dumps(denoiser))
    np.testing.assert_array_equal(copy.transform(stack), denoiser.transform(stack))


@pytest.mark.parametrize(
    "noise",
    [0.1, np.full(20, 0.1), NoiseModel(curve=NoiseCurve(0.01, 0.001))],
    ids=["level", "map", "curve"],
)
def test_the_noise_is_saved(noise, stack, tmp_path):
    path = tmp_path / "network.safetensors"
    denoiser = tiny(output="blend", noise=noise).fit(stack)
    denoiser.save(path)
    loaded = NetworkDenoiser.load(path)
    assert loaded.noise_ == denoiser.noise_
    np.testing.assert_array_equal(loaded.transform(stack), denoiser.transform(stack))


def test_tables_keep_the_names_of_their_columns(stack, tmp_path):
    table = pd.DataFrame(stack[0]).add_prefix("column ")
    denoiser = tiny().fit(table)
    denoiser.save(tmp_path / "network.safetensors")
    expected = denoiser.transform(table)
    assert isinstance(expected, np.ndarray)
    for each in (denoiser, NetworkDenoiser.load(tmp_path / "network.safetensors")):
        found = each.set_output(transform="pandas").transform(table)
        assert list(found.columns) == list(table.columns)
        np.testing.assert_array_equal(found, expected)
        assert each.score(table, stack[0]) == -np.mean((expected - stack[0]) ** 2)


class Foreign(torch.nn.Module):
    """A network from elsewhere."""

    def __init__(self, width):
        super().__init__()
        self.inner = torch.nn.Conv2d(1, width, 3, padding=1)
        self.outer = torch.nn.Conv2d(width, 1, 1)

    def forward(self, X):
        return self.outer(self.inner(X).relu())


def test_a_network_from_elsewhere(stack, tmp_path):
    path = tmp_path / "network.safetensors"
    denoiser = tiny(Foreign, module__width=3).fit(stack)
    denoiser.save(path)
    with pytest.raises(ValueError, match="Foreign, which is none of this package's networks"):
        NetworkDenoiser.load(path)
    with pytest.raises(ValueError, match="weights of Foreign, which are not those of module"):
        NetworkDenoiser.load(path, Foreign(4))
    loaded = NetworkDenoiser.load(path, Foreign(3))
    np.testing.assert_array_equal(loaded.transform(stack), denoiser.transform(stack))


def test_files_that_cannot_be_read_or_written(stack, tmp_path):
    path = tmp_path / "network.safetensors"
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match="was not written by NetworkDenoiser.save"):
        NetworkDenoiser.load(path)
    with pytest.raises(FileNotFoundError):
        NetworkDenoiser.load(tmp_path / "absent")
    path.unlink()
    denoiser = tiny(masker=Masker(3, lambda X, hidden: 0)).fit(stack)
    with pytest.raises(TypeError, match="mode=.* cannot be stored without pickle"):
        denoiser.save(path)
    with pytest.raises(TypeError, match="mode=.* cannot be stored without pickle"):
        clone(denoiser).set_params(checkpoint=path).fit(stack)
    for write in (tiny().fit(stack).save, lambda p: tiny(checkpoint=p).fit(stack)):
        with pytest.raises(FileNotFoundError, match="folder"):
            write(tmp_path / "absent" / "network")
    with pytest.raises(TypeError, match="must be an instance of the network that was saved"):
        tiny().fit(stack).save(path)
        NetworkDenoiser.load(path, SingleConvolution)
    assert os.listdir(tmp_path) == [path.name]


def test_a_checkpoint_of_an_instance_is_resumed_by_a_clone(stack, tmp_path):
    from skorch.callbacks import EpochScoring

    def half(net, X, y=None):
        return np.float32(0.5)

    path = tmp_path / "training.safetensors"
    score = EpochScoring(half, name="half", use_caching=False)
    denoiser = tiny(SingleConvolution(), checkpoint=path, callbacks=[score]).fit(stack)
    copy = clone(denoiser).set_params(max_epochs=5).fit(stack)
    assert copy.n_iter_ == 5
    assert copy.loss_curve_[:3] == denoiser.loss_curve_
    assert copy.net_.history[:, "half"] == [0.5] * 5


def test_what_was_loaded_is_fitted_to_other_channels(stack, convolution, tmp_path):
    path = tmp_path / "network.safetensors"
    convolution.save(path)
    loaded = NetworkDenoiser.load(path)
    two = np.stack([stack, stack], axis=1)
    expected = tiny().fit_transform(two)
    np.testing.assert_array_equal(loaded.fit_transform(two), expected)


# In searches and pipelines --------------------------------------------------------------------


def test_a_search_chooses_by_what_nothing_has_seen(stack):
    denoiser = tiny(Unet, module__depth=1, max_epochs=12)
    grid = [
        {"module": [Unet], "module__width": [4], "module__depth": [1], "lr": [1e-5, 2e-2]},
        {"module": [SingleConvolution], "masker__width": [2], "lr": [1e-3]},
    ]
    search = SelfSupervisedSearchCV(denoiser, grid, n_splits=1).fit(stack)
    assert search.best_params_ == {"module": Unet, **SMALL, "lr": 2e-2}
    assert search.best_estimator_.module_.width == 4
    assert search.transform(stack).shape == stack.shape
    # The loss is the error plus the variance of the noise.
    psnr_floor = search.best_score_ + 0.01
    assert -0.02 < psnr_floor < 0


def test_a_prediction_is_the_same_in_any_process(stack, three_threads):
    denoiser = tiny(Unet, **SMALL, max_epochs=1)
    (view, *_) = denoiser.view_plan(stack).views(stack, 1)
    travelled = pickle.loads(pickle.dumps((denoiser, view)))
    expected = travelled[0].predict_view(travelled[1])
    torch.set_num_threads(1)
    np.testing.assert_array_equal(denoiser.predict_view(view), expected)


def test_the_prediction_of_a_view_depends_on_none_of_its_targets(stack):
    denoiser = tiny(Unet, **SMALL, max_epochs=1)
    plan = denoiser.view_plan(stack)
    (view, *_) = plan.views(stack)
    other = stack.copy()
    other[view.where] = 1e3
    (same, *_) = plan.views(other)
    np.testing.assert_array_equal(denoiser.predict_view(view), denoiser.predict_view(same))
    assert np.isnan(view.input[view.where]).all()


def test_grid_search_and_the_estimated_error(stack):
    grid = {"lr": [1e-5, 2e-2]}
    denoiser = tiny(max_epochs=10, noise=0.1)
    search = GridSearchCV(denoiser, grid, cv=WholeArray()).fit(stack)
    assert search.best_params_ == {"lr": 2e-2}
    ours = SelfSupervisedSearchCV(denoiser, grid, n_splits=1).fit(stack)
    loss = np.mean((ours.transform(stack) - stack) ** 2)
    assert ours.estimated_mse_ == pytest.approx(loss - 0.01, abs=1e-6)


def one_image(output, **params):
    """Return a denoiser for a single image whose noise is known."""
    options = {"module__width": 5, "max_epochs": 8, "noise": 0.1, "random_state": 1}
    return tiny(output=output, **{**options, **params})


def test_outputs_are_chosen_by_their_own_error(noisy, clean):
    X, y = noisy[:64, :64], clean[:64, :64]
    outputs = ["invariant", "plain", "blend"]
    search = SelfSupervisedSearchCV(one_image("plain"), {"output": outputs}, scoring="sure").fit(X)
    found = search.cv_results_["mean_test_score"]
    best = search.best_estimator_
    errors = [np.mean((clone_of(best, output=o).transform(X) - y) ** 2) for o in outputs]
    assert errors[2] < errors[1] < errors[0]
    assert found[2] > found[1] > found[0]
    np.testing.assert_allclose(-found[1:] - 0.01, errors[1:], rtol=0.15)
    assert search.best_params_ == {"output": "blend"}


def test_a_stacker_knows_what_a_blend_has_seen(noisy, clean):
    X, y = noisy[:64, :64], clean[:64, :64]
    members = [("network", one_image("blend")), ("median", JInvariantWrapper(median, radius=2))]
    stacker = SelfSupervisedStacker(members, noise=0.1).fit(X)
    errors = [np.mean((member.transform(X) - y) ** 2) for member in stacker.estimators_]
    assert np.mean((stacker.transform(X) - y) ** 2) < min(errors)
    assert 0.2 < stacker.weights_["network"] < 0.8


@pytest.mark.parametrize("output", ["plain", "average", "blend"])
def test_the_estimated_error_where_pixels_are_missing(output, noisy, clean):
    """The probe goes through the fill: else the error of a plain output comes out as half."""
    gaps = np.random.default_rng(1).random(noisy.shape) < 0.6
    X = np.where(gaps, np.nan, noisy)
    denoiser = one_image(output, max_epochs=4).fit(X)
    found, divergence = denoiser.output_and_divergence(X, NoiseModel(0.1))
    np.testing.assert_allclose(found, denoiser.transform(X), rtol=1e-12)
    estimate = np.mean(((found - X) ** 2 + divergence)[~gaps]) - 0.01
    assert estimate == pytest.approx(np.mean((found - clean)[~gaps] ** 2), rel=0.15)


def test_a_score_of_outputs_leaves_the_checkpoint_alone(noisy, tmp_path):
    path = tmp_path / "training.safetensors"
    denoiser = one_image("plain", checkpoint=path)
    SelfSupervisedSearchCV(denoiser, {"lr": [1e-3, 1e-2]}, scoring="sure", refit=False).fit(
        noisy[:24, :24]
    )
    assert not path.exists()


def test_the_level_of_a_stack_is_that_of_its_images(rng):
    """Images that have nothing to do with each other are not neighbours."""
    stack = 100 * np.arange(30)[:, np.newaxis, np.newaxis] % 700 + rng.normal(size=(30, 24, 20))
    search = SelfSupervisedSearchCV(tiny(max_epochs=1), {"lr": [1e-3]}, scoring="sure")
    with pytest.warns(UserWarning, match="No candidate is better than the noisy data"):
        search.fit(stack)
    assert search.noise_.level == pytest.approx(1, rel=0.1)


def test_pipelines(stack):
    counts = np.random.default_rng(0).poisson(30 * np.clip(stack, 0, None)).astype(float)
    pipeline = make_pipeline(GeneralizedAnscombe(), tiny(BabyUnet, module__width=4, max_epochs=2))
    expected = GeneralizedAnscombe().fit_transform(counts)
    found = pipeline.fit_transform(counts)
    assert np.mean((found - expected) ** 2) < np.var(expected)
    pipeline.set_params(networkdenoiser=tiny())
    search = SelfSupervisedSearchCV(
        pipeline, {"networkdenoiser__module__width": [3, 5]}, n_splits=1
    ).fit(counts)
    assert search.best_params_["networkdenoiser__module__width"] in (3, 5)


def test_halving_races_on_all_of_the_data(stack):
    search = SelfSupervisedHalvingSearchCV(tiny(), {"lr": [1e-6, 4e-2]}).fit(stack)
    assert search.best_params_ == {"lr": 4e-2}


def test_parameters(stack):
    denoiser = NetworkDenoiser(Unet, module__width=4, optimizer__weight_decay=0.1)
    assert denoiser.get_params()["module__width"] == 4
    copy = clone(denoiser).set_params(module__depth=2, masker__width=3)
    assert copy.params == {"module__width": 4, "module__depth": 2, "optimizer__weight_decay": 0.1}
    assert len(copy.masker) == 9
    copy.set_params(module=BabyUnet)
    assert copy.params == {"optimizer__weight_decay": 0.1}
    assert "module__width=4" in repr(denoiser)
    with pytest.raises(ValueError, match="Invalid parameter 'widht'"):
        copy.set_params(widht=3)
    with pytest.raises(TypeError, match="has no parameter 'widht'"):
        NetworkDenoiser(Unet, widht=3).fit(stack)
    copy.set_params(module=Unet, module__width=2).set_params(masker=None, masker__width=3)
    assert copy.masker.get_params() == Masker(3, "interpolate").get_params()
    stepped = tiny(optimizer=torch.optim.SGD, optimizer__momentum=0.9, lr=1e-3).fit(stack)
    assert stepped.net_.optimizer_.param_groups[0]["momentum"] == 0.9


# Bad input ------------------------------------------------------------------------------------


class Pair(SingleConvolution):
    def forward(self, X):
        return X, X


class Nothing(SingleConvolution):
    def forward(self, X):
        return None


class Detached(SingleConvolution):
    def forward(self, X):
        return super().forward(X).detach()


class Shrinks(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(1, 1, 3)

    def forward(self, X):
        return self.convolution(X)


@pytest.mark.parametrize(
    "parameters, match",
    [
        ({"module": Shrinks}, r"Shrinks returned shape .* a network must keep the sides"),
        ({"module": BabyUnet, "module__out_channels": 2}, "as many channels as the data have, 1"),
        ({"module": BabyUnet, "module__widht": 2}, "widht"),
        ({"module": BabyUnet(), "module__width": 2}, "goes with a class"),
        ({"module": 3}, "module=3 must be a torch.nn.Module"),
        ({"module": dict}, "module=.* made a dict"),
        (
            {"module": Unet, "module__depth": 6, "module__growth": 1},
            "Unet needs images of at least 33 pixels a side",
        ),
        ({"masker": Masker(21)}, "width=21 is larger than a side of the images"),
        ({"masker": "grid"}, "The 'masker' parameter"),
        ({"patch_size": 21}, "patch_size=21 is larger than a side"),
        ({"validation_masks": 9}, "validation_masks=9 leaves none of the 9 masks"),
        ({"device": "cuda:77"}, "device='cuda:77' is not there"),
        ({"device": "abacus"}, "device='abacus' is not there"),
        ({"lr": 1e12, "ema_decay": None, "optimizer": torch.optim.SGD}, "the training diverged"),
        ({"lr": 0}, "The 'lr' parameter"),
        ({"output": "single"}, "The 'output' parameter"),
        ({"noise": -1, "output": "blend"}, "noise=.*-1.* must be finite and not negative"),
        ({"early_stopping": 2, "validation_masks": 0}, "early_stopping=2 needs a validation loss"),
        ({"optimizer__lr": 0.1}, "set lr instead"),
        ({"callbacks": [3]}, "callbacks holds 3, which is no callback"),
        ({"callbacks": [LRScheduler("StepLR", step_size=1)]}, 'give lr_schedule="constant"'),
        ({"patch_size": 2}, "patch_size=2 is too small for the masks"),
        ({"module": torch.nn.Identity}, "Identity has no weights that can be trained"),
        ({"module": Pair}, "Pair returned a tuple: it must return one tensor"),
        ({"module": Nothing}, "Nothing returned None: it must return one tensor"),
        ({"module": Detached}, "Detached returned an answer without gradients"),
        ({"module": BabyUnet, "module__in_channels": 2}, r"BabyUnet failed on .* \(4, 1, 24, 20\)"),
        ({"module": SingleConvolution().double()}, "SingleConvolution failed on an input"),
        ({"masker": Masker(partition=RandomPartition(4))}, "would draw other masks at each call"),
        ({"channel_axis": 3}, "channel_axis=3 is not an axis"),
    ],
)
def test_bad_parameters(parameters, match, stack):
    denoiser = tiny(**parameters)
    with pytest.raises((TypeError, ValueError), match=match):
        denoiser.fit(stack)
    assert not [name for name in vars(denoiser) if name.endswith("_")]


@pytest.mark.parametrize(
    "X, match",
    [
        (np.full((8, 8), np.nan), "nothing but NaN"),
        (np.full((8, 8), np.inf), "infinity"),
        (np.zeros(8), "neither an image nor a stack"),
        (np.zeros((2, 2, 2, 8, 8)), "neither an image nor a stack"),
        (np.zeros((1, 1)), "a single line is none"),
        (np.zeros((3, 1, 8)), "larger than a side"),
        (da.zeros((8, 8)), "X is a dask array"),
    ],
)
def test_bad_data(X, match):
    with pytest.raises((TypeError, ValueError), match=match):
        tiny().fit(X)


def test_an_image_that_is_halved_to_nothing():
    with pytest.raises(ValueError, match=r"BabyUnet failed on an input of shape \(1, 1, 4, 4\)"):
        tiny(BabyUnet).fit(np.random.default_rng(0).normal(size=(4, 4)))


def test_what_a_network_did_wrong_is_said_once(stack, unet):
    with pytest.raises(ValueError, match="^The network Unet failed .*: Unet needs images"):
        clone_of(unet, output="plain").transform(stack[:, :1, :1])


class KeepsGradients(SingleConvolution):
    def forward(self, X):
        with torch.enable_grad():
            return super().forward(X)


def test_a_network_that_keeps_gradients(stack, convolution):
    """What it turns on again by itself is of no use to those who want numbers."""
    denoiser = tiny(KeepsGradients).fit(stack)
    for output in ("invariant", "plain"):
        np.testing.assert_array_equal(
            denoiser.set_params(output=output).transform(stack),
            clone_of(convolution, output=output).transform(stack),
        )
    assert denoiser.score(stack) == convolution.score(stack)


def test_data_that_do_not_fit_those_of_the_training(stack, convolution):
    denoiser = convolution
    assert denoiser.transform(stack[:2, :9, :9]).shape == (2, 9, 9)
    with pytest.raises(ValueError, match="X has 2 axes, but NetworkDenoiser was fitted to data"):
        denoiser.transform(stack[0])
    with pytest.raises(ValueError, match="fit reads from the data: fit again"):
        clone_of(denoiser, output="blend").transform(stack)
    with pytest.raises(ValueError, match="include_mask_as_input of the masker has changed"):
        clone_of(denoiser, masker__include_mask_as_input=True).partial_fit(stack)
    four = tiny().fit(stack[:, np.newaxis])
    with pytest.raises(ValueError, match="X has 2 channels, but NetworkDenoiser was fitted"):
        four.transform(np.stack([stack, stack], axis=1))
    with pytest.raises(ValueError, match="y must be the clean data"):
        denoiser.score(stack, stack[0])


def test_constant_data():
    np.testing.assert_allclose(tiny(max_epochs=20).fit_transform(np.full((9, 9), 7.0)), 7, atol=0.1)


@pytest.mark.parametrize("name", ["torch", "skorch", "safetensors"])
def test_what_is_missing_is_named(name, monkeypatch):
    for module in [m for m in sys.modules if m.startswith("sk_n2s.nn")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf'sk_n2s.nn needs {name}.*pip install "sk_n2s\[nn\]"'):
        importlib.import_module("sk_n2s.nn")
