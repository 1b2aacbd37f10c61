"""The pool of connections to PostgreSQL."""

import asyncio
import gc
import random
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from shared.database.engine import Connection, Database, open_database
from tests.support.turns import execute


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Two connections at most."""
    opened = open_database(database_url.replace("postgresql://", "postgresql+psycopg://"), pool_size=2)
    yield opened
    await opened.dispose()


async def _backend(db: Connection) -> int:
    return int((await db.execute(text("SELECT pg_backend_pid()"))).scalar_one())


@pytest.mark.parametrize("by", ["server", "driver"])
async def test_a_connection_that_died_in_the_pool_is_replaced_before_use(
    database: Database, database_url: str, by: str
) -> None:
    async with database.connect() as db:
        first = await _backend(db)
        driver = (await db.get_raw_connection()).driver_connection
        assert driver is not None
    if by == "server":
        # Waits until the server process is gone, and so until its goodbye is in the socket.
        execute(database_url, "SELECT pg_terminate_backend(%s, 5000)", first)
    else:
        driver.pgconn.finish()
    async with database.connect() as db:
        assert await _backend(db) != first


async def test_a_connection_that_is_given_back_late_is_closed(database: Database) -> None:
    async with database.connect() as db:
        driver = (await db.get_raw_connection()).driver_connection
        assert driver is not None
        await database.dispose()
        assert not driver.closed
    assert driver.closed


async def test_whoever_is_cancelled_leaves_its_connection_as_it_was(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As when the loop is always busy: psycopg then lets others run, and so be cancelled, at each of its steps.
    monkeypatch.setattr("psycopg.waiting.MAX_BUSY_TIME", 0)
    chance = random.Random(23)  # noqa: S311 - to choose moments
    cancelled = 0

    async def stand_alone() -> None:
        async with database.connect() as db:
            await db.execute(text("SELECT 1"))

    async def together() -> None:
        async with database.begin() as db:
            await db.execute(text("SELECT 1"))
            await db.execute(text("SELECT pg_sleep(0.001)"))

    async def hurried() -> None:
        nonlocal cancelled
        try:
            async with asyncio.timeout(chance.uniform(0, 0.02)), asyncio.TaskGroup() as tasks:
                for _ in range(4):
                    tasks.create_task(chance.choice((stand_alone, together))())
        except TimeoutError:
            cancelled += 1

    for _ in range(100):
        await asyncio.gather(*(hurried() for _ in range(3)))
    assert cancelled
    gc.collect()  # a lost connection would be told of as a warning, which is an error here
    async with asyncio.timeout(5), database.connect() as one, database.connect() as another:
        assert await _backend(one) != await _backend(another)
        for db in (one, another):
            driver = (await db.get_raw_connection()).driver_connection
            assert driver is not None
            assert driver.autocommit
