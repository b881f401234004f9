"""Denoising in one line: everything is chosen from the noisy data."""

from ._denoiser import AutoDenoiser

__all__ = ["AutoDenoiser"]
