"""A site's part in FLARE's job: hands what is asked to a training process, and its answers back.

It never loads torch. The training process may be killed, e.g. by a system that runs out of
memory, and is begun again once; whatever goes wrong at the site is an answer, since an error would
end the job for every site.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.apis.signal import Signal

from engine.archive.federation import FOLDER_VARIABLE, RUNS_FOLDER, is_run_name, tell
from engine.archive.run_folder import LOG_FILE
from engine.errors import IsletError
from engine.federated.flare.messages import JUDGE, OWN, PREPARE, TRAIN, pack, unpack

log = logging.getLogger(__name__)

_COMMAND = (sys.executable, "-m", "engine.federated.site_training")
_LOOK_EVERY_S = 0.1
_MOST_STARTS = 2
_STATES = {PREPARE: "preparing", TRAIN: "training"}
_KILLED = {
    "message": "The training process at the site was ended twice in one round.",
    "remedy": "Look whether the site has enough memory; it takes part in the next round again.",
}
_NO_FILES = {
    "message": "The site cannot read or write its files.",
    "remedy": "Look whether its disk is full; the site takes part in the next round again.",
}


class _Ended(Exception):
    """The training process is gone."""


class _Training:
    """The training process of one run."""

    def __init__(self, folder: Path, run: str) -> None:
        self._folder = folder
        self._run = run
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str | None] = queue.Queue()

    def ask(
        self, begin: Mapping[str, Any], question: Mapping[str, Any], abort: Signal
    ) -> dict[str, Any] | None:
        """Return the answer; None where the job was aborted meanwhile.

        Raises:
            _Ended: If the process was ended; asked again, it is begun again.
        """
        if self._process is None:
            self._start()
            answer = self._answer(begin, abort)
            if answer is None or "message" in answer:
                self.end()
                return answer
        return self._answer(question, abort)

    def end(self) -> None:
        """End the process at once; its checkpoint lets the round go on."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            assert process.stdin is not None, "it is asked there"
            # A question that it did not take can no longer be sent.
            with contextlib.suppress(OSError):
                process.stdin.close()

    def _start(self) -> None:
        with (self._folder / LOG_FILE).open("ab") as said:
            process = subprocess.Popen(
                _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True
            )
        self._process, self._answers = process, queue.Queue()
        threading.Thread(target=_listen, args=(process, self._answers), daemon=True).start()

    def _answer(self, question: Mapping[str, Any], abort: Signal) -> dict[str, Any] | None:
        process = self._process
        assert process is not None, "it was started"
        assert process.stdin is not None, "it is asked there"
        try:
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
        except OSError as error:
            self.end()
            raise _Ended from error
        while not abort.triggered:
            try:
                line = self._answers.get(timeout=_LOOK_EVERY_S)
            except queue.Empty:
                continue
            if line is None:
                self.end()
                raise _Ended
            return json.loads(line)
        self.end()
        return None


class SiteExecutor(Executor):
    """Answers the tasks of one run.

    Args:
        run: Its name.

    Raises:
        ValueError: If it is not the name of a run.
    """

    def __init__(self, run: str) -> None:
        super().__init__()
        if not is_run_name(run):
            raise ValueError("not the name of a run")
        self._run = run
        self._folder = Path(os.environ[FOLDER_VARIABLE])
        self._place = self._folder / RUNS_FOLDER / self._run
        self._training = _Training(self._folder, self._run)

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """End the training process with the job."""
        if event_type in (EventType.END_RUN, EventType.ABORT_TASK):
            self._training.end()
        if event_type == EventType.END_RUN:
            self._tell("state", state="online", message="", remedy="")

    def execute(
        self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal
    ) -> Shareable:
        """Do a task, and answer it in any case."""
        try:
            values, models = unpack(shareable)
        except ValueError:
            return make_reply(ReturnCode.BAD_TASK_DATA)
        try:
            answer = self._do(task_name, values, models, abort_signal)
        except IsletError as error:
            answer = {"message": error.message, "remedy": error.remedy}
        except OSError:
            # Without the error itself, which names paths.
            log.warning("The site cannot read or write its files")
            answer = dict(_NO_FILES)
        if answer is None:
            return make_reply(ReturnCode.TASK_ABORTED)
        if "message" in answer:
            # What keeps a site from preparing keeps it from the round, which tells of it.
            if task_name != PREPARE:
                self._tell("missed", round=values["round"], **answer)
            return pack(answer)
        if values.get("cases") == "test":
            self._tell("finished", best_round=values["best_round"])
        update = self._place / "update"
        sent = {"update": update.read_bytes()} if answer.pop("has_update", False) else {}
        return pack(answer, sent)

    def _do(
        self, task: str, values: Mapping[str, Any], models: Mapping[str, bytes], abort: Signal
    ) -> dict[str, Any] | None:
        self._place.mkdir(parents=True, exist_ok=True)
        number = values["round"]
        self._announce(task, values)
        paths: dict[str, str] = {}
        for place, (name, content) in enumerate(models.items()):
            path = self._place / f"received-{place}"
            path.write_bytes(content)
            paths[name] = str(path)
        begin = {"do": "begin", "folder": str(self._folder), "order": values["order"]}
        question: dict[str, Any] = {"do": task, "round": number}
        if task == TRAIN:
            question |= {"model": paths["common"], "update": str(self._place / "update")}
        elif task == OWN:
            question |= {"update": str(self._place / "update")}
        elif task == JUDGE:
            question |= {"models": paths, "cases": values["cases"]}
        answer = self._asked(begin, question, abort)
        if answer is not None and "message" not in answer:
            answer["has_update"] = task == TRAIN or bool(answer.get("is_there"))
        return answer

    def _asked(
        self, begin: Mapping[str, Any], question: Mapping[str, Any], abort: Signal
    ) -> dict[str, Any] | None:
        for _ in range(_MOST_STARTS):
            try:
                return self._training.ask(begin, question, abort)
            except _Ended:
                if abort.triggered:
                    return None
                self._tell(
                    "alarm", text="The training process was ended, and goes on where it was."
                )
        return dict(_KILLED)

    def _announce(self, task: str, values: Mapping[str, Any]) -> None:
        """Say in the site's events what the run is, and what the last round was like."""
        if values.get("about"):
            self._tell("job", **values["about"], round=values["round"])
        for record in values.get("records", ()):
            self._tell("federation", record=record)
        self._tell("state", state=_STATES.get(task, "judging"), message="", remedy="")

    def _tell(self, event: str, **values: Any) -> None:
        try:
            tell(self._folder, event, run=self._run, **values)
        except IsletError as error:
            # On a full disk; the server must hear of it all the same.
            log.warning("An event could not be written: %s", error.message)


def _listen(process: subprocess.Popen[str], answers: queue.Queue[str | None]) -> None:
    assert process.stdout is not None, "it answers there"
    with process.stdout:
        for line in process.stdout:
            answers.put(line)
    answers.put(None)
