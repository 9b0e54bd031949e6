"""The scripts behind `make setup`, run with stand-ins for the system's own tools."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_TOOLS = ("sh", "sed", "tr", "cat", "dirname", "env", "echo", "true", "mktemp")


class Machine:
    """A machine whose tools are stand-ins, and what they were asked to do."""

    def __init__(self, folder: Path) -> None:
        self._tools = folder / "bin"
        self._tools.mkdir()
        self.journal = folder / "journal"
        for name in _TOOLS:
            found = shutil.which(name)
            assert found is not None
            (self._tools / name).symlink_to(found)
        self.has("python3", "exit 0")
        self.has("dpkg-query", "exit 1")
        self.has("apt-cache", "exit 0")
        self.has("apt-get", f'echo "apt-get $*" >>{self.journal}')

    def has(self, name: str, script: str) -> None:
        """Put a stand-in for the tool called `name` on the path."""
        (self._tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (self._tools / name).chmod(0o755)

    def run(
        self, script: str, *arguments: str, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one of the repository's scripts there."""
        return subprocess.run(
            [_ROOT / "scripts" / script, *arguments],
            env={"PATH": str(self._tools), **settings},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
            stdin=subprocess.DEVNULL,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    if os.name != "posix":
        pytest.skip("Setup by apt exists on Debian and Ubuntu only.")
    return Machine(tmp_path)


def test_without_root_the_exact_line_is_said(machine: Machine) -> None:
    machine.has("id", "echo 1000")
    machine.has("sudo", "exit 1")

    done = machine.run("packages.sh", "run")

    assert done.returncode == 1
    line = next(line for line in done.stderr.splitlines() if "apt-get install" in line)
    assert line.strip().startswith("sudo apt-get update && sudo apt-get install ")
    assert {"libgl1", "libxcb-cursor0", "libglib2.0-0t64"} <= set(line.split())
    assert "xvfb" not in line
    assert not machine.journal.exists()


def test_a_package_goes_by_its_older_name_where_apt_knows_no_other(machine: Machine) -> None:
    machine.has("id", "echo 1000")
    machine.has("sudo", "exit 1")
    machine.has("apt-cache", "case $2 in *t64) exit 100;; esac")

    line = machine.run("packages.sh", "run").stderr

    assert " libglib2.0-0 " in line
    assert "t64" not in line


def test_root_installs_what_is_missing(machine: Machine) -> None:
    machine.has("id", "echo 0")

    done = machine.run("packages.sh", "run", "test")

    assert done.returncode == 0, done.stderr
    update, install = machine.journal.read_text().splitlines()
    assert update.startswith("apt-get update")
    assert {"libegl1", "xvfb", "-y"} <= set(install.split())
    assert "nodejs" not in install


def test_nothing_is_installed_where_nothing_is_missing(machine: Machine) -> None:
    machine.has("id", "echo 0")
    machine.has("dpkg-query", "echo installed")

    done = machine.run("packages.sh", "run", "test", "check")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not machine.journal.exists()


def test_a_python_without_venv_is_mended(machine: Machine) -> None:
    machine.has("id", "echo 0")
    machine.has("dpkg-query", "echo installed")
    machine.has("python3", "exit 1")

    machine.run("packages.sh", "run")

    assert machine.journal.read_text().split()[-1] == "python3-venv"


def test_an_old_python_is_rejected_with_a_sentence(machine: Machine) -> None:
    machine.has("python3", "case $2 in *version_info*) exit 1;; *) echo 3.9.2;; esac")

    done = machine.run("setup.sh", "core")

    assert done.returncode == 1
    assert "Islet needs Python 3.11 or newer; python3 is 3.9.2." in done.stderr


def test_an_unknown_build_of_torch_is_rejected(machine: Machine) -> None:
    machine.has("dpkg-query", "echo installed")

    done = machine.run("setup.sh", "core", TORCH="abacus")

    assert done.returncode == 1
    assert "the choices are default and cpu" in done.stderr
