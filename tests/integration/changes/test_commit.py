"""Committing what was shown, and knowing afterwards whether it was committed."""

import asyncio
import json

import psycopg
import pytest

from shared.data_sources.changes.commit import was_committed
from shared.data_sources.changes.results import Committed
from shared.errors import DataSourceUnreachable, EffectChanged, OutcomeUnknown, StatementFailed
from tests.support.changes import Connect, Connection, commit, preview, state, until_blocking

UPDATE = "UPDATE t SET n = n + 1 WHERE id = 1"


@pytest.fixture
async def table(source: Connection) -> Connection:
    """Two rows."""
    await source.execute(
        "CREATE TABLE t (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n integer, at timestamptz)"
    )
    await source.execute("INSERT INTO t (n) VALUES (1), (2)")
    return source


async def test_what_is_committed_is_told_with_the_values_that_were_set_at_commit(table: Connection) -> None:
    text = "INSERT INTO t (n, at) VALUES (7, now()), (8, now())"
    shown = await preview(table, text)
    assert shown.set_at_commit == ("id", "at")
    done = await commit(table, text, shown)
    found = await (await table.execute("SELECT id, n FROM t WHERE n > 6 ORDER BY n")).fetchall()
    assert [(row.after and (row.after["id"], row.after["n"])) for row in done.rows] == found
    assert Committed.from_json(json.loads(json.dumps(done.to_json()))) == done


async def test_the_transaction_is_noted_before_it_is_committed(table: Connection, connect: Connect) -> None:
    seen: list[object] = []
    async with connect() as other:

        async def note(done: Committed) -> None:
            seen.append((await was_committed(other, done.xid), (await state(other))["t"]["1", "1", None]))

        done = await commit(table, UPDATE, await preview(table, UPDATE), note)
        assert seen == [(None, 1)]
        assert await was_committed(other, done.xid) is True


async def test_a_note_that_fails_commits_nothing(table: Connection) -> None:
    noted: list[str] = []

    async def note(done: Committed) -> None:
        noted.append(done.xid)
        raise OSError("no room")

    before = await state(table)
    shown = await preview(table, UPDATE)
    with pytest.raises(OSError, match="no room"):
        await commit(table, UPDATE, shown, note)
    assert await state(table) == before
    assert await was_committed(table, noted[0]) is False


async def test_when_the_servers_process_dies_before_the_commit_nothing_was_committed(
    table: Connection, connect: Connect
) -> None:
    noted: list[str] = []
    before = await state(table)
    shown = await preview(table, UPDATE)
    async with connect() as doomed:

        async def note(done: Committed) -> None:
            noted.append(done.xid)
            await table.execute("SELECT pg_terminate_backend(%s, 5000)", (doomed.info.backend_pid,))

        with pytest.raises(DataSourceUnreachable):
            await commit(doomed, UPDATE, shown, note)
    assert await was_committed(table, noted[0]) is False
    assert await state(table) == before


async def test_when_the_client_dies_before_the_commit_nothing_was_committed(
    table: Connection, connect: Connect
) -> None:
    noted: list[str] = []
    before = await state(table)
    shown = await preview(table, UPDATE)
    async with connect() as doomed:

        async def note(done: Committed) -> None:
            noted.append(done.xid)
            await doomed.close()

        with pytest.raises(DataSourceUnreachable):
            await commit(doomed, UPDATE, shown, note)
    await _until_over(table, noted[0])
    assert await was_committed(table, noted[0]) is False
    assert await state(table) == before


async def _until_over(connection: Connection, xid: str) -> None:
    async with asyncio.timeout(10):
        while await was_committed(connection, xid) is None:
            await connection.execute("SELECT pg_sleep(0.005)")


async def test_a_cancelled_commit_leaves_the_connection_usable_and_the_rows_as_they_were(
    table: Connection, connect: Connect
) -> None:
    shown = await preview(table, UPDATE)
    async with connect() as other, connect() as cancelled, other.transaction():
        await other.execute("UPDATE t SET n = n WHERE id = 1")
        committing = asyncio.create_task(commit(cancelled, UPDATE, shown))
        await until_blocking(other)
        committing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await committing
        assert cancelled.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        assert (await state(cancelled))["t"]["1", "1", None] == 1


async def test_a_row_that_somebody_holds_ends_the_commit_in_time(table: Connection, connect: Connect) -> None:
    shown = await preview(table, UPDATE)
    async with connect() as other, other.transaction():
        await other.execute("UPDATE t SET n = n WHERE id = 1")
        await table.execute("SET lock_timeout = '50ms'")
        with pytest.raises(StatementFailed, match="holds a lock"):
            await commit(table, UPDATE, shown)


async def test_a_transaction_that_the_server_never_had_is_an_unknown_outcome(table: Connection) -> None:
    with pytest.raises(OutcomeUnknown):
        await was_committed(table, str(2**60))


async def test_a_commit_that_more_rows_would_be_part_of_is_refused(table: Connection) -> None:
    shown = await preview(table, "UPDATE t SET n = 0 WHERE n < 10")
    await table.execute("INSERT INTO t (n) SELECT 5 FROM generate_series(1, 1100)")
    with pytest.raises(EffectChanged, match="1102 rows"):
        await commit(table, "UPDATE t SET n = 0 WHERE n < 10", shown)
