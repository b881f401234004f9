"""Neural networks trained on noisy data alone: an extra, on PyTorch and skorch.

`Masker` hides pixels of tensors, for any training loop; `NetworkDenoiser` is an estimator that
trains a network on them (Batson & Royer, "Noise2Self", ICML 2019, arXiv 1901.11365).
"""

try:
    import safetensors  # noqa: F401
    import skorch  # noqa: F401
    import torch  # noqa: F401
except ImportError as error:
    raise ImportError(
        f'sk_n2s.nn needs {error.name}, which is not installed: pip install "sk_n2s[nn]".'
    ) from error

from .denoiser import NetworkDenoiser
from .masking import Masker
from .networks import BabyUnet, DnCNN, SingleConvolution, Unet

__all__ = ["BabyUnet", "DnCNN", "Masker", "NetworkDenoiser", "SingleConvolution", "Unet"]
