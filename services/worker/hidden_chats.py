"""Hidden chats are deleted when the logs of their answers are gone. Any process may do so, and several at once."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Interval, cast, delete, exists, func, literal, or_, select

from shared.database.engine import Database, allow_long_statements
from shared.database.tables import Chat, Generation
from shared.states import OPEN
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

BATCH: Final = 500
"""How many chats one pass deletes. The next pass deletes more."""


@dataclass(frozen=True, slots=True)
class HiddenChats:
    """Deletes hidden chats whose last answer ended longer ago than `keep_for`."""

    database: Database
    keep_for: timedelta

    async def delete_expired(self) -> None:
        """Delete expired chats with all that belongs to them, at most BATCH. What their model calls took stays counted."""
        since = func.now() - cast(literal(self.keep_for), Interval)
        is_kept = or_(Generation.status.in_(OPEN), Generation.finished_at > since)
        expired = (
            select(Chat.id)
            .where(Chat.is_hidden, Chat.last_message_at < since)
            .where(~exists().where(Generation.chat_id == Chat.id, is_kept))
            .order_by(Chat.last_message_at)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        )
        async with self.database.begin() as db:
            await allow_long_statements(db)
            deleted = (await db.execute(delete(Chat).where(Chat.id.in_(expired)).returning(Chat.id))).all()
        if deleted:
            log.info("hidden_chats_deleted", chats=len(deleted))
