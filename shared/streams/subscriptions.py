"""Subscriptions: how live frames reach the readers of one process. Bounded: a reader that falls behind is notified of that."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable, Iterable
from contextlib import asynccontextmanager
from typing import Final, Generic, TypeVar

from shared import background
from shared.streams.port import Entry, Notification

Log = TypeVar("Log", bound=Hashable)
"""What names a log."""

MAX_WAITING: Final = 512
"""Frames kept for a reader that does not take them. With more, the reader reads the log instead."""
MAX_TRANSIENT_FRAMES: Final = 8


class QueueSubscription:
    """A reader's bounded queue of live frames."""

    __slots__ = ("_entries", "_missed", "_notified", "_transient_frames")

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._transient_frames: deque[bytes] = deque(maxlen=MAX_TRANSIENT_FRAMES)
        self._missed = False
        self._notified = asyncio.Event()

    def notify(self, entry: Entry) -> None:
        """Add a live frame."""
        if len(self._entries) >= MAX_WAITING:
            self.miss()
            return
        self._entries.append(entry)
        self._notified.set()

    def notify_transient(self, frame: bytes) -> None:
        """Add a frame that is in no log."""
        self._transient_frames.append(frame)
        self._notified.set()

    def miss(self) -> None:
        """Notify the reader that it may have missed frames."""
        self._entries.clear()
        self._missed = True
        self._notified.set()

    def tick(self) -> None:
        """Notify the reader of nothing, since nothing has come for a while."""
        self._notified.set()

    async def wait(self) -> Notification:
        """Wait for a notification (Subscription)."""
        await self._notified.wait()
        self._notified.clear()
        notification = Notification(tuple(self._entries), self._missed, tuple(self._transient_frames))
        self._entries.clear()
        self._transient_frames.clear()
        self._missed = False
        return notification

    async def is_notified(self, within: float) -> bool:
        """Whether a notification comes in time (Subscription)."""
        try:
            async with asyncio.timeout(within):
                await self._notified.wait()
        except TimeoutError:
            return False
        return True


class Subscriptions(Generic[Log]):
    """All subscriptions of a process, by log."""

    def __init__(self) -> None:
        self._by_log: dict[Log, set[QueueSubscription]] = {}

    def __contains__(self, log: Log) -> bool:
        return log in self._by_log

    def __len__(self) -> int:
        return sum(map(len, list(self._by_log.values())))  # a copy, since metrics ask on another thread

    def logs(self) -> Iterable[Log]:
        """The logs that have a reader."""
        return tuple(self._by_log)

    def of(self, log: Log) -> Iterable[QueueSubscription]:
        """The subscriptions of one log."""
        return self._by_log.get(log, ())

    def add(self, log: Log) -> QueueSubscription:
        """A new subscription."""
        subscription = QueueSubscription()
        self._by_log.setdefault(log, set()).add(subscription)
        return subscription

    def remove(self, log: Log, subscription: QueueSubscription) -> bool:
        """Remove a subscription. Returns whether it was its log's last."""
        subscriptions = self._by_log.get(log, set())
        subscriptions.discard(subscription)
        if subscriptions:
            return False
        self._by_log.pop(log, None)
        return True

    def tick(self) -> None:
        """Notify every reader of nothing: it may be time for a keep-alive."""
        for subscriptions in self._by_log.values():
            for subscription in subscriptions:
                subscription.tick()


@asynccontextmanager
async def followed(subscriptions: Subscriptions[Log], log: Log, keep_alive: float) -> AsyncIterator[QueueSubscription]:
    """A subscription of one log while it is needed, with an empty notification every `keep_alive` seconds."""
    subscription = subscriptions.add(log)

    async def tick() -> None:
        while True:
            await asyncio.sleep(keep_alive)
            subscription.tick()

    ticking = asyncio.create_task(tick())
    try:
        yield subscription
    finally:
        subscriptions.remove(log, subscription)
        await background.end(ticking)
