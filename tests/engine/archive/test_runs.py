from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from engine.archive.run_events import EventTail
from engine.archive.run_folder import RunFolder, RunFolderError
from engine.archive.runs import (
    BrokenRun,
    RunReader,
    compare_runs,
    delete_run,
    find_run_folder,
    find_runs,
    read_details,
    read_run,
    request,
    runs_folder,
    score_of,
)
from engine.registry import UnknownNameError
from engine.run import RunState, TrainingRun
from engine.system_json import DamagedSystemError
from tests.engine.archive.runs_made import (
    begin_run,
    epoch_values,
    finished_run,
    record,
    tiny_plan,
    write_weights,
)


def _change(folder: Path, **values: object) -> None:
    path = folder / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def _lose_process(folder: Path) -> None:
    """Leave the run as a killed trainer would: its process is gone without a word."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    started = psutil.Process(done.pid).create_time()
    done.wait()
    _change(folder, pid=done.pid, pid_started=started)


@contextmanager
def _zombie() -> Iterator[psutil.Process]:
    """Give a process that has ended and whose parent has not asked for it."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    process = psutil.Process(child.pid)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    yield process
    child.wait()


def _step(number: int, **values: object) -> dict[str, object]:
    told = {
        "part": "tiny",
        "epoch": 1,
        "epochs": 2,
        "step": number,
        "steps": 4,
        "losses": {"segmentation": 1.0},
        "weights": {"segmentation": 1.0},
        "remaining_s": 30.0,
    }
    return told | values


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    finished_run(tmp_path / "run")
    run = read_run(tmp_path / "run")
    assert run.run_id == "run"
    assert run.plan == tiny_plan()
    assert run.state is RunState.FINISHED
    assert [record.epoch for record in run.history] == [1, 2]
    assert run.history[1].losses == {"segmentation": 0.5}
    assert run.history[1].memory_bytes == 1_000_000
    assert run.best_epoch == 2


def test_details_tell_everything_that_happened(tmp_path: Path) -> None:
    run = begin_run(tmp_path / "run")
    run.emit("progress", stage="prepare", fraction=0.4)
    assert read_details(tmp_path / "run").stage == "prepare"
    run.emit("dry_run", needed_bytes=5, free_bytes=9, step_s=0.5, text="It fits.")
    run.emit("epoch", **epoch_values(1, part="tiny_localiser"))
    run.emit("step", **_step(1, losses={"segmentation": 2.0, "subtype": float("nan")}))
    run.emit("alarm", text="Look.")
    run.emit("alarm", text="Look.")
    run.emit("picture", epoch=1, file="pictures/epoch-0001.png")
    run.log.write_text("first line\nlast line\n")
    details = read_details(tmp_path / "run")
    assert (details.stage, details.remaining_s) == ("", 30.0)
    assert details.dry_run is not None
    assert details.dry_run.text == "It fits."
    assert details.last_step is not None
    assert details.last_step.losses == {"segmentation": 2.0}
    assert details.alarms == ("Look.",)
    assert details.pictures == {1: tmp_path / "run/pictures/epoch-0001.png"}
    assert details.log_tail == "first line\nlast line\n"
    assert details.run.history == ()
    assert [record.epoch for record in details.histories["tiny_localiser"]] == [1]
    assert not details.has_weights
    write_weights(tmp_path / "run")
    assert read_details(tmp_path / "run").has_weights


def test_a_line_torn_by_a_kill_is_not_read(tmp_path: Path) -> None:
    begin_run(tmp_path / "run").emit("epoch", **epoch_values(1, 0.5))
    with (tmp_path / "run/events.jsonl").open("ab") as file:
        file.write(b'{"event": "epoch", "epoch": 2')
    assert [record.epoch for record in read_run(tmp_path / "run").history] == [1]


def test_a_tail_gives_each_event_once_and_waits_for_half_a_line(tmp_path: Path) -> None:
    tail = EventTail(tmp_path)
    assert tail.read() == ()
    events = tmp_path / "events.jsonl"
    events.write_bytes(b'{"event": "a"}\n{"event": "b"')
    assert [event["event"] for event in tail.read()] == ["a"]
    assert tail.read() == ()
    with events.open("ab") as file:
        file.write(b"}\nnonsense\n[]\n")
    assert [event["event"] for event in tail.read()] == ["b"]


def test_a_tail_starts_again_where_another_run_was_begun(tmp_path: Path) -> None:
    tail = EventTail(tmp_path)
    (tmp_path / "events.jsonl").write_bytes(b'{"event": "a"}\n{"event": "b"}\n')
    tail.read()
    (tmp_path / "events.jsonl").write_bytes(b'{"event": "c"}\n')
    assert [event["event"] for event in tail.read()] == ["c"]


def test_looking_again_and_again_is_looking_once(tmp_path: Path) -> None:
    run = begin_run(tmp_path / "run")
    reader = RunReader(tmp_path / "run")
    for number in range(1, 5):
        run.emit("step", **_step(number))
        reader.read()
    run.emit("epoch", **epoch_values(1, 0.5))
    assert reader.read() == read_details(tmp_path / "run")


def test_epochs_repeated_after_a_kill_replace_the_earlier_ones(tmp_path: Path) -> None:
    run = begin_run(tmp_path / "run")
    for epoch in (1, 2, 3):
        run.emit("epoch", **epoch_values(epoch, 0.3))
    run.emit("epoch", **epoch_values(2, 0.7))
    history = read_run(tmp_path / "run").history
    assert [record.epoch for record in history] == [1, 2]
    assert score_of(history[1]) == pytest.approx(0.7)


def test_events_that_make_no_sense_are_passed_over(tmp_path: Path) -> None:
    run = begin_run(tmp_path / "run")
    run.emit("epoch", part="tiny", epoch="many")
    run.emit("step", losses=3)
    run.emit("progress", stage="check")
    run.emit("fireworks")
    details = read_details(tmp_path / "run")
    assert (details.run.history, details.steps, details.stage) == ((), (), "")


def test_a_long_run_keeps_a_share_of_its_steps_and_the_last(tmp_path: Path) -> None:
    begin_run(tmp_path / "run")
    with (tmp_path / "run/events.jsonl").open("a") as file:
        for number in range(1, 9001):
            file.write(json.dumps({"event": "step", "time": 1.0, **_step(number)}) + "\n")
    details = read_details(tmp_path / "run")
    assert 2000 <= len(details.steps) <= 4000
    assert details.last_step is not None
    assert details.last_step.step == 9000
    numbers = [step.step for step in details.steps]
    assert numbers == sorted(numbers)


def test_a_run_whose_process_is_gone_was_interrupted(tmp_path: Path) -> None:
    begin_run(tmp_path / "run")
    assert read_run(tmp_path / "run").state is RunState.RUNNING
    _lose_process(tmp_path / "run")
    assert read_run(tmp_path / "run").state is RunState.INTERRUPTED
    _change(tmp_path / "run", state="failed")
    assert read_run(tmp_path / "run").state is RunState.FAILED


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such processes.")
def test_a_process_that_has_ended_but_was_not_asked_for_is_gone(tmp_path: Path) -> None:
    begin_run(tmp_path / "run")
    with _zombie() as process:
        _change(tmp_path / "run", pid=process.pid, pid_started=process.create_time())
        assert read_run(tmp_path / "run").state is RunState.INTERRUPTED


def test_runs_are_listed_newest_first_and_broken_ones_last() -> None:
    assert find_runs() == ()
    for name, started in (("b", "2026-01-02T00:00:00+02:00"), ("a", "2026-01-01T23:00:00+00:00")):
        begin_run(runs_folder() / name)
        _change(runs_folder() / name, started=started)
    begin_run(runs_folder() / "c")
    (runs_folder() / "c/plan.json").write_text("{")
    begin_run(runs_folder() / "d")
    (runs_folder() / "d/run.json").unlink()
    (runs_folder() / "no run").mkdir()
    found = find_runs()
    assert [run.run_id for run in found] == ["a", "b", "c", "d"]
    broken = [run for run in found if isinstance(run, BrokenRun)]
    assert [run.error.message for run in broken] == [
        "The file plan.json of the training run is missing or damaged.",
        "There is no training run in this folder.",
    ]
    assert isinstance(found[0], TrainingRun)


def test_a_system_of_a_later_islet_breaks_its_run_alone(tmp_path: Path) -> None:
    begin_run(tmp_path / "run")
    system = json.loads((tmp_path / "run/system.json").read_text())
    (tmp_path / "run/system.json").write_text(json.dumps(system | {"dreams": True}))
    with pytest.raises(DamagedSystemError):
        read_run(tmp_path / "run")
    assert [run.run_id for run in find_runs(tmp_path)] == ["run"]


def test_a_run_is_found_by_name_or_path_with_a_hint(tmp_path: Path) -> None:
    begin_run(runs_folder() / "unet_fold0")
    begin_run(tmp_path / "elsewhere")
    assert find_run_folder("unet_fold0") == runs_folder() / "unet_fold0"
    assert find_run_folder(str(tmp_path / "elsewhere")) == tmp_path / "elsewhere"
    with pytest.raises(UnknownNameError) as caught:
        find_run_folder("unet_fold1")
    assert caught.value.message == "There is no training run called 'unet_fold1'."
    assert caught.value.remedy == "Did you mean 'unet_fold0'?"
    with pytest.raises(UnknownNameError):
        find_run_folder("")


def test_a_trainer_hears_what_is_asked_of_its_run(tmp_path: Path) -> None:
    run = begin_run(tmp_path / "run")
    request(tmp_path / "run", "pause")
    assert run.wanted() == "pause"
    request(tmp_path / "run", "run")
    assert run.wanted() == "run"


def test_a_run_that_nobody_trains_cannot_be_asked(tmp_path: Path) -> None:
    begin_run(tmp_path / "run")
    _lose_process(tmp_path / "run")
    with pytest.raises(RunFolderError) as caught:
        request(tmp_path / "run", "stop")
    assert caught.value.message == "The run is not being trained at the moment."
    assert caught.value.remedy == "Start it again with 'islet train --resume', or in the window."


def test_a_run_in_training_is_not_deleted(tmp_path: Path) -> None:
    run = begin_run(tmp_path / "run")
    with pytest.raises(RunFolderError) as caught:
        delete_run(tmp_path / "run")
    assert caught.value.message == "The run is being trained and cannot be deleted."
    assert caught.value.remedy == "Stop it first, with 'islet runs stop' or in the window."
    assert read_run(tmp_path / "run").state is RunState.RUNNING
    run.set_state(RunState.STOPPED)
    delete_run(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_interrupted_or_damaged_run_can_be_deleted(tmp_path: Path) -> None:
    begin_run(tmp_path / "lost")
    _lose_process(tmp_path / "lost")
    begin_run(tmp_path / "damaged")
    (tmp_path / "damaged/run.json").write_text("{")
    delete_run(tmp_path / "lost")
    delete_run(tmp_path / "damaged")
    assert find_runs(tmp_path) == ()


def test_a_folder_that_is_no_run_is_never_deleted(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/one.jpg").write_text("dear")
    begin_run(tmp_path / "run").set_state(RunState.STOPPED)
    (tmp_path / "link").symlink_to(tmp_path / "run")
    for folder in (tmp_path / "photos", tmp_path / "link", tmp_path / "nothing"):
        with pytest.raises(RunFolderError, match="so it is not deleted"):
            delete_run(folder)
    assert (tmp_path / "photos/one.jpg").exists()
    assert (tmp_path / "run/run.json").exists()


def test_the_score_of_an_epoch_is_its_mean_dice() -> None:
    assert score_of(record(1, {"dice a": 0.4, "dice b": 0.8, "auroc": 0.1})) == pytest.approx(0.6)
    assert score_of(record(1, {"auroc": 0.9, "accuracy": 0.7})) == pytest.approx(0.8)
    assert score_of(record(1, {})) is None


def test_compared_runs_stand_best_first(tmp_path: Path) -> None:
    finished_run(tmp_path / "good", dice=0.8)
    finished_run(tmp_path / "poor", dice=0.3)
    begin_run(tmp_path / "young")
    names = ("young", "poor", "good")
    rows = compare_runs(read_run(tmp_path / name) for name in names)
    assert [row.run_id for row in rows] == ["good", "poor", "young"]
    good, _, young = rows
    assert (good.system, good.size, good.fold, good.num_epochs, good.best_epoch) == (
        "tiny",
        "toy",
        0,
        2,
        2,
    )
    assert good.best_score == pytest.approx(0.8)
    assert good.losses == {"segmentation": 0.5}
    assert good.elapsed_s == 20.0
    assert good.num_parameters is not None
    assert (young.best_score, young.num_parameters, young.num_epochs) == (None, None, 0)


def test_reopening_goes_on_with_the_history(tmp_path: Path) -> None:
    begin_run(tmp_path / "run").emit("epoch", **epoch_values(1, 0.5))
    RunFolder.reopen(tmp_path / "run").emit("epoch", **epoch_values(2, 0.6))
    assert [record.epoch for record in read_run(tmp_path / "run").history] == [1, 2]
