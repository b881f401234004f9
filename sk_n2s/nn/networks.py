"""Networks from images to images.

Each takes tensors of shape (n_items, in_channels, height, width) of any sides: what a network
cannot divide is mirrored to the next multiple, and cut off its answer. Any other
`torch.nn.Module` that keeps the sides of its input serves as well.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["BabyUnet", "DnCNN", "Network", "SingleConvolution", "Unet"]


class Network(nn.Module):
    """Base class of the networks: pads and crops.

    Parameters
    ----------
    in_channels, out_channels : int
        The channels of the input and of the answer.
    """

    #: The sides that it can take are the multiples of this.
    divisor: int = 1

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels

    @abstractmethod
    def answer(self, X: Tensor) -> Tensor:
        """Return the answer to an input whose sides are multiples of `divisor`."""

    def forward(self, X: Tensor) -> Tensor:
        """Return the answer to an input of any sides.

        Parameters
        ----------
        X : Tensor of shape (n_items, in_channels, height, width)
            The images.

        Returns
        -------
        Tensor of shape (n_items, out_channels, height, width)
            The answer.

        Raises
        ------
        ValueError
            If the images are too small to be mirrored to a multiple of `divisor`.
        """
        height, width = X.shape[-2:]
        below, right = -height % self.divisor, -width % self.divisor
        if not (below or right):
            return self.answer(X)
        if below >= height or right >= width:
            raise ValueError(
                f"{type(self).__name__} needs images of at least {self.divisor // 2 + 1} pixels a "
                f"side, since it halves them, and X has images of {height} × {width}: give it "
                "less depth, or take DnCNN."
            )
        padded = F.pad(X, (0, right, 0, below), mode="reflect")
        return self.answer(padded)[..., :height, :width]


class SingleConvolution(Network):
    """One convolution: the best linear filter of its width.

    Parameters
    ----------
    in_channels, out_channels : int, default=1
        The channels of the input and of the answer.
    width : int, default=3
        The side of the kernel in pixels; odd.

    Examples
    --------
    >>> import torch
    >>> from sk_n2s.nn import SingleConvolution
    >>> SingleConvolution(width=5)(torch.zeros(2, 1, 7, 9)).shape
    torch.Size([2, 1, 7, 9])
    """

    def __init__(self, in_channels: int = 1, out_channels: int = 1, width: int = 3):
        super().__init__(in_channels, out_channels)
        if width % 2 == 0:
            raise ValueError(f"width={width} of SingleConvolution must be odd.")
        self.width = width
        self.convolution = nn.Conv2d(in_channels, out_channels, width, padding=width // 2)

    def answer(self, X: Tensor) -> Tensor:  # noqa: D102
        return self.convolution(X)


def _block(in_channels: int, out_channels: int, normalise: bool) -> nn.Sequential:
    """Return two convolutions of 3 × 3, each with batch normalisation if asked for, and ReLU."""
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers.append(nn.Conv2d(channels, out_channels, 3, padding=1, bias=not normalise))
        if normalise:
            layers.append(nn.BatchNorm2d(out_channels))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class Unet(Network):
    """The U-net: an image is halved `depth` times, and what was lost comes back level by level.

    At each level two convolutions; on the way up, the image is enlarged bilinearly and
    joined with that of the same size from the way down [1]_.

    Parameters
    ----------
    in_channels, out_channels : int, default=1
        The channels of the input and of the answer.
    width : int, default=32
        The channels of the first level.
    depth : int, default=4
        How often the sides are halved.
    growth : float, default=2
        How many times as many channels each level has as the one above it.
    max_width : int, default=None
        The most channels of a level; None sets no limit.
    normalise : bool, default=False
        Whether batch normalisation follows the convolutions.
    residual : bool, default=False
        Whether the noise is predicted, which is taken off the input, or the image.

    References
    ----------
    .. [1] O. Ronneberger, P. Fischer and T. Brox, "U-Net: Convolutional Networks for Biomedical
       Image Segmentation", MICCAI 2015. :arxiv:`1505.04597`

    Examples
    --------
    >>> import torch
    >>> from sk_n2s.nn import Unet
    >>> Unet(width=8, depth=2)(torch.zeros(1, 1, 30, 21)).shape
    torch.Size([1, 1, 30, 21])
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        width: int = 32,
        depth: int = 4,
        growth: float = 2,
        max_width: int | None = None,
        normalise: bool = False,
        residual: bool = False,
    ):
        super().__init__(in_channels, out_channels)
        self.width = width
        self.depth = depth
        self.growth = growth
        self.max_width = max_width
        self.normalise = normalise
        self.residual = residual
        self.divisor = 2**depth
        widths = [round(width * growth**level) for level in range(depth + 1)]
        if max_width is not None:
            widths = [min(w, max_width) for w in widths]
        self.down = nn.ModuleList(
            _block(before, after, normalise)
            for before, after in zip([in_channels, *widths[:-1]], widths, strict=True)
        )
        self.up = nn.ModuleList(
            _block(below + here, here, normalise)
            for below, here in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.last = nn.Conv2d(widths[0], out_channels, 1)

    def answer(self, X: Tensor) -> Tensor:  # noqa: D102
        first = X
        levels = []
        for block in self.down[:-1]:
            X = block(X)
            levels.append(X)
            X = self._halve(X)
        X = self.down[-1](X)
        for block, level in zip(self.up, reversed(levels), strict=True):
            X = F.interpolate(X, scale_factor=2, mode="bilinear", align_corners=False)
            X = block(torch.cat((X, level), dim=1))
        found = self.last(X)
        return first[:, : self.out_channels] - found if self.residual else found

    def _halve(self, X: Tensor) -> Tensor:
        return F.max_pool2d(X, 2)


class BabyUnet(Unet):
    """The small U-net of Noise2Self: two halvings by averages, with batch normalisation [1]_.

    Parameters
    ----------
    in_channels, out_channels : int, default=1
        The channels of the input and of the answer.
    width : int, default=16
        The channels of the first level; the two below have twice as many.

    References
    ----------
    .. [1] J. Batson and L. Royer, "Noise2Self: Blind Denoising by Self-Supervision",
       ICML 2019, PMLR 97:524-533. :arxiv:`1901.11365`

    Examples
    --------
    >>> import torch
    >>> from sk_n2s.nn import BabyUnet
    >>> BabyUnet()(torch.zeros(1, 1, 28, 28)).shape
    torch.Size([1, 1, 28, 28])
    """

    def __init__(self, in_channels: int = 1, out_channels: int = 1, width: int = 16):
        super().__init__(
            in_channels, out_channels, width, depth=2, max_width=2 * width, normalise=True
        )

    def _halve(self, X: Tensor) -> Tensor:
        return F.avg_pool2d(X, 2)


class DnCNN(Network):
    """A chain of convolutions that predicts the noise [1]_.

    What is taken off the input learns faster from hidden pixels, and gives better J-invariant
    answers, but relies on the fill: for a single pass over the whole image, take
    ``residual=False``.

    Parameters
    ----------
    in_channels, out_channels : int, default=1
        The channels of the input and of the answer.
    width : int, default=64
        The channels in between.
    depth : int, default=17
        The number of convolutions.
    normalise : bool, default=True
        Whether batch normalisation follows those in between.
    residual : bool, default=True
        Whether the noise is predicted, which is taken off the input, or the image.

    References
    ----------
    .. [1] K. Zhang, W. Zuo, Y. Chen, D. Meng and L. Zhang, "Beyond a Gaussian Denoiser: Residual
       Learning of Deep CNN for Image Denoising", IEEE TIP 26(7), 2017. :arxiv:`1608.03981`

    Examples
    --------
    >>> import torch
    >>> from sk_n2s.nn import DnCNN
    >>> DnCNN(depth=5, width=8)(torch.zeros(1, 1, 7, 9)).shape
    torch.Size([1, 1, 7, 9])
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        width: int = 64,
        depth: int = 17,
        normalise: bool = True,
        residual: bool = True,
    ):
        super().__init__(in_channels, out_channels)
        if depth < 2:
            raise ValueError(f"depth={depth} of DnCNN must be at least 2.")
        self.width = width
        self.depth = depth
        self.normalise = normalise
        self.residual = residual
        layers: list[nn.Module] = [nn.Conv2d(in_channels, width, 3, padding=1), nn.ReLU(True)]
        for _ in range(depth - 2):
            layers.append(nn.Conv2d(width, width, 3, padding=1, bias=not normalise))
            if normalise:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.ReLU(inplace=True))
        layers.append(nn.Conv2d(width, out_channels, 3, padding=1))
        self.layers = nn.Sequential(*layers)

    def answer(self, X: Tensor) -> Tensor:  # noqa: D102
        found = self.layers(X)
        return X[:, : self.out_channels] - found if self.residual else found
