"""The engine process: requests in, progress and results out, and never longer than its window.

Started as `islet --engine` or `python -m engine.worker`. Speaks the lines of `engine.wire`:
requests on stdin, events on a private copy of stdout.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import logging
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from engine import wire
from engine.archive.registered import find_system, weights_of
from engine.case import Case
from engine.errors import CancelledError, IsletError
from engine.finding import Prediction
from engine.interop.findings_json import prediction_to_json, run_to_json
from engine.progress import OnProgress
from engine.registry import Registry

if TYPE_CHECKING:
    from engine.inference.model import Model

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_OOM_SCORE = 500  # ours: half of the scale
# ours: ten reports a second look smooth and cost nothing.
_REPORT_INTERVAL_S = 0.1


class Link:
    """The engine's end of the line to the window."""

    def __init__(self, events: BinaryIO) -> None:
        self._events = events
        self._lock = threading.Lock()
        self._cancelled: set[int] = set()

    def send(self, event: str, **values: Any) -> None:
        """Write one event; may be called from any thread."""
        line = wire.encode({"event": event, **values})
        with self._lock:
            self._events.write(line)
            self._events.flush()

    def cancel(self, job: int) -> None:
        """Stop `job` at its next report of progress."""
        self._cancelled.add(job)

    def reporter(self, job: int) -> OnProgress:
        """Return a callback that sends the progress of `job`, and raises once it is cancelled."""
        stage_now, stage_began, last_sent = "", 0.0, 0.0

        def report(stage: str, fraction: float) -> None:
            nonlocal stage_now, stage_began, last_sent
            if job in self._cancelled:
                raise CancelledError
            now = time.monotonic()
            is_landmark = stage != stage_now or fraction >= 1.0
            if stage != stage_now:
                stage_now, stage_began = stage, now
            if is_landmark or now - last_sent >= _REPORT_INTERVAL_S:
                last_sent = now
                elapsed_s = now - stage_began
                self.send("progress", job=job, stage=stage, fraction=fraction, stage_s=elapsed_s)

        return report


Handler = Callable[[Mapping[str, Any], Link], None]
"""Answers one request; raises IsletError where it cannot."""

HANDLERS: Registry[Handler] = Registry("request")


def main(handlers: Registry[Handler] = HANDLERS) -> NoReturn:
    """Serve requests until the window closes the line or asks to quit.

    Args:
        handlers: What each request does. "hello" is served first; it sends "ready".
    """
    requests_in, link = _take_over_stdio()
    _prepare_process()
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests_in, requests, link), daemon=True).start()
    handlers.get("hello")({}, link)
    while True:
        serve(requests.get(), handlers, link)


def serve(request: Mapping[str, Any], handlers: Registry[Handler], link: Link) -> None:
    """Answer one request, with an "error" event where it fails in a way the user can act on.

    A lack of memory ends the process: a heap that was once full is not to be trusted.
    Any other exception is a bug, and ends it by way of `sys.excepthook`.
    """
    job = request["job"]
    try:
        handlers.get(request["request"])(request, link)
    except IsletError as error:
        link.send("error", job=job, message=error.message, remedy=error.remedy)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        log.error("Out of memory: %s", type(error).__name__)  # noqa: TRY400  # no trace: no memory
        os._exit(wire.EXIT_OUT_OF_MEMORY)


def answer(
    request: Mapping[str, Any], link: Link, work: Callable[[Case, OnProgress], Prediction]
) -> None:
    """Run `work` on the case of a predict request, and send what it found.

    The label map goes into the mapped file, everything else into the "result" event.
    """
    case = wire.case_of(request)
    labels = wire.mapped_array(request["labels"]).open_to_write()
    # From here on the window may remove the names of both files, so that a crash of
    # either process leaves nothing behind.
    link.send("mapped", job=request["job"])
    prediction = work(case, link.reporter(request["job"]))
    labels[...] = prediction.labels.labels
    link.send(
        "result",
        job=request["job"],
        findings=prediction_to_json(prediction, case),
        run=run_to_json(prediction),
    )


@HANDLERS.register("hello")
def _hello(_request: Mapping[str, Any], link: Link) -> None:
    import numpy as np
    import torch

    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    link.send(
        "ready",
        pid=os.getpid(),
        versions={
            "python": sys.version.split()[0],
            "numpy": np.__version__,
            "torch": str(torch.__version__),
        },
        devices=["cpu", *cuda],
    )


@HANDLERS.register("warm")
def _warm(request: Mapping[str, Any], link: Link) -> None:
    _load(request["system"], request["device"])
    link.send("warm", job=request["job"], system=request["system"])


@HANDLERS.register("predict")
def _predict(request: Mapping[str, Any], link: Link) -> None:
    from engine.inference.predict import predict

    def work(case: Case, on_progress: OnProgress) -> Prediction:
        on_progress("load", 0.0)
        model = _load(request["system"], request["device"])
        on_progress("load", 1.0)
        return predict(case, model, on_progress=on_progress)

    answer(request, link, work)


def _load(system: str, device: str) -> Model:
    weights = weights_of(system)
    # A name may be given to other weights while we live.
    return _load_once(system, device, 0 if weights is None else weights.stat().st_mtime_ns)


# ours: one model, so that no memory is held by a system that nobody looks with.
@lru_cache(maxsize=1)
def _load_once(system: str, device: str, _written_ns: int) -> Model:
    from engine.inference.model import load_model

    return load_model(find_system(system), device)


def _take_over_stdio() -> tuple[BinaryIO, Link]:
    """Keep stdin and stdout to ourselves: a library that prints must not corrupt the lines."""
    requests_in = os.fdopen(os.dup(0), "rb")
    events_out = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests_in, Link(events_out)


def _prepare_process() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(name)s: %(message)s")
    faulthandler.enable()
    sys.excepthook = _end_on_bug
    threading.excepthook = lambda bug: _end_on_bug(bug.exc_type, bug.exc_value, bug.exc_traceback)
    # Ctrl+C in a terminal reaches every process there; the window decides when we end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        # A second rope beside the end of stdin, for a thread that does not get to run.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _offer_to_be_killed_first()


def _offer_to_be_killed_first() -> None:
    """Where memory runs out, the system shall stop the engine and not the window."""
    score = Path("/proc/self/oom_score_adj")
    # Some containers forbid it; the engine works all the same.
    with contextlib.suppress(OSError):
        score.write_text(str(max(_OOM_SCORE, int(score.read_text()))))


def _listen(requests_in: BinaryIO, requests: queue.SimpleQueue[dict[str, Any]], link: Link) -> None:
    for line in requests_in:
        request = wire.decode(line)
        if request["request"] == "quit":
            break
        if request["request"] == "cancel":
            link.cancel(request["job"])
        else:
            requests.put(request)
    # Not sys.exit: the main thread may be deep in a convolution, and the window is gone.
    os._exit(0)


def _end_on_bug(
    kind: type[BaseException], bug: BaseException | None, trace: TracebackType | None
) -> None:
    traceback.print_exception(kind, bug, trace, file=sys.stderr)
    sys.stderr.flush()
    os._exit(wire.EXIT_BUG)


def _is_out_of_memory(error: Exception) -> bool:
    # torch's allocators raise RuntimeError, with one wording on the CPU and one on the GPU.
    text = str(error)
    return isinstance(error, MemoryError) or any(
        words in text for words in ("out of memory", "can't allocate memory", "not enough memory")
    )


if __name__ == "__main__":
    main()
