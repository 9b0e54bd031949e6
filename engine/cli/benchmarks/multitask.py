"""`islet benchmark multitask`: one network for three tasks beside a network for each of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from engine.cli.benchmarks.machine import circumstances, in_words
from engine.cli.console import notes, results
from engine.errors import IsletError
from engine.system import Part

if TYPE_CHECKING:
    from engine.system import System

_JOINT = "mtmed3d"
_SINGLE = ("swin_segmentation", "swin_classification", "swin_detection")
# MTMed3D, Table VI and its text: what one network for all tasks saves, in percent.
_PAPER = {"parameters": 47.80, "MACs": 46.64, "size": 47.80, "latency": 55.7}
# Its detector has five shapes on four strides; image and grade are those of brain MR.
_PAPER_DETECTOR = {
    "levels": (-4, -3, -2, -1), "anchors": ((5.0, 5.0, 5.0),) * 5, "scales": (1.0, 2.0, 4.0, 8.0),
}  # fmt: skip
_PAPER_CLASSIFIER = {"sees": "logits", "norm": "batch"}
_PAPER_CHANNELS = 4
_PAPER_GRADES = ("low grade", "high grade")


class ForwardError(IsletError):
    """A network could not be run."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The network of '{name}' could not be run on this computer.",
            remedy="It may have run out of memory; choose a smaller --size.",
        )


@dataclass(frozen=True, slots=True)
class Cost:
    """What one network costs for one patch.

    Args:
        parameters: Their number.
        macs: Multiply-accumulates.
        fp32_bytes: Of the parameters.
        latency_s: Median seconds of a pass.
        peak_bytes: Largest memory beyond that of the program.
    """

    parameters: int
    macs: int
    fp32_bytes: int
    latency_s: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Saving:
    """One network beside the three.

    Args:
        what: What is compared.
        joint: Of the network for all tasks.
        separate: Of the three together.
        paper: What the paper says is saved, in percent; None where it says nothing.
    """

    what: str
    joint: float
    separate: float
    paper: float | None

    @property
    def percent(self) -> float:
        """How much less the one takes."""
        return 100 * (1 - self.joint / self.separate)


def multitask(
    size: Annotated[Literal["toy", "small", "full"], typer.Option(help="Of the systems.")] = "full",
    runs: Annotated[int, typer.Option(help="Passes in each of three rounds.", min=1)] = 3,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:N.")] = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"], typer.Option(help="Of the passes.")
    ] = "fp32",
    out: Annotated[Path | None, typer.Option("--json", help="File for the same figures.")] = None,
) -> None:
    """Run mtmed3d and its three single-task variants on one patch, each in its own process."""
    from engine.inference.device import choose_device, choose_precision

    where = choose_device(device)
    kind = choose_precision(where) if precision == "auto" else precision
    costs = _measure(size, runs, str(where), kind)
    savings = compare(costs)
    if size == "full":
        savings.append(_as_published())
    patch = list(_patch_shape(size))
    facts = {
        **circumstances(str(where)), "size": size, "precision": kind, "runs": runs,
        "patch_shape": patch,
    }  # fmt: skip
    _say(facts, costs, savings)
    if out is not None:
        rows = [{**asdict(one), "percent": one.percent} for one in savings]
        said = {**facts, "networks": {n: asdict(c) for n, c in costs.items()}, "savings": rows}
        out.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def compare(costs: Mapping[str, Cost]) -> list[Saving]:
    """Return what the joint network saves.

    Args:
        costs: By name of the system.
    """
    joint, separate = costs[_JOINT], [costs[name] for name in _SINGLE]
    peaks = [one.peak_bytes for one in separate]
    return [
        Saving(
            "parameters",
            joint.parameters,
            sum(one.parameters for one in separate),
            _PAPER["parameters"],
        ),
        Saving("GMACs", joint.macs / 1e9, sum(one.macs for one in separate) / 1e9, _PAPER["MACs"]),
        Saving(
            "size, MB",
            joint.fp32_bytes / 1e6,
            sum(one.fp32_bytes for one in separate) / 1e6,
            _PAPER["size"],
        ),
        Saving(
            "latency, s",
            joint.latency_s,
            sum(one.latency_s for one in separate),
            _PAPER["latency"],
        ),
        Saving("peak memory, side by side, MB", joint.peak_bytes / 1e6, sum(peaks) / 1e6, None),
        Saving("peak memory, in turn, MB", joint.peak_bytes / 1e6, max(peaks) / 1e6, None),
    ]


def _measure(size: str, runs: int, device: str, precision: str) -> dict[str, Cost]:
    """Count every network, and time all in turn, three times, every other time backwards."""
    from engine.archive.registered import find_system
    from engine.inference.efficiency import measure_efficiency

    names = (_JOINT, *_SINGLE)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    peaks: dict[str, list[int]] = {name: [] for name in names}
    for order in (names, names[::-1], names):
        for name in order:
            said = _run(name, size, runs, device, precision)
            seconds[name] += said["seconds"]
            peaks[name].append(said["peak_bytes"])
            notes.print(f"{name} {median(said['seconds']):.2f} s", style="dim")
    counted = {name: measure_efficiency(find_system(name).at(size)) for name in names}
    return {
        name: Cost(
            parameters=counted[name].num_parameters,
            macs=counted[name].macs,
            fp32_bytes=counted[name].fp32_bytes,
            latency_s=median(seconds[name]),
            peak_bytes=round(median(peaks[name])),
        )
        for name in names
    }


def _run(name: str, size: str, runs: int, device: str, precision: str) -> dict[str, Any]:
    done = subprocess.run(
        [
            sys.executable, "-m", "engine.cli.benchmarks.one_network",
            name, size, str(runs), device, precision,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise ForwardError(name)
    return json.loads(done.stdout)


def _patch_shape(size: str) -> tuple[int, int, int]:
    from engine.archive.registered import find_system

    return find_system(_JOINT).at(size).inference.patch_shape


def _as_published() -> Saving:
    """Count the parameters with the paper's own channels, classes and anchors."""
    import torch

    from engine.archive.registered import find_system
    from engine.networks.build import build
    from engine.networks.resenc import num_parameters

    with torch.device("meta"):
        joint, *separate = [
            num_parameters(build(_published(find_system(name).at("full"))))
            for name in (_JOINT, *_SINGLE)
        ]
    what = "parameters, with the paper's four channels"
    return Saving(what, joint, sum(separate), _PAPER["parameters"])


def _published(system: System) -> System:
    settings = {"detection": _PAPER_DETECTOR, "densenet": _PAPER_CLASSIFIER}
    return replace(
        system,
        network=Part(
            system.network.name, {**system.network.params, "in_channels": _PAPER_CHANNELS}
        ),
        heads=tuple(
            Part(head.name, {**head.params, **settings.get(head.name, {})}) for head in system.heads
        ),
        subtypes=_PAPER_GRADES,
    )


def _say(facts: Mapping[str, Any], costs: Mapping[str, Cost], savings: Sequence[Saving]) -> None:
    patch = " × ".join(str(length) for length in facts["patch_shape"])
    networks = Table(title=f"One patch of {patch}, {facts['precision']}, size {facts['size']}")
    for column in ("network", "parameters", "GMACs", "MB", "latency s", "peak memory MB"):
        networks.add_column(column, justify="left" if column == "network" else "right")
    for name, cost in costs.items():
        networks.add_row(
            name, f"{cost.parameters:,}", f"{cost.macs / 1e9:.1f}", f"{cost.fp32_bytes / 1e6:.2f}",
            f"{cost.latency_s:.2f}", f"{cost.peak_bytes / 1e6:.0f}",
        )  # fmt: skip
    results.print(networks)
    table = Table(title="One network for three tasks, and one for each")
    for column in ("what", "one", "three", "saved %", "paper %"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for one in savings:
        table.add_row(
            one.what, _figure(one.joint), _figure(one.separate), f"{one.percent:.2f}",
            "–" if one.paper is None else f"{one.paper:.2f}",
        )  # fmt: skip
    results.print(table)
    results.print(
        "MACs are those of convolutions and matrix products, attention among them; "
        "normalisation, activations and resampling are not counted. Latency and memory are "
        f"medians of three rounds of {facts['runs']}. " + in_words(facts),
        highlight=False,
    )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.2f}"
