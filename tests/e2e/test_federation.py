"""A federation over mutual TLS: a server and three sites, and what goes wrong in hospitals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from app.tasks.run_process import islet_command
from engine.archive.federation import read_lines
from tests.app.federation_desk import Desk
from tests.e2e.federation import (
    FederationOfProcesses,
    continue_process,
    started,
    stop_process,
    until,
)
from tests.e2e.program import Islet, events
from tests.engine.training.tiny import write_balls

pytest.importorskip("nvflare", reason="real federations need the extra 'federated'")
pytestmark = pytest.mark.timeout(900)

_TRAINING = "engine.federated.site_training"
_SITE_JOB = "nvflare.private.fed.app.client.worker_process"


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FederationOfProcesses]:
    # FLARE takes neither blanks nor umlauts in paths; its users have both.
    root = tmp_path_factory.mktemp("Föderation") / "drei Kliniken"
    data = write_balls(tmp_path_factory.mktemp("data") / "balls", 5)
    islet = Islet(tmp_path_factory.mktemp("home"))
    yield from started(lambda: FederationOfProcesses(islet, root, data))


def test_real_sites_come_to_the_model_of_the_simulation(
    federation: FederationOfProcesses, tmp_path: Path
) -> None:
    process = federation.begin_run(
        "first", "--rounds", 2, "--share", 0.25, "--min-sites", 3, "--method", "dwa", "--json"
    )
    said, noted = process.communicate(timeout=600)
    assert process.returncode == 0, noted
    found = json.loads(said)
    names = ["Dynamic weight averaging, T = 2, ξ = 2"]
    names += [f"best weights of {site}" for site in federation.sites]
    assert [row["row"] for row in found["rows"]] == names
    assert all(set(row["cells"]) == set(federation.sites) for row in found["rows"])

    listed = [
        {
            "name": name,
            "data": str(federation.data),
            "annotation": {"lesion": "unlabelled"} if name == "west" else {},
        }
        for name in federation.sites
    ]
    (tmp_path / "sites.json").write_text(json.dumps(listed), encoding="utf-8")
    federation.islet.run(
        *("federate", "simulate", "c2fnas", "--method", "dwa", "--size", "toy", "--rounds", 2),
        *("--local-epochs", 1, "--share", 0.25, "--sites", tmp_path / "sites.json"),
        *("--device", "cpu", "--out", tmp_path / "simulated"),
    )
    simulated = tmp_path / "simulated" / "runs" / "c2fnas_dwa_t2_xi2"
    run = federation.run_folder("first")
    weights = "weights.safetensors"
    assert (run / weights).read_bytes() == (simulated / weights).read_bytes()

    records = read_lines(run / "rounds.jsonl")
    assert [record["round"] for record in records] == [1, 2]
    for record, other in zip(records, read_lines(simulated / "rounds.jsonl"), strict=True):
        for name in ("losses", "weights", "bytes", "validation", "best_round"):
            assert record[name] == other[name], name
        assert all(each["sent"] <= 0.35 * each["dense"] for each in record["bytes"].values())


def test_a_site_notes_what_left_it_and_sees_the_others(federation: FederationOfProcesses) -> None:
    folder = federation.sites["north"]
    sent = read_lines(folder / "runs" / "first" / "sent.jsonl")
    assert [each["round"] for each in sent] == [1, 2]
    record = read_lines(federation.run_folder("first") / "rounds.jsonl")[0]
    assert sent[0]["bytes"] == record["bytes"]["north"]["sent"]
    told = events(folder)
    seen = [each["record"]["round"] for each in told if each["event"] == "federation"]
    assert {1, 2} <= set(seen)
    (server, *_) = [each for each in told if each["event"] == "server"]
    assert server["name"] == "localhost"
    text = (folder / "events.jsonl").read_text(encoding="utf-8")
    # Neither names of cases nor places leave, not even into the site's own events.
    assert "ball" not in text
    assert str(federation.data) not in text
    key = folder / "private" / "north.key"
    assert key.stat().st_mode & 0o077 == 0


def test_a_run_survives_whatever_happens_to_its_sites_and_server(
    federation: FederationOfProcesses,
) -> None:
    """Six faults in one run of eight rounds; nothing that was aggregated is lost."""
    run, place = "hard", federation.run_folder("hard")
    process = federation.begin_run(
        run, "--rounds", 9, "--min-sites", 2, "--grace", 4, "--wait", 120
    )

    def rounds() -> int:
        return len(read_lines(place / "rounds.jsonl"))

    def until_rounds(number: int) -> None:
        until(lambda: rounds() >= number, f"round {number}")

    def begun(number: int) -> bool:
        return any(each["round"] == number for each in federation.told(run, "begun"))

    # A training process that is killed goes on in the middle of its round.
    until(lambda: bool(federation.processes_of("north", _TRAINING)), "a training process")
    federation.processes_of("north", _TRAINING)[0].kill()
    until_rounds(1)
    assert read_lines(place / "rounds.jsonl")[0]["missing"] == []
    said = [each["text"] for each in events(federation.sites["north"]) if each["event"] == "alarm"]
    assert said == ["The training process was ended, and goes on where it was."]

    # FLARE would end the job for every site; here its process is begun again.
    federation.processes_of("south", _SITE_JOB)[0].kill()
    until_rounds(rounds() + 2)
    assert len(federation.told(run, "job")) == 1

    # A slow site is waited for as long as was said, and is in the next round again.
    slow = federation.processes_of("west", _TRAINING)[0]
    stop_process(slow)
    until(
        lambda: any(each["site"] == "west" for each in federation.told(run, "missing")),
        "a round without west",
    )
    continue_process(slow)
    (late, *_) = federation.told(run, "missing")
    assert late["message"] == "The site did not answer in time."

    # A power cut at a site; it comes back, and is let in between two rounds.
    federation.cut_power("west")
    federation.start_site("west")
    until(lambda: bool(federation.told(run, "returned")), "west coming back")
    jobs = len(federation.told(run, "job"))
    until(lambda: len(federation.told(run, "job")) > jobs - 1, "another job")

    # The server's computer dies and is started again.
    until_rounds(rounds() + 1)
    federation.cut_power("server")
    kept = read_lines(place / "rounds.jsonl")
    federation.start_server()
    _, noted = process.communicate(timeout=600)
    assert process.returncode == 0, noted[-3000:]
    finished = read_lines(place / "rounds.jsonl")
    assert [record["round"] for record in finished] == list(range(1, 10))
    assert [each["losses"] for each in finished[: len(kept) - 1]] == [
        each["losses"] for each in kept[: len(kept) - 1]
    ]
    assert (place / "weights.safetensors").exists()
    assert "is back, and takes part from the next round on" in noted
    assert begun(9)


def test_a_stopped_run_goes_on_and_too_few_sites_are_a_sentence(
    federation: FederationOfProcesses,
) -> None:
    run, place = "again", federation.run_folder("again")
    process = federation.begin_run(run, "--rounds", 3, "--min-sites", 2, "--grace", 5)
    until(lambda: len(read_lines(place / "rounds.jsonl")) >= 1, "the first round")
    federation.islet.run("federate", "stop", place)
    process.communicate(timeout=60)
    assert process.returncode == 130
    status = federation.islet.json("federate", "status", place)
    assert (status["state"], status["is_running"]) == ("stopped", False)
    kept = len(read_lines(place / "rounds.jsonl"))

    # A revoked site is out at once, and is counted no more.
    out = federation.islet.json("federate", "revoke", federation.coordinator, "west")
    assert out["is_disconnected"]
    federation.cut_power("south")
    said = federation.islet.run(
        *("federate", "run", federation.coordinator, "c2fnas", "--run", run, "--size", "toy"),
        *("--resume", "--wait", 60, "--min-sites", 2),
        code=2,
    )
    assert "Only 1 of the 2 sites that are needed are connected (north)." in said.stderr
    assert "Nothing is lost." in said.stderr

    federation.start_site("south")
    federation.islet.run(
        *("federate", "run", federation.coordinator, "c2fnas", "--run", run, "--size", "toy"),
        *("--resume", "--wait", 60),
    )
    records = read_lines(place / "rounds.jsonl")
    assert [record["round"] for record in records] == [1, 2, 3]
    assert all("west" not in record["losses"] for record in records[kept:])


@pytest.fixture
def desk(qtbot: QtBot, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(qtbot, tmp_path, islet_command())
    yield desk
    desk.federate.shutdown()


def test_a_run_is_begun_and_followed_from_the_window(
    federation: FederationOfProcesses, desk: Desk
) -> None:
    page = desk.window.federation
    desk.follow(federation.coordinator)
    assert dict(page.chosen.members)["north"] == "connected"
    desk.answers = {
        "run": "panel", "system": "c2fnas", "method": "fedavg", "size": "toy", "rounds": "2",
        "epochs": "1", "share": "25", "min_sites": "2", "grace": "10",
    }  # fmt: skip
    desk.do(desk.federate.begin_run)
    # Earlier runs are finished already.
    desk.until(lambda: ("panel", "finished") in [(r.name, r.state) for r in page.chosen.runs])
    assert not desk.errors
    assert page.chosen_run.name == "panel"
    assert {line.xs for line in page.rounds.loss.lines} == {(1.0, 2.0)}
    # The common model, and the best weights of every site that took part.
    assert page.rounds.result.rowCount() == 1 + len(page.rounds.loss.lines)
    # The site sees the same rounds in its own folder.
    desk.follow(federation.sites["north"])
    page.choose(federation.sites["north"])
    desk.until(lambda: page.chosen_run is not None and page.chosen_run.name == "panel")
    assert {line.xs for line in page.rounds.weights.lines} == {(1.0, 2.0)}
    assert page.rounds.sent_table.rowCount() == 2
    assert page.rounds.own.lines


def test_a_simulation_is_begun_and_followed_from_the_window(
    federation: FederationOfProcesses, desk: Desk, tmp_path: Path
) -> None:
    sites = [{"name": name, "data": str(federation.data)} for name in ("here", "there")]
    (tmp_path / "sites.json").write_text(json.dumps(sites), encoding="utf-8")
    desk.answers = {
        "system": "c2fnas", "method": "fedprox", "size": "toy", "rounds": "1", "epochs": "1",
        "share": "100", "sites": str(tmp_path / "sites.json"), "out": str(tmp_path / "out"),
    }  # fmt: skip
    desk.federate.simulate()
    page = desk.window.federation
    desk.until(lambda: page.chosen is not None and page.chosen.state == "finished")
    assert page.rounds.result.rowCount() == 5
    assert page.rounds.loss.lines


def test_nothing_is_left_running_when_a_federation_is_stopped(
    federation: FederationOfProcesses,
) -> None:
    left = [
        *federation.processes_of("north", "nvflare"),
        *federation.processes_of("server", "nvflare"),
    ]
    assert left
    for folder in (federation.sites["north"], federation.coordinator):
        said = federation.islet.run("federate", "stop", folder)
        assert "Stopped." in said.stderr
        assert not federation.islet.json("federate", "status", folder)["is_running"]
    until(lambda: not any(process.is_running() for process in left), "the end of all", 30)
