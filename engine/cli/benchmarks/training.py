"""`islet benchmark training`: patches trained per second, and what each part of a step costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from engine.cli.benchmarks.machine import circumstances, in_words
from engine.cli.console import notes, results

if TYPE_CHECKING:
    from engine.cli.benchmarks.nnunet import Peer
    from engine.data.datasets import Entry
    from engine.run import Plan
    from engine.training.throughput import Setting

_LOADING_BAR = 0.95
_HALF_BAR = 1.5
_PEER_BAR = 1.5
# ours: more say no more, and are prepared twice, here and by nnU-Net.
_MOST_CASES = 10
_NUM_PHANTOMS = 4
_PEER_LOADING, _PEER_NETWORK = "peer with loading", "peer network only"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two ways of training, side by side.

    Args:
        what: The first of them.
        control: The other one, or why there is none.
        speed: Key of what is measured for the first; empty where it is not.
        control_speed: Key of what is measured for the other one.
        bar: Smallest ratio that is good enough; None where any is.
    """

    what: str
    control: str
    speed: str = ""
    control_speed: str = ""
    bar: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A comparison, measured.

    Args:
        what: As in `Comparison`, as are control and bar.
        control: See there.
        samples_per_s: Patches trained per second; None where it was not measured.
        control_samples_per_s: The same for the control.
        bar: See there.
    """

    what: str
    control: str
    samples_per_s: float | None
    control_samples_per_s: float | None
    bar: float | None

    @property
    def ratio(self) -> float | None:
        """How many times as fast as the control."""
        if self.samples_per_s is None or self.control_samples_per_s is None:
            return None
        return self.samples_per_s / self.control_samples_per_s

    @property
    def is_met(self) -> bool | None:
        """Whether the ratio reaches the bar; None without one of them."""
        return None if self.bar is None or self.ratio is None else self.ratio >= self.bar


def training(
    data: Annotated[
        Path | None, typer.Option(help="Data set; a few phantoms are made without one.")
    ] = None,
    system: Annotated[
        str, typer.Option(help="Name of the system; see 'islet systems'.")
    ] = "resenc_staged",
    size: Annotated[Literal["toy", "small", "full"], typer.Option(help="Of the system.")] = "small",
    batch_size: Annotated[int, typer.Option(help="Patches per step; even.", min=2)] = 2,
    steps: Annotated[int, typer.Option(help="That count, in each round.", min=1)] = 20,
    rounds: Annotated[int, typer.Option(help="Of all measurements; the median counts.", min=1)] = 3,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:N.")] = "auto",
    nnunet: Annotated[
        Path | None,
        typer.Option(help="Python of nnU-Net's own environment: packaging/nnunet makes one."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--json", help="File for the same figures.")] = None,
) -> None:
    """Train each way in turn, on the same data, and say how many patches each trains per second.

    Changes of patches happen in loading threads or on the device, as `islet train` would choose.
    """
    from engine.cli.benchmarks.nnunet import set_up_peer, why_no_peer

    plan = _plan(system, size, batch_size, device)
    with TemporaryDirectory() as folder:
        entries, store = _prepared(data, plan, Path(folder))
        settings, comparisons = _what_to_measure(plan)
        peer = None
        reason = why_no_peer(nnunet, plan.system)
        if nnunet is not None and reason is None:
            notes.print("nnU-Net plans and preprocesses.", style="dim")
            peer = set_up_peer(nnunet, plan, entries, Path(folder) / "nnunet")
        speeds = _in_turn(_measurements(settings, peer, store, entries, steps), rounds)
    rows = [_row(one, speeds) for one in comparisons + _with_peer(plan, reason)]
    facts = {
        **circumstances(plan.device), "name": system, "size": size, "precision": plan.precision,
        "patch_shape": list(plan.patch_shape), "batch_size": batch_size, "steps": steps,
        "rounds": rounds, "cases": len(entries),
    }  # fmt: skip
    _say(facts, rows)
    if out is not None:
        said = {**facts, "rows": [_as_json(row) for row in rows], "rounds_measured": speeds}
        out.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def _plan(name: str, size: str, batch_size: int, device_name: str) -> Plan:
    from engine.archive.registered import find_system
    from engine.inference.device import choose_device, choose_precision
    from engine.run import Plan

    system = find_system(name).at(size)
    device = choose_device(device_name)
    return Plan(
        system=system,
        dataset="benchmark",
        spacing_mm=system.preparation.spacing_mm,
        patch_shape=system.training.patch_shape,
        batch_size=batch_size,
        precision=choose_precision(device),
        seed=1,
        size=size,
        device=str(device),
        augment_on="cpu" if device.type == "cpu" else "device",
    )


def _prepared(data: Path | None, plan: Plan, folder: Path) -> tuple[tuple[Entry, ...], Path]:
    from engine.data.datasets import find_entries
    from engine.data.phantom.write import draw_specs, write_phantoms
    from engine.data.prepare_store import prepare_store
    from engine.data.side_by_side import usual_workers

    if data is None:
        data = folder / "phantoms"
        notes.print(f"Making {_NUM_PHANTOMS} phantoms.", style="dim")
        specs = draw_specs(_NUM_PHANTOMS, 0, matrix=256, slice_thickness_mm=2.5)
        write_phantoms(specs, "dataset", data, workers=usual_workers())
    entries = find_entries(data)[:_MOST_CASES]
    system, store = plan.system, folder / "store"
    notes.print(f"Preparing {len(entries)} cases.", style="dim")
    prepare_store(entries, system.preparation, system.structures, store, workers=usual_workers())
    return entries, store


def _what_to_measure(plan: Plan) -> tuple[dict[str, Setting], list[Comparison]]:
    """Return what is trained, by key, and what is compared with what."""
    from engine.training.throughput import Setting, without_changes

    plain, half, usual = without_changes(plan), plan.precision, _usual(plan)
    settings = {
        "network": Setting(plain, "kept"),
        "read": Setting(plain),
        "in threads": Setting(replace(plan, augment_on="cpu")),
        "on device": Setting(replace(plan, augment_on="device")),
        "two parts": Setting(replace(plan, accumulation=2)),
        "images": Setting(plain, "images"),
    }
    comparisons = [
        Comparison("patches read", "network only", "read", "network", _LOADING_BAR),
        Comparison("patches read and changed", "network only", usual, "network", _LOADING_BAR),
        Comparison("changed in loading threads", "not changed", "in threads", "read"),
        Comparison("changed on the device", "not changed", "on device", "read"),
        Comparison("prepared store", "images, prepared for every patch", "read", "images"),
        Comparison("batch in two parts", "in one", "two parts", usual),
    ]
    if half == "fp32":
        comparisons.append(Comparison("half precision", "This machine has none.", bar=_HALF_BAR))
    else:
        settings["fp32"] = Setting(replace(plan, precision="fp32"))
        settings["network fp32"] = Setting(replace(plain, precision="fp32"), "kept")
        comparisons += [
            Comparison(half, "fp32", usual, "fp32", _HALF_BAR),
            Comparison(f"{half}, network only", "fp32", "network", "network fp32", _HALF_BAR),
        ]
    if _num_shares(plan.device) < 2:
        comparisons.append(Comparison("two processes", "There is one core or device."))
    else:
        settings["two processes"] = Setting(replace(plan, num_devices=2))
        comparisons.append(Comparison("two processes", "one", "two processes", usual))
    return settings, comparisons


def _with_peer(plan: Plan, reason: str | None) -> list[Comparison]:
    if reason is not None:
        return [Comparison("Islet", reason, bar=_PEER_BAR)]
    half, usual, peer = plan.precision, _usual(plan), "nnU-Net's trainer"
    alone = f"{peer}, network only"
    rows = [
        Comparison(f"Islet, {half}", peer, usual, _PEER_LOADING, _PEER_BAR),
        Comparison(f"Islet, {half}, network only", alone, "network", _PEER_NETWORK),
    ]
    if half != "fp32":
        rows += [
            Comparison("Islet, fp32", peer, "fp32", _PEER_LOADING),
            Comparison("Islet, fp32, network only", alone, "network fp32", _PEER_NETWORK),
        ]
    return [*rows, Comparison(peer, alone, _PEER_LOADING, _PEER_NETWORK)]


def _usual(plan: Plan) -> str:
    """Return the key of what `islet train` would do."""
    return "in threads" if plan.augment_on == "cpu" else "on device"


def _num_shares(device: str) -> int:
    import psutil
    import torch

    if device.startswith("cuda"):
        return torch.cuda.device_count()
    return psutil.cpu_count(logical=False) or 1


def _in_turn(
    measurements: Mapping[str, Callable[[], Mapping[str, float]]], rounds: int
) -> dict[str, list[float]]:
    """Return patches per second by key, one of each round; every other round runs backwards."""
    speeds: dict[str, list[float]] = {}
    for number in range(rounds):
        names = list(measurements)
        for name in names if number % 2 == 0 else names[::-1]:
            for key, speed in measurements[name]().items():
                speeds.setdefault(key, []).append(speed)
                notes.print(f"round {number + 1}: {key} {speed:.2f} patches/s", style="dim")
    return speeds


def _measurements(
    settings: Mapping[str, Setting],
    peer: Peer | None,
    store: Path,
    entries: Sequence[Entry],
    steps: int,
) -> dict[str, Callable[[], Mapping[str, float]]]:
    from engine.training.throughput import samples_per_s

    def ours(key: str) -> Mapping[str, float]:
        # Seconds per patch, where the others take tenths.
        enough = max(1, steps // 5) if settings[key].loading == "images" else steps
        return {key: samples_per_s(settings[key], store, entries, enough)}

    def theirs() -> Mapping[str, float]:
        assert peer is not None, "it is among the measurements"
        speed = peer.samples_per_s(steps)
        return {_PEER_LOADING: speed.with_loading, _PEER_NETWORK: speed.without_loading}

    measured: dict[str, Callable[[], Mapping[str, float]]] = {
        key: partial(ours, key) for key in settings
    }
    return measured if peer is None else {**measured, "peer": theirs}


def _row(one: Comparison, speeds: Mapping[str, Sequence[float]]) -> Row:
    speed = median(speeds[one.speed]) if one.speed else None
    control = median(speeds[one.control_speed]) if one.control_speed else None
    return Row(one.what, one.control, speed, control, one.bar)


def _as_json(row: Row) -> dict[str, Any]:
    return {**asdict(row), "ratio": row.ratio, "is_met": row.is_met}


def _say(facts: Mapping[str, Any], rows: Sequence[Row]) -> None:
    patch = " × ".join(str(length) for length in facts["patch_shape"])
    table = Table(
        title=f"{facts['name']}, {facts['size']}: {facts['batch_size']} patches of {patch} per step"
    )
    for column in ("what", "patches/s", "control", "patches/s", "ratio", "bar"):
        is_text = column in ("what", "control")
        table.add_column(column, justify="left" if is_text else "right")
    for row in rows:
        table.add_row(
            row.what, _figure(row.samples_per_s), row.control, _figure(row.control_samples_per_s),
            _figure(row.ratio), _verdict(row),
        )  # fmt: skip
    results.print(table)
    results.print(
        f"Medians of {facts['rounds']} rounds of {facts['steps']} steps, {facts['cases']} cases. "
        + in_words(facts),
        highlight=False,
    )


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _verdict(row: Row) -> str:
    if row.bar is None:
        return ""
    return f"{row.bar:.2f}" + {None: "", True: " met", False: " missed"}[row.is_met]
