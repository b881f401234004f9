"""A network as an estimator: trained on the noisy data alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from numbers import Integral, Real
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
import torch
from joblib import hash as digest
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data
from skorch.callbacks import Callback, EarlyStopping, LRScheduler

from .._utils.arrays import has_nan
from .._utils.base import BaseDenoiser
from ..losses import true_score
from ..noise.model import check_noise
from ..risk.blending import blend
from ..risk.noise_level import noise_of
from ._layout import Layout
from ._parameters import PrefixedParameters
from ._preparing import (
    as_array,
    as_tensor,
    check_device,
    check_patch,
    check_trainable,
    measured_masks,
    new_module,
    withheld_masks,
)
from ._saving import SavedNetwork
from ._searching import SearchedNetwork
from .checkpoint import Checkpoint
from .masking import Masker
from .networks import BabyUnet
from .training import (
    BestState,
    CosineRate,
    MaskedNet,
    TrainingBatches,
    ValidationWindows,
    ask,
    train,
)

__all__ = ["NetworkDenoiser"]

_lock = RLock()

#: The masker, if none is given.
_WIDTH = 4

#: How many pixels are denoised at a time.
_PIXELS = 2**20

#: Parameters with which a training may go on that began with others.
_NOT_OF_THE_TRAINING = (
    "callbacks",
    "checkpoint",
    "device",
    "output",
    "max_epochs",
    "noise",
    "random_state",
    "self_ensemble",
    "verbose",
    "warm_start",
)


class NetworkDenoiser(  # type: ignore[call-arg]
    SearchedNetwork,
    SavedNetwork,
    PrefixedParameters,
    BaseDenoiser,
):
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
        module=BabyUnet,
        *,
        masker=None,
        max_epochs=50,
        batch_size=16,
        lr=1e-3,
        lr_schedule="cosine",
        optimizer=torch.optim.Adam,
        ema_decay=0.99,
        patch_size="auto",
        steps_per_epoch=None,
        validation_masks=1,
        early_stopping=None,
        output="invariant",
        self_ensemble=False,
        noise=None,
        channel_axis=None,
        standardize=True,
        device="auto",
        mixed_precision="auto",
        warm_start=False,
        checkpoint=None,
        callbacks=None,
        random_state=None,
        verbose=False,
        **params,
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

    def set_params(self, **params):  # noqa: D102
        inner = any(name.startswith("masker__") for name in params)
        if inner and params.get("masker", self.masker) is None:
            params["masker"] = Masker(_WIDTH, "interpolate")
        return super().set_params(**params)

    # Training --------------------------------------------------------------------------

    def fit(self, X, y=None):
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
        return self._fit(X, self.max_epochs, go_on=self.warm_start and hasattr(self, "module_"))

    def partial_fit(self, X, y=None):
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
        return self._fit(X, 1, go_on=hasattr(self, "module_"), partly=True)

    def _fit(self, X, epochs, go_on, partly=False):
        self._validate_params()
        self._check_params()
        array = as_array(X)
        _check_lines(array)
        layout = Layout.of(array.shape, self.channel_axis)
        batch = layout.to_batch(array)
        if go_on:
            self._check_channels(batch.shape[1])
            if self._masker().include_mask_as_input != self.masker_.include_mask_as_input:
                raise ValueError(
                    "include_mask_as_input of the masker has changed, and with it the input of the "
                    "network: fit it anew, with warm_start=False."
                )
        learnt: dict[str, Any] = {"n_channels_": batch.shape[1], "n_axes_": array.ndim}
        if self.output == "blend":
            learnt["noise_"] = noise_of(self.noise, array, *layout)
        masker, device = self._masker(), check_device(self.device)
        offset, scale = (self.offset_, self.scale_) if go_on else self._standard(array)
        images = as_tensor(batch, offset, scale, device)
        known = ~torch.isnan(images)
        masks = withheld_masks(masker, known, self.validation_masks)
        learnt |= {"offset_": offset, "scale_": scale, "validation_masks_": masks}
        learnt["masker_"] = clone(masker)
        if go_on:
            rng = deepcopy(self._rng)
        else:
            rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31))
        best = BestState().initialize()
        with _seeded(rng, device):
            batches, validation = self._batches(images, known, masker, masks, rng)
            callbacks: list[Callback] = [best]
            if self.lr_schedule == "cosine" and not partly:
                callbacks.append(CosineRate(epochs * len(batches)))
            if self.early_stopping is not None:
                stopping = {"patience": self.early_stopping, "threshold": 0, "sink": _say_nothing}
                callbacks.append(EarlyStopping(**stopping))
            net = self._net(batch.shape[1], masker, device, go_on)
            net.has_gaps = has_nan(array)
            checkpoint = None
            if self.checkpoint is not None and not go_on and not partly:

                def describe(net):
                    return self._facts(net.module_, learnt | self._course(net, best, scale))

                describe(net)  # what cannot be stored says so now
                identity = digest([array, self._identity()])
                checkpoint = Checkpoint(self.checkpoint, describe, identity, batches, best)
            last = [] if checkpoint is None else [checkpoint]
            net.callbacks = [*callbacks, *(self.callbacks or ()), *last]
            net.initialize_callbacks()
            done = checkpoint.resume(net) if checkpoint is not None else 0
            train(net, batches, validation, epochs, done)
        best.restore(net)
        net.callbacks_ = [(n, cb) for n, cb in net.callbacks_ if cb not in [*callbacks, *last]]
        net.callbacks = None
        # Nothing was kept up to here, so that a fit that fails leaves nothing behind.
        for name in ("n_features_in_", "feature_names_in_", "noise_"):
            self.__dict__.pop(name, None)  # of an earlier fit
        if array.ndim == 2:
            validate_data(self, X, reset=True, skip_check_array=True)
        for name, value in {**learnt, **self._course(net, best, scale)}.items():
            setattr(self, name, value)
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

    @staticmethod
    def _course(net, best, scale) -> dict:
        """Return the fitted attributes that tell of the course of the training."""
        unit = _squared(scale)
        return {
            "loss_curve_": [float(row["train_loss"]) * unit for row in net.history],
            "validation_curve_": [
                float(row.get("valid_loss", np.nan)) * unit for row in net.history
            ],
            "n_iter_": len(net.history),
            "best_epoch_": best.epoch_,
        }

    def _masker(self) -> Masker:
        return Masker(_WIDTH, "interpolate") if self.masker is None else self.masker

    @property
    def _trained_on(self) -> torch.device:
        """Where the trained network is."""
        return next(self.module_.parameters()).device

    def _mixed(self, device: torch.device) -> bool:
        if self.mixed_precision == "auto":
            return device.type == "cuda" and torch.cuda.is_bf16_supported()
        return bool(self.mixed_precision)

    def _standard(self, array) -> tuple[float, float]:
        """Return what is subtracted from the data, and what they are divided by."""
        if not self.standardize:
            return 0.0, 1.0
        size = float(np.nanmax(np.abs(array)))  # whose square need not be a number
        if size == 0:
            return 0.0, 1.0
        array = array / size
        offset = float(np.nanmean(array, dtype=np.float64))
        scale = float(np.nanstd(array, dtype=np.float64))
        return offset * size, scale * size if scale > 0 else 1.0

    def _batches(self, images, known, masker, masks, rng):
        """Return what is trained on, and what is validated on."""
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

    def _net(self, n_channels, masker, device, go_on) -> MaskedNet:
        """Return the network, ready to be trained; one that goes on keeps its optimizer."""
        settings = {
            "optimizer": self.optimizer,
            "ema_decay": self.ema_decay,
            "device": str(device),
            "mixed_precision": self._mixed(device),
            **{f"optimizer__{n}": v for n, v in self._params_of("optimizer").items()},
        }
        trained = getattr(self, "net_", None) if go_on else None
        if trained is not None and all(
            getattr(trained, name, None) == value for name, value in settings.items()
        ):
            net = deepcopy(trained)
            for group in net.optimizer_.param_groups:
                group["lr"] = group.pop("initial_lr", group["lr"]) * self.lr / trained.lr
            net.masker, net.lr, net.verbose = masker, self.lr, int(self.verbose)
            return net
        if go_on:
            module = deepcopy(self.module_)
        else:
            module = new_module(self.module, self._params_of("module"), n_channels, masker)
        check_trainable(module)
        return MaskedNet(
            module, masker=masker, lr=self.lr, verbose=int(self.verbose), **settings
        ).initialize()

    def _identity(self) -> list:
        """Return the parameters that decide about the training."""
        params = self.get_params(deep=False)
        for name in _NOT_OF_THE_TRAINING:
            del params[name]
        if isinstance(self.module, torch.nn.Module):
            state = self.module.state_dict().items()
            params["weights"] = [(name, weights.cpu().numpy()) for name, weights in state]
            params["module"] = type(self.module)
        for name in ("module", "optimizer"):
            kind = params[name]
            params[name] = f"{kind.__module__}.{getattr(kind, '__qualname__', kind)}"
        params["masker"] = repr(params["masker"])
        return sorted(params.items(), key=lambda item: item[0])

    def _check_channels(self, n_channels) -> None:
        if n_channels != self.n_channels_:
            raise ValueError(
                f"X has {n_channels} channels, but NetworkDenoiser was fitted to data with "
                f"{self.n_channels_}. Reshape your data, or fit again."
            )

    # Denoising -------------------------------------------------------------------------

    def transform(self, X):
        """Denoise.

        Parameters
        ----------
        X : array-like
            Noisy images, with as many axes and channels as those given to `fit`, and any sides.

        Returns
        -------
        ndarray of the shape of `X`
            The denoised images, as floats on the scale of `X`.

        Raises
        ------
        TypeError, ValueError
            If `X` is not valid.
        """
        return self._denoise(self._checked(X))

    def _denoise(self, array: np.ndarray) -> np.ndarray:
        noise = None
        if self.output == "blend":
            if not hasattr(self, "noise_"):
                raise ValueError(
                    'output="blend" needs the noise, which fit reads from the data: fit again, or '
                    "set noise_."
                )
            noise = check_noise(self.noise_, array)
        return self._output(array, noise)

    def predict(self, X):
        """Denoise: the same as `transform`.

        Parameters
        ----------
        X : array-like
            The noisy images.

        Returns
        -------
        ndarray of the shape of `X`
            The denoised images.
        """
        return self.transform(X)

    def _checked(self, X) -> np.ndarray:
        check_is_fitted(self, "module_")
        array = as_array(X)
        if array.ndim != self.n_axes_:
            raise ValueError(
                f"X has {array.ndim} axes, but NetworkDenoiser was fitted to data with "
                f"{self.n_axes_}. Reshape your data, or fit again."
            )
        layout = Layout.of(array.shape, self.channel_axis)
        self._check_channels(layout.to_batch(array).shape[1])
        return array

    def _output(self, array, noise) -> np.ndarray:
        if self.output == "blend":
            return self._blend(array, noise).output
        if self.output == "average":
            return (self._ask(array, True) + self._ask(array, False)) / 2
        return self._ask(array, self.output == "invariant")

    def _blend(self, array, noise):
        layout = Layout.of(array.shape, self.channel_axis)
        return blend(array, self._ask(array, True), noise, *layout)

    def _ask(self, array, invariant: bool) -> np.ndarray:
        """Return the network's answer, on the scale of the data."""
        layout = Layout.of(array.shape, self.channel_axis)
        batch = layout.to_batch(array)
        answer = np.empty(batch.shape, array.dtype)
        device = self._trained_on
        masker = clone(self.masker_).set_params(infer_single_pass=not invariant)
        size = max(1, _PIXELS // (batch.shape[2] * batch.shape[3]))
        turns = range(8 if self.self_ensemble else 1)

        def model(shown):
            return ask(self.module_, shown, turns, self._mixed(device))

        for start in range(0, len(batch), size):
            part = slice(start, start + size)
            images = as_tensor(batch[part], self.offset_, self.scale_, device)
            with torch.no_grad():
                found = masker.infer_full_image(images, model)
            answer[part] = found.cpu().numpy()
        if not np.isfinite(answer).all():
            raise ValueError(
                f"{type(self.module_).__name__} returned NaN or an infinity: fit it again, with a "
                "smaller lr."
            )
        answer *= self.scale_
        answer += self.offset_
        return layout.from_batch(answer)

    def score(self, X, y=None):
        """Return minus the held-out self-supervised loss, or minus the true error.

        Parameters
        ----------
        X : array-like
            The noisy images.
        y : array-like of the same shape, default=None
            The clean images, if they are known.

        Returns
        -------
        float
            Without `y`, minus the mean squared difference between `X` and the J-invariant
            prediction, over those pixels that are withheld from the training if `X` is what
            the network was trained on (all masks, if ``validation_masks=0``): an estimate of
            minus (true error + variance of the noise). With `y`, minus the mean squared error
            of `transform`.

        Raises
        ------
        ValueError
            If `y` does not have the shape of `X`.
        """
        array = self._checked(X)
        if y is not None:
            return true_score(y, array, self._denoise)
        masker = self.masker_
        device = self._trained_on
        layout = Layout.of(array.shape, self.channel_axis)
        images = as_tensor(layout.to_batch(array), self.offset_, self.scale_, device)
        masks = self.validation_masks_ or range(len(masker))
        total, count = 0.0, 0
        for batch in ValidationWindows(images, masker, masks, self.batch_size):
            shown, index = masker.hide(batch.images, batch.mask)
            with torch.no_grad():
                answer = ask(self.module_, shown, mixed=self._mixed(device))
            asked = batch.counts[index]
            difference = (answer[index] - batch.images[index])[asked].double()
            total += float(difference.square().sum())
            count += difference.numel()
        if not count:
            raise ValueError("None of the pixels of X that are scored was measured, only NaN.")
        return -total / count * _squared(self.scale_)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.non_deterministic = self.random_state is None
        return tags


def _check_lines(array) -> None:
    """Refuse an image of a single line."""
    if array.ndim == 2 and 1 in array.shape:
        what = "n_samples = 1" if array.shape[0] == 1 else "n_features = 1"
        raise ValueError(
            f"X of shape {array.shape} has {what}: a network denoises images, and a single line is "
            "none. JInvariantWrapper denoises signals."
        )


@contextmanager
def _seeded(rng: np.random.Generator, device: torch.device) -> Iterator[None]:
    """Make torch's random numbers those of a generator, and give it its own back."""
    devices = [device] if device.type == "cuda" else []
    # They are those of the whole process: trainings in threads wait for each other.
    with _lock, torch.random.fork_rng(devices=devices):
        torch.manual_seed(int(rng.integers(2**31)))
        yield


def _squared(scale: float) -> float:
    """Return the unit of a loss, which may be beyond what numbers can be."""
    return float(scale) * float(scale)


def _say_nothing(text: str) -> None:
    """Take skorch's words on early stopping."""
