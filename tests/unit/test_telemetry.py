"""What logs say of errors."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from typing import cast

import psycopg
import pytest
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import DataError
from structlog.contextvars import bound_contextvars

from shared.telemetry.logs import configure_logging, get_logger, with_bound_fields

log = get_logger(__name__)
TEXT = "my PIN is 4711"
ROLES = {"services.worker.__main__": "services.worker.consumer", "services.api.__main__": "services.api.app"}


def database() -> None:
    """Fail as SQLAlchemy does, with PostgreSQL's words."""
    try:
        raise psycopg.DataError(f"invalid input. CONTEXT: {TEXT}")
    except psycopg.Error as error:
        raise DataError("UPDATE", {"text": TEXT}, error) from error


def validation() -> None:
    """Fail as pydantic does, with what was sent."""
    TypeAdapter(int).validate_python(TEXT)


def several() -> None:
    """Fail as a task group does."""
    with pytest.raises(DataError) as one:
        database()
    with pytest.raises(ValidationError) as another:
        validation()
    raise ExceptionGroup("several", [one.value, another.value])


def chained() -> None:
    """Fail over a failure."""
    try:
        json.loads("{")
    except ValueError as error:
        raise RuntimeError("then this") from error


def told_of(fail: Callable[[], None], caplog: pytest.LogCaptureFixture) -> str:
    """What is logged of a failure."""
    with pytest.raises(Exception) as raised:  # noqa: PT011 - any
        fail()
    log.error("failed", exc_info=raised.value)
    return str(cast("dict[str, object]", caplog.records[-1].msg)["exception"])


@pytest.mark.parametrize("fail", [database, validation, several])
def test_an_error_that_may_quote_somebody_is_logged_by_name_and_place(
    fail: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    told = told_of(fail, caplog)
    assert TEXT not in told
    assert "Error\n" in told
    assert f"in {fail.__name__}\n" in told


def test_an_error_that_is_its_own_cause_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    def circle() -> None:
        error = ValueError("round")
        raise error from error

    assert told_of(circle, caplog).count("ValueError: round") == 1


def test_other_errors_are_logged_with_their_words_and_causes(caplog: pytest.LogCaptureFixture) -> None:
    told = told_of(chained, caplog)
    assert told.index("JSONDecodeError: Expecting") < told.index("then:") < told.index("RuntimeError: then this")


def test_a_logger_keeps_what_was_bound_when_it_was_made(caplog: pytest.LogCaptureFixture) -> None:
    with bound_contextvars(generation_id="one"):
        kept = with_bound_fields(log)
    with bound_contextvars(generation_id="another"):
        kept.warning("told")
    assert cast("dict[str, object]", caplog.records[-1].msg)["generation_id"] == "one"


@pytest.mark.parametrize("name", ["sse_starlette.sse", "httpx", "groq._base_client"])
def test_a_library_that_would_log_what_users_say_is_quiet_at_every_level(name: str) -> None:
    configure_logging(service="tests", level="debug", log_format="json")
    try:
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)
    finally:
        configure_logging(service="tests", level="info", log_format="json")


@pytest.mark.parametrize("main", ROLES)
def test_no_process_of_a_deployment_imports_what_colours_a_console(main: str) -> None:
    """Memory: some 15 MB in each."""
    imported = f"import sys, {main}, {ROLES[main]}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", imported], capture_output=True, text=True, check=True)
    modules = done.stdout.split()
    assert ROLES[main] in modules
    assert "rich.console" not in modules
