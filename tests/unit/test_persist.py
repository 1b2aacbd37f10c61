"""Saving through a restart of the database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import psycopg
import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from services.worker.generations import persist as saving
from services.worker.generations.persist import persist
from shared.database.engine import Connection, Database

AWAY = OperationalError("connect", None, psycopg.OperationalError("connection refused"))


class Restarting:
    """A database that does not answer the first few times."""

    def __init__(self, *, away: int) -> None:
        self.away = away
        self.tries = 0

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        self.tries += 1
        if self.tries <= self.away:
            raise AWAY
        yield


async def saved(_: Connection) -> bool:
    return True


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "RETRY_AFTER", ())
    monkeypatch.setattr(saving, "RETRY_EVERY", 0.001)


async def test_it_is_tried_for_as_long_as_a_restart_takes() -> None:
    database = Restarting(away=40)
    assert await persist(cast("Database", database), saved, together=False)
    assert database.tries == 41


async def test_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "PATIENCE", 0.01)
    database = Restarting(away=1_000_000)
    with pytest.raises(OperationalError):
        await persist(cast("Database", database), saved, together=False)
    assert database.tries > 1


async def test_what_is_refused_is_not_tried_again() -> None:
    async def refused(_: Connection) -> bool:
        raise IntegrityError("insert", None, psycopg.IntegrityError("no"))

    database = Restarting(away=0)
    with pytest.raises(IntegrityError):
        await persist(cast("Database", database), refused, together=False)
    assert database.tries == 1
