"""What travels between a federation's server and its sites: JSON text, and models as bytes.

Nothing in a message is ever run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import Shareable

PREPARE, TRAIN, JUDGE, OWN = "prepare", "train", "judge", "own"
_TEXT, _MODELS = "islet", "models"


def pack(values: Mapping[str, Any], models: Mapping[str, bytes] | None = None) -> Shareable:
    """Return a message.

    Args:
        values: Plain JSON values.
        models: By name, as `engine.federated.sharing.encode` writes them.
    """
    message = Shareable()
    message[_TEXT] = json.dumps(values)
    message[_MODELS] = dict(models or {})
    return message


def unpack(message: Shareable) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the values and models of a message.

    Raises:
        ValueError: If it is not one of ours.
    """
    try:
        values = json.loads(message[_TEXT])
        models = message[_MODELS]
    except (KeyError, TypeError) as error:
        raise ValueError("not a message of Islet") from error
    is_whole = isinstance(values, dict) and isinstance(models, dict)
    if not is_whole or not all(isinstance(each, bytes) for each in models.values()):
        raise ValueError("not a message of Islet")
    return values, models


def is_answer(message: object) -> bool:
    """Return whether a site answered at all."""
    return (
        isinstance(message, Shareable) and message.get_return_code(ReturnCode.OK) == ReturnCode.OK
    )
