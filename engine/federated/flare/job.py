"""Describe a run to FLARE as a job without any code in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONTROLLER = "engine.federated.flare.controller.RoundsController"
EXECUTOR = "engine.federated.flare.executor.SiteExecutor"
_APP = "islet"
_CHECK_S = 1.0  # ours: until an answer is sent that did not get through
_POLL_S = 0.5  # ours: what a round waits for nothing in the mean is half of it


@dataclass(frozen=True, slots=True)
class Job:
    """One job of a run.

    Args:
        run: Name of the run; the server finds everything else in its folder.
        sites: That take part.
        min_sites: Without which it does not begin.
    """

    run: str
    sites: Sequence[str]
    min_sites: int


def job_files(job: Job) -> Mapping[str, Any]:
    """Return the job's files by their path, as JSON values."""
    meta = {
        "name": job.run,
        "resource_spec": {},
        "min_clients": job.min_sites,
        "deploy_map": {_APP: ["server", *job.sites]},
    }
    server = {
        "format_version": 2,
        "server": {"task_request_interval": _POLL_S},
        "task_data_filters": [],
        "task_result_filters": [],
        "components": [],
        "workflows": [{"id": "rounds", "path": CONTROLLER, "args": {"run": job.run}}],
    }
    client = {
        "format_version": 2,
        "task_check_interval": _CHECK_S,
        "task_data_filters": [],
        "task_result_filters": [],
        "components": [],
        "executors": [
            {"tasks": ["*"], "executor": {"path": EXECUTOR, "args": {"run": job.run}}},
        ],
    }
    config = f"{_APP}/config"
    return {
        "meta.json": meta,
        f"{config}/config_fed_server.json": server,
        f"{config}/config_fed_client.json": client,
    }


def write_job(job: Job, folder: Path) -> Path:
    """Write a job's files below `folder`, and return where; may raise OSError."""
    place = folder / job.run
    for name, value in job_files(job).items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, indent=1), encoding="utf-8")
    return place
