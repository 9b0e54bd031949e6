"""Folders of federations as other processes would write them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from engine.archive.federation import (
    Coordinator,
    Member,
    SiteSettings,
    tell,
    write_coordinator,
    write_members,
    write_site,
)
from engine.archive.run_folder import this_process, write_json

FINGERPRINT = ":".join(["AB"] * 32)


def record(number: int, **changes: Any) -> dict[str, Any]:
    sites = ("north", "south")
    made = {
        "round": number,
        "losses": {site: 1.0 / number + place for place, site in enumerate(sites)},
        "weights": {"north": 0.25, "south": 0.75},
        "bytes": {site: {"sent": 1_000_000, "dense": 4_000_000} for site in sites},
        "validation": {site: {"pancreas": 0.1 * number, "lesion": 0.0} for site in sites},
        "elapsed_s": 60.0,
    }
    return {**made, **changes}


def make_coordinator(folder: Path, *, is_running: bool = False) -> Path:
    folder.mkdir(parents=True)
    write_coordinator(
        folder, Coordinator("trial", "localhost", 8002, FINGERPRINT, "klinik", "2026-11-26")
    )
    members = tuple(
        Member(name, "klinik", FINGERPRINT, "2026-11-26", "2029-11-26", revoked)
        for name, revoked in (("north", ""), ("south", ""), ("west", "2026-11-27"))
    )
    write_members(folder, members)
    tell(folder, "state", state="online", message="", remedy="")
    tell(folder, "connected", site="north")
    if is_running:
        write_json(folder / "process.json", this_process())
    return folder


def make_run(
    coordinator: Path, name: str = "first", *, state: str = "running", rounds: int = 3
) -> Path:
    place = coordinator / "runs" / name
    place.mkdir(parents=True)
    (place / "order.json").write_text("{}", encoding="utf-8")
    write_json(place / "run.json", {"run": name, "state": state, "message": "", "remedy": ""})
    if state == "running":
        write_json(place / "process.json", this_process())
    tell(place, "begun", round=1, rounds=5, sites=["north", "south"])
    tell(place, "missing", round=2, site="south", message="It was slow.", remedy="")
    lines = "".join(json.dumps(record(number)) + "\n" for number in range(1, rounds + 1))
    # A process that is killed while it writes leaves half a line.
    (place / "rounds.jsonl").write_text(lines + '{"round": 4, "los', encoding="utf-8")
    return place


def make_site(folder: Path, *, has_joined: bool = True) -> Path:
    folder.mkdir(parents=True)
    authority = FINGERPRINT if has_joined else ""
    write_site(folder, SiteSettings("north", "klinik", FINGERPRINT, "trial", authority=authority))
    return folder


def tell_of_training(site: Path, run: str = "first") -> None:
    tell(
        site, "server", name="localhost", organisation="lab", fingerprint="CD", expires="2029-01-01"
    )
    tell(site, "job", run=run, rounds=5, title="Federated averaging")
    tell(site, "federation", run=run, record=record(1))
    losses = {"segmentation": 0.5}
    for step in (1, 2):
        tell(site, "step", run=run, round=2, rounds=5, epoch=1, epochs=2, step=step, steps=4,
             losses=losses)  # fmt: skip
    tell(site, "alarm", run=run, text="The training process was ended.")
    place = site / "runs" / run
    place.mkdir(parents=True)
    sent = {"round": 1, "when": "2026-11-26T10:00:00+00:00", "bytes": 1_000_000,
            "dense_bytes": 4_000_000, "fraction": 0.25, "tensors": 89}  # fmt: skip
    (place / "sent.jsonl").write_text(json.dumps(sent) + "\n", encoding="utf-8")


def gone_process() -> dict[str, Any]:
    return {"pid": os.getpid(), "pid_started": 1.0}
