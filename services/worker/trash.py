"""Chats that have been in the trash for long are deleted for good. Any process may do so, and several at once."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Interval, cast, delete, exists, func, literal, select

from shared.database.engine import Database, allow_long_statements
from shared.database.ownership import CHAT_IS_THERE
from shared.database.tables import Chat, Generation
from shared.generations.cancel import cancel
from shared.states import OPEN
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

BATCH: Final = 100
"""How many chats one pass deletes. The next pass deletes more."""


@dataclass(frozen=True, slots=True)
class Trash:
    """Deletes chats that have been in the trash for longer than `keep_for`."""

    database: Database
    keep_for: timedelta

    async def empty(self) -> None:
        """Delete expired chats with all that belongs to them, at most BATCH.

        Nothing is generated in the trash, but a process of the release before knows no trash and may accept a message there.
        So what is open there is cancelled first. The sweep of generations closes the logs.
        """
        async with self.database.connect() as db:
            await cancel(db, ~CHAT_IS_THERE)
        is_open = exists().where(Generation.chat_id == Chat.id, Generation.status.in_(OPEN))
        expired = (
            select(Chat.id)
            .where(Chat.deleted_at < func.now() - cast(literal(self.keep_for), Interval), ~is_open)
            .order_by(Chat.deleted_at)
            .limit(BATCH)
            # Who restores a chat locks it too, and then it is in the trash no more.
            .with_for_update(skip_locked=True)
        )
        async with self.database.begin() as db:
            await allow_long_statements(db)
            deleted = (await db.execute(delete(Chat).where(Chat.id.in_(expired)).returning(Chat.id))).all()
        if deleted:
            log.info("trash_emptied", chats=len(deleted))
