"""A user's sandbox: its row, and what is on the server. The row comes first and goes first, so nothing is left unseen.

What is on the server without a row is dropped by the workers' sweep.
"""

from services.api.data_sources import queries
from shared.data_sources.access import SourceAccess
from shared.data_sources.sandbox.sandbox import Sandbox, make, new_sandbox, read_sandbox
from shared.data_sources.sandbox.server import prepare
from shared.database.engine import Database
from shared.database.identity import identify
from shared.errors import DataSourcesOff
from shared.ids import UserId
from shared.operations import audit
from shared.sources.rows import SourceRow, find_sandbox


async def open_sandbox(access: SourceAccess, database: Database, user_id: UserId, name: str) -> tuple[SourceRow, bool]:
    """The user's sandbox, and whether it is new. One whose making was broken off is made now.

    Raises:
        DataSourcesOff: there are no sandboxes here.
        DataSourceUnreachable: the server does not answer. Asking again goes on.
        DataSourceNameTaken, TooManyDataSources: see `add_source`.

    """
    if access.sandbox_url is None:
        raise DataSourcesOff("There are no sandboxes here: SANDBOX_DATABASE_URL is not set.")
    deployment = await identify(database)
    async with database.begin() as db:
        await queries.lock_owner(db, user_id)
        row = await find_sandbox(db, user_id)
        is_new = row is None
        if row is None:
            row = await queries.add_source(db, user_id, {"name": name, "kind": "sandbox", "reader_url": b""})
            sandbox = new_sandbox(deployment, row.id)
            row = await queries.change_source(db, user_id, row.id, _encrypted(access, user_id, sandbox))
            added = audit.Event("data_source.added", audit.data_source(row.id), {"name": row.name, "kind": row.kind})
            await audit.append(db, user_id, added)
    reader, writer = access.shown(row.stored)
    if row.status != "ok":
        await prepare(access.sandbox_url)
        sandbox = read_sandbox(reader.text, writer.text if writer else "")
        await make(access.sandbox_url, sandbox, access.limits)
    return row, is_new


def _encrypted(access: SourceAccess, user_id: UserId, sandbox: Sandbox) -> dict[str, bytes]:
    return {
        "reader_url": access.keyring.encrypt(sandbox.reader_url, user_id, "reader_url"),
        "writer_url": access.keyring.encrypt(sandbox.writer_url, user_id, "writer_url"),
    }
