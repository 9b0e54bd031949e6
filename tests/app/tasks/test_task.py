from __future__ import annotations

import threading
import time

import pytest

from app.tasks.task import TaskRunner
from engine.errors import IsletError

WAIT_MS = 20_000


@pytest.fixture
def runner(qapp):
    tasks = TaskRunner()
    yield tasks
    tasks.close()


def test_every_one_of_300_answers_arrives(runner, qtbot):
    answers = []
    for number in range(300):
        runner.run(lambda n=number: n, on_success=answers.append, on_failure=answers.append)
    qtbot.waitUntil(lambda: len(answers) == 300, timeout=WAIT_MS)
    assert sorted(answers) == list(range(300))


def test_work_leaves_the_main_thread_and_the_answer_returns_to_it(runner, qtbot):
    threads = []
    runner.run(
        threading.current_thread,
        on_success=lambda worker: threads.extend([worker, threading.current_thread()]),
        on_failure=threads.append,
    )
    qtbot.waitUntil(lambda: bool(threads), timeout=WAIT_MS)
    assert threads[0] is not threading.main_thread()
    assert threads[1] is threading.main_thread()


def test_error_the_user_can_act_on_is_handed_over_unchanged(runner, qtbot):
    def fail():
        raise IsletError("The slice is missing.", remedy="Export it again.")

    errors = []
    runner.run(fail, on_success=errors.append, on_failure=errors.append)
    qtbot.waitUntil(lambda: bool(errors), timeout=WAIT_MS)
    assert errors[0].message == "The slice is missing."


def test_bug_becomes_a_message_and_its_trace_goes_to_the_log(runner, qtbot, caplog):
    errors = []
    runner.run(lambda: 1 / 0, on_success=errors.append, on_failure=errors.append)
    qtbot.waitUntil(lambda: bool(errors), timeout=WAIT_MS)
    assert errors[0].message == "Something unexpected went wrong."
    assert "log" in errors[0].remedy
    assert "ZeroDivisionError" in caplog.text


def test_closed_runner_drops_the_queue_and_answers_nobody(qapp, qtbot):
    runner = TaskRunner(num_threads=1)
    answers, started = [], threading.Event()

    def work():
        started.set()
        time.sleep(0.1)
        return "late"

    for _ in range(3):
        runner.run(work, on_success=answers.append, on_failure=answers.append)
    started.wait(5)
    began = time.perf_counter()
    runner.close()
    assert time.perf_counter() - began < 0.25, "what was queued must not run"
    qtbot.wait(50)
    assert answers == []
