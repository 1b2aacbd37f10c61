import os
from pathlib import Path

import pytest

from services.launcher.output import POSTGRES_TROUBLE, TROUBLE, VALKEY_TROUBLE, Log, follow, last_line, trouble


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('{"event": "started", "level": "info"}', None),
        ('{"event": "lease lost", "level": "warning", "attempt": 2}', "warning lease lost attempt=2"),
        (
            '{"event": "crash", "level": "error", "exception": "Traceback\\n  x\\nOSError: no"}',
            "error crash OSError: no",
        ),
        ('{"not": "a log line"}', None),
        ("{ERROR", "{ERROR"),
        ("INFO all is well", None),
        ("logfile -> [stderr]@%WARNING", None),
        ("Traceback (most recent call last):", "Traceback (most recent call last):"),
        ("ValueError: no", "ValueError: no"),
    ],
)
def test_a_person_sees_warnings_and_errors_only(line: str, shown: str | None) -> None:
    assert trouble(line, TROUBLE) == shown


def test_what_is_shown_has_a_bound() -> None:
    assert len(trouble("ERROR " + "x" * 10_000, TROUBLE) or "") == 400


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("2026-01-01 [7] ERROR:  duplicate key value violates unique constraint", False),
        ("2026-01-01 [7] FATAL:  the database system is starting up", False),
        ("2026-01-01 [7] FATAL:  could not write to file", True),
        ("2026-01-01 [7] PANIC:  could not write to file", True),
    ],
)
def test_an_error_of_one_statement_is_no_trouble_of_the_database(line: str, shown: bool) -> None:
    assert (trouble(line, POSTGRES_TROUBLE) is not None) is shown


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("7:M 01 Jan 2026 10:00:00.000 # WARNING Memory overcommit must be enabled!", False),
        ("7:M 01 Jan 2026 10:00:00.000 * Ready to accept connections tcp", False),
        ("7:M 01 Jan 2026 10:00:00.000 # Can't open the append-only file", True),
    ],
)
def test_advice_on_the_kernel_is_no_trouble_of_valkey(line: str, shown: bool) -> None:
    assert (trouble(line, VALKEY_TROUBLE) is not None) is shown


def test_a_log_never_grows_beyond_twice_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "part.log"
    log = Log(path, limit=100)
    for number in range(100):
        log.write(f"line {number}\n".encode())
    log.close()
    assert path.stat().st_size <= 100
    assert (tmp_path / "part.log.1").stat().st_size <= 100
    assert last_line(path) == "line 99"


def test_output_is_copied_line_by_line_and_a_last_line_needs_no_end(tmp_path: Path) -> None:
    shown: list[tuple[str, str]] = []
    reading, writing = os.pipe()
    thread = follow(
        "part", os.fdopen(reading, "rb"), Log(tmp_path / "log"), TROUBLE, lambda part, line: shown.append((part, line))
    )
    os.write(writing, b"fine\nERROR \xff\nno end")
    os.close(writing)
    thread.join()
    assert (tmp_path / "log").read_bytes() == b"fine\nERROR \xff\nno end\n"
    assert shown == [("part", "ERROR �")]


def test_a_log_that_does_not_exist_has_no_last_line(tmp_path: Path) -> None:
    assert last_line(tmp_path / "nothing") == ""
