"""A warning where the noise is not what the loss of a search assumes."""

from __future__ import annotations

from .._utils.warn import warn
from ..losses import Loss, cross_validated_error, poisson_deviance, squared_error
from ..noise.assumptions import NoiseAssumptionWarning, check_assumptions
from ._candidates import Group

__all__ = ["warn_of_noise"]

#: Losses in which a few entries can weigh as much as all others.
_NOT_ROBUST = (squared_error, cross_validated_error, poisson_deviance)


def warn_of_noise(groups: list[Group], loss: Loss) -> None:
    """Say so, in one warning, if what candidates see makes the loss choose wrongly."""
    trusting = [group for group in groups if _trusts_neighbours(group)]
    plan, X, members = (trusting or groups)[0]
    axes = members[0][1].axes(X.ndim)
    if axes.is_table:  # whose entries have no neighbours
        return
    found = check_assumptions(
        X,
        channel_axis=axes.channel,
        batch_axis=axes.batch,
        correlation=bool(trusting),
        outliers=any(loss is known for known in _NOT_ROBUST),
    )
    if found:
        warn(" ".join(f"{text} {remedy}" for text, remedy in found), NoiseAssumptionWarning)


def _trusts_neighbours(group: Group) -> bool:
    """Return whether a group takes the noise of neighbours for independent, unchecked."""
    noise, denoiser = group.plan.noise, group.members[0][1]
    if noise is not None:  # estimated from more of the data, or the user's
        return denoiser.noise is not None and not noise.is_correlated
    # A name stands for a partition that was found in the data.
    return group.plan.partition.hides_singly and not isinstance(denoiser.partition, str)
