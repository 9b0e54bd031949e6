"""The processes of FLARE's jobs keep blanks in their arguments, and survive signals at a site."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip("nvflare", reason="real federations need the extra 'federated'")

from nvflare.apis.job_launcher_spec import JobProcessArgs, JobReturnCode

from engine.federated.flare.launcher import ArgvHandle, argv_of

# Kills itself as often as is said, then ends with the code that is said.
_DIES = """
import os, signal, sys
from pathlib import Path
said, times, code = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
said.write_text(said.read_text() + "x")
if len(said.read_text()) <= times:
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(code)
"""


def _handle(said: Path, times: int, code: int, most_starts: int = 4) -> ArgvHandle:
    said.write_text("")
    argv = [sys.executable, "-c", _DIES, str(said), str(times), str(code)]
    return ArgvHandle(argv, dict(os.environ), most_starts)


def test_a_folder_with_blanks_stays_one_word_and_settings_are_several() -> None:
    known = {
        JobProcessArgs.WORKSPACE: ("-m", "/drei Kliniken/süd"),
        JobProcessArgs.OPTIONS: ("--set", " uid=north org=klinik"),
        JobProcessArgs.JOB_ID: ("-n", "1"),
    }
    wanted = [JobProcessArgs.WORKSPACE, JobProcessArgs.TARGET, JobProcessArgs.OPTIONS]
    argv = argv_of(known, wanted)
    assert argv == ["-m", "/drei Kliniken/süd", "--set", "uid=north", "org=klinik"]


def test_a_process_that_a_signal_killed_is_begun_again(tmp_path: Path) -> None:
    handle = _handle(tmp_path / "said", 2, 0)
    handle.wait()
    assert (tmp_path / "said").read_text() == "xxx"
    assert handle.poll() == JobReturnCode.SUCCESS


def test_one_that_keeps_dying_is_given_up(tmp_path: Path) -> None:
    handle = _handle(tmp_path / "said", 9, 0, most_starts=2)
    handle.wait()
    assert (tmp_path / "said").read_text() == "xx"
    assert handle.poll() == JobReturnCode.EXECUTION_ERROR


def test_an_error_of_its_own_is_not_tried_again(tmp_path: Path) -> None:
    handle = _handle(tmp_path / "said", 0, 1)
    handle.wait()
    assert (tmp_path / "said").read_text() == "x"
    assert handle.poll() == JobReturnCode.EXECUTION_ERROR


def test_what_was_ended_on_purpose_stays_ended() -> None:
    handle = ArgvHandle([sys.executable, "-c", "input()"], dict(os.environ), 4)
    waiting = threading.Thread(target=handle.wait)
    waiting.start()
    handle.terminate()
    waiting.join(20)
    assert not waiting.is_alive()
