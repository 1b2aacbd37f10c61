"""Temporary chats are deleted a while after their last message. Any process may do so, and several at once."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Interval, cast, delete, exists, func, literal, select

from shared.database.engine import Database, allow_long_statements
from shared.database.tables import Chat, Generation
from shared.ids import ChatId, UserId
from shared.protocol.feed_events import chat_deleted
from shared.states import OPEN
from shared.streams.feed.publisher import FeedPublisher
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

BATCH: Final = 100
"""How many chats one pass deletes. The next pass deletes more."""


@dataclass(frozen=True, slots=True)
class TemporaryChats:
    """Deletes temporary chats whose last message is older than `keep_for`."""

    database: Database
    feed: FeedPublisher
    keep_for: timedelta

    async def delete_expired(self) -> None:
        """Delete expired chats with all that belongs to them, at most BATCH.

        A chat that is still being answered is left for a later pass. So no worker has to be stopped and no log is open;
        readers of finished answers are told that there is no such generation, as after any deletion.
        """
        is_open = exists().where(Generation.chat_id == Chat.id, Generation.status.in_(OPEN))
        expired = (
            select(Chat.id)
            .where(
                Chat.is_temporary,
                ~Chat.is_hidden,
                Chat.last_message_at < func.now() - cast(literal(self.keep_for), Interval),
                ~is_open,
            )
            .order_by(Chat.last_message_at)
            .limit(BATCH)
            # Who accepts a message locks the chat too, and then its last message is a new one.
            .with_for_update(skip_locked=True)
        )
        async with self.database.begin() as db:
            await allow_long_statements(db)
            gone = delete(Chat).where(Chat.id.in_(expired)).returning(Chat.id, Chat.user_id)
            deleted = (await db.execute(gone)).all()
        for chat_id, user_id in deleted:
            self.feed.tell(UserId(user_id), chat_deleted(ChatId(chat_id)))
        if deleted:
            log.info("temporary_chats_deleted", chats=len(deleted))
