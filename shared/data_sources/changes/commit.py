"""A write is run again, compared with its preview, and committed only where both are the same."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, replace
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from shared.canonical import canonical
from shared.data_sources.changes.effects import Effect, NotRepeatable, PreviewBounds, run_write
from shared.data_sources.changes.results import (
    Committed,
    Preview,
    ShownRow,
    count_rows,
    keep,
    show,
    shown_rows,
)
from shared.data_sources.changes.server_errors import commit_errors, statement_errors
from shared.data_sources.changes.side_effects import check_side_effects
from shared.data_sources.changes.transactions import change_transaction
from shared.data_sources.statements.checked import Write
from shared.errors import ChangeTooLarge, EffectChanged, OutcomeUnknown, StatementRefused

NoteChange = Callable[[Committed], Awaitable[None]]
"""Keeps, where it outlives this process, what is about to be committed. What it raises keeps the change from being committed."""


async def commit_change(
    connection: psycopg.AsyncConnection[Any], write: Write, preview: Preview, bounds: PreviewBounds, note: NoteChange
) -> Committed:
    """Do exactly what the preview shows, or nothing.

    `note` is awaited just before COMMIT. Whatever happens from then on, `was_committed` tells the outcome.

    Raises:
        EffectChanged: the write would do something else now. Nothing was changed.
        StatementFailed: a lock, a time limit or a missing right was in the way. Nothing was changed.
        DataSourceUnreachable: the connection broke; when that was after `note`, ask `was_committed`.

    """
    table = write.table
    with commit_errors():
        try:
            async with change_transaction(
                connection, table.schema, table.name, only_inserts=write.kind == "insert"
            ) as target:
                reached = await check_side_effects(connection, target, {write.kind}, bounds.trusted_functions)
                effect = await run_write(connection, write, target, reached, bounds)
                hidden = frozenset(preview.set_at_commit)
                # Large rows take longer than others on the event loop should wait.
                now = await asyncio.to_thread(lambda: show(write.kind, effect, hidden, shown_rows(effect, hidden)))
                await asyncio.to_thread(check_same, preview, now)
                return await commit(connection, effect, shown_rows(effect), note)
        except (NotRepeatable, StatementRefused, ChangeTooLarge) as refusal:
            told = f" {refusal.message}" if not isinstance(refusal, NotRepeatable) else ""
            raise EffectChanged(f"{EffectChanged.default_message()}{told}") from refusal


def check_same(preview: Preview, now: Preview) -> None:
    """Compare what was shown with what would be done now.

    Raises:
        EffectChanged: something differs, be it only that a row was written again with the same values.

    """
    # A preview that an earlier release has made knows nothing of it.
    same_hash = preview.touched_hash is None or preview.touched_hash == now.touched_hash
    same = (
        (now.table, now.kind, now.key, now.columns, now.touched)
        == (preview.table, preview.kind, preview.key, preview.columns, preview.touched)
    ) and _multiset(now.rows) == _multiset(preview.rows)
    if not (same and same_hash):
        raise EffectChanged


def _multiset(rows: Iterable[ShownRow]) -> Counter[bytes]:
    # Rows that are inserted may have keys that are set at commit, so the order and the key name no row.
    # And of a row that is gone, an earlier release shows nothing.
    return Counter(canonical(asdict(replace(row, before=None) if row.conflict == "gone" else row)) for row in rows)


async def commit(
    connection: psycopg.AsyncConnection[Any], effect: Effect, rows: tuple[ShownRow, ...], note: NoteChange
) -> Committed:
    """Note what is done, and commit. `rows` are told as committed."""
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute("SELECT pg_current_xact_id()::text")
        ((xid,),) = await cursor.fetchall()
    committed = Committed(xid, count_rows(rows), rows, keep(effect))
    await note(committed)
    await connection.execute("COMMIT")
    return committed


async def was_committed(connection: psycopg.AsyncConnection[Any], xid: str) -> bool | None:
    """Whether a transaction that was noted is committed. None while it is still under way.

    Raises:
        OutcomeUnknown: the server has forgotten the transaction, or has never had it.
        DataSourceUnreachable: the connection broke.

    """
    with statement_errors():
        async with connection.cursor(row_factory=tuple_row) as cursor:
            try:
                await cursor.execute("SELECT pg_xact_status(%s::xid8)", (xid,))
            except (
                psycopg.errors.InvalidParameterValue
            ) as error:  # in the future: the server was restored to an earlier day
                raise OutcomeUnknown from error
            row = await cursor.fetchone()
    if row is None or row[0] is None:
        raise OutcomeUnknown
    return {"committed": True, "aborted": False}.get(row[0])
