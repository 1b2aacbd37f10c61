"""Nothing that a process writes goes past its log."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

BEGIN = "from shared.telemetry import capture; capture.log_everything('test')\n"

FAIL_IN_AN_EVENT_LOOP = """
import asyncio
async def main():
    capture.watch(asyncio.get_running_loop())
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0)
asyncio.run(main())
"""
FORGET_A_TASK = """
import asyncio, psycopg
async def fail():
    raise psycopg.DataError('my PIN is 4711')
async def main():
    capture.watch(asyncio.get_running_loop())
    asyncio.create_task(fail())
    await asyncio.sleep(0)
asyncio.run(main())
"""


def run(program: str, **settings: str) -> tuple[list[dict[str, Any]], int]:
    """Run a program that logs everything. Returns its events and its exit code."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + program],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not done.stdout
    return [json.loads(line) for line in done.stderr.splitlines()], done.returncode


@pytest.mark.parametrize(
    ("program", "level", "logger"),
    [
        ("print('said')", "info", "stdout"),
        ("print('said', end='', flush=True)", "info", "stdout"),
        ("import sys; sys.stderr.write('said\\n')", "warning", "stderr"),
        ("import os; os.write(1, b'\\nsaid\\n')", "info", "stdout"),
        ("import sys; sys.__stdout__.write('said\\n'); sys.__stdout__.flush()", "info", "stdout"),
        ("import subprocess; subprocess.run(['echo', 'said'])", "info", "stdout"),
        ("import logging; logging.getLogger('stdout').warning('said')", "warning", "stdout"),
    ],
)
def test_a_line_is_an_event(program: str, level: str, logger: str) -> None:
    (event,), _ = run(program)
    assert (event["event"], event["level"], event["logger"], event["service"]) == ("said", level, logger, "test")


def test_a_warning_is_an_event() -> None:
    (event,), _ = run("import warnings; warnings.warn('beware\\nof this')")
    assert (event["level"], event["logger"]) == ("warning", "py.warnings")
    assert "UserWarning: beware\nof this" in event["event"]


def test_lines_of_many_threads_are_not_mixed() -> None:
    program = "import threading\nfor n in range(20): threading.Thread(target=lambda n=n: print(n, n, n)).start()"
    events, _ = run(program)
    assert sorted(event["event"] for event in events) == sorted(f"{n} {n} {n}" for n in range(20))


@pytest.mark.parametrize(
    ("program", "where", "code"),
    [
        ("1 / 0", "program", 1),
        ("import threading; t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()", "thread", 0),
        ("class Bad:\n    def __del__(self): 1 / 0\nBad()", "destructor", 0),
        (FAIL_IN_AN_EVENT_LOOP, "event loop", 0),
    ],
)
def test_an_error_that_nobody_catches_is_an_event(program: str, where: str, code: int) -> None:
    (event,), exit_code = run(program)
    assert (event["event"], event["where"], exit_code) == ("uncaught_error", where, code)
    assert "ZeroDivisionError: division by zero" in event["exception"]


def test_an_error_that_may_quote_somebody_is_told_by_name_and_place() -> None:
    (event,), _ = run(FORGET_A_TASK)
    assert event["what"] == "Task exception was never retrieved"
    assert "4711" not in json.dumps(event)


def test_logging_that_fails_is_told_once_and_ends_nothing() -> None:
    events, code = run("import logging; logging.getLogger('bad').warning('%d', 'text'); print('goes on')")
    assert code == 0
    assert events[0]["event"] == "--- Logging error ---"
    assert events[-1]["event"] == "goes on"


def test_unusable_settings_of_the_log_are_left_to_those_who_load_all() -> None:
    (event,), _ = run("print('said')", LOG_LEVEL="loud")
    assert event["event"] == "said"
