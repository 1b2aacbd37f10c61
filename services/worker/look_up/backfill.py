"""The backfill: messages that an earlier release summarized go into the history index, a few at a time, until none is left."""

import asyncio
from dataclasses import dataclass
from typing import Final

from services.worker.look_up.port import HistoryIndex, IndexedMessage
from shared.database.engine import Database
from shared.memory import summaries

BATCH_MESSAGES: Final = 100
PASS_SECONDS: Final = 1.0
"""How long one pass goes on. The process has other work."""


@dataclass(frozen=True, slots=True)
class Backfill:
    """Fills the history index. A batch is saved together with how far it went, so a death costs one batch at most.

    Two at once do the same work twice, which changes nothing.
    """

    database: Database
    index: HistoryIndex

    async def run(self) -> None:
        """Index batches for a short while. Without anything to do, this is one look at an empty index of PostgreSQL."""
        loop = asyncio.get_running_loop()
        until = loop.time() + PASS_SECONDS
        while await self.index_batch() and loop.time() < until:
            pass

    async def index_batch(self) -> bool:
        """Index the next messages of one chat. Returns whether there were any."""
        async with self.database.connect() as db:
            found = await summaries.find_not_indexed(db)
            if found is None:
                return False
            statement = summaries.messages_between(found.chat_id, found.indexed, found.watermark, BATCH_MESSAGES)
            messages = [IndexedMessage._make(row) for row in await db.execute(statement)]
        upto = messages[-1].position if messages else found.watermark
        async with self.database.begin() as db:
            # Locked first, as by who saves a summary: else each might wait for the other.
            if await summaries.lock_not_indexed(db, found):
                await self.index.add(db, found.chat_id, messages)
                await summaries.set_indexed(db, found.chat_id, upto)
        return True
