"""Any denoiser made J-invariant, and the test that it is."""

from .check import check_j_invariance
from .wrapper import JInvariantWrapper

__all__ = ["JInvariantWrapper", "check_j_invariance"]
