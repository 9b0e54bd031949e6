from __future__ import annotations

import io
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import psutil
import pytest

from engine import wire, worker
from engine.case import Case, Identity
from engine.errors import CancelledError
from engine.geometry import from_spacing
from engine.registry import Registry
from engine.volume import Remark, Volume

CHATTY = """
import os, sys, time
from engine.registry import Registry
from engine.worker import main
handlers = Registry("request")

@handlers.register("hello")
def hello(request, link):
    print("noise from a library")
    os.write(1, b"noise from C")
    link.send("ready")

@handlers.register("spin")
def spin(request, link):
    report = link.reporter(request["job"])
    for step in range(4000):
        report("spin", step / 4000)
        time.sleep(0.005)
    link.send("done", job=request["job"])

@handlers.register("stumble")
def stumble(request, link):
    raise KeyError("a bug")

main(handlers)
"""


@contextmanager
def started(*argv: str):
    process = subprocess.Popen(
        [sys.executable, *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        yield process
        process.kill()


def hear(process) -> dict:
    return wire.decode(process.stdout.readline())


def say(process, **request) -> None:
    process.stdin.write(wire.encode(request))
    process.stdin.flush()


def make_request(tmp_path, case: Case) -> dict:
    voxels = case.volume.voxels_hu
    volume = wire.MappedArray(str(tmp_path / "volume"), voxels.dtype.name, voxels.shape)
    labels = wire.MappedArray(str(tmp_path / "labels"), "uint8", voxels.shape)
    (tmp_path / "volume").write_bytes(voxels.tobytes())
    (tmp_path / "labels").write_bytes(bytes(voxels.size))
    request = wire.predict_request(4, case, "starter", device="cpu", volume=volume, labels=labels)
    return wire.decode(wire.encode(request))


@pytest.fixture
def case() -> Case:
    shape = (2, 3, 4)
    geometry = from_spacing(shape, (5.0, 2.0, 1.0), (-10.0, 20.0, 30.0))
    remarks = (Remark("Slices are missing.", blocks_analysis=True),)
    volume = Volume(np.arange(24, dtype=np.int16).reshape(shape), geometry, remarks)
    return Case("case-1", volume, phase="venous", identity=Identity(patient_name="DOE^JANE"))


def test_request_carries_the_case_without_the_patient(tmp_path, case):
    request = make_request(tmp_path, case)
    again = wire.case_of(request)
    assert np.array_equal(again.volume.voxels_hu, case.volume.voxels_hu)
    assert again.volume.voxels_hu.dtype == np.int16
    assert again.volume.geometry.is_same_as(case.volume.geometry)
    assert again.volume.unsafe_reasons == ("Slices are missing.",)
    assert (again.case_id, again.phase) == ("case-1", "venous")
    assert b"DOE" not in wire.encode(request)


def test_engine_cannot_change_the_volume_it_is_lent(tmp_path, case):
    lent = wire.case_of(make_request(tmp_path, case)).volume.voxels_hu
    with pytest.raises(ValueError, match="read-only"):
        lent[0, 0, 0] = 5


def test_number_that_json_cannot_say_is_refused():
    with pytest.raises(ValueError, match="JSON"):
        wire.encode({"fraction": float("nan")})


def test_progress_is_thinned_but_no_stage_is_lost():
    events = io.BytesIO()
    report = worker.Link(events).reporter(job=3)
    for stage in ("prepare", "windows"):
        for step in range(101):
            report(stage, step / 100)
    heard = [wire.decode(line) for line in events.getvalue().splitlines()]
    landmarks = [(event["stage"], event["fraction"]) for event in heard]
    for landmark in (("prepare", 0.0), ("prepare", 1.0), ("windows", 0.0), ("windows", 1.0)):
        assert landmark in landmarks
    assert len(heard) < 20
    assert {event["job"] for event in heard} == {3}


def test_cancelled_job_ends_at_its_next_report():
    link = worker.Link(io.BytesIO())
    report = link.reporter(job=3)
    link.reporter(job=4)("prepare", 0.0)
    link.cancel(3)
    with pytest.raises(CancelledError):
        report("prepare", 0.5)


def test_unknown_request_is_answered_with_an_error():
    events = io.BytesIO()
    worker.serve({"request": "dance", "job": 2}, Registry("request"), worker.Link(events))
    event = wire.decode(events.getvalue())
    assert event["event"] == "error"
    assert event["message"] == "There is no request called 'dance'."


def test_noise_on_stdout_does_not_reach_the_window():
    with started("-c", CHATTY) as process:
        assert hear(process) == {"event": "ready"}
        process.stdin.close()
        process.wait(10)
        assert process.stdout.read() == b""
        assert b"noise from C" in process.stderr.read()


def test_end_of_input_ends_a_busy_engine_at_once():
    with started("-c", CHATTY) as process:
        hear(process)
        say(process, request="spin", job=1)
        hear(process)
        began = time.perf_counter()
        process.stdin.close()
        assert process.wait(5) == 0
        assert time.perf_counter() - began < 1.0


def test_quit_and_cancel_are_heard_while_a_job_runs():
    with started("-c", CHATTY) as process:
        hear(process)
        say(process, request="spin", job=1)
        assert hear(process)["event"] == "progress"
        say(process, request="cancel", job=1)
        while (event := hear(process))["event"] == "progress":
            pass
        assert event["message"] == "The work was cancelled."
        say(process, request="quit", job=0)
        assert process.wait(5) == 0


def test_bug_ends_the_engine_with_its_own_exit_code_and_a_trace():
    with started("-c", CHATTY) as process:
        hear(process)
        say(process, request="stumble", job=1)
        assert process.wait(10) == wire.EXIT_BUG
        assert b"KeyError: 'a bug'" in process.stderr.read()


@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux signals the death of a parent.")
def test_engine_deaf_to_its_input_still_dies_with_its_parent(tmp_path):
    # The grandchild keeps the pipe's other end open, so that stdin never ends.
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, subprocess, sys\n"
        "read, write = os.pipe()\n"
        "engine = subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdin=read,\n"
        "    stdout=subprocess.PIPE, pass_fds=(write,))\n"
        "engine.stdout.readline()\n"
        "sys.stdout.write(f'{engine.pid}\\n'); sys.stdout.flush()\n"
        "sys.stdin.read()\n"
    )
    with started(str(script), CHATTY) as parent:
        engine = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        parent.wait()
        began = time.perf_counter()
        while engine.is_running() and engine.status() != psutil.STATUS_ZOMBIE:
            assert time.perf_counter() - began < 2.0
            time.sleep(0.005)


def test_real_engine_says_hello_with_its_versions_and_devices():
    with started("-m", "engine.worker") as process:
        event = hear(process)
        assert event["event"] == "ready"
        assert event["pid"] == process.pid
        assert event["devices"][0] == "cpu"
        assert event["versions"]["torch"].startswith("2.")
