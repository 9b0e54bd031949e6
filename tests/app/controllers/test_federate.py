from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from tests.app.federation_desk import Desk
from tests.app.federations_made import (
    FINGERPRINT,
    make_coordinator,
    make_run,
    make_site,
    tell_of_training,
)

pytest.importorskip("nvflare", reason="real federations need the extra 'federated'")

# Says what it was asked, notes it, and answers or refuses.
_FAKE = """
import json, sys
words = sys.argv[2:]
with open(sys.argv[1], "a") as said:
    said.write(json.dumps(words) + "\\n")
if "wrong" in words:
    sys.stderr.write("The answer is not of the authority.\\nCompare it again.\\n")
    sys.exit(2)
print(json.dumps({
    "request": words[2] + "/request.zip", "fingerprint": "AB", "authority": "CD",
    "signed": "north.signed.zip", "member": {"name": "north"}, "rounds": 2, "local_epochs": 1,
    "system": "c2fnas", "numbers": 1, "bytes_to_site": 1, "bytes_from_site": 1, "dense_bytes": 4,
    "min_sites": 2,
    "connected_sites": ["north"], "missing_sites": ["south"],
}))
"""


class FakeDesk(Desk):
    """A desk whose `islet` only notes what it is asked."""

    def __init__(self, qtbot: QtBot, tmp_path: Path) -> None:
        self.said = tmp_path / "said.jsonl"
        super().__init__(qtbot, tmp_path, (sys.executable, "-c", _FAKE, str(self.said)))

    def until_asked(self, count: int = 1) -> list[list[str]]:
        def lines() -> list[str]:
            return self.said.read_text().splitlines() if self.said.exists() else []

        self.until(lambda: len(lines()) >= count)
        return [json.loads(line) for line in lines()]


@pytest.fixture
def desk(qtbot: QtBot, tmp_path: Path) -> Iterator[FakeDesk]:
    desk = FakeDesk(qtbot, tmp_path)
    yield desk
    desk.federate.shutdown()


def test_a_request_is_made_and_its_folder_followed_and_remembered(
    desk: FakeDesk, tmp_path: Path
) -> None:
    folder = make_site(tmp_path / "Klinik Süd", has_joined=False)
    desk.answers = {
        "federation": "trial", "name": "north", "organisation": "Klinik", "folder": str(folder)
    }  # fmt: skip
    desk.do(desk.federate.request)
    assert desk.until_asked() == [
        ["federate", "request", str(folder), "--federation", "trial", "--name", "north",
         "--organisation", "Klinik", "--json"]
    ]  # fmt: skip
    assert desk.watch.folders == (folder,)
    assert desk.store.settings.federations == (folder,)


def test_a_wrong_fingerprint_is_told_in_the_commands_own_words(
    desk: FakeDesk, tmp_path: Path
) -> None:
    desk.follow(make_site(tmp_path / "north", has_joined=False))
    desk.answers = {"signed": "a.zip", "fingerprint": "wrong"}
    desk.do(desk.federate.join)
    (error,) = desk.errors
    assert error.message == "The answer is not of the authority."
    assert error.remedy == "Compare it again."


def test_a_site_starts_with_what_its_reader_agreed_to(desk: FakeDesk, tmp_path: Path) -> None:
    folder = make_site(tmp_path / "north")
    desk.follow(folder)
    desk.answers = {"data": "/data", "lesion": "unlabelled", "share": "25"}
    desk.federate.start()
    assert desk.until_asked() == [
        ["federate", "start", str(folder), "--data", "/data", "--annotation", "lesion=unlabelled",
         "--share-at-most", "0.25", "--device", "auto"]
    ]  # fmt: skip


def test_nothing_starts_when_the_terms_are_not_agreed_to(desk: FakeDesk, tmp_path: Path) -> None:
    desk.follow(make_site(tmp_path / "north"))
    desk.answers = None
    desk.federate.start()
    assert desk.titles == ["Take part as north"]
    assert not desk.said.exists()


def test_a_coordinator_starts_approves_revokes_and_stops(desk: FakeDesk, tmp_path: Path) -> None:
    folder = make_coordinator(tmp_path / "c")
    desk.follow(folder)
    desk.federate.start()
    assert desk.until_asked() == [["federate", "server", str(folder)]]
    desk.answers = {"request": "request.zip", "fingerprint": FINGERPRINT}
    desk.do(desk.federate.approve)
    desk.answers = {"site": "north"}
    desk.do(desk.federate.revoke)
    desk.do(desk.federate.stop)
    verbs = [words[1] for words in desk.until_asked()]
    assert verbs == ["server", "approve", "revoke", "stop"]


def test_a_run_is_rehearsed_before_it_starts(desk: FakeDesk, tmp_path: Path) -> None:
    folder = make_coordinator(tmp_path / "c", is_running=True)
    desk.follow(folder)
    desk.answers = {"run": "first", "method": "dwa", "rounds": "15", "size": "toy"}
    desk.do(desk.federate.begin_run)
    rehearsed, begun = desk.until_asked(2)
    assert rehearsed[-2:] == ["--dry-run", "--json"]
    assert begun == rehearsed[:-2]
    assert begun[:6] == ["federate", "run", str(folder), "c2fnas", "--run", "first"]
    assert {"--method", "dwa", "--rounds", "15", "--share", "0.25"} <= set(begun)


def test_a_run_is_stopped_and_resumed(desk: FakeDesk, tmp_path: Path) -> None:
    folder = make_coordinator(tmp_path / "c", is_running=True)
    place = make_run(folder)
    desk.follow(folder)
    desk.federate.stop_run()
    assert (place / "control").read_text() == "stop\n"
    desk.federate.resume()
    # The run itself knows its system, and everything else.
    words = ["federate", "run", str(folder), "--run", "first", "--resume"]
    assert desk.until_asked()[-1] == words


def test_a_simulation_is_started_and_followed(desk: FakeDesk, tmp_path: Path) -> None:
    out = tmp_path / "out"
    desk.answers = {"out": str(out), "method": "fedprox", "size": "toy"}
    desk.federate.simulate()
    (words,) = desk.until_asked()
    assert words[:5] == ["federate", "simulate", "c2fnas", "--method", "fedprox"]
    assert words[-2:] == ["--out", str(out)]
    assert out in desk.watch.folders


def test_a_folder_that_is_no_federations_is_refused(desk: FakeDesk, tmp_path: Path) -> None:
    desk.federate.open_folder(tmp_path)
    (error,) = desk.errors
    assert error.message == "This folder is not that of a federation."
    assert desk.watch.folders == ()


def test_a_forgotten_folder_stays_where_it_is(desk: FakeDesk, tmp_path: Path) -> None:
    folder = make_site(tmp_path / "north")
    desk.follow(folder)
    desk.federate.forget()
    assert desk.watch.folders == ()
    assert desk.store.settings.federations == ()
    assert (folder / "site.json").exists()


def test_a_run_without_a_common_model_cannot_be_registered(desk: FakeDesk, tmp_path: Path) -> None:
    folder = make_coordinator(tmp_path / "c")
    make_run(folder, state="stopped")
    desk.follow(folder)
    desk.federate.register()
    (error,) = desk.errors
    assert "no weights yet" in error.message or "no common model yet" in error.message


def test_folders_are_read_only_while_somebody_looks(desk: FakeDesk, tmp_path: Path) -> None:
    folder = make_site(tmp_path / "north")
    desk.follow(folder)
    page = desk.window.federation
    desk.window.show()
    tell_of_training(folder)
    assert page.chosen is not None
    assert not page.chosen.runs
    desk.window.show_federation()
    assert [run.name for run in page.chosen.runs] == ["first"]
