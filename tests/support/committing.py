"""Changes of a real data source by real workers: in this process, and in processes of their own that can be killed.

`python -m tests.support.committing DATABASE_URL OPERATION_ID KEY LEASE_SECONDS` is a worker that commits one operation.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
from cryptography.fernet import Fernet

from services.worker.operations.commit import Commits
from shared.data_sources.connect import connect_writer
from shared.data_sources.encryption import Keyring
from shared.data_sources.hosts import own_address
from shared.data_sources.limits import Limits
from shared.data_sources.urls import read_source_url
from shared.database.engine import Database, open_database
from shared.database_urls import to_sqlalchemy
from shared.ids import DataSourceId, OperationId, UserId
from shared.operations.decisions import approve
from shared.operations.proposing import propose_undo, propose_write
from shared.operations.rows import OperationRow
from shared.operations.source_changes import SourceChanges, Writer
from shared.operations.sources import ChangeableSource
from shared.streams.feed.in_memory import InMemoryFeeds
from shared.streams.feed.publisher import FeedPublisher
from shared.telemetry.metrics import NullMetrics
from tests.support.data_sources import Source
from tests.support.forks import Forks, Process
from tests.support.operations import BOUNDS, new_user
from tests.support.turns import Noted, execute

TABLES: Final = """
CREATE TABLE accounts (id bigint PRIMARY KEY, balance bigint NOT NULL);
INSERT INTO accounts SELECT i, 0 FROM generate_series(1, 3) AS i;
"""
ADD: Final = "UPDATE accounts SET balance = balance + 1 WHERE id = 1"
GATES: Final = """
CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock(TG_ARGV[0]::bigint); RETURN NEW; END $$;
CREATE TRIGGER noting BEFORE UPDATE ON operations FOR EACH ROW
WHEN (NEW.xid IS NOT NULL AND NEW.xid IS DISTINCT FROM OLD.xid) EXECUTE FUNCTION wait_at_gate(1);
CREATE TRIGGER ending BEFORE UPDATE ON operations FOR EACH ROW
WHEN (NEW.status = 'committed' AND OLD.status = 'approved') EXECUTE FUNCTION wait_at_gate(2);
"""
"""Where a test can hold a worker: 1 before a transaction is noted, 2 before an operation that was committed is ended."""
LEASE: Final = timedelta(seconds=30)
AT_GATE: Final = (
    "SELECT count(*) > 0 FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
    " WHERE l.locktype = 'advisory' AND NOT l.granted AND d.datname = current_database()"
)
UNTIL: Final = {
    "claimed": ("SELECT attempt = 1 FROM operations WHERE id = %s",),
    "noting": (AT_GATE,),
    "ending": (AT_GATE,),
    "ended": ("SELECT status = 'committed' FROM operations WHERE id = %s",),
}
IS_QUIET: Final = (
    "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'cortexai' AND state = 'active'"
    " AND datname = current_database() AND query LIKE 'UPDATE operations%'"
)


def writer_of(keyring: Keyring) -> Writer:
    """Opens writers of data sources wherever they are."""

    def writer(source: ChangeableSource) -> AbstractAsyncContextManager[psycopg.AsyncConnection[Any]]:
        return _connected(source, keyring)

    return writer


@asynccontextmanager
async def _connected(source: ChangeableSource, keyring: Keyring) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    assert source.writer_url is not None
    url = keyring.decrypt(source.writer_url, source.user_id, "writer_url")
    async with connect_writer(await own_address(read_source_url(url)), Limits()) as connection:
        yield connection


@dataclass(frozen=True)
class Bank:
    """A user with a data source, whose changes are committed here."""

    database_url: str
    database: Database
    source: Source
    key: str
    user: UserId
    data_source: DataSourceId
    changes: SourceChanges

    @property
    def commits(self) -> Commits:
        """A worker of this process."""
        return commits_of(self.database, self.changes, LEASE)

    async def approved(self, sql: str = ADD) -> OperationRow:
        """An operation that waits for its commit."""
        moved = await propose_write(self.database, self.changes, BOUNDS, self.user, self.data_source, sql)
        return await self._approve(moved.operation)

    async def approved_undo(self, operation: OperationRow) -> OperationRow:
        """The undo of an operation, that waits for its commit."""
        moved = await propose_undo(self.database, self.changes, BOUNDS, self.user, operation.id)
        return await self._approve(moved.operation)

    async def _approve(self, operation: OperationRow) -> OperationRow:
        async with self.database.begin() as db:
            return (await approve(db, self.user, operation.id, operation.digest, "session")).operation

    def balances(self) -> list[int]:
        """The accounts' balances, by id."""
        with self.source.owner() as owner:
            return [row[0] for row in owner.execute("SELECT balance FROM accounts ORDER BY id")]

    def expire_leases(self) -> None:
        """Let the leases of all operations expire."""
        execute(self.database_url, "UPDATE operations SET lease_expires_at = now() - interval '1 second'")

    def started(self, forks: Forks, operation: OperationRow, log: Path) -> Process:
        """A worker of its own process, which begins to commit an operation."""
        arguments = [self.database_url, str(operation.id), self.key, str(LEASE.total_seconds())]
        return forks.start("tests.support.committing", arguments, os.environ, log)

    async def until(self, statement: str, *values: object) -> None:
        """Wait until our database says so. What a foreign process does there offers no event."""
        async with asyncio.timeout(20), await psycopg.AsyncConnection.connect(self.database_url, autocommit=True) as db:
            while not (await (await db.execute(statement.encode(), values or None)).fetchone() or [False])[0]:  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.01)


async def killed(bank: Bank, forks: Forks, operation: OperationRow, step: str, log: Path) -> None:
    """Have a worker begin to commit an operation, and kill it at a step. Our database needs the GATES.

    `claimed`: before it has changed anything; `noting`: before its transaction is noted; `ending`: once the data source has
    committed; `ended`: once the row says so.
    """
    async with (
        await psycopg.AsyncConnection.connect(bank.database_url, autocommit=True) as gate,
        await psycopg.AsyncConnection.connect(bank.source.owner_url) as owner,
    ):
        await gate.execute("SELECT pg_advisory_lock(%s)", [{"noting": 1, "ending": 2}.get(step, 3)])
        if step == "claimed":
            await owner.execute("LOCK TABLE accounts")
        worker = bank.started(forks, operation, log)
        await bank.until(*UNTIL[step], *([operation.id] if step in {"claimed", "ended"} else []))
        worker.send_signal(signal.SIGKILL)
        await asyncio.to_thread(worker.wait)
    # The server may go on with a statement of the dead worker's. Then the rows are as its death has left them.
    await bank.until(IS_QUIET)


def commits_of(database: Database, changes: SourceChanges, lease: timedelta) -> Commits:
    """A worker that tells nobody."""
    return Commits(database, changes, Noted(), FeedPublisher(InMemoryFeeds(), NullMetrics()), lease)


@asynccontextmanager
async def open_bank(database_url: str, source: Source) -> AsyncIterator[Bank]:
    """A new user, whose data source this is."""
    key = Fernet.generate_key().decode()
    keyring = Keyring([key])
    user = new_user(database_url)
    ((data_source,),) = execute(
        database_url,
        "INSERT INTO data_sources (user_id, name, kind, reader_url, writer_url)"
        " VALUES (%s, 'bank', 'postgresql', %s, %s) RETURNING id",
        user,
        keyring.encrypt(source.reader_url, user, "reader_url"),
        keyring.encrypt(source.writer_url, user, "writer_url"),
    )
    assert isinstance(data_source, int)
    database = open_database(to_sqlalchemy(database_url), pool_size=8)
    try:
        changes = SourceChanges(writer_of(keyring), keyring, rows=100)
        yield Bank(database_url, database, source, key, user, DataSourceId(data_source), changes)
    finally:
        await database.dispose()


async def _commit(database_url: str, operation_id: str, key: str, lease: str) -> None:
    keyring = Keyring([key])
    database = open_database(to_sqlalchemy(database_url), pool_size=4)
    changes = SourceChanges(writer_of(keyring), keyring, rows=100)
    await commits_of(database, changes, timedelta(seconds=float(lease))).commit(OperationId(UUID(operation_id)))
    await database.dispose()


if __name__ == "__main__":
    asyncio.run(_commit(*sys.argv[1:]))
