"""Messages carry values and bytes, and others are refused."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("nvflare", reason="real federations need the extra 'federated'")

from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import Shareable, make_reply

from engine.federated.flare.messages import is_answer, pack, unpack


def test_values_and_models_come_back() -> None:
    values, models = {"round": 2, "name": "süd"}, {"common": b"\x00\xff"}
    assert unpack(pack(values, models)) == (values, models)
    assert unpack(pack(values)) == (values, {})


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"islet": "{}"},
        {"islet": "{}", "models": {"common": "text"}},
        {"islet": "[]", "models": {}},
        {"islet": "{", "models": {}},
        {"islet": b"\xff", "models": {}},
        {"islet": None, "models": {}},
    ],
)
def test_a_message_of_another_program_is_refused(content: dict[str, Any]) -> None:
    message = Shareable()
    message.update(content)
    with pytest.raises(ValueError):  # noqa: PT011 - whatever is wrong with it
        unpack(message)


def test_an_error_of_flare_is_no_answer() -> None:
    assert is_answer(pack({}))
    assert not is_answer(make_reply(ReturnCode.TASK_ABORTED))
    assert not is_answer(None)
