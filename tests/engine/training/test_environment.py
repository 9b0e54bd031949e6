from __future__ import annotations

import getpass
import json
import socket
import subprocess
from pathlib import Path

import pytest
import torch

from engine.training import environment as module
from engine.training.environment import environment


def test_the_machine_and_the_versions_are_said() -> None:
    said = environment()
    assert said["versions"]["torch"] == torch.__version__
    assert said["memory_bytes"] > 1e8
    assert said["num_threads"] >= 1
    assert len(said["gpus"]) == torch.cuda.device_count()
    assert json.loads(json.dumps(said)) == said


def test_nothing_names_a_person_a_computer_or_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "radiology-pc-7")
    monkeypatch.setattr(getpass, "getuser", lambda: "dr-somebody")
    text = json.dumps(environment())
    for secret in ("radiology-pc-7", "dr-somebody", str(Path.home()), str(Path.cwd())):
        assert secret not in text


def test_a_checkout_says_its_revision_and_whether_it_was_changed(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        who = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
        subprocess.run(["git", "-C", tmp_path, *who, *words], check=True, capture_output=True)

    assert module._git(tmp_path) == {}
    git("init")
    assert module._git(tmp_path) == {}
    (tmp_path / "code.py").write_text("one")
    git("add", "code.py")
    git("commit", "-m", "One")
    said = module._git(tmp_path)
    assert len(said["git_revision"]) == 40
    assert said["git_changed"] is False
    (tmp_path / "code.py").write_text("two")
    assert module._git(tmp_path)["git_changed"] is True


def test_a_computer_without_git_says_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert module._git(tmp_path) == {}


def test_a_package_that_is_missing_is_said_to_be() -> None:
    assert module._version("no-such-package-anywhere") is None
