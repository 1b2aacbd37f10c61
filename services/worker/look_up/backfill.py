"""The backfill: messages that an earlier release summarized go into the history index, a few at a time, until none is left."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from services.worker.look_up.port import HistoryIndex, IndexedMessage
from shared.database.engine import Database, is_transient
from shared.ids import ChatId
from shared.memory import summaries
from shared.memory.summaries import NotIndexed
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

BATCH_MESSAGES: Final = 100
NO_CHAT: Final = ChatId(0)
OF_THE_CHAT: Final = (SQLAlchemyError, ArithmeticError, LookupError, TypeError, ValueError)
"""Errors that the texts of one chat may cause, in the making of terms or in the database."""
MAX_FAILED: Final = 1_000
PASS_SECONDS: Final = 1.0
"""How long one pass goes on. The process has other work."""


@dataclass(slots=True)
class Backfill:
    """Fills the history index. A batch is saved together with how far it went, so a death costs one batch at most.

    Two at once do the same work twice, which changes nothing. A chat that fails keeps no other from being indexed:
    `skipped` is the last chat that failed, and chats with greater ids are next. After the last one all have their turn again.
    `failed` are the chats whose failure was logged: once in a process, however often they have their turn, and the
    first MAX_FAILED of them only.
    """

    database: Database
    index: HistoryIndex
    skipped: ChatId = NO_CHAT
    failed: set[ChatId] = field(default_factory=set)

    async def run(self) -> None:
        """Index batches for a short while. Without anything to do, this is one look at an empty index of PostgreSQL.

        Raises:
            SQLAlchemyError: the database does not answer.

        """
        loop = asyncio.get_running_loop()
        until = loop.time() + PASS_SECONDS
        while await self.index_batch() and loop.time() < until:
            pass

    async def index_batch(self) -> bool:
        """Index the next messages of one chat. Returns whether there were any.

        Raises:
            SQLAlchemyError: the database does not answer.

        """
        async with self.database.connect() as db:
            found = await summaries.find_not_indexed(db, self.skipped)
        if found is None:
            self.skipped = NO_CHAT
            return False
        try:
            await self._index(found)
        except OF_THE_CHAT as error:
            if is_transient(error):
                raise
            if found.chat_id not in self.failed and len(self.failed) < MAX_FAILED:
                self.failed.add(found.chat_id)
                log.exception("chat_not_indexed", chat_id=found.chat_id)
            self.skipped = found.chat_id
        return True

    async def _index(self, found: NotIndexed) -> None:
        async with self.database.connect() as db:
            statement = summaries.messages_between(found.chat_id, found.indexed, found.watermark, BATCH_MESSAGES)
            messages = [IndexedMessage._make(row) for row in await db.execute(statement)]
        entries = await self.index.prepare(found.chat_id, messages)
        upto = messages[-1].position if messages else found.watermark
        async with self.database.begin() as db:
            # Locked first, as by who saves a summary: else each might wait for the other.
            if await summaries.lock_not_indexed(db, found):
                await self.index.add(db, entries)
                await summaries.set_indexed(db, found.chat_id, upto)
