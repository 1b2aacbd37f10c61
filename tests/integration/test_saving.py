"""Saving what an attempt has, through a restart of the database."""

import asyncio
import socket
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError

from services.launcher.embedded.valkey import EmbeddedValkey
from services.worker.generations.saving import write_patiently
from shared.database.engine import Connection, Database, open_database
from tests.conftest import settings_for
from tests.doubles import groq_control
from tests.doubles.proxy import proxy_to
from tests.support.clients import Client, numbered, text_of, types_of
from tests.support.turns import execute, open_worker_for, post


async def test_an_answer_that_ends_while_the_database_is_away_is_made_once(
    client: Client, database_url: str, valkey: EmbeddedValkey, groq_url: str
) -> None:
    gate = uuid4().hex
    async with (
        proxy_to(database_url) as proxy,
        open_worker_for(settings_for(proxy.url, valkey.url, groq_url)) as worker,
    ):
        # With reasoning, so that another attempt could not just go on from the text.
        posted = await post(client, f"{gate} [[tokens=8 reasoning=2 after=6 hold={gate}]]")
        making = asyncio.create_task(worker.attempts.run(posted.generation_id))
        async with client.read(posted.stream_url) as stream:
            events = stream.events()
            seen = [await anext(events)]
            while not text_of(seen):
                seen.append(await anext(events))
            proxy.refuse()
            await groq_control.release(groq_url, gate)
            await proxy.refused(12)  # the most part of the time that it is tried for takes longer than a short restart
            proxy.heal()
            seen += [event async for event in events]
        await making
    assert text_of(seen) == numbered(8)
    assert "data-retry" not in types_of(seen)
    assert execute(database_url, "SELECT status, attempt, losses FROM generations") == [("completed", 1, 0)]
    assert len(await groq_control.requests(groq_url, containing=gate, ended=1)) == 1


@pytest.fixture
async def absent() -> AsyncIterator[Database]:
    """A database at a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    database = open_database(f"postgresql+psycopg://nobody@127.0.0.1:{port}/none", pool_size=1)
    yield database
    await database.dispose()


async def test_a_database_that_stays_away_is_given_up(absent: Database) -> None:
    async def save(_: Connection) -> bool:
        raise AssertionError("there is no connection")

    with pytest.raises(OperationalError):
        await write_patiently(absent, save, in_transaction=True, patience=0.2)


async def test_what_is_refused_is_not_tried_again(database_url: str) -> None:
    tries = 0

    async def save(db: Connection) -> bool:
        nonlocal tries
        tries += 1
        await db.execute(text("INSERT INTO users (id, email) OVERRIDING SYSTEM VALUE VALUES (1, NULL)"))
        return True

    database = open_database(database_url.replace("postgresql://", "postgresql+psycopg://"), pool_size=1)
    with pytest.raises(IntegrityError):
        await write_patiently(database, save, in_transaction=True)
    await database.dispose()
    assert tries == 1
