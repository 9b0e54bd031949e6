"""An engine for tests: the real worker, whose systems answer, dawdle, break down or complain."""

from __future__ import annotations

import ctypes
import os
import resource
import time

import numpy as np
import psutil

from engine.errors import IsletError
from engine.finding import Box, Finding, Prediction
from engine.registry import Registry
from engine.volume import LabelMap
from engine.worker import Handler, answer, main

HANDLERS: Registry[Handler] = Registry("request")


@HANDLERS.register("hello")
def _hello(_request, link):
    os.write(1, b"a library that prints must not corrupt the lines\n")
    link.send("ready", pid=os.getpid(), versions={"torch": "none"}, devices=["cpu"])


@HANDLERS.register("warm")
def _warm(request, link):
    if request["system"] == "segfault":
        ctypes.string_at(0)
    link.send("warm", job=request["job"], system=request["system"])


@HANDLERS.register("predict")
def _predict(request, link):
    answer(request, link, lambda case, report: WORK[request["system"]](case, report))


def _look(case, report):
    report("look", 0.0)
    labels = (case.volume.voxels_hu > 50).astype(np.uint8)
    report("look", 0.5)
    report("look", 1.0)
    report("measure", 0.0)
    report("measure", 1.0)
    corner = tuple(case.volume.geometry.to_patient([[0, 0, 0]])[0])
    finding = Finding("lesion-1", "lesion", 0.75, corner, Box(corner, corner), 8.0, 2.0, 1.0, 60, 5)
    return Prediction(
        case_id=case.case_id,
        system="look",
        labels=LabelMap(labels, {1: "lesion"}, case.volume.geometry),
        findings=(finding,),
        subtype_probabilities=(0.2, 0.8),
        seconds={"look": 1.0, "measure": 0.5},
        weights_digest="00ff",
        peak_memory_bytes=1,
    )


def _dawdle(_case, report):
    for step in range(3000):
        report("dawdle", step / 3000)
        time.sleep(0.02)


def _segfault(_case, report):
    report("segfault", 0.0)
    ctypes.string_at(0)


def _hog(_case, report):
    report("hog", 0.0)
    limit = psutil.Process().memory_info().vms + (256 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    hoard = []
    while True:
        hoard.append(np.ones(64 << 20, np.uint8))


def _torch_hog(_case, report):
    raise RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"
    )


def _stumble(_case, _report):
    raise ZeroDivisionError("a bug in the engine")


def _complain(_case, _report):
    raise IsletError("The case is too thin.", remedy="Export more slices.")


WORK = {
    "look": _look,
    "dawdle": _dawdle,
    "segfault": _segfault,
    "hog": _hog,
    "torch-hog": _torch_hog,
    "stumble": _stumble,
    "complain": _complain,
}

if __name__ == "__main__":
    main(HANDLERS)
