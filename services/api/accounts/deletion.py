"""Deleting an account, whoever asks for it: `note_deletion`, then `delete_rows` in a transaction, then `end_account`.

A process that is killed behind the commit leaves something in Redis or at the sandboxes' server. The workers' sweep removes that.
"""

from datetime import timedelta
from typing import NamedTuple

from services.api.accounts.password_check import account_key
from services.api.accounts.queries import delete_account, find_with_logs
from services.api.generations.cancellation import end_deleted
from services.api.resources import Resources
from shared.database.engine import Connection
from shared.errors import StreamsUnavailable
from shared.generations.cancel import DeletedGenerations
from shared.ids import UserId
from shared.protocol.feed_events import ACCOUNT_DELETED
from shared.sources.rows import SourceRow, find_sandbox
from shared.sources.work import drop_sandbox
from shared.streams.removal import Deleted
from shared.telemetry.logs import get_logger

log = get_logger(__name__)


class DeletedAccount(NamedTuple):
    """What an account had elsewhere, when its rows were deleted. `sandbox`: its row; None where there was none."""

    generations: DeletedGenerations
    sandbox: SourceRow | None


async def note_deletion(resources: Resources, user_id: UserId) -> None:
    """What has to be done before the commit: whatever becomes of this process, the sweep looks at what Redis has."""
    # The name is a keyed hash, which no sweep can tell from that of an account that is there.
    await resources.tries.known.forget(account_key(user_id))
    removal = resources.streams.removal
    async with resources.database.connect() as db:
        generations = await find_with_logs(db, user_id, timedelta(seconds=removal.log_seconds))
    try:
        await removal.note(Deleted([user_id], generations))
    except StreamsUnavailable as error:
        log.warning("deletion_not_noted", error=error.code)


async def delete_rows(db: Connection, user_id: UserId) -> DeletedAccount | None:
    """Delete the rows of an account. Needs a transaction. None where they are gone already."""
    sandbox = await find_sandbox(db, user_id)
    generations = await delete_account(db, user_id)
    return None if generations is None else DeletedAccount(generations, sandbox)


async def end_account(resources: Resources, user_id: UserId, deleted: DeletedAccount) -> None:
    """What follows the commit: generations are stopped, streams end, and the sandbox is dropped."""
    # First, while readers are there: the sessions are gone, so session_watch.py cuts their streams within seconds.
    resources.streams.feed.tell(user_id, ACCOUNT_DELETED)
    await end_deleted(resources.streams, deleted.generations)
    await resources.tries.known.forget(account_key(user_id))
    if deleted.sandbox is not None and resources.data_sources is not None:
        await drop_sandbox(resources.data_sources, deleted.sandbox)
