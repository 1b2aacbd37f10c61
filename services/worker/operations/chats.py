"""Commits operations on the user's chats: they are in our own database, so one transaction does it all."""

from typing import Final

from shared.chats.operations import commit_deletion, commit_restoration, result_of
from shared.chats.trash import tell_moved, tell_restored
from shared.database.engine import Connection, Database
from shared.errors import EffectChanged, OperationSuperseded, TokenInvalid
from shared.jobs.sender import JobSender
from shared.operations.commits import ClaimedCommit, Ending, finish_commit
from shared.operations.moves import Moved
from shared.operations.telling import tell
from shared.streams.feed.publisher import FeedPublisher
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

DELETE: Final = "delete_chats"


async def commit_chats(database: Database, jobs: JobSender, feed: FeedPublisher, claimed: ClaimedCommit) -> None:
    """Move the chats to the trash, or out of it, and end the operation. Both or neither.

    Raises:
        SQLAlchemyError: the database does not answer.

    """
    change = _delete if claimed.operation.kind == DELETE else _restore
    try:
        try:
            moved = await change(database, feed, claimed)
        except EffectChanged as error:
            async with database.begin() as db:
                moved = await _end(db, claimed, Ending("stale", error=error))
    except (OperationSuperseded, TokenInvalid):
        log.warning("commit_superseded", attempt=claimed.attempt)
    else:
        tell(jobs, feed, moved)


async def _delete(database: Database, feed: FeedPublisher, claimed: ClaimedCommit) -> Moved:
    operation = claimed.operation
    async with database.begin() as db:
        gone = await commit_deletion(db, operation.user_id, operation.preview, operation.generation_id)
        moved = await _end(db, claimed, Ending("committed", result_of(gone.chat_ids)))
    # What these chats were generating is stopped by heartbeat and sweep, which close the logs too.
    tell_moved(feed, operation.user_id, gone.chat_ids)
    return moved


async def _restore(database: Database, feed: FeedPublisher, claimed: ClaimedCommit) -> Moved:
    operation = claimed.operation
    async with database.begin() as db:
        restored = await commit_restoration(db, operation.user_id, operation.preview)
        moved = await _end(db, claimed, Ending("committed", result_of([chat.id for chat in restored])))
    tell_restored(feed, operation.user_id, restored)
    return moved


async def _end(db: Connection, claimed: ClaimedCommit, ending: Ending) -> Moved:
    """End the operation in the transaction that does it.

    Raises:
        OperationSuperseded: another attempt has the operation, so nothing may be done.

    """
    moved = await finish_commit(db, claimed, ending)
    if moved is None:
        raise OperationSuperseded
    return moved
