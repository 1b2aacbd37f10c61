"""Run one SELECT on a data source and take what it gives, within bounds, as JSON values.

The statement is put behind `DECLARE … CURSOR FOR`, where PostgreSQL takes nothing but SELECT and VALUES, without writes in WITH.
So the rows come in batches, and a statement that is no query is refused by the server, whatever was checked before.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

import psycopg
from psycopg.pq.abc import PGresult

from shared.data_sources.connect import GRACE_SECONDS
from shared.data_sources.failures import too_slow, translate
from shared.data_sources.limits import Limits
from shared.data_sources.statements.checked import Query

BATCH_ROWS: Final = 100
"""How many rows are fetched at a time, at most. The first is fetched alone: it tells how large rows are."""
MAX_VALUE_CHARS: Final = 20_000
MAX_CHAR_BYTES: Final = 4
"""Of a character in UTF-8."""
VALUE_OVERHEAD_BYTES: Final = 4
"""What JSON adds to a value, about: quotation marks, a comma and a space."""
MAX_SAFE_INTEGER: Final = 2**53 - 1
"""Up to here a number of JavaScript's holds each integer."""
BOOL: Final = 16
INTEGERS: Final = (20, 21, 23)
FLOATS: Final = (700, 701)
"""Types of PostgreSQL's, by their oids (pg_type.dat)."""
_DECLARE: Final = "DECLARE result NO SCROLL CURSOR FOR "
_TYPE_NAMES: Final = """
SELECT pg_catalog.format_type(type, modifier)
FROM unnest(%s::oid[], %s::int4[]) WITH ORDINALITY AS given (type, modifier, place) ORDER BY place
"""

Value = str | int | float | bool | None
"""Booleans, and numbers that JSON holds exactly, are themselves. All else is PostgreSQL's text."""


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """A column of a result. Names need not differ. `type` is as PostgreSQL writes it, such as `numeric(10,2)`."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class QueryResult:
    """What a query gave. `is_cut`: there are more rows, or longer values, than are here. `seconds` is how long it took."""

    columns: tuple[ResultColumn, ...]
    rows: tuple[tuple[Value, ...], ...]
    is_cut: bool
    seconds: float


async def run_query(connection: psycopg.AsyncConnection[Any], query: Query, limits: Limits) -> QueryResult:
    """Run a query in a read-only transaction of its own. A task that is cancelled has the statement cancelled on the server.

    Raises:
        StatementFailed: PostgreSQL refuses the statement, or stopped it since it took too long.
        DataSourceUnreachable: the connection was lost.

    """
    started = time.perf_counter()
    try:
        # All batches together: the statement may have changed the server's limit for the ones that follow.
        async with asyncio.timeout(limits.statement_seconds + GRACE_SECONDS):
            await connection.execute("BEGIN READ ONLY")
            columns, rows, is_cut = await _fetch(connection, query.sql, limits)
    except TimeoutError:
        raise too_slow(limits) from None
    except psycopg.Error as error:
        raise translate(error, limits, shift=len(_DECLARE)) from None
    finally:
        if not connection.closed:
            with contextlib.suppress(psycopg.Error):  # the connection is lost, and the server ends the transaction
                await connection.rollback()
    return QueryResult(columns, tuple(rows), is_cut, time.perf_counter() - started)


async def _fetch(
    connection: psycopg.AsyncConnection[Any], sql: str, limits: Limits
) -> tuple[tuple[ResultColumn, ...], list[tuple[Value, ...]], bool]:
    await connection.execute(f"{_DECLARE}{sql}".encode(), prepare=True)
    rows: list[tuple[Value, ...]] = []
    size, largest, is_cut = 0, 0, False
    while True:
        wanted = max(1, min(BATCH_ROWS, limits.result_bytes // largest)) if largest else 1
        fetched = await connection.execute(f"FETCH FORWARD {wanted} FROM result".encode(), prepare=True)
        batch = fetched.pgresult
        if batch is None:
            raise psycopg.InterfaceError("no result")
        for number in range(batch.ntuples):
            texts = [batch.get_value(number, place) for place in range(batch.nfields)]
            largest = max(largest, 1 + sum(len(text or b"") for text in texts))
            row, row_bytes, row_is_cut = _row(batch, texts)
            if not rows and row_bytes > limits.result_bytes:  # the first row is always shown
                row, row_bytes, row_is_cut = _row(batch, texts, limits.result_bytes // (MAX_CHAR_BYTES * len(texts)))
            size += row_bytes
            if len(rows) == limits.rows or (rows and size > limits.result_bytes):
                return await _columns(connection, batch), rows, True
            rows.append(row)
            is_cut = is_cut or row_is_cut
        if batch.ntuples < wanted:
            return await _columns(connection, batch), rows, is_cut


async def _columns(connection: psycopg.AsyncConnection[Any], result: PGresult) -> tuple[ResultColumn, ...]:
    places = range(result.nfields)
    types = [[result.ftype(place) for place in places], [result.fmod(place) for place in places]]
    named = await (await connection.execute(_TYPE_NAMES, types)).fetchall()
    names = [(result.fname(place) or b"").decode(errors="replace") for place in places]
    return tuple(ResultColumn(name, str(type_name)) for name, (type_name,) in zip(names, named, strict=True))


def _row(
    result: PGresult, texts: Sequence[bytes | None], most_chars: int = MAX_VALUE_CHARS
) -> tuple[tuple[Value, ...], int, bool]:
    """A row's values, about how many bytes they are in JSON, and whether one was cut."""
    values = tuple(to_json(text, result.ftype(place), most_chars) for place, text in enumerate(texts))
    size = sum(VALUE_OVERHEAD_BYTES + min(len(text or b""), most_chars * MAX_CHAR_BYTES) for text in texts)
    return values, size, any(isinstance(value, str) and len(value) > most_chars for value in values)


def to_json(text: bytes | None, type_oid: int, most_chars: int = MAX_VALUE_CHARS) -> Value:
    """A value of a result as JSON has it, cut to so many characters. `text` is PostgreSQL's text form."""
    if text is None:
        return None
    if type_oid == BOOL:
        return text == b"t"
    if type_oid in INTEGERS and abs(int(text)) <= MAX_SAFE_INTEGER:
        return int(text)
    if type_oid in FLOATS and isfinite(float(text)):  # JSON has neither infinities nor NaN
        return float(text)
    whole = text.decode(errors="replace")
    return whole if len(whole) <= most_chars else f"{whole[:most_chars]}…"
