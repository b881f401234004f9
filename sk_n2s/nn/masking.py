"""Hiding entries of tensors: what the networks are shown, and where their answers count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import islice
from math import prod
from numbers import Integral
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.base import BaseEstimator
from torch import Tensor

from .._utils.arrays import per_axis
from ..masking.fills import Fill, MeanFill, ZeroFill, check_fill
from ..masking.partitions import GridPartition, Index, Partition
from ..masking.views import ViewPlan

__all__ = ["Masker"]

#: The axes of a batch (items, channels, rows, columns) along which entries are neighbours.
_AXES = (2, 3)

#: Pixels of an image up to which what a fill needs is kept from step to step.
_CACHED = 2**16

#: What the mode says beside the names of the package's fills: all eight neighbours, by distance.
_INTERPOLATE = MeanFill("square")


class Masker(BaseEstimator):
    """Hide every `width`-th pixel of a batch, and ask a network for it.

    A network that is trained to predict what was hidden, from what is left, never learns to
    copy its input: where the noise of a pixel is independent of that of the others, the
    best it can learn is the clean image [1]_. The masks are the sets of a partition, those
    of the rest of the package.

    Parameters
    ----------
    width : int or tuple of int, default=3
        Distance in pixels between those that are hidden together: ``width ** 2`` masks.
    mode : {"zero", "interpolate", "mean", "median", "random"}, Fill or callable, default="zero"
        What hidden pixels are replaced with. "interpolate" is the mean of the eight
        neighbours with weights [[.5, 1, .5], [1, 0, 1], [.5, 1, .5]], over those that exist;
        the others are the package's fills (`sk_n2s.masking.fills`). "zero", "interpolate" and
        "mean" are computed on the tensor's device, others in memory, and without gradients.
    infer_single_pass : bool, default=False
        Whether `infer_full_image` shows the network the whole image once, which is not
        J-invariant, or hides one mask after the other.
    include_mask_as_input : bool, default=False
        Whether the network gets the mask as a further channel, 1 where pixels are hidden.
    partition : Partition, default=None
        Which pixels are hidden together, instead of a grid of `width`: whole columns
        (`ColumnPartition`) where the noise of a column is dependent, for instance.

    References
    ----------
    .. [1] J. Batson and L. Royer, "Noise2Self: Blind Denoising by Self-Supervision",
       ICML 2019, PMLR 97:524-533. :arxiv:`1901.11365`

    Examples
    --------
    >>> import torch
    >>> from sk_n2s.nn import Masker
    >>> masker = Masker(width=2, mode="interpolate")
    >>> len(masker)
    4
    >>> shown, mask = masker.mask(torch.arange(16.0).reshape(1, 1, 4, 4), 0)
    >>> mask.int()
    tensor([[1, 0, 1, 0],
            [0, 0, 0, 0],
            [1, 0, 1, 0],
            [0, 0, 0, 0]], dtype=torch.int32)
    >>> shown[0, 0, 2, 2], shown[0, 0, 1, 1]
    (tensor(10.), tensor(5.))
    """

    def __init__(
        self,
        width: int | tuple[int, int] = 3,
        mode: Any = "zero",
        infer_single_pass: bool = False,
        include_mask_as_input: bool = False,
        *,
        partition: Partition | None = None,
    ):
        self.width = width
        self.mode = mode
        self.infer_single_pass = infer_single_pass
        self.include_mask_as_input = include_mask_as_input
        self.partition = partition

    def __len__(self) -> int:
        """Return the number of masks."""
        if self.partition is None:
            return prod(self._strides())
        # How many there are does not depend on the size, if that suffices.
        return self.get_partition().get_n_splits(_shaped((1, 1, 2**20, 2**20)), _AXES)

    def __bool__(self) -> bool:
        """Return True: a masker is there, whatever its length."""
        return True

    def mask(self, X: Tensor, i: int) -> tuple[Tensor, Tensor]:
        """Hide one mask.

        Parameters
        ----------
        X : Tensor of shape (n_items, n_channels, height, width)
            The noisy images. NaN marks missing pixels, which are filled as well.
        i : int
            The number of the mask; numbers beyond the last begin anew.

        Returns
        -------
        shown : Tensor of shape (n_items, n_channels [+ 1], height, width)
            The network's input, on the device of `X`.
        mask : Tensor of bool, of shape (height, width)
            True where the answer counts: at hidden pixels, of which a `BlindSpotPartition` scores
            those in the centres.

        Raises
        ------
        TypeError, ValueError
            If a parameter is not valid, or does not suit the images.
        """
        shown, index = self.hide(X, i)
        mask = torch.zeros(X.shape[-2:], dtype=torch.bool, device=X.device)
        if isinstance(index, tuple):
            mask[index[2:]] = True
        else:
            mask = index[0, 0].clone()
        return shown, mask

    def hide(self, X: Tensor, i: int, *, has_gaps: bool | None = None) -> tuple[Tensor, Index]:
        """Hide one mask, and say where it lies.

        Parameters
        ----------
        X : Tensor of shape (n_items, n_channels, height, width)
            The noisy images.
        i : int
            The number of the mask.
        has_gaps : bool, default=None
            Whether `X` holds NaN, if that is known; None looks.

        Returns
        -------
        shown : Tensor of shape (n_items, n_channels [+ 1], height, width)
            The network's input.
        index : tuple of slice, or Tensor of bool
            The hidden entries of `X` whose predictions count.
        """
        _check_batch(X)
        index, scored = self._index(X.shape, i, X.device)
        fill = self._fill()
        if has_gaps is None:
            has_gaps = bool(torch.isnan(X).any())
        values = None
        has_stand_in = type(self.get_partition()).stand_in is not Partition.stand_in
        if isinstance(index, tuple) and not has_gaps and not has_stand_in:
            values = _strided_values(fill, X, index)
        if values is None:
            shown = self._elsewhere(X, lambda plan, array: plan.conceal(array, _as_numpy(index)))
        else:
            shown = X.clone()
            shown[index] = values
        return self._with_mask(shown, index), scored

    def complete(self, X: Tensor, *, has_gaps: bool | None = None) -> Tensor:
        """Return the network's input where no mask is hidden.

        Parameters
        ----------
        X : Tensor of shape (n_items, n_channels, height, width)
            The noisy images.
        has_gaps : bool, default=None
            Whether `X` holds NaN, if that is known; None looks.

        Returns
        -------
        Tensor of shape (n_items, n_channels [+ 1], height, width)
            `X`, with missing pixels filled.
        """
        _check_batch(X)
        if has_gaps is None:
            has_gaps = bool(torch.isnan(X).any())
        shown = self._elsewhere(X, ViewPlan.complete) if has_gaps else X
        return self._with_mask(shown, None)

    def infer_full_image(self, X: Tensor, model: Callable[[Tensor], Tensor]) -> Tensor:
        """Ask a network for all pixels.

        Parameters
        ----------
        X : Tensor of shape (n_items, n_channels, height, width)
            The noisy images.
        model : Module or callable
            The network. Whether it is in evaluation mode, and whether gradients are kept, is
            left as it is.

        Returns
        -------
        Tensor of the shape of the network's answer
            With ``infer_single_pass`` its answer to the whole images; otherwise at each
            pixel the answer to an input in which that pixel was hidden.

        Raises
        ------
        ValueError
            If the network changes the sides of the images.
        """
        _check_batch(X)
        has_gaps = bool(torch.isnan(X).any())
        if self.infer_single_pass:
            shown = self.complete(X, has_gaps=has_gaps)
            return checked_answer(model, shown.clone() if shown is X else shown)
        answer = None
        for i in range(len(self)):
            shown, index = self.hide(X, i, has_gaps=has_gaps)
            found = checked_answer(model, shown)
            if answer is None:
                answer = torch.full_like(found, torch.nan)
            where = index if isinstance(index, tuple) else index[:, :1].expand_as(found)
            answer[where] = found[where]
        assert answer is not None  # there is a mask
        return answer

    def index(self, shape: Sequence[int], i: int, device: torch.device | None = None) -> Index:
        """Return the entries of a mask.

        Parameters
        ----------
        shape : tuple of int
            That of a batch: (n_items, n_channels, height, width).
        i : int
            The number of the mask; numbers beyond the last begin anew.
        device : torch.device, default=None
            Where an index that is a tensor is wanted.

        Returns
        -------
        tuple of slice, or Tensor of bool
            Slices where the geometry of the masks allows.

        Raises
        ------
        ValueError
            If the masks do not fit the images.
        """
        return self._index(shape, i, device)[0]

    def get_partition(self) -> Partition:
        """Return the partition whose sets are the masks.

        Returns
        -------
        Partition
            `partition`, or the grid of `width`.

        Raises
        ------
        TypeError, ValueError
            If it is not valid, or divides the items of a batch.
        """
        if self.partition is None:
            return GridPartition(self._strides())
        if not isinstance(self.partition, Partition):
            raise TypeError(f"partition={self.partition!r} must be a Partition or None.")
        seed = getattr(self.partition, "random_state", 0)
        if not isinstance(seed, Integral):
            raise ValueError(
                f"partition={self.partition!r} would draw other masks at each call: give it an int "
                "as random_state."
            )
        if 0 in self.partition.period(4, _AXES)[:2]:
            raise ValueError(
                f"partition={self.partition!r} divides the items of a batch, which are shown one "
                "by one: give a partition of the pixels of each image."
            )
        return self.partition

    # How it is done --------------------------------------------------------------------

    def _index(
        self, shape: Sequence[int], i: int, device: torch.device | None
    ) -> tuple[Index, Index]:
        """Return what a mask hides, and which entries of that are scored."""
        if self.partition is None:
            for side, stride in zip(shape[2:], self._strides(), strict=True):
                if stride > side:
                    raise ValueError(
                        f"width={self.width!r} is larger than a side of the images, which are "
                        f"{shape[2]} × {shape[3]}: give a smaller one."
                    )
        sets = self.get_partition().split(_shaped(shape), _AXES)
        hidden, scored = next(islice(sets, i % len(self), None))
        first = _as_index(hidden, shape, device)
        return first, first if scored is hidden else _as_index(scored, shape, device)

    def _strides(self) -> tuple[int, ...]:
        strides = per_axis(self.width, len(_AXES), name="width", minimum=1)
        if prod(strides) < 2:
            raise ValueError(
                f"width={self.width!r} hides all pixels at once and leaves none to predict them "
                "from: give at least 2."
            )
        return strides

    def _fill(self) -> Fill:
        if isinstance(self.mode, str) and self.mode == "interpolate":
            return _INTERPOLATE
        try:
            fill = check_fill(self.mode)
        except (TypeError, ValueError):
            raise ValueError(
                f'mode={self.mode!r} must be "zero", "interpolate", "mean", "median", "random", a '
                "Fill, or a callable fill(X, hidden)."
            ) from None
        fill.check(len(_AXES))
        return fill

    def _elsewhere(self, X: Tensor, how: Callable[[ViewPlan, np.ndarray], np.ndarray]) -> Tensor:
        """Do with arrays what is not worth writing again for tensors."""
        plan = ViewPlan(self.get_partition(), self._fill(), _AXES, exact=False)
        array = X.detach().cpu().to(torch.promote_types(X.dtype, torch.float32)).numpy()
        return torch.from_numpy(how(plan, array)).to(X.device, X.dtype)

    def _with_mask(self, shown: Tensor, index: Index | None) -> Tensor:
        """Return the images with their mask as a further channel, if the network gets it."""
        if not self.include_mask_as_input:
            return shown
        mask = torch.zeros_like(shown[:, :1])
        if isinstance(index, tuple):
            mask[index] = 1
        elif index is not None:
            mask[index[:, :1]] = 1
        return torch.cat((shown, mask), dim=1)


class NetworkError(ValueError):
    """What a network did wrong, said once."""


def checked_answer(model: Callable[[Tensor], Tensor], shown: Tensor) -> Tensor:
    """Return what a network answers, if it is an image of the same sides."""
    try:
        answer = model(shown)
    except (torch.OutOfMemoryError, NetworkError):
        raise
    except (RuntimeError, ValueError, TypeError) as error:
        raise NetworkError(
            f"The network {type(model).__name__} failed on an input of shape {tuple(shown.shape)}: "
            f"{error}"
        ) from error
    if not isinstance(answer, Tensor):
        what = "None" if answer is None else f"a {type(answer).__name__}"
        raise NetworkError(
            f"The network {type(model).__name__} returned {what}: it must return one tensor, an "
            "image for each image."
        )
    shape = tuple(answer.shape)
    if len(shape) != 4 or (shape[0], *shape[2:]) != (shown.shape[0], *shown.shape[2:]):
        raise NetworkError(
            f"The network {type(model).__name__} returned shape {shape} "
            f"for an input of shape {tuple(shown.shape)}: a network must keep the sides of an "
            "image (pad its convolutions)."
        )
    # A network may turn gradients on by itself.
    return answer if torch.is_grad_enabled() else answer.detach()


def _check_batch(X: Any) -> None:
    if not isinstance(X, Tensor) or X.ndim != 4 or not X.is_floating_point():
        what = f"shape {tuple(X.shape)}" if isinstance(X, Tensor) else f"type {type(X).__name__}"
        raise ValueError(
            "X must be a floating-point tensor of shape (n_items, n_channels, height, width), and "
            f"has {what}."
        )


def _shaped(shape: Sequence[int]) -> np.ndarray:
    """Return an array of a shape that takes no memory."""
    return np.broadcast_to(np.float32(0), tuple(shape))


def _as_numpy(index: Index) -> Index:
    return index if isinstance(index, tuple) else index.cpu().numpy()


def _as_index(index: Index, shape: Sequence[int], device: torch.device | None) -> Index:
    """Return an index of a batch, as a tensor where it is a mask."""
    if isinstance(index, tuple):
        return index
    return torch.from_numpy(np.broadcast_to(index, tuple(shape)).copy()).to(device)


def _strided_values(fill: Fill, X: Tensor, index: tuple[slice, ...]) -> Tensor | float | None:
    """Return what fills a strided set, if tensors can tell; None if arrays have to."""
    if isinstance(fill, ZeroFill):
        return 0.0
    if not isinstance(fill, MeanFill):
        return None
    kernel = fill.weights(len(_AXES))
    margin = [n // 2 for n in kernel.shape]
    if any(m >= n for m, n in zip(margin, X.shape[2:], strict=True)):
        return None
    steps = [part.indices(n) for part, n in zip(index[2:], X.shape[2:], strict=True)]
    pad = (margin[1], margin[1], margin[0], margin[0])
    mode = "reflect" if fill.border == "mirror" else "constant"
    weighing = _weighing if prod(X.shape[2:]) <= _CACHED else _weighing.__wrapped__
    visible, weigh, weights = weighing(
        tuple(X.shape[2:]),
        tuple(step[0] for step in steps),
        tuple(step[2] for step in steps),
        tuple(map(tuple, kernel.tolist())),
        pad,
        mode,
        X.dtype,
        X.device,
    )
    if weights is None:
        return None
    sums = weigh((X * visible).reshape(-1, 1, *X.shape[2:]))
    return (sums / weights).reshape(*X.shape[:2], *sums.shape[2:])


@lru_cache(maxsize=64)
@torch.inference_mode(False)
@torch.no_grad()
def _weighing(
    sides: tuple[int, ...],
    offsets: tuple[int, ...],
    strides: tuple[int, ...],
    kernel: tuple[tuple[float, ...], ...],
    pad: tuple[int, ...],
    mode: str,
    dtype: torch.dtype,
    device: torch.device,
) -> tuple[Tensor, Callable[[Tensor], Tensor], Tensor | None]:
    """Return what a mean over visible neighbours needs, which is the same in every step."""
    weighed = torch.tensor(kernel, dtype=dtype, device=device)[None, None]
    visible = torch.ones((1, 1, *sides), dtype=dtype, device=device)
    rows, columns = (slice(o, None, s) for o, s in zip(offsets, strides, strict=True))
    visible[..., rows, columns] = 0

    def weigh(values: Tensor) -> Tensor:
        # Only where a value is wanted: the stride of the convolution is that of the mask.
        around = F.pad(values, pad, mode=mode)[..., offsets[0] :, offsets[1] :]
        with torch.autocast(device.type, enabled=False):
            return F.conv2d(around, weighed, stride=strides)

    weights = weigh(visible)
    return visible, weigh, weights if bool((weights > 0).all()) else None
