"""The Celery tasks: what they raise, Celery logs."""

import traceback
from dataclasses import dataclass, field
from typing import cast

import psycopg
import pytest
from sqlalchemy.exc import DataError

from services.worker import runtime
from services.worker.event_loop import EventLoop
from services.worker.runtime import Worker
from services.worker.tasks import _run, sweep_now
from shared.errors import CortexAIError, StreamsUnavailable

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


@dataclass
class CountingBackfill:
    """A backfill that has nothing to do. `passes` is how often it ran."""

    passes: int = 0

    async def run(self) -> None:
        self.passes += 1


@dataclass
class WorkerWithoutRedis:
    """A worker whose sweep fails."""

    backfill: CountingBackfill = field(default_factory=CountingBackfill)

    async def sweep(self) -> None:
        raise StreamsUnavailable


def test_the_backfill_goes_on_though_the_sweep_fails() -> None:
    worker = WorkerWithoutRedis()
    with EventLoop() as loop:
        runtime.install(runtime.Process(loop, cast("Worker", worker)))
        with pytest.raises(StreamsUnavailable):
            sweep_now()
    assert worker.backfill.passes == 1
