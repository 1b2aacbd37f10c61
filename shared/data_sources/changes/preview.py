"""What a write would do, found out by doing it in transactions that are rolled back."""

from typing import Any

import psycopg

from shared.data_sources.changes.effects import Effect, PreviewBounds, run_write
from shared.data_sources.changes.repeating import run_repeatedly
from shared.data_sources.changes.results import Preview, show, shown_rows
from shared.data_sources.changes.server_errors import statement_errors
from shared.data_sources.changes.side_effects import check_side_effects
from shared.data_sources.changes.transactions import change_transaction
from shared.data_sources.statements.checked import Write


async def make_preview(connection: psycopg.AsyncConnection[Any], write: Write, bounds: PreviewBounds) -> Preview:
    """Find out what a write does. Nothing stays changed but sequences, which may have gone on.

    `connection` is in autocommit mode and outside of a transaction. Two or three transactions run, one after the other.

    Raises:
        StatementRefused: the effect can't be found out soundly, or would not end with a rollback.
        StatementFailed: the data source does not take the statement.
        ChangeTooLarge: it would change more rows than `bounds.rows`.
        DataSourceUnreachable: the connection broke.

    """

    async def run() -> Effect:
        table = write.table
        async with change_transaction(
            connection, table.schema, table.name, only_inserts=write.kind == "insert"
        ) as target:
            reached = await check_side_effects(connection, target, {write.kind}, bounds.trusted_functions)
            return await run_write(connection, write, target, reached, bounds)

    with statement_errors():
        effect, set_at_commit = await run_repeatedly(run)
    return show(write.kind, effect, set_at_commit, shown_rows(effect, set_at_commit))
