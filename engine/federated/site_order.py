"""What a site is asked to do in a run, as it travels: values, never code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.archive.federation import is_run_name
from engine.errors import IsletError
from engine.system import System
from engine.system_json import system_from_json, system_to_json

_FORMAT = "islet-site-order-1"


class SiteOrderError(IsletError):
    """An order of another version of Islet, or a damaged one."""

    def __init__(self) -> None:
        super().__init__(
            "What the coordinator asks of this site cannot be understood.",
            remedy="Check that both run the same version of Islet.",
        )


@dataclass(frozen=True, slots=True)
class SiteOrder:
    """One run, as every site is told of it.

    Args:
        run: Its name.
        system: At the size wanted, with its federation.
        size: Name of the size.
        seed: Of the first weights and of every site's patches.
        remembers_unsent: Whether sites send what they held back once it has grown (ours).
    """

    run: str
    system: System
    size: str
    seed: int
    remembers_unsent: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "format": _FORMAT,
            "run": self.run,
            "system": system_to_json(self.system),
            "size": self.size,
            "seed": self.seed,
            "remembers_unsent": self.remembers_unsent,
        }


def order_from_json(values: Mapping[str, Any]) -> SiteOrder:
    """Return the order that `to_json` wrote.

    Raises:
        SiteOrderError: If it is something else.
    """
    try:
        if values["format"] != _FORMAT or not is_run_name(str(values["run"])):
            raise SiteOrderError
        return SiteOrder(
            str(values["run"]),
            system_from_json(values["system"]),
            str(values["size"]),
            int(values["seed"]),
            bool(values["remembers_unsent"]),
        )
    except (KeyError, TypeError, ValueError, json.JSONDecodeError) as error:
        raise SiteOrderError from error
