"""Deleting an account, whoever asks for it: its rows in one transaction, then what it has elsewhere.

A process that is killed behind the commit leaves something in Redis or at the sandboxes' server. The workers' sweep removes that.
"""

from datetime import timedelta

from services.api.accounts.password_check import account_key
from services.api.accounts.queries import delete_account, find_with_logs
from services.api.generations.cancellation import end_deleted
from services.api.resources import Resources
from shared.errors import StreamsUnavailable
from shared.ids import UserId
from shared.protocol.feed_events import ACCOUNT_DELETED
from shared.sources.rows import find_sandbox
from shared.sources.work import drop_sandbox
from shared.streams.removal import Deleted
from shared.telemetry.logs import get_logger

log = get_logger(__name__)


async def end_account(resources: Resources, user_id: UserId) -> None:
    """Delete an account with all that belongs to it. Its generations are stopped, its streams end. May be repeated."""
    account = account_key(user_id)
    # Before the commit too: the name is a keyed hash, which no sweep can tell from that of an account that is there.
    await resources.tries.known.forget(account)
    await _note(resources, user_id)
    async with resources.database.begin() as db:
        sandbox = await find_sandbox(db, user_id)
        deleted = await delete_account(db, user_id)
    # First, while readers are there: the sessions are gone, so session_watch.py cuts their streams within seconds.
    resources.streams.feed.tell(user_id, ACCOUNT_DELETED)
    await end_deleted(resources.streams, deleted)
    await resources.tries.known.forget(account)
    if sandbox is not None and resources.data_sources is not None:
        await drop_sandbox(resources.data_sources, sandbox)


async def _note(resources: Resources, user_id: UserId) -> None:
    """Have the sweep look later at what Redis has of the account, whatever becomes of this process."""
    removal = resources.streams.removal
    async with resources.database.connect() as db:
        generations = await find_with_logs(db, user_id, timedelta(seconds=removal.log_seconds))
    try:
        await removal.note(Deleted([user_id], generations))
    except StreamsUnavailable as error:
        log.warning("deletion_not_noted", error=error.code)
