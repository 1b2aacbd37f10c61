"""The transactions of changes: one snapshot for all that is looked at, and no change of the table's shape meanwhile."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from shared.data_sources.changes.target import Target, find_target

INSERT_MAY_LOCK_ROWS: Final = 160_000
"""The server version from which a role that may only insert may lock a table in the mode of writers."""
# All snapshots see one state, so that rows can be read and changed as if at one moment: REPEATABLE READ fails where somebody
# has changed one of these rows since. SERIALIZABLE would add nothing, because it guards only against others who use it too.
BEGIN: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE"
# Texts that name a value exactly, whatever the role's settings are. DateStyle keeps its order of day and month, which is how
# the statement's dates are read. With synchronous_commit off, a commit that was told could be lost with the server.
# By SET and not by set_config, which a role may have lost: with it, a query could end a session's limits.
TEXT_FORMS: Final = (
    "SET LOCAL DateStyle = 'ISO'",
    "SET LOCAL IntervalStyle = 'postgres'",
    "SET LOCAL extra_float_digits = 1",
    "SET LOCAL bytea_output = 'hex'",
)


@asynccontextmanager
async def change_transaction(
    connection: psycopg.AsyncConnection[Any], schema: str, name: str, *, only_inserts: bool
) -> AsyncIterator[Target]:
    """Open a transaction for a change of a table. It is rolled back at the end, unless COMMIT has ended it.

    Raises:
        StatementRefused: see `find_target`.

    """
    await find_target(connection, schema, name)  # a view, for one, can't be locked below
    await connection.execute(BEGIN)
    try:
        # The lock comes before the snapshot, which the first query takes: what the catalogs say is then what runs.
        writers = not only_inserts or connection.info.server_version >= INSERT_MAY_LOCK_ROWS
        mode = sql.SQL("ROW EXCLUSIVE" if writers else "ACCESS SHARE")
        await connection.execute(sql.SQL("LOCK TABLE {} IN {} MODE").format(sql.Identifier(schema, name), mode))
        for form in TEXT_FORMS:
            await connection.execute(form)
        waits = await (await connection.execute("SHOW synchronous_commit")).fetchone()
        if waits == ("off",):
            await connection.execute("SET LOCAL synchronous_commit = on")
        yield await find_target(connection, schema, name)
    finally:
        if connection.info.transaction_status in {TransactionStatus.INTRANS, TransactionStatus.INERROR}:
            await connection.execute("ROLLBACK")
