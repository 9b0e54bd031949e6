"""Make a kit of FLARE's ready for a start: what it may load, where it stores, what it sends.

Written anew before every start, since a folder may have been moved.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from engine.federated.flare.job import CONTROLLER, EXECUTOR

Role = Literal["server", "client"]

_HERE = "engine.federated.flare"
_LAUNCHERS = {
    "server": f"{_HERE}.launcher.ServerLauncher",
    "client": f"{_HERE}.launcher.SiteLauncher",
}
# By its full name: other classes beside it start programs.
_ALLOWED = {"server": CONTROLLER, "client": EXECUTOR}
_GONE_AFTER_S = 35  # ours: three heartbeats; FLARE waits for ten minutes
# Both send logs, which may hold paths and what was in them, to the server.
_STREAMERS = frozenset({"site_log_streamer", "log_receiver"})


def make_ready(kit: Path, role: Role, store: Path) -> None:
    """Write what the kit goes by, in its `local` folder; may raise OSError or ValueError.

    What a job may do at a site is decided here and by nobody else: it may begin one class, and
    bring none.

    Args:
        kit: Holds `local/resources.json.default`.
        role: Whose it is.
        store: Where jobs and snapshots go, which FLARE would put into the system's temporary
            folder.
    """
    local = kit / "local"
    resources: dict[str, Any] = json.loads((local / "resources.json.default").read_bytes())
    resources["class_allow_list"] = [_ALLOWED[role]]
    resources["class_list_enforcement_mode"] = "enforce"
    resources["allow_log_streaming"] = False
    resources["components"] = [
        _changed(component, role, store)
        for component in resources["components"]
        if component["id"] not in _STREAMERS
    ]
    for server in resources.get("servers", ()):
        server["heart_beat_timeout"] = _GONE_AFTER_S
    if "snapshot_persistor" in resources:
        storage = resources["snapshot_persistor"]["args"]["storage"]
        storage["args"]["root_dir"] = str(store.absolute() / "snapshots")
    _write(local / "resources.json", resources)
    _write(local / "authorization.json", _authorization(role))


def _authorization(role: Role) -> dict[str, Any]:
    """Return what the coordinator may do; FLARE would let it bring code and look into files."""
    may = {
        **{"submit_job": "any", "manage_job": "n:submitter", "view": "any"},
        **{"clone_job": "none", "download_job": "none"},
        **{"byoc": "none", "shell_commands": "none", "server-predeployed-flwr": "none"},
        # Sites are let in and thrown out at the server; nobody else switches them off.
        "operate": "any" if role == "server" else "none",
    }
    return {"format_version": "1.0", "permissions": {"lead": may}}


def _write(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=1), encoding="utf-8")


def _changed(component: dict[str, Any], role: Role, store: Path) -> dict[str, Any]:
    if component["id"] == "process_launcher":
        return {**component, "path": _LAUNCHERS[role]}
    if component["id"] == "job_manager":
        args = {**component["args"], "uri_root": str(store.absolute() / "jobs")}
        return {**component, "args": args}
    return component
