"""Sessions that have ended are deleted by the sweep."""

from dataclasses import replace

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from services.worker.expired_sessions import BATCH
from services.worker.runtime import Worker
from shared.database.engine import open_database
from tests.support.clients import Client
from tests.support.turns import execute


async def add_sessions(client: Client, database_url: str, first: int, last: int, days: int) -> None:
    """Give the user sessions that end in so many days."""
    user = (await client.http.get("/api/auth/me")).json()["id"]
    execute(
        database_url,
        "INSERT INTO sessions (user_id, token_hash, expires_at)"
        " SELECT %s, sha256(n::text::bytea), now() + make_interval(days => %s) FROM generate_series(%s::int, %s::int) n",
        *(user, days, first, last),
    )


def count(database_url: str) -> object:
    """How many sessions there are, besides that of the client's own tokens."""
    return execute(database_url, "SELECT count(*) FROM sessions WHERE kind = 'cookie'")[0][0]


async def test_the_sweep_deletes_sessions_that_have_ended_and_no_others(
    client: Client, worker: Worker, database_url: str
) -> None:
    await add_sessions(client, database_url, 1, 3, days=-1)
    await add_sessions(client, database_url, 4, 5, days=1)
    await worker.sweep()
    assert count(database_url) == 2
    assert execute(database_url, "SELECT count(*) FROM sessions WHERE expires_at < now()") == [(0,)]


async def test_a_sweep_whose_first_step_fails_deletes_them_all_the_same(
    client: Client, worker: Worker, database_url: str
) -> None:
    await add_sessions(client, database_url, 1, 3, days=-1)
    nowhere = open_database("postgresql+psycopg://127.0.0.1:1/nowhere", pool_size=1)
    with pytest.raises(OperationalError):
        await replace(worker, recovery=replace(worker.recovery, database=nowhere)).sweep()
    assert count(database_url) == 0


async def test_one_pass_deletes_so_many_and_the_next_one_the_rest(
    client: Client, worker: Worker, database_url: str
) -> None:
    await add_sessions(client, database_url, 1, BATCH + 1, days=-1)
    await worker.expired_sessions.delete()
    assert count(database_url) == 1
    await worker.expired_sessions.delete()
    assert count(database_url) == 0


async def test_a_session_that_somebody_else_is_changing_is_left_for_later(
    client: Client, worker: Worker, database_url: str
) -> None:
    await add_sessions(client, database_url, 1, 2, days=-1)
    with psycopg.connect(database_url) as other:
        other.execute("SELECT 1 FROM sessions WHERE kind = 'cookie' ORDER BY id LIMIT 1 FOR UPDATE")
        await worker.sweep()
        assert count(database_url) == 1
    await worker.sweep()
    assert count(database_url) == 0


async def test_the_refresh_tokens_of_an_expired_session_go_with_it(
    client: Client, worker: Worker, database_url: str
) -> None:
    kept = "SELECT count(*) FROM refresh_tokens"
    await worker.sweep()
    assert execute(database_url, kept) == [(1,)]
    execute(database_url, "UPDATE sessions SET expires_at = now() - interval '1 second'")
    await worker.sweep()
    assert execute(database_url, kept) == [(0,)]
