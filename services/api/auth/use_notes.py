"""Notes in the database that credentials were used, which no request waits for."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from services.api.auth.batched_lookup import ANSWER_WITHIN
from shared.database.engine import Connection, Database
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

NOTE_EVERY: Final = timedelta(minutes=5)
"""A use is noted at most so often, so that reading does not mean writing."""


class UseNotes:
    """Notes uses of rows by their ids. One task of the process does so for all rows that are due.

    `write` writes it down for some rows. `failed` is the event of the log when that can't be done.
    """

    def __init__(
        self, database: Database, write: Callable[[Connection, Collection[int]], Awaitable[None]], *, failed: str
    ) -> None:
        self._database = database
        self._write = write
        self._failed = failed
        self._due = set[int]()
        self._writing: asyncio.Task[None] | None = None

    def add(self, row_id: int) -> None:
        """Have the use of a row noted."""
        self._due.add(row_id)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all())

    async def finish(self) -> None:
        """Wait until all uses are noted."""
        if self._writing:
            await self._writing

    async def _write_all(self) -> None:
        """Note what is due, until nothing is. What fails is due again at the row's next use."""
        while self._due:
            row_ids = frozenset(self._due)
            self._due -= row_ids
            try:
                async with asyncio.timeout(ANSWER_WITHIN), self._database.connect() as db:
                    await self._write(db, row_ids)
            except (SQLAlchemyError, TimeoutError) as error:
                log.warning(self._failed, rows=len(row_ids), error=type(error).__name__)
