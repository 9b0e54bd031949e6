"""A simulated federation trains, goes on where it was left, and is the same every time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.catalogue.federations import federated
from engine.errors import CancelledError
from engine.federated.local import LocalTrainer
from engine.federated.members import federated_plan
from engine.federated.rounds import exported_system
from engine.federated.simulate import (
    RECORDS_FILE,
    Result,
    Simulation,
    simulate,
)
from engine.federated.sites import Site
from engine.inference.model import load_model
from engine.progress import OnProgress
from engine.system import Federation, Part, System
from engine.training.checkpoint import load_checkpoint
from tests.engine.training.tiny import TINY, write_balls

_TINY = replace(TINY, heads=(Part("segmentation"),), localiser=None, subtypes=())
_RULE = Federation(("a", "b"), 2, 1, Part("dwa", {"scale": 2.0}), Part("dtp"), 0.25)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_balls(tmp_path_factory.mktemp("balls"), 3)


def _system(**changes: object) -> System:
    rule = replace(_RULE, **changes)  # type: ignore[arg-type]
    return federated(_TINY, rule, "tiny", "Tiny", "none")


def _simulation(data: Path, folder: Path, sites: str = "ab", **changes: object) -> Simulation:
    states = {"a": {}, "b": {"lesion": "unlabelled"}}
    return Simulation(
        _system(**changes),
        tuple(Site(name, data, states[name]) for name in sites),
        folder,
        data.parent / "stores",
        device="cpu",
    )


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_model(
        exported_system(_system()), "cpu", folder / "weights.safetensors"
    ).network.state_dict()


def _are_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, second[name]) for name, tensor in first.items())


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, simulate(_simulation(data, folder))


def _cancel_after(at: float) -> OnProgress:
    def tell(stage: str, fraction: float) -> None:
        if stage == "rounds" and fraction > at:
            raise CancelledError

    return tell


def test_every_round_says_who_counted_how_much_and_what_left_the_sites(
    whole: tuple[Path, Result],
) -> None:
    folder, result = whole
    lines = (folder / RECORDS_FILE).read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert records == list(result.records)
    assert [record["round"] for record in records] == [1, 2]
    for record in records:
        assert sum(record["weights"].values()) == pytest.approx(2.0)
        assert all(loss > 0 for loss in record["losses"].values())
        assert record["elapsed_s"] >= record["training_s"] > 0
        for sent in record["bytes"].values():
            assert 0 < sent["sent"] < sent["dense"]
        # A site that did not look for lesions cannot say how well they are found.
        assert set(record["validation"]["a"]) == {"pancreas", "lesion"}
        assert set(record["validation"]["b"]) == {"pancreas"}


def test_the_best_aggregate_may_be_the_last(whole: tuple[Path, Result]) -> None:
    _, result = whole
    means = [
        sum(sum(each.values()) / len(each) for each in record["validation"].values())
        for record in result.records
    ]
    assert result.best_round == 1 + means.index(max(means))
    assert set(result.scores) == {"a", "b"}


def test_a_federation_that_was_cancelled_ends_as_if_it_had_not_been(
    data: Path, tmp_path: Path, whole: tuple[Path, Result]
) -> None:
    for at in (0.3, 0.8):
        with pytest.raises(CancelledError):
            simulate(_simulation(data, tmp_path), _cancel_after(at))
    told: list[tuple[str, float]] = []
    again = simulate(_simulation(data, tmp_path), lambda *each: told.append(each))
    folder, result = whole
    assert again.scores == result.scores
    assert _are_equal(_tensors(folder), _tensors(tmp_path))
    fractions = [fraction for stage, fraction in told if stage == "rounds"]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_a_federation_of_one_gives_its_site_all_the_weight(data: Path, tmp_path: Path) -> None:
    one = _simulation(
        data,
        tmp_path / "one",
        "a",
        aggregate=Part("fedavg"),
        local_objective=Part("plain"),
        shared_fraction=1.0,
    )
    result = simulate(replace(one, guests=_simulation(data, tmp_path, "b").sites))
    assert [list(record["weights"].items()) for record in result.records] == [[("a", 1.0)]] * 2
    # The other site takes no part, but its cases judge the model.
    assert {site: set(each) for site, each in result.scores.items()} == {
        "a": {"pancreas", "lesion"},
        "b": {"pancreas"},
    }


def test_a_site_keeps_no_moving_average() -> None:
    plan = federated_plan(_system(), "a", size="toy", seed=1, device="cpu")
    assert plan.system.training.epochs == 2
    averaging = replace(
        plan, system=replace(plan.system, training=replace(plan.system.training, average_decay=0.9))
    )
    with pytest.raises(ValueError, match="no moving average"):
        LocalTrainer(averaging, (), Path("none"), Part("plain"), 1)


def test_a_reconstruction_branch_is_federated_and_left_out_of_what_is_exported(
    data: Path, tmp_path: Path
) -> None:
    heads = (Part("segmentation"), Part("vae", {"latent": 4}))
    losses = (Part("dice_ce"), Part("vae", {"kl": 0.2, "l2": 0.3}))
    training = replace(_TINY.training, losses=losses)
    system = federated(
        replace(_TINY, heads=heads, training=training),
        replace(_RULE, rounds=1),
        "tiny",
        "Tiny",
        "none",
    )
    simulate(replace(_simulation(data, tmp_path), system=system))
    common = load_checkpoint(tmp_path / "federation.pt", "tiny")["rounds"]["model"]
    site = load_checkpoint(tmp_path / "sites" / "a.pt", "tiny")["network"]
    branch = [name for name in common if "vae" in name]
    assert branch
    # The branch of the aggregate is no site's own: it was moved by both.
    assert any(not torch.equal(common[name], site[name]) for name in branch)
    exported = load_model(exported_system(system), "cpu", tmp_path / "weights.safetensors")
    assert exported.system.head_names == ("segmentation",)
    assert not any("vae" in name for name in exported.network.state_dict())
