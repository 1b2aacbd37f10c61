"""The Celery tasks: what they raise, Celery logs."""

import traceback
from typing import cast

import psycopg
import pytest
from sqlalchemy.exc import DataError

from services.worker import runtime
from services.worker.event_loop import EventLoop
from services.worker.runtime import Worker
from services.worker.tasks import _run
from shared.errors import CortexAIError

PIN = "4711"


async def fail() -> None:
    raise DataError("UPDATE", {"steps": PIN}, psycopg.DataError(f"CONTEXT: JSON data: {PIN}"))


def test_what_postgresql_says_of_the_data_is_not_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    with EventLoop() as loop:
        runtime.install(runtime.Process(loop, cast("Worker", None)))
        with pytest.raises(CortexAIError) as raised:
            _run(fail())
    told = "".join(traceback.format_exception(raised.value))
    assert "DataError" in told
    assert PIN not in told
    assert PIN not in str(caplog.records[-1].msg)
    assert "in fail" in str(caplog.records[-1].msg)
