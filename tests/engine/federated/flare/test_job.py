"""A job of FLARE says everything, and brings no code."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from engine.federated.flare.job import CONTROLLER, EXECUTOR, Job, write_job
from engine.federated.flare.ready import Role, make_ready

_JOB = Job("first", ("north", "süd west"), 2)


def test_a_job_is_three_files_of_json_without_code(tmp_path: Path) -> None:
    place = write_job(_JOB, tmp_path)
    found = {
        str(path.relative_to(place)): json.loads(path.read_bytes())
        for path in place.rglob("*")
        if path.is_file()
    }
    assert set(found) == {
        "meta.json",
        "islet/config/config_fed_server.json",
        "islet/config/config_fed_client.json",
    }
    meta = found["meta.json"]
    assert meta["deploy_map"] == {"islet": ["server", "north", "süd west"]}
    assert meta["min_clients"] == 2
    (workflow,) = found["islet/config/config_fed_server.json"]["workflows"]
    assert workflow["path"] == CONTROLLER
    # FLARE loses arguments without a word: they are written here, and read by these names.
    assert workflow["args"] == {"run": "first"}
    (executor,) = found["islet/config/config_fed_client.json"]["executors"]
    assert executor["executor"] == {"path": EXECUTOR, "args": {"run": "first"}}


@pytest.mark.parametrize(("role", "path"), [("server", CONTROLLER), ("client", EXECUTOR)])
def test_what_a_job_names_is_installed_and_allowed(role: Role, path: str, tmp_path: Path) -> None:
    pytest.importorskip("nvflare")
    local = tmp_path / "local"
    local.mkdir()
    (local / "resources.json.default").write_text('{"components": []}', encoding="utf-8")
    make_ready(tmp_path, role, tmp_path / "store")
    assert json.loads((local / "resources.json").read_bytes())["class_allow_list"] == [path]
    module, _, name = path.rpartition(".")
    assert hasattr(importlib.import_module(module), name)
