"""The engine as the window sees it: ask for a prediction, hear how far it is, get it.

Torch and everything that can crash or run out of memory lives in another process; this one
keeps the queue of what it is asked, one job at a time.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from numpy.typing import NDArray
from PySide6.QtCore import QObject, QTimer, Signal

from app.tasks.engine_child import EngineChild, engine_command
from app.tasks.pace import Pace, PaceBook
from app.tasks.shared_volume import SharedArray, share, sweep_leftovers
from app.tasks.task import TaskRunner
from engine import wire
from engine.case import Case
from engine.errors import CancelledError, IsletError
from engine.finding import Prediction
from engine.interop.findings_json import findings_from_json, prediction_from_json
from engine.volume import LabelMap

log = logging.getLogger(__name__)

OnJobProgress = Callable[[str, float, float | None], None]
"""Called with (stage, fraction of the whole job done, seconds that remain or None)."""


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    job_id: int
    case: Case
    system: str
    device: str
    pace: Pace
    on_progress: OnJobProgress
    on_success: Callable[[Prediction], None]
    on_failure: Callable[[IsletError], None]


@dataclass(frozen=True, slots=True, eq=False)
class _Files:
    """The voxels a job lends to the engine, and the labels it gets back."""

    volume: SharedArray
    labels: SharedArray

    def unlink(self) -> None:
        self.volume.unlink()
        self.labels.unlink()

    def close(self) -> None:
        self.volume.close()
        self.labels.close()


@dataclass(slots=True, eq=False)
class _Bench:
    """What is on the bench: the job in hand and how far the window's part of it is."""

    job: _Job
    files: _Files | None = None
    is_with_engine: bool = False


class EngineProcess(QObject):
    """Predictions by an engine process that may be killed, or die, at any moment.

    Args:
        argv: The command that starts an engine.
        cache_folder: Where stage times are remembered.
        parent: Qt's owner.
    """

    ready = Signal(object)
    """An EngineInfo, each time an engine is ready: at the start, and after a crash or cancel."""
    failed = Signal(object)
    """An IsletError: no engine comes up any more; the next `predict` tries again."""

    def __init__(
        self,
        argv: Sequence[str] | None = None,
        *,
        cache_folder: Path | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        sweep_leftovers()
        cache = platformdirs.user_cache_path("islet") if cache_folder is None else cache_folder
        self._paces = PaceBook(cache / "stage_times.json")
        self._job_ids = count(1)
        self._waiting: deque[_Job] = deque()
        self._bench: _Bench | None = None
        self._warm: tuple[str, str] | None = None
        # Copies volumes; its own, so that a volume never waits behind the window's meshes.
        self._tasks = TaskRunner(self, num_threads=1)
        self._child = EngineChild(engine_command() if argv is None else argv, self)
        self._child.became_ready.connect(self._on_ready)
        self._child.event_received.connect(self._on_event)
        self._child.died.connect(self._on_died)
        self._child.gave_up.connect(self._on_gave_up)

    @property
    def is_busy(self) -> bool:
        """Whether a job is running or waiting."""
        return self._bench is not None

    def predict(
        self,
        case: Case,
        system_name: str,
        *,
        on_progress: OnJobProgress,
        on_success: Callable[[Prediction], None],
        on_failure: Callable[[IsletError], None],
        device: str = "auto",
    ) -> int:
        """Queue a prediction; exactly one of `on_success` and `on_failure` is called, later.

        Args:
            case: What to look at.
            system_name: The system, by its name in the catalogue.
            on_progress: Hears the stage, the fraction of the whole job, the seconds left.
            on_success: Receives the prediction; its label map is on the case's own geometry.
            on_failure: Receives an error that is ready to show; CancelledError after `cancel`.
            device: "auto", "cpu" or e.g. "cuda:0".

        Returns:
            The number of the job, for `cancel`.
        """
        job = _Job(
            job_id=next(self._job_ids),
            case=case,
            system=system_name,
            device=device,
            pace=Pace(self._paces.expected_s(system_name, device)),
            on_progress=on_progress,
            on_success=on_success,
            on_failure=on_failure,
        )
        self._waiting.append(job)
        self._child.revive()
        self._take_next()
        return job.job_id

    def warm(self, system_name: str, device: str = "auto") -> None:
        """Load a system before it is needed; every later engine loads it too."""
        self._warm = (system_name, device)
        if self._child.is_ready:
            self._child.send(wire.warm_request(system_name, device))

    def cancel(self, job_id: int | None = None) -> None:
        """Stop one job, or all of them; their `on_failure` receives a CancelledError.

        The engine is killed, not asked: it listens between windows at best, which is too
        late for a reader who waits. The next engine starts in the background.
        """
        dropped = [job for job in self._waiting if job_id in (None, job.job_id)]
        self._waiting = deque(job for job in self._waiting if job not in dropped)
        bench = self._bench
        if bench is not None and job_id in (None, bench.job.job_id):
            dropped.insert(0, bench.job)
            if bench.is_with_engine:
                self._child.kill()
            self._clear_bench()
        for job in dropped:
            self._tell_later(lambda job=job: job.on_failure(CancelledError()))
        self._take_next()

    def shutdown(self) -> None:
        """End the engine and drop all jobs without a word; called when the window closes."""
        self._waiting.clear()
        self._clear_bench()
        self._child.shutdown()
        self._tasks.close()

    def _take_next(self) -> None:
        if self._bench is not None or not self._waiting:
            return
        bench = self._bench = _Bench(self._waiting.popleft())
        voxels_hu = bench.job.case.volume.voxels_hu
        self._tasks.run(
            lambda: _make_files(voxels_hu),
            on_success=lambda files: self._on_files(bench, files),
            on_failure=lambda error: self._settle(bench, lambda: bench.job.on_failure(error)),
        )

    def _on_files(self, bench: _Bench, files: _Files) -> None:
        if bench is not self._bench:
            files.close()
            return
        bench.files = files
        self._hand_over()

    def _hand_over(self) -> None:
        """Give the job on the bench to the engine, once both are ready."""
        bench = self._bench
        if bench is None or bench.files is None or bench.is_with_engine or not self._child.is_ready:
            return
        bench.is_with_engine = True
        request = wire.predict_request(
            bench.job.job_id,
            bench.job.case,
            bench.job.system,
            device=bench.job.device,
            volume=bench.files.volume.descriptor,
            labels=bench.files.labels.descriptor,
        )
        self._child.send(request)

    def _on_ready(self, info: object) -> None:
        if self._warm is not None and self._bench is None:
            self._child.send(wire.warm_request(*self._warm))
        self._hand_over()
        self.ready.emit(info)

    def _on_event(self, event: Mapping[str, Any]) -> None:
        bench = self._bench
        if bench is None or bench.files is None or event["job"] != bench.job.job_id:
            if event["event"] == "error":
                log.warning("The engine could not do what nobody waits for: %s", event["message"])
            return
        match event["event"]:
            case "mapped":
                bench.files.unlink()
            case "progress":
                forecast = bench.job.pace.update(
                    event["stage"], event["fraction"], event["stage_s"]
                )
                bench.job.on_progress(event["stage"], *forecast)
            case "result":
                self._receive(bench, bench.files, event)
            case "error":
                error = IsletError(event["message"], remedy=event["remedy"])
                self._settle(bench, lambda: bench.job.on_failure(error))

    def _receive(self, bench: _Bench, files: _Files, event: Mapping[str, Any]) -> None:
        bench.is_with_engine = False
        job = bench.job
        self._paces.remember(job.system, job.device, job.pace.seconds)
        # Taken hold of here, so that a `cancel` may close the files in the meantime.
        labels = files.labels.array
        self._tasks.run(
            lambda: _read_prediction(job.case, labels, event),
            on_success=lambda prediction: self._settle(bench, lambda: job.on_success(prediction)),
            on_failure=lambda error: self._settle(bench, lambda: job.on_failure(error)),
        )

    def _on_died(self, error: IsletError) -> None:
        bench = self._bench
        if bench is not None and bench.is_with_engine:
            self._settle(bench, lambda: bench.job.on_failure(error))

    def _on_gave_up(self, error: IsletError) -> None:
        jobs = [self._bench.job] if self._bench is not None else []
        jobs.extend(self._waiting)
        self._waiting.clear()
        self._clear_bench()
        for job in jobs:
            job.on_failure(error)
        self.failed.emit(error)

    def _settle(self, bench: _Bench, tell: Callable[[], None]) -> None:
        """Finish the job on the bench and take the next; what comes too late is dropped."""
        if bench is not self._bench:
            return
        self._child.forgive()
        self._clear_bench()
        tell()
        self._take_next()

    def _clear_bench(self) -> None:
        if self._bench is not None and self._bench.files is not None:
            self._bench.files.close()
        self._bench = None

    def _tell_later(self, tell: Callable[[], None]) -> None:
        # A caller of `cancel` is not called back before `cancel` returns.
        QTimer.singleShot(0, self, tell)


def _make_files(voxels_hu: NDArray[np.int16] | NDArray[np.float32]) -> _Files:
    volume = share(voxels_hu)
    try:
        labels = SharedArray(voxels_hu.shape, np.uint8)
    except IsletError:
        volume.close()
        raise
    return _Files(volume, labels)


def _read_prediction(case: Case, labels: NDArray[np.uint8], event: Mapping[str, Any]) -> Prediction:
    findings, run = event["findings"], event["run"]
    names = findings_from_json(findings).label_names
    # A copy: the file is let go of when the job is settled.
    return prediction_from_json(
        findings, run, LabelMap(np.array(labels), names, case.volume.geometry)
    )
