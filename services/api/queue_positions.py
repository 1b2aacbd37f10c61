"""The line: how many generations are to be taken before one. Asked of the database once a second at most, for all readers."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from shared.ids import GenerationId

FRESH_SECONDS: Final = 1.0


class QueuePositions:
    """Positions from 1 of the generations that no worker has taken, and 0 for those that wait for their chat's live one.

    `ask` gets them from the database.
    """

    def __init__(self, ask: Callable[[], Awaitable[Mapping[GenerationId, int]]]) -> None:
        self._ask = ask
        self._positions: Mapping[GenerationId, int] = {}
        self._fresh_until = 0.0
        self._asking = asyncio.Lock()

    async def position(self, generation_id: GenerationId) -> int | None:
        """Where a generation stands; None when it stands there no more, or that can't be known now."""
        async with self._asking:
            clock = asyncio.get_running_loop().time
            if clock() >= self._fresh_until:
                try:
                    self._positions = await self._ask()
                except (SQLAlchemyError, OSError):
                    self._positions = {}
                self._fresh_until = clock() + FRESH_SECONDS
        return self._positions.get(generation_id)
