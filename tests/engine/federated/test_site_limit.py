"""What a site that has set a limit gives away."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.archive.federation import SiteSettings, read_lines, write_site
from engine.federated.local import tensors_of
from engine.federated.members import first_network
from engine.federated.sharing import decode, encode
from engine.federated.site_order import SiteOrder
from engine.federated.site_training import SiteTraining
from engine.system import Federation, Part
from tests.engine.training.tiny import TINY, write_balls

_RULE = Federation(("north",), 2, 1, Part("fedavg"), Part("plain"), 0.5)
_SYSTEM = replace(
    TINY, heads=(Part("segmentation"),), localiser=None, subtypes=(), federation=_RULE
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_balls(tmp_path_factory.mktemp("balls"), 3)


def _trained(folder: Path, data: Path, share_at_most: float) -> tuple[float, dict[str, Any]]:
    """Return what part of an update left, and what was said of the site's own weights."""
    settings = SiteSettings("north", "x", "AA", data=str(data), device="cpu")
    write_site(folder, replace(settings, share_at_most=share_at_most))
    order = SiteOrder("first", _SYSTEM, "full", 1)
    training = SiteTraining(folder, order)
    model = tensors_of(first_network(order.system, size=order.size, seed=order.seed))
    (folder / "model").write_bytes(encode(model))
    told = training.train(1, folder / "model", folder / "update")
    assert 0 < told["training_s"] < told["seconds"]
    sent = [t for t in decode((folder / "update").read_bytes()).values() if t.is_floating_point()]
    total = sum(tensor.numel() for tensor in sent)
    part = sum(int(tensor.count_nonzero()) for tensor in sent) / total
    return part, training.own(folder / "update")


def test_no_more_than_the_limit_leaves_and_no_whole_weights(tmp_path: Path, data: Path) -> None:
    part, own = _trained(tmp_path, data, 0.1)
    assert 0 < part < 0.11
    assert own == {"is_there": False}
    assert not [e for e in read_lines(tmp_path / "events.jsonl") if e["event"] == "sent_own"]


def test_a_site_without_a_limit_gives_its_best_weights_and_notes_it(
    tmp_path: Path, data: Path
) -> None:
    part, own = _trained(tmp_path, data, 1.0)
    assert 0.4 < part < 0.51
    assert own == {"is_there": True}
    (noted,) = [e for e in read_lines(tmp_path / "events.jsonl") if e["event"] == "sent_own"]
    assert noted["bytes"] == (tmp_path / "update").stat().st_size
