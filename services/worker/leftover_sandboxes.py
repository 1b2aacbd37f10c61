"""Sandboxes whose data source is gone are dropped: with its account, or while their server was away."""

import random
import time
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import select

from shared.data_sources.sandbox.sandbox import drop, find_sandboxes
from shared.database.engine import Database
from shared.database.identity import identify
from shared.database.tables import DataSource
from shared.errors import DataSourceUnreachable
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

EVERY_SECONDS: Final = 300.0
BATCH: Final = 20
"""How many one pass drops. The next pass drops more."""


@dataclass(slots=True)
class LeftoverSandboxes:
    """Drops what is on the sandboxes' server without a row. `url` is SANDBOX_DATABASE_URL, None where there is none.

    A row comes before its sandbox and goes before it, so what has no row at this moment never gets one.
    """

    database: Database
    url: str | None
    every: float = EVERY_SECONDS
    _next: float = field(default=0, init=False)

    async def drop(self) -> None:
        """Drop leftovers, at most BATCH, where the last pass was long enough ago."""
        if self.url is None or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self.every
        deployment = await identify(self.database)
        try:
            there = await find_sandboxes(self.url, deployment)
            async with self.database.connect() as db:  # after the look at the server, which may have got new ones since
                kept = set((await db.execute(select(DataSource.id).where(DataSource.kind == "sandbox"))).scalars())
        except DataSourceUnreachable:
            log.warning("sandboxes_unreachable")
            return
        left = [name for source_id, name in there.items() if source_id not in kept]
        # By chance, so that some that can't be dropped do not keep the others from their turn.
        for name in random.sample(left, min(len(left), BATCH)):
            await self._drop(self.url, name)

    async def _drop(self, url: str, name: str) -> None:
        try:
            await drop(url, name)
        except DataSourceUnreachable:
            log.warning("leftover_sandbox_not_dropped")
        else:
            log.info("leftover_sandbox_dropped")
