"""The networks: what they are made of, and images of any sides."""

import pytest
import torch
import torch.nn.functional as F

from sk_n2s.nn import BabyUnet, DnCNN, SingleConvolution, Unet

SMALL = [
    SingleConvolution(2, 3, width=5),
    BabyUnet(2, 3, width=4),
    Unet(2, 3, width=4, depth=3),
    Unet(2, 2, width=4, depth=2, growth=1, normalise=True, residual=True),
    DnCNN(2, 3, width=4, depth=4, residual=False),
    DnCNN(2, 2, width=4, depth=3, normalise=False),
]


def size(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("network", SMALL, ids=lambda n: type(n).__name__)
@pytest.mark.parametrize("sides", [(16, 24), (17, 9), (5, 31), (8, 8)])
def test_any_sides(network, sides):
    X = torch.randn(2, 2, *sides, generator=torch.Generator().manual_seed(0))
    network.eval()
    with torch.no_grad():
        found = network(X)
        pad = (0, -sides[1] % network.divisor, 0, -sides[0] % network.divisor)
        whole = network(F.pad(X, pad, mode="reflect"))
    assert found.shape == (2, network.out_channels, *sides)
    torch.testing.assert_close(found, whole[..., : sides[0], : sides[1]])


def test_sizes_of_the_published_networks():
    # 1 → 64, fifteen of 64 → 64 with batch normalisation, 64 → 1 (Zhang et al. 2017)
    assert size(DnCNN()) == (9 * 64 + 64) + 15 * (9 * 64 * 64 + 2 * 64) + (9 * 64 + 1)
    # Noise2Self's: 1-16-16, 16-32-32, 32-32-32, 64-32-32, 48-16-16 and 16-1
    pairs = [(1, 16, 16), (16, 32, 32), (32, 32, 32), (64, 32, 32), (48, 16, 16)]
    convolutions = sum(9 * (a * b + b * c) + 2 * (b + c) for a, b, c in pairs)
    assert size(BabyUnet()) == convolutions + 16 + 1
    # Ronneberger et al.: 64 channels, doubled four times
    widths = [64, 128, 256, 512, 1024]
    down = sum(9 * (a * b + b * b) + 2 * b for a, b in zip([1, *widths[:-1]], widths, strict=True))
    pairs = zip(widths[:0:-1], widths[-2::-1], strict=True)
    up = sum(9 * ((a + b) * b + b * b) + 2 * b for a, b in pairs)
    assert size(Unet(width=64)) == down + up + 64 + 1


def test_residual_networks_predict_the_noise():
    X = torch.randn(1, 3, 12, 12)
    for network in (
        DnCNN(3, 3, width=4, depth=3, normalise=False),
        Unet(3, 2, 4, 1, residual=True),
    ):
        for p in network.parameters():
            torch.nn.init.zeros_(p)
        assert torch.equal(network(X), X[:, : network.out_channels])


def test_a_convolution_is_a_convolution():
    network = SingleConvolution(width=3)
    torch.nn.init.constant_(network.convolution.weight, 1 / 9)
    torch.nn.init.zeros_(network.convolution.bias)
    X = torch.rand(1, 1, 6, 7)
    torch.testing.assert_close(network(X), F.avg_pool2d(X, 3, stride=1, padding=1))


@pytest.mark.parametrize("network, least", [(BabyUnet(width=2), 3), (Unet(width=2, depth=4), 9)])
def test_images_that_are_too_small(network, least):
    network.eval()
    assert network(torch.zeros(1, 1, least, least)).shape == (1, 1, least, least)
    with pytest.raises(
        ValueError, match=f"{type(network).__name__} needs images of at least {least}"
    ):
        network(torch.zeros(1, 1, least - 1, 20))


@pytest.mark.parametrize("make", [lambda: SingleConvolution(width=4), lambda: DnCNN(depth=1)])
def test_bad_parameters(make):
    with pytest.raises(ValueError, match="must be"):
        make()
