"""Start the processes of FLARE's jobs.

FLARE joins their arguments with spaces and splits them again, so that a folder with a space in
its name fails; and it ends a job for every site when the process of one site dies.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_launcher_spec import (
    JobHandleSpec,
    JobLauncherSpec,
    JobProcessArgs,
    JobReturnCode,
    add_launcher,
)
from nvflare.utils.job_launcher_utils import (
    get_client_job_args,
    get_credential_env,
    get_server_job_args,
)

log = logging.getLogger(__name__)

_MOST_STARTS = 4  # ours: a process that keeps dying has another reason than bad luck
_CODES = {0: JobReturnCode.SUCCESS, 9: JobReturnCode.ABORTED}


class ArgvHandle(JobHandleSpec):
    """A job's process, begun again when a signal killed it.

    Args:
        argv: Program and arguments.
        environment: Of the process.
        most_starts: How often it is begun at most.
    """

    def __init__(
        self, argv: Sequence[str], environment: Mapping[str, str], most_starts: int
    ) -> None:
        super().__init__()
        self._argv = tuple(argv)
        self._environment = dict(environment)
        self._starts_left = most_starts
        self._lock = threading.Lock()
        self._is_over = False
        self._process = self._start()

    def terminate(self) -> None:
        """End it for good."""
        with self._lock:
            self._is_over = True
            if self._process.poll() is None:
                self._process.kill()

    def poll(self) -> Any:
        """Return how it ended, or that this is not known yet."""
        code = self._process.poll()
        if code is None or (code < 0 and not self._is_over and self._starts_left > 0):
            return JobReturnCode.UNKNOWN
        return _CODES.get(code, JobReturnCode.EXECUTION_ERROR)

    def wait(self) -> None:
        """Wait until it has ended and is not begun again."""
        while True:
            code = self._process.wait()
            with self._lock:
                if code >= 0 or self._is_over or self._starts_left <= 0:
                    return
                name = signal.Signals(-code).name
                log.warning("The process of a job was ended by %s and is begun again", name)
                self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self._starts_left -= 1
        return subprocess.Popen(self._argv, env=self._environment)


class ServerLauncher(JobLauncherSpec):
    """Starts the server's process of a job, once: a second one would begin at the first round."""

    arguments = staticmethod(get_server_job_args)
    most_starts = 1

    def launch_job(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> JobHandleSpec:
        """Start the process of a job."""
        known = fl_ctx.get_prop(FLContextKey.JOB_PROCESS_ARGS) or {}
        environment = {**os.environ, **get_credential_env(known)}
        argv = [sys.executable, *argv_of(known, self.arguments())]
        return ArgvHandle(argv, environment, self.most_starts)

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Offer to launch."""
        if event_type == EventType.BEFORE_JOB_LAUNCH:
            add_launcher(self, fl_ctx)


class SiteLauncher(ServerLauncher):
    """Starts a site's process of a job; the server sends a task that was not answered again."""

    arguments = staticmethod(get_client_job_args)
    most_starts = _MOST_STARTS


def argv_of(known: Mapping[str, tuple[str, Any]], wanted: Sequence[str]) -> list[str]:
    """Return the wanted ones of a job's arguments, each a word of its own.

    Args:
        known: By argument, its option and its value.
        wanted: Arguments, in their order.
    """
    argv: list[str] = []
    for name in wanted:
        if not known.get(name):
            continue
        option, value = known[name]
        # The settings alone are several words.
        words = str(value).split() if name == JobProcessArgs.OPTIONS else [str(value)]
        argv += [option, *words]
    return argv
