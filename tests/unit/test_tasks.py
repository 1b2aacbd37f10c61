"""The Celery tasks: what they raise, Celery logs."""

import traceback
from typing import cast

import psycopg
import pytest
from sqlalchemy.exc import DataError

from services.worker import process
from services.worker.event_loop import EventLoop
from services.worker.generations.desk import Desk
from services.worker.summaries.fold import Folder
from services.worker.tasks import _run
from shared.errors import DatabaseUnavailable


async def fail() -> None:
    raise DataError("UPDATE", {"steps": "my PIN"}, psycopg.DataError('CONTEXT: JSON data: "my PIN"'))


def test_what_postgresql_says_of_the_data_is_not_passed_on() -> None:
    with EventLoop() as loop:
        process.install(process.Process(loop, cast("Desk", None), cast("Folder", None)))
        with pytest.raises(DatabaseUnavailable) as raised:
            _run(fail())
    told = "".join(traceback.format_exception(raised.value))
    assert "DataError" in told
    assert "PIN" not in told
