"""Networks trained on noisy images alone: digits, a single image, and which network is best.

`--mnist DIR` takes the 10,000 test images of MNIST in their IDX files instead of the small digits
of scikit-learn; `--full` trains for longer. BM3D, where that package is installed, is told the
level of the noise, which the networks are not.
"""

import gzip  # noqa: I001
import time
from pathlib import Path

import numpy as np

from ._common import arguments, psnr, table

import torch
import torch.nn.functional as F
from skimage import data
from skorch.callbacks import Callback
from sklearn.datasets import load_digits

from sk_n2s.nn import BabyUnet, DnCNN, Masker, NetworkDenoiser, SingleConvolution, Unet
from sk_n2s.nn._batches import TrainingBatches

torch.set_num_threads(1)
KINDS = ("plain", "invariant", "average", "blend")


def outputs(denoiser, noisy, kinds=KINDS):
    """Return the outputs of each kind, with the estimated noise."""
    found = {}
    before = denoiser.output
    for kind in kinds:
        denoiser.output = kind
        found[kind] = denoiser.transform(noisy)
    denoiser.output = before
    return found


def figure(path, name, panels):
    """Draw images side by side."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(3 * len(panels), 3.2), layout="constrained")
    for axes, (title, image) in zip(drawn.subplots(1, len(panels)), panels.items(), strict=True):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        axes.set_title(title, fontsize=9)
        axes.axis("off")
    drawn.savefig(path / f"networks_{name}.png", dpi=90)


# Digits ---------------------------------------------------------------------------------------


def digits(folder):
    """Return clean digits on a scale of 0 to 1, to train on and to test on."""
    if folder is None:
        images = load_digits().images / 16
        return images[:1500], images[1500:]
    path = next(iter(sorted(folder.glob("*images-idx3-ubyte*"))))
    content = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()
    n_items, height, width = np.frombuffer(content[4:16], ">i4")
    images = np.frombuffer(content[16:], np.uint8).reshape(n_items, height, width) / 255
    return images[:9000], images[9000:10000]


def experiment_digits(args):
    train, test = digits(args.mnist)
    rng = np.random.default_rng(0)
    noisy_train = train + rng.normal(scale=0.4, size=train.shape)
    noisy_test = test + rng.normal(scale=0.4, size=test.shape)
    rows = [["noisy", "", psnr(noisy_test, test), ""]]
    for seed in range(2 if args.full else 1):
        denoiser = NetworkDenoiser(
            BabyUnet,
            masker=Masker(4, "interpolate"),
            batch_size=32,
            max_epochs=2,
            steps_per_epoch=250,
            output="blend",
            random_state=seed,
        )
        start = time.process_time()
        denoiser.fit(noisy_train)
        seconds = time.process_time() - start
        found = outputs(denoiser, noisy_test)
        for kind, output in found.items():
            rows.append([f"BabyUnet, 500 steps: {kind}", seed, psnr(output, test), seconds])
    table(["digits", "seed", "PSNR", "CPU s"], rows)
    masked, without, bare = step_times(train)
    print(
        f"a step: {1000 * masked:.1f} CPU-ms, {masked / without:.3f} of one without masks in the "
    )
    print(f"same training, {masked / bare:.3f} of one in a bare loop over PyTorch")
    if args.figure:
        shown = {"clean": test, "noisy": noisy_test, **found}
        panels = {name: np.hstack([*images[:4]]) for name, images in shown.items()}
        figure(args.figure, "digits", panels)


class NothingHidden(Masker):
    """Shows the whole image, and asks for all of it."""

    def hide(self, X, i, *, has_gaps=None):
        return X, (slice(None),) * 4


def step_times(images, n_rounds=40):
    """Return the CPU seconds of a step of the same network, with and without masks.

    All in turn, on the same batches: the training as it is, the same with nothing hidden and
    everything asked for, and the shortest loop that does the latter.
    """
    images = images[:64]
    denoiser = NetworkDenoiser(
        BabyUnet, batch_size=32, max_epochs=1, steps_per_epoch=16, ema_decay=None, random_state=0
    ).fit(images)
    net = denoiser.net_
    net.has_gaps = False
    batches = TrainingBatches(
        torch.from_numpy(np.ascontiguousarray(images[:, None], np.float32)),
        torch.ones((64, 1, *images.shape[1:]), dtype=torch.bool),
        masks=range(16),
        batch_size=32,
        patch_size=None,
        steps=4,
        rng=np.random.default_rng(0),
    )
    module, optimizer = net.module_, net.optimizer_

    def bare():
        for batch in batches:
            optimizer.zero_grad()
            shown = batch.images.contiguous(memory_format=torch.channels_last)
            loss = F.mse_loss(module(shown), batch.images)
            loss.backward()
            optimizer.step()
            loss.item()

    def train_with(masker):
        net.masker = masker
        net.run_single_epoch(batches, training=True, prefix="train", step_fn=net.train_step)

    masks = Masker(4, "interpolate")
    runs = [lambda: train_with(masks), lambda: train_with(NothingHidden()), bare]
    times = [[] for _ in runs]
    net.history.new_epoch()
    for _ in range(n_rounds):
        for run, seen in zip(runs, times, strict=True):
            start = time.process_time()
            run()
            seen.append((time.process_time() - start) / len(batches))
    return tuple(float(np.median(seen)) for seen in times)


# A single image -------------------------------------------------------------------------------


class Curve(Callback):
    """Looks at the outputs in the course of the training; the time that takes is not counted."""

    def __init__(self, denoiser, noisy, clean, seconds):
        self.denoiser = denoiser
        self.noisy = noisy
        self.clean = clean
        self.seconds = list(seconds)

    def on_train_begin(self, net, **kwargs):
        self.begin, self.rows = time.process_time(), []

    def on_epoch_end(self, net, **kwargs):
        passed = time.process_time() - self.begin
        if self.seconds and passed >= self.seconds[0]:
            self.seconds.pop(0)
            training = net.module_.training
            self.denoiser.module_ = net.answering_module.eval()
            loss = net.history[-1, "valid_loss"] * self.denoiser.scale_**2
            self.look(len(net.history), passed, loss)
            net.module_.train(training)
            self.begin += time.process_time() - self.begin - passed

    def look(self, epoch, seconds, loss):
        found = outputs(self.denoiser, self.noisy)
        self.rows.append([epoch, seconds, loss, *(psnr(found[k], self.clean) for k in KINDS)])


def single_shot(name, noisy, clean, seconds, module, mixed=False):
    """Train on one image for some CPU seconds; return the rows of the table, and the denoiser."""
    options = {"output": "blend", "random_state": 0, "mixed_precision": mixed}
    # Two epochs tell how many there can be, which the course of the learning rate depends on,
    # and give the curve what outputs are made with.
    start = time.process_time()
    probe = NetworkDenoiser(module, max_epochs=2, **options).fit(noisy)
    epochs = max(2, int(seconds[-1] / ((time.process_time() - start) / 2)))
    curve = Curve(probe, noisy, clean, seconds[:-1])
    denoiser = NetworkDenoiser(module, max_epochs=epochs, callbacks=[curve], **options).fit(noisy)
    passed = time.process_time() - curve.begin
    curve.denoiser = denoiser
    curve.look(epochs, passed, min(denoiser.validation_curve_))
    return [[name, *row] for row in curve.rows], denoiser


def experiment_single_shot(args):
    clean = data.camera() / 255
    noisy = clean + np.random.default_rng(0).normal(scale=0.1, size=clean.shape)
    seconds = [20, 40, 75, 150, 300, 600] if args.full else [10, 20, 40, 75]
    networks = {
        "Unet": Unet(width=32, depth=3, growth=1),
        "Unet, residual": Unet(width=32, depth=3, growth=1, residual=True),
    }
    rows = []
    for name, module in networks.items():
        found, denoiser = single_shot(name, noisy, clean, seconds, module, args.bfloat16)
        start = time.process_time()
        denoiser.set_params(output="blend", self_ensemble=True)
        eight = psnr(denoiser.transform(noisy), clean)
        passed = found[-1][2] + time.process_time() - start
        found.append([f"{name}, eight positions", found[-1][1], passed, "", "", "", "", eight])
        rows += found
        denoiser.set_params(self_ensemble=False)
        if args.figure:
            shown = outputs(denoiser, noisy)
            panels = {"clean": clean, "noisy": noisy, **shown}
            part = {k: v[80:240, 180:340] for k, v in panels.items()}
            figure(args.figure, f"single_shot_{name.partition(', ')[2] or 'plain'}", part)
    try:
        from bm3d import bm3d

        start = time.process_time()
        told = psnr(bm3d(noisy, 0.1), clean)
        passed = time.process_time() - start
        rows.append(["BM3D, told the level", "", passed, "", "", "", "", told])
    except ImportError:
        pass
    rows.insert(0, ["noisy", "", "", "", psnr(noisy, clean), "", "", ""])
    table(["one image", "epoch", "CPU s", "held-out loss", *KINDS], rows)


# Which network --------------------------------------------------------------------------------


def experiment_architectures(args):
    clean = data.camera()[64:320, 96:352] / 255
    noisy = clean + np.random.default_rng(0).normal(scale=0.1, size=clean.shape)
    networks = {
        "convolution": SingleConvolution(width=7),
        "BabyUnet": BabyUnet(),
        "Unet": Unet(width=16, depth=3),
        "DnCNN": DnCNN(width=24, depth=8),
    }
    epochs = 150 if args.full else 40
    rows = []
    for name, module in networks.items():
        denoiser = NetworkDenoiser(
            module, max_epochs=epochs, batch_size=8, validation_masks=2, random_state=0
        )
        start = time.process_time()
        denoiser.fit(noisy)
        seconds = time.process_time() - start
        found = outputs(denoiser, noisy, ("plain", "invariant"))
        quality = [float(psnr(output, clean)) for output in found.values()]
        size = sum(weights.numel() for weights in denoiser.module_.parameters())
        rows.append([name, size, seconds, -denoiser.score(noisy), quality[1], quality[0]])
        if args.figure:
            panels = {"clean": clean, "noisy": noisy, **found}
            figure(args.figure, f"architectures_{name}", panels)
    table(["network", "weights", "CPU s", "held-out loss", "invariant", "plain"], rows)
    by_loss = [row[0] for row in sorted(rows, key=lambda row: row[3])]
    by_truth = [row[0] for row in sorted(rows, key=lambda row: -row[4])]
    print(f"best first, by the loss: {', '.join(by_loss)}; by the truth: {', '.join(by_truth)}")


EXPERIMENTS = {
    "digits": experiment_digits,
    "single_shot": experiment_single_shot,
    "architectures": experiment_architectures,
}


def main():
    args = arguments(
        __doc__,
        mnist={"type": Path, "help": "the folder of MNIST's IDX files"},
        figure={"type": Path, "help": "a folder for the figures"},
        bfloat16={"action": "store_true", "help": "compute with bfloat16 (a single image)"},
        only={"choices": list(EXPERIMENTS), "help": "one of the three experiments"},
    )
    if args.figure:
        args.figure.mkdir(exist_ok=True)
    for name, experiment in EXPERIMENTS.items():
        if args.only in (None, name):
            experiment(args)
            print()


if __name__ == "__main__":
    main()
