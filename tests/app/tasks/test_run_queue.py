from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from app.tasks.parameter_counts import counts_of, remember, remembered
from app.tasks.run_process import AnswerError, Question, last_words
from app.tasks.run_queue import QueuedRun, QueueError, RunQueue
from app.tasks.run_request import RunRequest, safe_name, train_words
from engine.catalogue import SYSTEMS
from engine.errors import IsletError

FAKE_ISLET = (sys.executable, "-m", "tests.app.tasks.fake_islet")


def entry(run_id: str) -> QueuedRun:
    return QueuedRun(run_id, "/data", {"system": "starter", "fold": "0"})


def test_the_queue_keeps_its_order_from_one_window_to_the_next(tmp_path: Path) -> None:
    queue = RunQueue(tmp_path)
    for run_id in ("b", "a", "c"):
        queue.put(entry(run_id))
    queue.drop("a")
    assert RunQueue(tmp_path).read() == (entry("b"), entry("c"))


def test_only_one_run_is_taken_while_another_starts(tmp_path: Path) -> None:
    import psutil

    queue = RunQueue(tmp_path)
    queue.put(entry("a"))
    queue.put(entry("b"))
    own = psutil.Process()
    taken = queue.take_next(lambda _entry: (own.pid, own.create_time()))
    assert taken is not None
    assert taken.run_id == "a"
    assert taken.is_starting
    assert RunQueue(tmp_path).take_next(lambda _entry: (1, 1.0)) is None


def test_a_damaged_queue_is_empty(tmp_path: Path) -> None:
    (tmp_path / "queue.json").write_text('[{"run_id": 1, "unheard_of": 2}]')
    assert RunQueue(tmp_path).read() == ()


def test_a_queue_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(QueueError) as raised:
        RunQueue(tmp_path / "file").put(entry("a"))
    assert raised.value.message == "The queue of runs cannot be written."
    assert raised.value.remedy == (
        "Free some space, or ask for permission to write to Islet's data folder."
    )


def test_a_request_becomes_the_words_of_the_command_line() -> None:
    request = RunRequest(
        "r", Path("/data"), "starter", "toy", fold=None, epochs=3, head="staged", skips_broken=True
    )
    assert train_words(request.arguments, request.data, Path("/runs/r")) == (
        "train", "starter", "--data", "/data", "--run", "/runs/r", "--size", "toy",
        "--fold", "all", "--epochs", "3", "--device", "auto", "--devices", "1",
        "--head", "staged", "--skip-broken",
    )  # fmt: skip


def test_the_command_line_knows_every_option_the_window_uses(tmp_path: Path) -> None:
    import inspect

    from engine.cli.train import train

    request = RunRequest(
        "r", tmp_path, "starter", "toy", epochs=1, head="own", augment_on="cpu",
        uses_shipped_localiser=True, skips_broken=True,
    )  # fmt: skip
    assert set(request.arguments) <= set(inspect.signature(train).parameters)


@pytest.mark.parametrize(
    ("text", "name"),
    [("islet small/2", "islet-small-2"), ("..", ""), ("ümlaut", "mlaut"), ("a_b.c-1", "a_b.c-1")],
)
def test_a_name_is_made_fit_for_a_folder(text: str, name: str) -> None:
    assert safe_name(text) == name


def test_last_words_are_the_message_and_the_remedy() -> None:
    assert last_words("noise\nIt broke.\nMend it.\n") == ("It broke.", "Mend it.")
    assert last_words("Killed\n") == ("", "")


def test_an_answer_is_json_and_a_refusal_is_an_error(qtbot: QtBot) -> None:
    question = Question(command=FAKE_ISLET)
    answers: list[object] = []
    errors: list[IsletError] = []
    question.ask(("systems", "--json"), on_success=answers.append, on_failure=errors.append)
    qtbot.waitUntil(lambda: bool(answers or errors), timeout=30_000)
    assert counts_of(answers[0]) == {("starter", "full"): 6_300_000, ("starter", "toy"): 150_000}
    question.ask(("train", "too_large"), on_success=answers.append, on_failure=errors.append)
    qtbot.waitUntil(lambda: bool(errors), timeout=30_000)
    assert errors[0].message == "This training needs about 90.0 GB of memory."
    assert errors[0].remedy == "Choose a smaller size."


def test_silence_is_an_error_too(qtbot: QtBot, tmp_path: Path) -> None:
    errors: list[IsletError] = []
    silent = Question(command=(sys.executable, "-c", ""))
    silent.ask((), on_success=lambda _: None, on_failure=errors.append)
    qtbot.waitUntil(lambda: bool(errors), timeout=30_000)
    missing = Question(command=(str(tmp_path / "nothing"),))
    missing.ask((), on_success=lambda _: None, on_failure=errors.append)
    qtbot.waitUntil(lambda: len(errors) == 2, timeout=30_000)
    assert all(isinstance(error, AnswerError) for error in errors)
    assert errors[0].message == "The command ended without an answer."
    assert errors[0].remedy == ("Try again; if it happens again, run it in a terminal to see why.")


def test_counts_are_remembered_until_the_catalogue_changes(tmp_path: Path) -> None:
    systems = tuple(SYSTEMS)
    counts = {("starter", "full"): 6_300_000}
    assert remembered(tmp_path, systems) is None
    remember(tmp_path, systems, counts)
    assert remembered(tmp_path, systems) == counts
    assert remembered(tmp_path, systems[:1]) is None
