"""Logs and feeds whose generation or user is gone are made to expire.

A deletion removes them itself. These are left over where its process was killed, or Redis did not answer, or a worker wrote on
that did not know of the deletion.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import ARRAY, BigInteger, Uuid, any_, literal, select

from shared.database.engine import Database
from shared.database.identity import identify
from shared.database.tables import Generation, User
from shared.errors import StreamsUnavailable
from shared.ids import GenerationId, UserId
from shared.streams.removal import Removal
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

EVERY_SECONDS: Final = 300.0


@dataclass(slots=True)
class LeftoverLogs:
    """Has logs and feeds without a row expire. A row comes before its log, so what has no row at this moment never gets one.

    The rows are those of one database. Where another deployment uses the same names in Redis, nothing is done.
    """

    database: Database
    removal: Removal
    every: float = EVERY_SECONDS
    _next: float = field(default=0, init=False)

    async def remove(self) -> None:
        """Look at all logs and feeds, where the last pass was long enough ago.

        Raises:
            SQLAlchemyError: the database does not answer.

        """
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self.every
        try:
            if await self.removal.is_shared(await identify(self.database)):
                return
            async for found in self.removal.find():
                generations = await self._gone_generations(found.generations)
                users = await self._gone_users(found.users)
                await self.removal.expire_logs(generations)
                await self.removal.expire_feeds(users)
                if generations or users:
                    log.info("leftover_logs_expire", logs=len(generations), feeds=len(users))
        except StreamsUnavailable as error:
            log.warning("leftover_logs_not_looked_for", error=type(error.__cause__ or error).__name__)

    async def _gone_generations(self, ids: Collection[GenerationId]) -> set[GenerationId]:
        """Those that have no row."""
        if not ids:
            return set()
        statement = select(Generation.id).where(Generation.id == any_(literal(list(ids), ARRAY(Uuid))))
        async with self.database.connect() as db:
            kept = {GenerationId(each) for each in (await db.execute(statement)).scalars()}
        return set(ids) - kept

    async def _gone_users(self, ids: Collection[UserId]) -> set[UserId]:
        """Those that have no row."""
        if not ids:
            return set()
        statement = select(User.id).where(User.id == any_(literal(list(ids), ARRAY(BigInteger))))
        async with self.database.connect() as db:
            kept = {UserId(each) for each in (await db.execute(statement)).scalars()}
        return set(ids) - kept
