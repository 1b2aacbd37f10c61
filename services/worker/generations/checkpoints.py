"""Checkpoints: the unfinished replies of the process are saved to PostgreSQL about once a second, in one statement.

A checkpoint is what is left when Redis loses its data and the worker dies. The stream does not wait for checkpoints.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from shared.database.engine import Database
from shared.generations.progress import checkpoint
from shared.ids import GenerationId
from shared.telemetry.logs import get_logger

log = get_logger(__name__)


@dataclass(eq=False)
class _Draft:
    """A reply that is being written; `saved` is the length in characters that is in PostgreSQL."""

    generation_id: GenerationId
    attempt: int
    length: Callable[[], int]
    text: Callable[[], str]
    saved: int


class Checkpoints:
    """All drafts of the process. `interval` is in seconds. Run `save_for_ever` as a task."""

    def __init__(self, database: Database, *, interval: float) -> None:
        self._database = database
        self._interval = interval
        self._drafts: set[_Draft] = set()

    @contextmanager
    def keep(
        self, generation_id: GenerationId, attempt: int, length: Callable[[], int], text: Callable[[], str]
    ) -> Iterator[None]:
        """Save a reply at every interval until the context is left.

        `length` gives the characters that are written; `text`, the text itself, is only asked for when the length has
        changed.
        """
        draft = _Draft(generation_id, attempt, length, text, saved=length())
        self._drafts.add(draft)
        try:
            yield
        finally:
            self._drafts.discard(draft)

    async def save_for_ever(self) -> None:
        """Save at every interval, for ever."""
        while True:
            await asyncio.sleep(self._interval)
            await self.save()

    async def save(self) -> None:
        """Save the replies that have changed since they were saved last."""
        changed = [(draft, draft.length()) for draft in self._drafts if draft.length() != draft.saved]
        if not changed:
            return
        replies = [(draft.generation_id, draft.attempt, draft.text()) for draft, _ in changed]
        try:
            async with self._database.connect() as db:
                await db.execute(checkpoint(replies))
        except (SQLAlchemyError, OSError) as error:
            log.warning("checkpoint_failed", error=type(error).__name__, replies=len(replies))
            return
        for draft, length in changed:
            draft.saved = length
