"""Whatever goes wrong at a site is an answer, and its training process may be killed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("nvflare", reason="real federations need the extra 'federated'")

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from engine.archive.federation import FOLDER_VARIABLE, read_lines
from engine.archive.run_folder import EVENTS_FILE
from engine.federated.flare import executor as module
from engine.federated.flare.executor import SiteExecutor
from engine.federated.flare.messages import JUDGE, OWN, PREPARE, TRAIN, pack, unpack

# Notes what it is asked, and dies of a question as often as its first argument says.
_FAKE = """
import json, os, signal, sys
from pathlib import Path
deaths, said = int(sys.argv[1]), Path(sys.argv[2])
for line in sys.stdin:
    asked = json.loads(line)
    with said.open("a") as file:
        file.write(line)
    lines = [json.loads(each) for each in said.read_text().splitlines()]
    if asked["do"] == "begin":
        print("{}", flush=True)
    elif sum(each["do"] != "begin" for each in lines) <= deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    elif asked["do"] == "own":
        print(json.dumps({"is_there": False}), flush=True)
    elif asked["round"] == 7:
        print(json.dumps({"message": "It is too much.", "remedy": "Ask for less."}), flush=True)
    elif asked["round"] == 8:
        pass
    else:
        if "update" in asked:
            Path(asked["update"]).write_bytes(b"trained " + Path(asked["model"]).read_bytes())
        print(json.dumps({"loss": 0.5}), flush=True)
"""
_CONTEXT: Any = SimpleNamespace()


class Site:
    """A site's folder, and the executor that works in it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, deaths: int = 0) -> None:
        self.folder = folder
        self.said = folder / "said"
        monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
        command = (sys.executable, "-c", _FAKE, str(deaths), str(self.said))
        monkeypatch.setattr(module, "_COMMAND", command)
        self.executor = SiteExecutor("first")

    def ask(self, task: str = TRAIN, **values: Any) -> Shareable:
        asked = pack({"round": 1, "order": {"run": "first"}, **values}, {"common": b"model"})
        return self.executor.execute(task, asked, _CONTEXT, self.abort)

    abort = Signal()

    def questions(self) -> list[str]:
        return [json.loads(line)["do"] for line in self.said.read_text().splitlines()]

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [e for e in read_lines(self.folder / EVENTS_FILE) if e["event"] == kind]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def _ended(site: Site) -> None:
    site.executor.handle_event(EventType.END_RUN, _CONTEXT)


def test_a_round_is_trained_and_its_update_sent(site: Site) -> None:
    values, models = unpack(site.ask(about={"title": "A"}, records=[{"round": 1}]))
    assert values == {"loss": 0.5}
    assert models == {"update": b"trained model"}
    # The process stays, and is told only once what the run is.
    unpack(site.ask(round=2))
    assert site.questions() == ["begin", "train", "train"]
    assert [event["state"] for event in site.events("state")] == ["training", "training"]
    assert site.events("job")[0]["title"] == "A"
    assert site.events("federation")[0]["record"] == {"round": 1}
    _ended(site)
    assert site.events("state")[-1]["state"] == "online"


def test_a_site_is_ready_before_its_first_round(site: Site) -> None:
    values, models = unpack(site.ask(PREPARE))
    assert (values, models) == ({"loss": 0.5}, {})
    unpack(site.ask())
    assert site.questions() == ["begin", "prepare", "train"]
    assert [event["state"] for event in site.events("state")] == ["preparing", "training"]
    _ended(site)


def test_a_site_that_cannot_prepare_misses_no_round_for_it(site: Site) -> None:
    values, _ = unpack(site.ask(PREPARE, round=7))
    assert values["message"] == "It is too much."
    assert site.events("missed") == []
    _ended(site)


def test_judging_sends_no_update(site: Site) -> None:
    values, models = unpack(site.ask(JUDGE, cases="test", best_round=3))
    assert (values, models) == ({"loss": 0.5}, {})
    assert site.events("finished")[0]["best_round"] == 3
    values, models = unpack(site.ask(OWN))
    assert (values, models) == ({"is_there": False}, {})
    _ended(site)


def test_a_process_killed_once_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path, monkeypatch, deaths=1)
    values, _ = unpack(site.ask())
    assert values == {"loss": 0.5}
    assert site.questions() == ["begin", "train", "begin", "train"]
    assert len(site.events("alarm")) == 1
    _ended(site)


def test_a_process_killed_twice_costs_the_site_its_round_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path, monkeypatch, deaths=2)
    values, models = unpack(site.ask())
    assert values["message"].startswith("The training process at the site was ended twice")
    assert models == {}
    assert site.events("missed")[0]["round"] == 1
    values, _ = unpack(site.ask(round=2))
    assert values == {"loss": 0.5}
    _ended(site)


def test_a_refusal_is_passed_on_with_its_remedy(site: Site) -> None:
    values, models = unpack(site.ask(round=7))
    assert values == {"message": "It is too much.", "remedy": "Ask for less."}
    assert models == {}
    assert site.events("missed")[0]["message"] == "It is too much."
    _ended(site)


def test_a_full_disk_is_an_answer_without_paths(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device", str(site.folder))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        values, models = unpack(site.ask())
    assert values["message"] == "The site cannot read or write its files."
    assert "disk is full" in values["remedy"]
    assert models == {}
    assert str(site.folder) not in caplog.text
    # With room again, it takes part again.
    assert unpack(site.ask(round=2))[0] == {"loss": 0.5}
    _ended(site)


def test_an_aborted_task_ends_the_process_and_gives_no_answer(site: Site) -> None:
    site.abort = Signal()
    site.abort.trigger(None)
    assert site.ask(round=8).get_return_code() == ReturnCode.TASK_ABORTED
    assert site.executor._training._process is None


def test_the_message_of_another_program_is_refused(site: Site) -> None:
    answer = site.executor.execute(TRAIN, Shareable(), _CONTEXT, Signal())
    assert answer.get_return_code() == ReturnCode.BAD_TASK_DATA
    assert not site.said.exists()


def test_the_name_of_a_run_cannot_leave_the_sites_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(ValueError, match="not the name of a run"):
        SiteExecutor("../elsewhere")
