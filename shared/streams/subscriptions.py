"""Subscriptions: how live frames reach the readers of one process. Bounded; a reader that falls behind is told so."""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Final

from shared.ids import GenerationId
from shared.streams.port import Entry, Notification

MAX_WAITING: Final = 512
"""Frames kept for a reader that does not take them; past that it reads the log instead."""
MAX_TRANSIENT_FRAMES: Final = 8


class QueueSubscription:
    """A reader's bounded queue of live frames."""

    __slots__ = ("_entries", "_missed", "_quiet", "_rung", "_transient_frames")

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._transient_frames: deque[bytes] = deque(maxlen=MAX_TRANSIENT_FRAMES)
        self._missed = False
        self._quiet = False
        self._rung = asyncio.Event()

    def notify(self, entry: Entry) -> None:
        """Pass on a live frame."""
        if len(self._entries) >= MAX_WAITING:
            self.miss()
            return
        self._entries.append(entry)
        self._rung.set()

    def notify_transient(self, frame: bytes) -> None:
        """Pass on what is in no log."""
        self._transient_frames.append(frame)
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

    async def wait(self) -> Notification:
        """Sleep until there is something to tell (Subscription)."""
        await self._rung.wait()
        self._rung.clear()
        notification = Notification(tuple(self._entries), self._missed, tuple(self._transient_frames))
        self._entries.clear()
        self._transient_frames.clear()
        self._missed = self._quiet = False
        return notification

    async def is_notified(self, within: float) -> bool:
        """Whether there is something to tell (Subscription)."""
        try:
            async with asyncio.timeout(within):
                await self._rung.wait()
        except TimeoutError:
            return False
        return True


class Subscriptions:
    """All subscriptions of a process, by generation."""

    def __init__(self) -> None:
        self._by_generation: dict[GenerationId, set[QueueSubscription]] = {}

    def __contains__(self, generation_id: GenerationId) -> bool:
        return generation_id in self._by_generation

    def __len__(self) -> int:
        return sum(len(subscriptions) for subscriptions in self._by_generation.values())

    def generations(self) -> Iterable[GenerationId]:
        """The generations that have a reader."""
        return tuple(self._by_generation)

    def of(self, generation_id: GenerationId) -> Iterable[QueueSubscription]:
        """The subscriptions of one generation."""
        return self._by_generation.get(generation_id, ())

    def add(self, generation_id: GenerationId) -> QueueSubscription:
        """A new subscription."""
        subscription = QueueSubscription()
        self._by_generation.setdefault(generation_id, set()).add(subscription)
        return subscription

    def remove(self, generation_id: GenerationId, subscription: QueueSubscription) -> bool:
        """Remove a subscription. Returns whether it was its generation's last."""
        subscriptions = self._by_generation.get(generation_id, set())
        subscriptions.discard(subscription)
        if subscriptions:
            return False
        self._by_generation.pop(generation_id, None)
        return True

    def tick(self) -> None:
        """Tell every reader that it may be time for a sign of life."""
        for subscriptions in self._by_generation.values():
            for subscription in subscriptions:
                subscription.tick()
