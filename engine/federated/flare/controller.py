"""The server's part in FLARE's job: asks the sites, round by round, and keeps what came of it.

A round ends when every site has answered, or when enough have and the grace is over. What a site
cannot do is noted, and the federation goes on with the others.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nvflare.apis.client import Client
from nvflare.apis.controller_spec import ClientTask, Task, TaskCompletionStatus
from nvflare.apis.fl_context import FLContext
from nvflare.apis.impl.controller import Controller
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from engine.archive.federation import FOLDER_VARIABLE, REGROUP, RUNS_FOLDER
from engine.errors import IsletError
from engine.federated.flare.messages import JUDGE, OWN, PREPARE, TRAIN, is_answer, pack, unpack
from engine.federated.run_keeper import Answer, RunKeeper

_LOOK_EVERY_S = 0.1
_SILENT = "The site did not answer in time."


@dataclass(slots=True)
class _Asked:
    """Answers to one task, as they come in."""

    answers: dict[str, Answer] = field(default_factory=lambda: dict[str, Answer]())
    begun: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)
    enough_since: float | None = None


class RoundsController(Controller):
    """Runs the rounds of one run.

    Args:
        run: Its name; everything else is in its folder.
    """

    def __init__(self, run: str) -> None:
        super().__init__()
        self._folder = Path(os.environ[FOLDER_VARIABLE]) / RUNS_FOLDER / Path(run).name
        self._keeper: RunKeeper | None = None

    def start_controller(self, fl_ctx: FLContext) -> None:
        """Read the run's folder."""
        self._keeper = RunKeeper(self._folder)

    def stop_controller(self, fl_ctx: FLContext) -> None:
        """Everything is on the disk already."""

    def process_result_of_unknown_task(
        self,
        client: Client,
        task_name: str,
        client_task_id: str,
        result: Shareable,
        fl_ctx: FLContext,
    ) -> None:
        """Leave out an answer to a round that has ended."""
        self.log_info(fl_ctx, f"an answer of {client.name} came too late")

    def control_flow(self, abort_signal: Signal, fl_ctx: FLContext) -> None:
        """Run what is left of the run."""
        keeper = self._keeper
        assert keeper is not None, "the controller was started"
        engine = fl_ctx.get_engine()
        assert engine is not None, "a job has an engine"
        sites = sorted(client.name for client in engine.get_clients())
        try:
            if not self._prepare(keeper, sites, abort_signal, fl_ctx):
                return
            while keeper.next_round is not None:
                if not self._round(keeper, keeper.next_round, sites, abort_signal, fl_ctx):
                    return
                if keeper.wish() == REGROUP and keeper.next_round is not None:
                    return
            self._judge(keeper, sites, abort_signal, fl_ctx)
        except IsletError as error:
            keeper.fail(error)

    def _prepare(
        self, keeper: RunKeeper, sites: list[str], abort_signal: Signal, fl_ctx: FLContext
    ) -> bool:
        """Let every site start its training process and prepare its cases, before a round begins.

        Whoever cannot will say so in the round.

        Returns:
            Whether the job goes on.
        """
        number = keeper.next_round
        if number is None:
            return True
        keeper.tell_of_preparation(sites)
        values = keeper.question(number)
        return self._ask(PREPARE, values, {}, sites, (abort_signal, fl_ctx)) is not None

    def _round(
        self,
        keeper: RunKeeper,
        number: int,
        sites: list[str],
        abort_signal: Signal,
        fl_ctx: FLContext,
    ) -> bool:
        """Return whether the round was ended by enough answers."""
        keeper.begin_round(number, sites)
        values = keeper.question(number)
        answers = self._ask(
            TRAIN,
            values,
            {"common": keeper.encoded_model()},
            sites,
            (abort_signal, fl_ctx),
            on_answer=lambda site, answer: keeper.hear(number, site, answer),
        )
        if answers is None:
            return False
        return keeper.end_round(number, sites, answers)

    def _judge(
        self, keeper: RunKeeper, sites: list[str], abort_signal: Signal, fl_ctx: FLContext
    ) -> None:
        """Choose the best aggregate, the last one among them, and fill the cross-site table."""
        way = (abort_signal, fl_ctx)
        number = keeper.num_rounds
        values = keeper.question(number + 1)
        last = {"common": keeper.encoded_model()}
        judged = self._ask(JUDGE, {**values, "cases": "validate"}, last, sites, way)
        if judged is None:
            return
        keeper.hear_judgement(judged)
        own = self._ask(OWN, values, {}, sites, way)
        if own is None:
            return
        models = {"federation": keeper.encoded_best()} | {
            site: answer.models["update"]
            for site, answer in own.items()
            if answer.models.get("update")
        }
        tested = self._ask(JUDGE, {**values, "cases": "test"}, models, sites, way)
        if tested is not None:
            keeper.finish(tested)

    def _ask(
        self,
        task_name: str,
        values: Mapping[str, Any],
        models: Mapping[str, bytes],
        sites: list[str],
        way: tuple[Signal, FLContext],
        on_answer: Callable[[str, Answer], None] = lambda *_: None,
    ) -> dict[str, Answer] | None:
        """Return every site's answer; None where the job is over."""
        abort_signal, fl_ctx = way
        keeper = self._keeper
        assert keeper is not None, "the controller was started"
        asked = _Asked()

        def hear(client_task: ClientTask, fl_ctx: FLContext) -> None:
            site = client_task.client.name
            answer = _answer(client_task.result)
            with asked.lock:
                asked.answers[site] = answer
            on_answer(site, answer)
            # FLARE would keep it until the task ends.
            client_task.result = None

        task = Task(task_name, data=pack(values, models), result_received_cb=hear)
        self.broadcast(task, fl_ctx, targets=sites, min_responses=len(sites))
        while task.completion_status is None and not self._is_enough(asked, sites):
            if abort_signal.triggered or keeper.wish() == "stop":
                self.cancel_task(task, fl_ctx=fl_ctx)
                return None
            time.sleep(_LOOK_EVERY_S)
        if task.completion_status is None:
            self.cancel_task(task, TaskCompletionStatus.OK, fl_ctx)
        with asked.lock:
            found = dict(asked.answers)
        silent = Answer({"message": _SILENT, "remedy": "It is asked again in the next round."}, {})
        return {site: found.get(site, silent) for site in sites}

    def _is_enough(self, asked: _Asked, sites: list[str]) -> bool:
        keeper = self._keeper
        assert keeper is not None, "the controller was started"
        now = time.monotonic()
        with asked.lock:
            num_answered = len(asked.answers)
            num_good = sum(not answer.is_refusal for answer in asked.answers.values())
        if num_answered == len(sites):
            return True
        if 0 < keeper.round_timeout_s < now - asked.begun:
            return True
        if num_good < keeper.min_sites:
            return False
        if asked.enough_since is None:
            asked.enough_since = now
        return now - asked.enough_since >= keeper.grace_s


def _answer(message: Shareable | None) -> Answer:
    if message is None or not is_answer(message):
        return Answer(
            {
                "message": "The site could not do what it was asked.",
                "remedy": "Its log says why.",
            },
            {},
        )
    try:
        return Answer(*unpack(message))
    except ValueError:
        return Answer(
            {
                "message": "The site answered in a way that is not understood.",
                "remedy": "Check that it runs the same version of Islet.",
            },
            {},
        )
