"""How far an output is from the truth, estimated from the noisy array alone."""

from .error_estimate import ErrorEstimate

__all__ = ["ErrorEstimate"]
