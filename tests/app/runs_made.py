"""Folders of runs as a trainer leaves them, with curves that look like those of trainings."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from PIL import Image, ImageDraw

from engine.archive.run_folder import RunFolder, read_run_file, write_json
from engine.catalogue import SYSTEMS
from engine.run import Plan, RunState

STARTER = SYSTEMS.get("starter")
TASKS = ("segmentation", "detection", "subtype")


def begin_run(folder: Path, *, epochs: int = 80, fold: int | None = 0) -> RunFolder:
    """Begin a run of the starter, in this process."""
    system = replace(STARTER, training=replace(STARTER.training, epochs=epochs))
    preparation = system.preparation
    plan = Plan(
        system, "phantoms", preparation.spacing_mm, system.training.patch_shape, 2, "bf16", 1,
        fold, "small",
    )  # fmt: skip
    arguments = {"system": "starter", "size": "small", "fold": fold, "epochs": epochs}
    return RunFolder.create(folder, plan, data=folder.parent / "phantoms", args=arguments)


def tell_epochs(
    run: RunFolder,
    last: int,
    *,
    epochs: int = 80,
    first: int = 1,
    best: float = 0.85,
    seed: int = 1,
) -> None:
    """Tell epochs `first` to `last`, each after its steps."""
    chance = random.Random(seed)
    for epoch in range(1, last + 1):
        progress = 1 - math.exp(-epoch / 18)
        losses = {
            task: 1.6 * (1 - 0.8 * progress) / (number + 1) * chance.uniform(0.92, 1.08)
            for number, task in enumerate(TASKS)
        }
        scores = {
            "dice pancreas": best * progress * chance.uniform(0.97, 1.0),
            "dice lesion": 0.8 * best * progress * chance.uniform(0.9, 1.0),
            "macro-F1": 0.6 * progress * chance.uniform(0.85, 1.0),
        }
        if epoch < first:
            continue
        for step in (10, 30, 50):
            run.emit("step", **step_values(epoch, step, losses, epochs=epochs))
        run.emit("epoch", **epoch_values(epoch, losses, scores, epochs=epochs))


def step_values(
    epoch: int, step: int, losses: Mapping[str, float], *, epochs: int = 80, part: str = "starter"
) -> dict[str, Any]:
    """Return what a step tells."""
    return {
        "part": part,
        "epoch": epoch,
        "epochs": epochs,
        "step": step,
        "steps": 50,
        "losses": dict(losses),
        "weights": dict.fromkeys(losses, 1.0),
        "remaining_s": 31.0 * (epochs - epoch),
    }


def epoch_values(
    epoch: int,
    losses: Mapping[str, float],
    scores: Mapping[str, float],
    *,
    epochs: int = 80,
    part: str = "starter",
) -> dict[str, Any]:
    """Return what an epoch tells."""
    share = epoch / epochs
    weights = {task: 1 + 0.3 * math.sin(3 * share + n) for n, task in enumerate(losses)}
    return {
        "part": part,
        "epochs": epochs,
        "epoch": epoch,
        "losses": dict(losses),
        "scores": dict(scores),
        "elapsed_s": 31.0 * epoch,
        "weights": weights,
        "learning_rate": 1e-3 * 0.5 * (1 + math.cos(math.pi * share)) + 1e-6,
        "samples_per_s": 3.3 + 0.2 * math.sin(epoch),
        "memory_bytes": 2_100_000_000 + 1_000_000 * epoch,
        "remaining_s": 31.0 * (epochs - epoch),
    }


def draw_picture(run: RunFolder, epoch: int) -> Path:
    """Draw and tell of a picture of the size the trainer draws."""
    path = run.picture_path(epoch)
    picture = Image.new("RGB", (1152, 328), (14, 18, 23))
    pen = ImageDraw.Draw(picture)
    for tile in range(4):
        left = 288 * tile
        pen.ellipse((left + 30, 50, left + 258, 280), fill=(70, 70, 70))
        pen.ellipse((left + 110, 120, left + 180, 180), outline=(86, 180, 233), width=3)
        grown = epoch / 4 + 4 * tile
        pen.ellipse((left + 115, 124, left + 160 + grown, 176), outline=(240, 168, 48), width=2)
        pen.text((left + 6, 4), f"case-{tile:02d}  dice 0.{60 + epoch % 40}", fill=(214, 220, 226))
    picture.save(path)
    run.emit("picture", epoch=epoch, file=f"pictures/{path.name}")
    return path


def write_weights(folder: Path) -> None:
    """Write a file that counts as weights, of one tensor without values."""
    header = {
        "__metadata__": {"islet": json.dumps({"system": "starter"})},
        "w": {"dtype": "F32", "shape": [2, 0], "data_offsets": [0, 0]},
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "weights.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)


def finished_run(folder: Path, *, epochs: int = 80, best: float = 0.85, seed: int = 1) -> RunFolder:
    """Leave a run that has finished."""
    run = begin_run(folder, epochs=epochs)
    tell_epochs(run, epochs, epochs=epochs, best=best, seed=seed)
    write_weights(folder)
    run.set_state(RunState.FINISHED)
    return run


def lost_run(folder: Path, last: int = 12) -> RunFolder:
    """Leave a run whose process was killed."""
    run = begin_run(folder)
    tell_epochs(run, last)
    hand_over(folder, pid=_dead_pid(), pid_started=1.0)
    return run


def hand_over(folder: Path, **process: float) -> None:
    """Let run.json name another process."""
    write_json(folder / "run.json", {**read_run_file(folder), **process})


def live_process() -> subprocess.Popen[bytes]:
    """Start something that lives until it is killed."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])


def own(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Let `process` be the trainer of the run in `folder`."""
    hand_over(folder, pid=process.pid, pid_started=psutil.Process(process.pid).create_time())


def _dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid
