"""Queue positions: how far a generation is from a worker. One query a second finds them for all readers."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from shared.ids import GenerationId

FRESH_SECONDS: Final = 1.0
"""Seconds for which an answer of the database is used."""


class QueuePositions:
    """The positions of all generations that no worker has taken.

    A queued generation has its position from 1. A generation that waits for its chat's live one has 0. `ask` gets all
    positions from the database.
    """

    def __init__(self, ask: Callable[[], Awaitable[Mapping[GenerationId, int]]]) -> None:
        self._ask = ask
        self._positions: Mapping[GenerationId, int] = {}
        self._fresh_until = 0.0
        self._asking = asyncio.Lock()

    async def position(self, generation_id: GenerationId) -> int | None:
        """A generation's position; None when it is not queued any more, or when the database does not answer."""
        async with self._asking:
            clock = asyncio.get_running_loop().time
            if clock() >= self._fresh_until:
                try:
                    self._positions = await self._ask()
                except (SQLAlchemyError, OSError):
                    self._positions = {}
                self._fresh_until = clock() + FRESH_SECONDS
        return self._positions.get(generation_id)
