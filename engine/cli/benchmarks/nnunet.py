"""nnU-Net's own trainer on the same data, network and patch, in an environment of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import IsletError
from engine.system import System

if TYPE_CHECKING:
    from engine.data.datasets import Entry
    from engine.run import Plan

_DRIVER = Path(__file__).with_name("nnunet_driver.py")
_RAW = Path("raw") / "Dataset001_Benchmark"
# nnU-Net caches six batches ahead, and each of its processes one more.
_WARM_UP_STEPS = 8


class PeerError(IsletError):
    """nnU-Net could not be measured."""


@dataclass(frozen=True, slots=True)
class PeerSpeed:
    """What nnU-Net's trainer does.

    Args:
        with_loading: Patches per second with its own loading.
        without_loading: Patches per second on one batch that is kept.
        num_parameters: Of its network.
        version: Of nnU-Net.
        precision: Its own choice for the device.
    """

    with_loading: float
    without_loading: float
    num_parameters: int
    version: str
    precision: str


@dataclass(frozen=True, slots=True)
class Peer:
    """nnU-Net, set up to train what a plan says.

    Args:
        python: Of an environment that has nnU-Net.
        folder: Of its three folders.
        specification: What it trains, as JSON values.
    """

    python: Path
    folder: Path
    specification: dict[str, Any]

    def samples_per_s(self, steps: int) -> PeerSpeed:
        """Train for `steps` steps after the warm-up, with loading and then without.

        Raises:
            PeerError: If nnU-Net fails.
        """
        order = {**self.specification, "steps": steps, "warm_up": _WARM_UP_STEPS}
        said = _drive(self.python, "train", self.folder, order)
        patches = steps * self.specification["batch_size"]
        return PeerSpeed(
            patches / said["with_loading_s"],
            patches / said["without_loading_s"],
            said["num_parameters"],
            said["version"],
            said["precision"],
        )


def why_no_peer(python: Path | None, system: System) -> str | None:
    """Return, as a finished sentence, why nnU-Net cannot be measured; None where it can."""
    from engine.networks.build import SEGMENTATION, joint_heads

    if python is None:
        return "Not measured: name nnU-Net's own Python with --nnunet."
    heads = [head.name for head in joint_heads(system)]
    if system.network.name != "resenc_unet" or heads != [SEGMENTATION]:
        return "Not measured: nnU-Net has no such network; '--system resenc_staged' is one of its."
    return None


def set_up_peer(python: Path, plan: Plan, entries: Sequence[Entry], folder: Path) -> Peer:
    """Write the cases as nnU-Net wants them, and let it plan and preprocess.

    Raises:
        PeerError: If there is no such environment, or nnU-Net fails.
    """
    from engine.data.dataset_writer import write_dataset

    specification = _specification(plan)
    if not python.exists():
        raise PeerError(
            "The environment of nnU-Net is not there.",
            remedy="Make it with packaging/nnunet/make_environment.sh FOLDER, and give "
            "--nnunet FOLDER/bin/python.",
        )
    write_dataset((entry.read() for entry in entries), folder / _RAW)
    _drive(python, "prepare", folder, specification)
    return Peer(python, folder, specification)


def _specification(plan: Plan) -> dict[str, Any]:
    params = plan.system.network.params
    num_stages = len(params["features"])
    kernels = params.get("kernel_sizes", 3)
    if isinstance(kernels, int):
        kernels = [kernels] * num_stages
    return {
        "spacing_mm": list(plan.spacing_mm),
        "patch_shape": list(plan.patch_shape),
        "batch_size": plan.batch_size,
        "device": plan.device,
        "network": {
            "features": list(params["features"]),
            "num_blocks": list(params["num_blocks"]),
            "strides": [_triple(stride) for stride in params["strides"]],
            "kernel_sizes": [_triple(kernel) for kernel in kernels],
            "num_decoder_convs": [params.get("num_decoder_convs", 1)] * (num_stages - 1),
        },
    }


def _triple(size: int | Sequence[int]) -> list[int]:
    return [size] * 3 if isinstance(size, int) else list(size)


def _drive(python: Path, verb: str, folder: Path, order: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [str(python), str(_DRIVER), verb, str(folder), json.dumps(order)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        *_, reason = ["nothing was said", *filter(None, done.stderr.splitlines())]
        raise PeerError(
            f"nnU-Net's trainer failed: {reason.strip().rstrip('.')}.",
            remedy="Make its environment anew with packaging/nnunet/make_environment.sh.",
        )
    return json.loads(done.stdout)
