"""The searches: parameters are chosen by the self-supervised loss."""

from ._grid import SelfSupervisedRandomizedSearchCV, SelfSupervisedSearchCV
from ._halving import SelfSupervisedHalvingSearchCV
from .splitters import WholeArray

__all__ = [
    "SelfSupervisedHalvingSearchCV",
    "SelfSupervisedRandomizedSearchCV",
    "SelfSupervisedSearchCV",
    "WholeArray",
]
