"""A trained network as a denoiser: its outputs, their divergence, and its score."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import clone

from .._utils.base import Axes
from ..losses import true_score
from ..noise.model import NoiseModel, check_noise
from ..risk.blending import Blend, blend
from ..risk.sure import divergence_of, probed_divergence
from ._batches import ValidationWindows
from ._layout import Layout
from ._net import ask
from ._parameters import PrefixedParameters
from ._process import one_torch_thread
from ._validation import as_tensor
from .masking import Masker

__all__ = ["DEFAULT_MASKER", "TrainedNetwork"]

#: What hides pixels, if no masker is given.
DEFAULT_MASKER = Masker(4, "interpolate")

#: How many pixels are denoised at a time.
_PIXELS = 2**20


class TrainedNetwork(PrefixedParameters):
    """The part of a `NetworkDenoiser` that denoises once it is trained."""

    masker: Masker | None
    batch_size: int
    output: str
    self_ensemble: bool
    mixed_precision: bool | str

    # What `fit` leaves.
    module_: torch.nn.Module
    masker_: Masker
    validation_masks_: tuple[int, ...]
    offset_: float
    scale_: float
    n_channels_: int
    noise_: NoiseModel

    @property
    def is_j_invariant(self) -> bool:
        """Whether no pixel of the output of `transform` depends on that pixel of the data."""
        return self.output == "invariant"

    def axes(self, ndim: int) -> Axes:
        """Return the axes of the data by what lies along them."""
        layout = Layout.of((1,) * ndim, self.channel_axis)
        return Axes(*layout, tuple(axis for axis in range(ndim) if axis not in layout))

    def output_and_divergence(  # noqa: D102
        self, X: np.ndarray, noise: NoiseModel
    ) -> tuple[np.ndarray, np.ndarray]:
        if not self.__sklearn_is_fitted__():
            with one_torch_thread():
                trained = self._trained_copy(X).set_params(output=self.output)
                return trained.output_and_divergence(X, noise)
        if self.output == "invariant" and not noise.is_correlated:
            return self._ask(X, True), np.zeros(())
        if self.output == "blend" and not noise.is_correlated:
            mixed = self._blend(X, noise)
            return mixed.output, divergence_of(mixed.own, mixed.variance)

        # What is missing stays missing in the probe, so that it goes through the fill as well.
        average = self.output == "average" and not noise.is_correlated

        def probed(shown: np.ndarray) -> np.ndarray:
            # Of an average, the J-invariant half adds nothing.
            return self._ask(shown, False) if average else self._output_of(shown, noise)

        output = probed(X)
        signal = np.where(np.isnan(X), output, X)
        divergence = probed_divergence(probed, X, output, noise, signal)
        if not average:
            return output, divergence
        return (self._ask(X, True) + output) / 2, divergence / 2

    def score(self, X: Any, y: Any = None) -> float:
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
        masker, mixed = self.masker_, self._mixed(self._device)
        batch = Layout.of(array.shape, self.channel_axis).to_batch(array)
        images = as_tensor(batch, self.offset_, self.scale_, self._device)
        masks = self.validation_masks_ or range(len(masker))
        total, count = 0.0, 0
        for windows in ValidationWindows(images, masker, masks, self.batch_size):
            shown, index = masker.hide(windows.images, windows.mask)
            with torch.no_grad():
                answer = ask(self.module_, shown, mixed=mixed)
            asked = windows.counts[index]
            difference = (answer[index] - windows.images[index])[asked].double()
            total += float(difference.square().sum())
            count += difference.numel()
        if not count:
            raise ValueError("None of the pixels of X that are scored was measured, only NaN.")
        return -total / count * (self.scale_ * self.scale_)

    def _checked(self, X: Any) -> np.ndarray:
        """Return data as an array of floats, with axes and channels as those given to `fit`."""
        array = super()._checked(X)
        batch = Layout.of(array.shape, self.channel_axis).to_batch(array)
        self._check_channels(batch.shape[1])
        return array

    def _check_channels(self, n_channels: int) -> None:
        if n_channels != self.n_channels_:
            raise ValueError(
                f"X has {n_channels} channels, but NetworkDenoiser was fitted to data with "
                f"{self.n_channels_}. Reshape your data, or fit again."
            )

    def _denoise(self, X: np.ndarray) -> np.ndarray:
        if self.output == "blend" and "noise_" not in vars(self):
            raise ValueError(
                'output="blend" needs the noise, which fit reads from the data: fit again, or '
                "set noise_."
            )
        return self._output_of(X, vars(self).get("noise_"))

    def _output_of(self, X: np.ndarray, noise: NoiseModel | None) -> np.ndarray:
        """Return what `transform` returns; a blend needs the noise."""
        if self.output == "average":
            return (self._ask(X, True) + self._ask(X, False)) / 2
        if self.output != "blend":
            return self._ask(X, self.output == "invariant")
        assert noise is not None
        return self._blend(X, noise).output

    def _blend(self, X: np.ndarray, noise: NoiseModel) -> Blend:
        return blend(X, self._ask(X, True), check_noise(noise, X), self.axes(X.ndim))

    def _ask(self, X: np.ndarray, invariant: bool) -> np.ndarray:
        """Return the network's answer, on the scale of the data."""
        layout = Layout.of(X.shape, self.channel_axis)
        batch = layout.to_batch(X)
        answer = np.empty(batch.shape, X.dtype)
        device, mixed = self._device, self._mixed(self._device)
        masker = clone(self.masker_).set_params(infer_single_pass=not invariant)
        size = max(1, _PIXELS // (batch.shape[2] * batch.shape[3]))
        turns = range(8 if self.self_ensemble else 1)

        def model(shown: torch.Tensor) -> torch.Tensor:
            return ask(self.module_, shown, turns, mixed)

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

    def _trained_copy(self, X: np.ndarray) -> TrainedNetwork:
        """Return a copy that is trained on `X`, and knows of no other training."""
        # The output plays no part in the training, and a blend would have to know the noise.
        return clone(self).set_params(checkpoint=None, warm_start=False, output="invariant").fit(X)

    @property
    def _masker(self) -> Masker:
        return DEFAULT_MASKER if self.masker is None else self.masker

    @property
    def _device(self) -> torch.device:
        """Where the trained network is."""
        return next(self.module_.parameters()).device

    def _mixed(self, device: torch.device) -> bool:
        """Return whether the network computes with bfloat16."""
        if self.mixed_precision == "auto":
            return device.type == "cuda" and torch.cuda.is_bf16_supported()
        return bool(self.mixed_precision)
