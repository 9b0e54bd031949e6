"""Make a kit of FLARE's ready for a start: what it may load, where it stores, what it sends.

Written anew before every start, since a folder may have been moved.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

Role = Literal["server", "client"]

ALLOWED = "engine.federated.flare."
"""Beginning of the names of all classes that a job may ask for."""

_GONE_AFTER_S = 35  # ours: three heartbeats; FLARE waits for ten minutes
_LAUNCHERS = {"server": "ServerLauncher", "client": "SiteLauncher"}
# Both send logs, which may hold paths and what was in them, to the server.
_STREAMERS = frozenset({"site_log_streamer", "log_receiver"})


def make_ready(kit: Path, role: Role, store: Path) -> None:
    """Write the kit's `local/resources.json`; may raise OSError or ValueError.

    Args:
        kit: Holds `local/resources.json.default`.
        role: Whose it is.
        store: Where jobs and snapshots go, which FLARE would put into the system's temporary
            folder.
    """
    local = kit / "local"
    resources: dict[str, Any] = json.loads((local / "resources.json.default").read_bytes())
    resources["class_allow_list"] = [ALLOWED]
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
    (local / "resources.json").write_text(json.dumps(resources, indent=1), encoding="utf-8")


def _changed(component: dict[str, Any], role: Role, store: Path) -> dict[str, Any]:
    if component["id"] == "process_launcher":
        return {**component, "path": f"engine.federated.flare.launcher.{_LAUNCHERS[role]}"}
    if component["id"] == "job_manager":
        args = {**component["args"], "uri_root": str(store.absolute() / "jobs")}
        return {**component, "args": args}
    return component
