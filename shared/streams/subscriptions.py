"""Doorbells: how live frames reach the readers of one process. Bounded; a reader that falls behind is told so."""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Final

from shared.ids import GenerationId
from shared.streams.port import Entry, Ring

MAX_WAITING: Final = 512
"""Frames kept for a reader that does not take them; past that it reads the log instead."""
MAX_ASIDES: Final = 8


class QueueDoorbell:
    """A reader's bounded queue of live frames."""

    __slots__ = ("_asides", "_entries", "_missed", "_quiet", "_rung")

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._asides: deque[bytes] = deque(maxlen=MAX_ASIDES)
        self._missed = False
        self._quiet = False
        self._rung = asyncio.Event()

    def ring(self, entry: Entry) -> None:
        """Pass on a live frame."""
        if len(self._entries) >= MAX_WAITING:
            self.miss()
            return
        self._entries.append(entry)
        self._rung.set()

    def aside(self, frame: bytes) -> None:
        """Pass on what is in no log."""
        self._asides.append(frame)
        self._rung.set()

    def miss(self) -> None:
        """Tell the reader to read the log."""
        self._entries.clear()
        self._missed = True
        self._rung.set()

    def tick(self) -> None:
        """Tell the reader that nothing has come for a while."""
        self._quiet = True
        self._rung.set()

    async def wait(self) -> Ring:
        """Sleep until there is something to tell (Doorbell)."""
        await self._rung.wait()
        self._rung.clear()
        ring = Ring(tuple(self._entries), self._missed, tuple(self._asides))
        self._entries.clear()
        self._asides.clear()
        self._missed = self._quiet = False
        return ring

    async def rings(self, within: float) -> bool:
        """Whether there is something to tell (Doorbell)."""
        try:
            async with asyncio.timeout(within):
                await self._rung.wait()
        except TimeoutError:
            return False
        return True


class Doorbells:
    """All doorbells of a process, by generation."""

    def __init__(self) -> None:
        self._by_generation: dict[GenerationId, set[QueueDoorbell]] = {}

    def __contains__(self, generation_id: GenerationId) -> bool:
        return generation_id in self._by_generation

    def __len__(self) -> int:
        return sum(len(doorbells) for doorbells in self._by_generation.values())

    def generations(self) -> Iterable[GenerationId]:
        """The generations that have a reader."""
        return tuple(self._by_generation)

    def of(self, generation_id: GenerationId) -> Iterable[QueueDoorbell]:
        """The doorbells of one generation."""
        return self._by_generation.get(generation_id, ())

    def hang(self, generation_id: GenerationId) -> QueueDoorbell:
        """A new doorbell."""
        doorbell = QueueDoorbell()
        self._by_generation.setdefault(generation_id, set()).add(doorbell)
        return doorbell

    def remove(self, generation_id: GenerationId, doorbell: QueueDoorbell) -> bool:
        """Take a doorbell away. Returns whether it was its generation's last."""
        doorbells = self._by_generation.get(generation_id, set())
        doorbells.discard(doorbell)
        if doorbells:
            return False
        self._by_generation.pop(generation_id, None)
        return True

    def tick(self) -> None:
        """Tell every reader that it may be time for a sign of life."""
        for doorbells in self._by_generation.values():
            for doorbell in doorbells:
                doorbell.tick()
