"""Time nnU-Net's own trainer; run as a script, by the Python of an environment that has nnU-Net.

Imports nothing of Islet. Its stdout is one line of JSON; whatever nnU-Net says goes to stderr.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

_DATASET = "Dataset001_Benchmark"
_CONFIGURATION = "3d_fullres"
_PLANS = "BenchmarkPlans"
_CLASSES = "conv_op", "norm_op", "dropout_op", "nonlin"


def main(verb: str, folder: Path, specification: dict[str, Any]) -> dict[str, Any]:
    """Prepare the data set in `folder`, or train on it.

    Args:
        verb: "prepare" or "train".
        folder: Holds nnU-Net's three folders; the raw one has the data set.
        specification: What Islet's `Peer` writes.

    Returns:
        What is to be said to Islet.
    """
    for name in ("raw", "preprocessed", "results"):
        (folder / name).mkdir(exist_ok=True)
        # nnU-Net looks for them when it is imported.
        os.environ[f"nnUNet_{name}"] = str(folder / name)
    verbs = {"prepare": _prepare, "train": _train}
    return verbs[verb](folder, specification)


def _prepare(folder: Path, specification: dict[str, Any]) -> dict[str, Any]:
    """Let nnU-Net plan and preprocess; the network, patch and spacing are Islet's."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (  # pyright: ignore[reportMissingImports]
        extract_fingerprint_dataset,
        plan_experiment_dataset,
        preprocess_dataset,
    )

    workers = os.cpu_count() or 1
    extract_fingerprint_dataset(1, num_processes=workers, show_progress_bar=False)
    plans, _ = plan_experiment_dataset(1, overwrite_plans_name=_PLANS)
    file = folder / "preprocessed" / _DATASET / f"{_PLANS}.json"
    file.write_text(json.dumps(_planned(json.loads(file.read_text()), specification)))
    assert plans is not None, "nnU-Net returns its plans"
    preprocess_dataset(1, _PLANS, (_CONFIGURATION,), [workers], show_progress_bar=False)
    return {}


def _planned(plans: dict[str, Any], specification: dict[str, Any]) -> dict[str, Any]:
    network = specification["network"]
    planned = {
        **plans["configurations"][_CONFIGURATION],
        "spacing": specification["spacing_mm"],
        "patch_size": specification["patch_shape"],
        "batch_size": specification["batch_size"],
        "architecture": {
            "network_class_name": (
                "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"
            ),
            "arch_kwargs": {
                "n_stages": len(network["features"]),
                "features_per_stage": network["features"],
                "conv_op": "torch.nn.modules.conv.Conv3d",
                "kernel_sizes": network["kernel_sizes"],
                "strides": network["strides"],
                "n_blocks_per_stage": network["num_blocks"],
                "n_conv_per_stage_decoder": network["num_decoder_convs"],
                "conv_bias": True,
                "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                "norm_op_kwargs": {"eps": 1e-5, "affine": True},
                "dropout_op": None,
                "dropout_op_kwargs": None,
                "nonlin": "torch.nn.LeakyReLU",
                "nonlin_kwargs": {"inplace": True},
            },
            "_kw_requires_import": list(_CLASSES),
        },
    }
    return {
        **plans,
        "configurations": {_CONFIGURATION: planned},
        # Islet's axes: slices first.
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
    }


def _train(folder: Path, specification: dict[str, Any]) -> dict[str, Any]:
    """Time train steps with nnU-Net's own loading, then on one batch that is kept."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import (  # pyright: ignore[reportMissingImports]
        nnUNetTrainer,
    )

    on_cuda = specification["device"].startswith("cuda")
    # As its command line does.
    torch.set_num_threads(1 if on_cuda else multiprocessing.cpu_count())
    torch.backends.cudnn.benchmark = on_cuda
    base = folder / "preprocessed" / _DATASET
    plans = json.loads((base / f"{_PLANS}.json").read_text())
    trainer = nnUNetTrainer(
        {**plans, "continue_training": False},
        _CONFIGURATION,
        # Every case trains: the few cases of a benchmark make no five folds.
        "all",  # type: ignore[arg-type]
        json.loads((base / "dataset.json").read_text()),
        torch.device(specification["device"]),
    )
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    loader: Any = trainer.dataloader_train
    steps, warm_up = specification["steps"], specification["warm_up"]
    with_loading = _timed(lambda: trainer.train_step(next(loader)), steps, warm_up)
    kept = next(loader)
    for one in (loader, trainer.dataloader_val):
        if hasattr(one, "_finish"):
            one._finish()
    without_loading = _timed(lambda: trainer.train_step(kept), steps, warm_up)
    network: Any = trainer.network
    return {
        "with_loading_s": with_loading,
        "without_loading_s": without_loading,
        "num_parameters": sum(parameter.numel() for parameter in network.parameters()),
        "version": version("nnunetv2"),
        "torch": torch.__version__,
        "precision": "fp16" if on_cuda else "fp32",
    }


def _timed(step: Callable[[], Any], steps: int, warm_up: int) -> float:
    """Return the seconds that `steps` steps take; each ends with its loss on the CPU."""
    for _ in range(warm_up):
        step()
    started = time.perf_counter()
    for _ in range(steps):
        step()
    return time.perf_counter() - started


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        said = main(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]))
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
