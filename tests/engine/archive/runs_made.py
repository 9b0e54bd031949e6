"""Runs of a tiny system, as a trainer would leave them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from engine.archive.run_folder import RunFolder
from engine.inference.model import save_model
from engine.networks.build import build
from engine.run import EpochRecord, Plan, RunState
from engine.system import Inference, Part, Preparation, System, Training

_PREPARATION = Preparation((6.0, 5.0, 5.0), (-160.0, 340.0), hu_mean=50.0, hu_sd=100.0)
TINY = System(
    name="tiny",
    title="Tiny: pancreas and lesions",
    source="tests",
    network=Part("resenc_unet", {"features": (4, 8), "num_blocks": (1, 1), "strides": (1, 2)}),
    heads=(Part("segmentation"),),
    preparation=_PREPARATION,
    training=Training((16, 16, 16), 1, 2, 4, Part("sgd", {"lr": 0.01}), (Part("dice_ce"),)),
    inference=Inference(patch_shape=(16, 32, 32), region_margin_mm=(20.0, 20.0, 20.0)),
    localiser=System(
        name="tiny_localiser",
        title="Tiny localiser",
        source="tests",
        network=Part("resenc_unet", {"features": (4, 8), "num_blocks": (1, 1), "strides": (1, 2)}),
        heads=(Part("segmentation"),),
        preparation=_PREPARATION,
        training=Training((16, 16, 16), 1, 2, 4, Part("sgd"), (Part("dice_ce"),)),
        inference=Inference(patch_shape=(16, 32, 32)),
        structures=("pancreas",),
    ),
)


def tiny_plan(system: System = TINY) -> Plan:
    return Plan(system, "phantoms", (6.0, 5.0, 5.0), (16, 16, 16), 1, "fp32", 1, 0, "toy")


def begin_run(folder: Path, system: System = TINY) -> RunFolder:
    return RunFolder.create(
        folder, tiny_plan(system), data=folder.parent / "data", args={"epochs": 2}
    )


def epoch_values(epoch: int, dice: float | None = None, part: str = "tiny") -> dict[str, object]:
    scores = {} if dice is None else {"dice pancreas": dice + 0.1, "dice lesion": dice - 0.1}
    return {
        "part": part,
        "epochs": 2,
        "epoch": epoch,
        "losses": {"segmentation": 1.0 / epoch},
        "scores": scores,
        "elapsed_s": 10.0 * epoch,
        "weights": {"segmentation": 1.0},
        "learning_rate": 0.01,
        "samples_per_s": 2.5,
        "memory_bytes": 1_000_000,
        "remaining_s": 10.0 * (2 - epoch),
    }


def record(epoch: int, scores: Mapping[str, float]) -> EpochRecord:
    return EpochRecord(epoch, {"segmentation": 1.0}, scores, 10.0 * epoch)


def write_weights(folder: Path, system: System = TINY) -> None:
    """Write weights that the same seed makes the same."""
    torch.manual_seed(0)
    localiser = None if system.localiser is None else build(system.localiser)
    save_model(system, build(system), localiser, folder / "weights.safetensors")


def finished_run(folder: Path, system: System = TINY, dice: float = 0.5) -> RunFolder:
    run = begin_run(folder, replace(system))
    run.emit("epoch", **epoch_values(1, dice - 0.1))
    run.emit("epoch", **epoch_values(2, dice))
    write_weights(folder, system)
    run.set_state(RunState.FINISHED)
    return run
