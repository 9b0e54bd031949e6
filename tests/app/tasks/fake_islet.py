"""Stands for `islet`: trains nothing, but tells of it as the trainer does, and obeys its folder."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from engine.archive.run_folder import RUN_FILE, RunFolder, read_run_file
from engine.run import RunState
from tests.app.runs_made import begin_run, epoch_values, step_values, write_weights

_STEP_S = 0.02


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("verb")
    parser.add_argument("system", nargs="?")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--finish", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    asked, _ = parser.parse_known_args(words)
    if asked.verb == "systems":
        rows = [{"name": "starter", "parameters": 6_300_000, "sizes": {"toy": 150_000}}]
        sys.stdout.write(json.dumps(rows))
    elif asked.system == "too_large":
        sys.stderr.write("This training needs about 90.0 GB of memory.\nChoose a smaller size.\n")
        sys.exit(2)
    elif asked.dry_run:
        row = {"system": "starter", "needed_bytes": 3e9, "free_bytes": 12e9, "text": "It fits."}
        sys.stdout.write(json.dumps([{**row, "needed_bytes": 1e9}, row]))
    else:
        _train(asked)


def _train(asked: argparse.Namespace) -> None:
    is_there = (asked.run / RUN_FILE).exists()
    if asked.resume and is_there:
        run = RunFolder.reopen(asked.run)
        asked.epochs = read_run_file(asked.run)["args"]["epochs"]
    else:
        run = begin_run(asked.run, epochs=asked.epochs)
    epoch = 1 + _num_told(asked.run)
    while epoch <= asked.epochs and not asked.finish:
        for step in range(1, 4):
            if not _go_on(run):
                return
            time.sleep(_STEP_S)
            run.emit("step", **step_values(epoch, step, {"segmentation": 1.0}, epochs=asked.epochs))
        told = epoch_values(
            epoch, {"segmentation": 1 / epoch}, {"dice lesion": 0.5}, epochs=asked.epochs
        )
        run.emit("epoch", **told)
        sys.stderr.write(f"epoch {epoch}\n")
        epoch += 1
    write_weights(asked.run)
    run.set_state(RunState.FINISHED)


def _go_on(run: RunFolder) -> bool:
    """Do what the run's folder asks for; return whether to go on."""
    if run.wanted() == "pause":
        run.set_state(RunState.PAUSED)
        while run.wanted() == "pause":
            time.sleep(_STEP_S)
        if run.wanted() == "run":
            run.set_state(RunState.RUNNING)
    if run.wanted() == "stop":
        write_weights(run.folder)
        run.set_state(RunState.STOPPED)
        return False
    return True


def _num_told(folder: Path) -> int:
    path = folder / "events.jsonl"
    if not path.exists():
        return 0
    return sum(json.loads(line)["event"] == "epoch" for line in path.read_bytes().splitlines())


if __name__ == "__main__":
    main(sys.argv[1:])
