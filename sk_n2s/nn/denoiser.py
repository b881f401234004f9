"""A network as an estimator: trained on the noisy data alone."""

from __future__ import annotations

from copy import deepcopy
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from skorch.callbacks import Callback, EarlyStopping, LRScheduler

from .._utils.arrays import has_nan
from .._utils.callbacks import Task, with_callbacks
from ..risk.noise_level import noise_of
from ._batches import TrainingBatches, ValidationWindows
from ._callbacks import BestState, Checkpoint, CosineRate, identity_of
from ._inference import DEFAULT_MASKER
from ._layout import Layout
from ._net import MaskedNet, train
from ._process import seeded
from ._searching import SearchedNetwork
from ._serialization import SavedNetwork
from ._validation import (
    as_tensor,
    centre_and_scale,
    check_device,
    check_image,
    check_patch,
    check_trainable,
    measured_masks,
    new_module,
    withheld_masks,
)
from .masking import Masker
from .networks import BabyUnet

__all__ = ["NetworkDenoiser"]


class NetworkDenoiser(SearchedNetwork, SavedNetwork):
    """A neural network, trained to denoise on noisy images alone.

    A mask of pixels is hidden, the network predicts them from the others, and learns from
    how far it is from what was measured there; then the next mask is hidden [1]_. There may
    be many images or a single one.

    Parameters
    ----------
    module : Module class or instance, default=BabyUnet
        The network: a class, which is made with the parameters ``module__name`` (and with
        `in_channels` and `out_channels`, if it has such, from the data), or an instance, which
        is copied, and trained on from the weights that it has. It takes tensors of shape
        (n_items, n_channels, height, width), and returns such.
    masker : Masker, default=None
        What hides pixels; None is ``Masker(4, "interpolate")``.
    max_epochs : int, default=50
        For how many epochs it is trained, at most. An epoch shows about as many pixels as
        the data have, and hides each mask at least once.
    batch_size : int, default=16
        How many images, or squares of large images, a step looks at.
    lr : float, default=1e-3
        The learning rate.
    lr_schedule : {"cosine", "constant"}, default="cosine"
        Whether it sinks to 0 in the course of `max_epochs`.
    optimizer : Optimizer class, default=torch.optim.Adam
        The optimizer; its parameters are ``optimizer__name``.
    ema_decay : float or None, default=0.99
        The network that is kept has the average of the weights of the last steps, with
        weights that shrink by this factor from step to step. None keeps the last weights.
    patch_size : int, "auto" or None, default="auto"
        The side of the squares, drawn at random, that large images are shown in; they are
        turned and mirrored at random. None shows whole images, and "auto" does so with
        images of up to 96 pixels a side, and takes squares of 64 otherwise.
    steps_per_epoch : int, default=None
        How many batches make an epoch, if it is not to be left to the data.
    validation_masks : int, default=1
        How many masks are withheld from the training in parts of the data, for the validation
        loss: the state with the smallest one is kept. With 0 it is the last one.
    early_stopping : int or None, default=None
        Stop if the validation loss has not become smaller for this many epochs.
    output : {"invariant", "plain", "average", "blend"}, default="invariant"
        What `transform` returns: at each pixel the network's answer while that pixel was
        hidden, which is what the loss is of; its answer to the whole image, at the price of
        one mask, which is mostly better, but not for networks that predict the noise
        (``residual=True``); the mean of both; or the first with the pixel's own value mixed
        back in where that is worth more (see `JInvariantWrapper`, ``output="blend"``), mostly
        the best for photographs.
    self_ensemble : bool, default=False
        Whether the network is shown the image in its eight positions, turned and mirrored,
        of which the mean is taken: eight times as long, and mostly a little better.
    noise : float, array-like or NoiseModel, default=None
        The noise, for the blend: its standard deviation, a map of that, or a model. None
        estimates it.
    channel_axis : int, default=None
        The axis of channels, which are hidden together. None is the second of four axes.
    standardize : bool, default=True
        Whether the network sees the data with mean 0 and standard deviation 1. What comes
        out is on the scale of the data in any case. A masker's "zero" is then their mean.
    device : str or torch.device, default="auto"
        Where the network is trained and used: "auto" is a GPU by CUDA if there is one.
    mixed_precision : bool or "auto", default="auto"
        Whether the network computes with bfloat16, which is faster on GPUs, and on processors
        that have it. "auto" does so on a GPU that can.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of an earlier fit, with its optimizer if that has
        the same parameters, and on the scale that was found then.
    checkpoint : str or path, default=None
        A file that is written after each epoch, with all that is needed to go on. If it is
        there when `fit` is called, and comes from the same data and parameters, training
        goes on from it, and ends as if it had not been interrupted.
    callbacks : list of skorch callbacks, default=None
        They are called by skorch's training loop.
    random_state : int, RandomState instance or None, default=None
        Decides on the first weights and the batches: with an int, training on a CPU is
        repeatable.
    verbose : bool, default=False
        Whether skorch prints a line for each epoch.
    **params : dict
        Parameters ``module__name`` and ``optimizer__name``.

    Attributes
    ----------
    module_ : Module
        The trained network. It sees the data less `offset_`, divided by `scale_`.
    net_ : skorch.NeuralNet
        What trained it, with its `history`.
    loss_curve_, validation_curve_ : list of float
        The self-supervised loss of each epoch in the squared unit of the data: of the batches
        of the training, and of what was withheld. The latter is about the squared error plus
        the variance of the noise.
    best_epoch_ : int
        The epoch whose state was kept, counted from 1.
    n_iter_ : int
        The number of epochs.
    masker_ : Masker
        What hides pixels from the trained network.
    validation_masks_ : tuple of int
        The masks that were withheld.
    offset_, scale_ : float
        What is subtracted from the data, and what they are divided by.
    n_channels_ : int
        The number of channels.
    noise_ : NoiseModel
        The noise that the blend rests upon; only with ``output="blend"``.
    n_axes_ : int
        The number of axes of the data.
    n_features_in_ : int
        The length of the second axis of the data, if there are two.

    Notes
    -----
    NaN marks missing pixels: they are not shown to the network, it is not asked for them in
    the training, and `transform` fills them. Data of integers come out as floats on their scale;
    float32 stays float32, and the network computes in float32 (or bfloat16) in any case.

    In a `SelfSupervisedSearchCV`, each candidate is trained once for each of `n_splits` masks,
    with the pixels of that mask missing, and scored on them: with strictly nothing seen of
    what is predicted. ``n_splits=1`` takes one training for each candidate.
    ``scoring="sure"`` compares the outputs: those that are not J-invariant come from one
    training on all of the data, and are scored by Stein's unbiased risk estimate of the
    trained network, which does not count what the training itself learnt of the noise.

    References
    ----------
    .. [1] J. Batson and L. Royer, "Noise2Self: Blind Denoising by Self-Supervision",
       ICML 2019, PMLR 97:524-533. :arxiv:`1901.11365`

    Examples
    --------
    >>> import numpy as np
    >>> from sk_n2s.nn import NetworkDenoiser, SingleConvolution
    >>> clean = np.sin(np.arange(32) / 4) * np.cos(np.arange(32) / 5)[:, np.newaxis]
    >>> noisy = clean + np.random.default_rng(0).normal(scale=0.5, size=clean.shape)
    >>> denoiser = NetworkDenoiser(
    ...     SingleConvolution, module__width=5, max_epochs=40, lr=0.01, random_state=0
    ... )
    >>> denoised = denoiser.fit_transform(noisy)
    >>> bool(np.mean((denoised - clean) ** 2) < 0.3 * np.mean((noisy - clean) ** 2))
    True
    """

    _parameter_constraints: dict = {
        "module": "no_validation",
        "masker": [Masker, None],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "lr_schedule": [StrOptions({"cosine", "constant"})],
        "optimizer": [callable],
        "ema_decay": [Interval(Real, 0, 1, closed="left"), None],
        "patch_size": [Interval(Integral, 2, None, closed="left"), StrOptions({"auto"}), None],
        "steps_per_epoch": [Interval(Integral, 1, None, closed="left"), None],
        "validation_masks": [Interval(Integral, 0, None, closed="left")],
        "early_stopping": [Interval(Integral, 1, None, closed="left"), None],
        "output": [StrOptions({"invariant", "plain", "average", "blend"})],
        "self_ensemble": ["boolean"],
        "noise": "no_validation",  # needs the shape of the data
        "channel_axis": [Integral, None],
        "standardize": ["boolean"],
        "device": [str, torch.device],
        "mixed_precision": ["boolean", StrOptions({"auto"})],
        "warm_start": ["boolean"],
        "checkpoint": [str, Path, None],
        "callbacks": [list, None],
        "random_state": ["random_state"],
        "verbose": ["boolean"],
    }

    def __init__(
        self,
        module: Any = BabyUnet,
        *,
        masker: Masker | None = None,
        max_epochs: int = 50,
        batch_size: int = 16,
        lr: float = 1e-3,
        lr_schedule: str = "cosine",
        optimizer: Any = torch.optim.Adam,
        ema_decay: float | None = 0.99,
        patch_size: int | str | None = "auto",
        steps_per_epoch: int | None = None,
        validation_masks: int = 1,
        early_stopping: int | None = None,
        output: str = "invariant",
        self_ensemble: bool = False,
        noise: Any = None,
        channel_axis: int | None = None,
        standardize: bool = True,
        device: str | torch.device = "auto",
        mixed_precision: bool | str = "auto",
        warm_start: bool = False,
        checkpoint: str | Path | None = None,
        callbacks: list | None = None,
        random_state: Any = None,
        verbose: bool = False,
        **params: Any,
    ):
        super().__init__(params)
        self.module = module
        self.masker = masker
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.optimizer = optimizer
        self.ema_decay = ema_decay
        self.patch_size = patch_size
        self.steps_per_epoch = steps_per_epoch
        self.validation_masks = validation_masks
        self.early_stopping = early_stopping
        self.output = output
        self.self_ensemble = self_ensemble
        self.noise = noise
        self.channel_axis = channel_axis
        self.standardize = standardize
        self.device = device
        self.mixed_precision = mixed_precision
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose

    def set_params(self, **params: Any) -> Self:  # noqa: D102
        inner = any(name.startswith("masker__") for name in params)
        if inner and params.get("masker", self.masker) is None:
            params["masker"] = clone(DEFAULT_MASKER)
        return super().set_params(**params)

    # Training --------------------------------------------------------------------------

    @with_callbacks
    def fit(self, X: Any, y: Any = None) -> Self:
        """Train the network on the noisy data.

        Parameters
        ----------
        X : array-like of shape (height, width), (n_items, height, width) or \
(n_items, n_channels, height, width)
            The noisy images; with `channel_axis`, other orders. NaN marks missing pixels.
        y : object
            Ignored, present for scikit-learn's interface.

        Returns
        -------
        NetworkDenoiser
            The estimator itself.

        Raises
        ------
        TypeError, ValueError
            If the data or a parameter are not valid or do not fit each other, if the network
            changes the shape of an image, or if the training diverges.
        """
        with Task.of_fit(self, 0):
            go_on = self.warm_start and self.__sklearn_is_fitted__()
            return self._fit(X, self.max_epochs, go_on)

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Train for one more epoch, with a constant learning rate; its state is kept.

        Parameters
        ----------
        X : array-like
            Noisy images, as for `fit`: the same, or others with as many channels.
        y : object
            Ignored, present for scikit-learn's interface.

        Returns
        -------
        NetworkDenoiser
            The estimator itself.

        Raises
        ------
        TypeError, ValueError
            As for `fit`.
        """
        return self._fit(X, 1, self.__sklearn_is_fitted__(), partly=True)

    def _fit(self, X: Any, epochs: int, go_on: bool, partly: bool = False) -> Self:
        """Train, from the start or from what was learnt before."""
        self._validate_params()
        self._check_params()
        array = self._as_data(X)
        check_image(array)
        layout = Layout.of(array.shape, self.channel_axis)
        batch = layout.to_batch(array)
        if go_on:
            self._check_unchanged(batch.shape[1])
        learnt: dict[str, Any] = {"n_channels_": batch.shape[1], "n_axes_": array.ndim}
        if self.output == "blend":
            learnt["noise_"] = noise_of(self.noise, array, self.axes(array.ndim))
        device = check_device(self.device)
        if go_on:
            offset, scale, rng = self.offset_, self.scale_, deepcopy(self._rng)
        else:
            offset, scale = centre_and_scale(array) if self.standardize else (0.0, 1.0)
            rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31))
        images = as_tensor(batch, offset, scale, device)
        masks = withheld_masks(self._masker, ~torch.isnan(images), self.validation_masks)
        learnt |= {"offset_": offset, "scale_": scale, "validation_masks_": masks}
        learnt["masker_"] = clone(self._masker)
        best = BestState().initialize()
        with seeded(rng, device):
            batches, validation = self._batches(images, masks, rng)
            net = self._net(batch.shape[1], device, go_on)
            net.has_gaps = has_nan(array)
            steps = None if partly else epochs * len(batches)
            first, last = self._own_callbacks(steps), []
            checkpoint = None
            if self.checkpoint is not None and not go_on and not partly:
                checkpoint = self._checkpoint(self.checkpoint, array, learnt, net, batches, best)
                last = [checkpoint]
            net.callbacks = [best, *first, *(self.callbacks or ()), *last]
            net.initialize_callbacks()
            done = checkpoint.resume(net) if checkpoint is not None else 0
            train(net, batches, validation, epochs, done)
        best.restore(net)
        ours = [best, *first, *last]
        net.callbacks_ = [(name, each) for name, each in net.callbacks_ if each not in ours]
        net.callbacks = None
        # Nothing was kept up to here, so that a fit that fails leaves nothing behind.
        self._remember(X, array)
        self.__dict__.pop("noise_", None)  # of an earlier fit
        self.__dict__.update(learnt | best.course(net, scale))
        self.module_ = deepcopy(net.module_).eval()  # with the best weights
        self.net_ = net
        self._rng = rng
        return self

    def _check_params(self) -> None:
        """Refuse parameters that do not go together."""
        self._check_names()
        if "optimizer__lr" in self.params:
            raise ValueError("optimizer__lr is the learning rate: set lr instead.")
        if self.early_stopping is not None and not self.validation_masks:
            raise ValueError(
                f"early_stopping={self.early_stopping} needs a validation loss, and "
                "validation_masks=0 leaves none: give at least 1."
            )
        for callback in self.callbacks or ():
            if not isinstance(callback[1] if isinstance(callback, tuple) else callback, Callback):
                raise TypeError(f"callbacks holds {callback!r}, which is no callback of skorch's.")
            if isinstance(callback, LRScheduler) and self.lr_schedule == "cosine":
                raise ValueError(
                    'lr_schedule="cosine" sets the learning rate that the LRScheduler in callbacks '
                    'would: give lr_schedule="constant".'
                )

    def _check_unchanged(self, n_channels: int) -> None:
        """Refuse to go on with another input of the network."""
        self._check_channels(n_channels)
        if self._masker.include_mask_as_input != self.masker_.include_mask_as_input:
            raise ValueError(
                "include_mask_as_input of the masker has changed, and with it the input of the "
                "network: fit it anew, with warm_start=False."
            )

    def _batches(
        self, images: torch.Tensor, masks: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[TrainingBatches, ValidationWindows | None]:
        """Return what is trained on, and what is validated on."""
        masker, known = self._masker, ~torch.isnan(images)
        validation = None
        if masks:
            validation = ValidationWindows(images, masker, masks, self.batch_size)
            validation.withhold(known)
        patch_size = check_patch(self.patch_size, tuple(images.shape[2:]), masker)
        batches = TrainingBatches(
            images,
            known,
            masks=range(len(masker)) if patch_size else measured_masks(masker, known),
            batch_size=self.batch_size,
            patch_size=patch_size,
            steps=self.steps_per_epoch,
            rng=rng,
        )
        return batches, validation

    def _own_callbacks(self, steps: int | None) -> list[Callback]:
        """Return the callbacks of a training of so many steps; None if it is a part of one."""
        callbacks: list[Callback] = []
        if self.lr_schedule == "cosine" and steps is not None:
            callbacks.append(CosineRate(steps))
        if self.early_stopping is not None:
            callbacks.append(
                EarlyStopping(patience=self.early_stopping, threshold=0, sink=_say_nothing)
            )
        return callbacks

    def _checkpoint(
        self,
        path: str | Path,
        array: np.ndarray,
        learnt: dict[str, Any],
        net: MaskedNet,
        batches: TrainingBatches,
        best: BestState,
    ) -> Checkpoint:
        """Return what writes the state of the training into a file."""

        def describe(net: MaskedNet) -> dict:
            return self._facts(net.module_, learnt | best.course(net, learnt["scale_"]))

        describe(net)  # what cannot be stored says so now
        identity = identity_of(array, self.get_params(deep=False))
        return Checkpoint(path, describe, identity, batches, best)

    def _net(self, n_channels: int, device: torch.device, go_on: bool) -> MaskedNet:
        """Return the network, ready to be trained; one that goes on keeps its optimizer."""
        masker, verbose = self._masker, int(self.verbose)
        settings = {
            "optimizer": self.optimizer,
            "ema_decay": self.ema_decay,
            "device": str(device),
            "mixed_precision": self._mixed(device),
            **{f"optimizer__{n}": v for n, v in self._params_of("optimizer").items()},
        }
        trained = vars(self).get("net_") if go_on else None  # what was loaded has none
        if trained is not None and settings.items() <= vars(trained).items():
            net = deepcopy(trained)
            for group in net.optimizer_.param_groups:
                group["lr"] = group.pop("initial_lr", group["lr"]) * self.lr / trained.lr
            net.masker, net.lr, net.verbose = masker, self.lr, verbose
            return net
        if go_on:
            module = deepcopy(self.module_)
        else:
            module = new_module(self.module, self._params_of("module"), n_channels, masker)
        check_trainable(module)
        return MaskedNet(
            module, masker=masker, lr=self.lr, verbose=verbose, **settings
        ).initialize()

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.non_deterministic = self.random_state is None
        return tags


def _say_nothing(text: str) -> None:
    """Take skorch's words on early stopping."""
