"""Make a variant of a system: other epochs, another subtype head."""

from __future__ import annotations

from dataclasses import replace

from engine.catalogue.starter import LOCALISER
from engine.errors import IsletError
from engine.system import Part, System

STAGED = "staged"
PAPER = "paper"

_STAGED_HEAD = Part("subtype", {"num_stages": 3, "hidden": 32, "dropout": 0.5})
_JOINT = frozenset({"subtype_joint"})


class NoSubtypeHeadError(IsletError):
    """A system without the head that was to be exchanged."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The system '{name}' has no subtype head that could be exchanged.",
            remedy="Leave --head away, or choose a system that tells subtypes.",
        )


def with_epochs(system: System, epochs: int) -> System:
    """Return `system`, and its localiser, trained for another number of epochs."""
    training = replace(system.training, epochs=epochs)
    localiser = None if system.localiser is None else with_epochs(system.localiser, epochs)
    return replace(system, training=training, localiser=localiser)


def with_subtype_head(system: System, kind: str) -> System:
    """Return `system` with another subtype head.

    Args:
        system: Has a subtype head.
        kind: "staged" fits a case-level head on frozen features afterwards; "paper" trains the
            head of the multi-task paper together with the rest, its loss weighted 10.

    Raises:
        NoSubtypeHeadError: If the system has neither of the two.
    """
    names = system.head_names
    if kind == STAGED:
        return system if "subtype" in names else _staged(system)
    return system if _JOINT & set(names) else _joint(system)


def has_shipped_localiser(system: System) -> bool:
    """Return whether the localiser that ships with `starter` serves `system` as it is."""
    localiser = system.localiser
    # How it was trained does not matter to whoever uses it.
    return localiser is not None and replace(localiser, training=LOCALISER.training) == LOCALISER


def _staged(system: System) -> System:
    if not _JOINT & set(system.head_names):
        raise NoSubtypeHeadError(system.name)
    kept = [
        (head, loss)
        for head, loss in zip(system.heads, system.training.losses, strict=True)
        if head.name not in _JOINT
    ]
    balance = system.training.balance
    weights = {name: value for name, value in balance.params.items() if name not in _JOINT}
    training = replace(
        system.training,
        losses=tuple(loss for _, loss in kept),
        balance=Part(balance.name, weights),
    )
    return replace(system, heads=(*(head for head, _ in kept), _STAGED_HEAD), training=training)


def _joint(system: System) -> System:
    if "subtype" not in system.head_names:
        raise NoSubtypeHeadError(system.name)
    kept = tuple(head for head in system.heads if head.name != "subtype")
    num_stages = len(system.network.params["features"])
    head = Part(
        "subtype_joint",
        # ours: the paper's three deepest stages, whatever their number
        {"taps": tuple(range(num_stages - 3, num_stages)), "norm": "layer"},
    )
    balance = system.training.balance
    if balance.name == "fixed":
        balance = Part("fixed", {**balance.params, "subtype_joint": 10.0})
    training = replace(
        system.training,
        losses=(*system.training.losses, Part("weighted_ce")),
        balance=balance,
    )
    return replace(system, heads=(*kept, head), training=training)
