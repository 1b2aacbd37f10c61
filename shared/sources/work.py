"""Work on data sources. No connection to our own database is held meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg
from sqlalchemy import Text, cast, func, literal
from sqlalchemy.dialects.postgresql import JSONB

from shared.data_sources.access import SourceAccess
from shared.data_sources.querying import QueryResult, run_query
from shared.data_sources.sandbox.sandbox import drop
from shared.data_sources.schema import Schema
from shared.data_sources.schema_reading import read_schema, schema_from_text, schema_to_text
from shared.data_sources.statements.check import check_query
from shared.data_sources.statements.checked import Query
from shared.database.engine import Database
from shared.errors import CortexAIError, DataSourceKeyMissing, DataSourceUnreachable
from shared.sources import rows
from shared.sources.rows import SourceRow
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

OK: Final = "ok"
SCHEMA_FRESH: Final = timedelta(minutes=5)
"""How long a schema is believed. A statement that names what came since is refused until the schema is read again."""


async def refresh_schema(access: SourceAccess, database: Database, source: SourceRow) -> tuple[Schema, datetime]:
    """Read the schema from the data source and keep it. Returns when that was, too.

    Raises:
        CortexAIError: the data source can't be read.

    """
    async with noting(database, source), access.reader(source.stored) as connection:
        return await _read(connection, database, source)


async def find_schema(access: SourceAccess, database: Database, source: SourceRow) -> tuple[Schema, datetime]:
    """The schema as it was last read, which may be long ago; read now where it never was.

    Raises:
        CortexAIError: the data source can't be read.

    """
    async with database.connect() as db:
        kept = await rows.find_schema(db, source.user_id, source.id)
    if kept is None or source.schema_read_at is None:
        return await refresh_schema(access, database, source)
    return await asyncio.to_thread(schema_from_text, kept), source.schema_read_at


async def fresh_schema(access: SourceAccess, database: Database, source: SourceRow) -> Schema:
    """The schema, as statements are checked by it: read now where it was not read lately.

    Raises:
        CortexAIError: the data source can't be read.

    """
    kept = await _kept(database, source)
    return kept or (await refresh_schema(access, database, source))[0]


def is_fresh(read_at: datetime | None) -> bool:
    """Whether a schema that was read then is believed."""
    return read_at is not None and datetime.now(UTC) - read_at <= SCHEMA_FRESH


async def query_source(access: SourceAccess, database: Database, source: SourceRow, sql: str) -> QueryResult:
    """Check a query and run it.

    Raises:
        StatementRefused: the statement is none that may run here.
        StatementFailed: the data source refuses the statement.
        CortexAIError: the data source can't be reached.

    """
    schema = await _kept(database, source)
    if schema is not None:
        async with access.slots.one(source.user_id):  # before anything connects, and not more of them at a time
            query = await _check(sql, schema)
    async with noting(database, source), access.reader(source.stored) as connection:
        if schema is None:
            schema, _ = await _read(connection, database, source)
            query = await _check(sql, schema)
        return await run_query(connection, query, access.limits)


async def _check(sql: str, schema: Schema) -> Query:
    """Read a query on a thread: that may take longer than others on the event loop should wait."""
    return await asyncio.to_thread(check_query, sql, schema)


async def _kept(database: Database, source: SourceRow) -> Schema | None:
    """The schema as it was last read; None where that was not lately."""
    if not is_fresh(source.schema_read_at):
        return None
    async with database.connect() as db:
        kept = await rows.find_schema(db, source.user_id, source.id)
    return await asyncio.to_thread(schema_from_text, kept) if kept else None


async def _read(
    connection: psycopg.AsyncConnection[Any], database: Database, source: SourceRow
) -> tuple[Schema, datetime]:
    schema = await read_schema(connection)
    now = datetime.now(UTC)
    text = await asyncio.to_thread(schema_to_text, schema)
    async with database.connect() as db:
        values = {"schema": cast(literal(text, Text), JSONB), "schema_read_at": now}
        await rows.save_outcome(db, source.stored, values)
    return schema, now


@asynccontextmanager
async def noting(database: Database, source: SourceRow, *, is_test: bool = False) -> AsyncIterator[None]:
    """Save with the data source how the connection went. A statement that fails says nothing of the connection.

    That all is well again is saved where that is news, and after each test.
    """
    try:
        yield
    except CortexAIError as error:
        if error.code.startswith(("data_source", "host_")):
            await _save_status(database, source, error.code)
        raise
    if is_test or source.status != OK:
        await _save_status(database, source, OK)


async def _save_status(database: Database, source: SourceRow, status: str) -> None:
    async with database.connect() as db:
        await rows.save_outcome(db, source.stored, {"status": status, "checked_at": func.now()})


async def drop_sandbox(access: SourceAccess, row: SourceRow) -> None:
    """Drop what a deleted row had on the server. Where that fails, the workers' sweep does it later."""
    if access.sandbox_url is None:
        return
    try:
        reader, _ = access.shown(row.stored)
        await drop(access.sandbox_url, reader.schema or "")
    except (DataSourceUnreachable, DataSourceKeyMissing):
        log.warning("sandbox_not_dropped", source_id=row.id)
