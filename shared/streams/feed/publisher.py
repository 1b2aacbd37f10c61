"""The publisher: takes events from requests and attempts without making them wait, and appends them in the background.

While Redis does not answer, events are kept, up to a bound for each user. Beyond the bound, a user's events are replaced by
one `resync`, which has readers look at everything again. What is lost is only what a process that is killed has not sent.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from shared import background
from shared.errors import StreamsUnavailable
from shared.ids import UserId
from shared.protocol.encoding import encode
from shared.protocol.feed_events import ACCOUNT_DELETED, RESYNC, FeedEvent
from shared.streams.feed.port import FeedAppend, FeedWriter
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import Metrics

log = get_logger(__name__)

MAX_EVENTS: Final = 50
"""Events of one user that wait, besides those that are being appended. With more, a `resync` replaces them all."""
MAX_USERS: Final = 10_000
"""Users whose events wait. With more, events of further users are lost, and counted."""
BATCH_USERS: Final = 200
"""Feeds that are appended to in one round trip."""
RETRY_AFTER: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
DRAIN_WITHIN: Final = 1.0
"""Seconds that the end of a process waits for events that are not sent yet."""


@dataclass(slots=True)
class _Waiting:
    """A user's encoded events that are not sent yet."""

    frames: list[bytes] = field(default_factory=list)
    is_last: bool = False

    def add(self, frame: bytes) -> None:
        if self.is_last:
            return  # the account is gone
        self.frames.append(frame)
        self.is_last = frame == _LAST
        self._bound()

    def take(self, user_id: UserId) -> FeedAppend:
        """What waits, which waits no longer. Compared by content, a `resync` that came later would pass for one of these."""
        taken, self.frames = tuple(self.frames), []
        return FeedAppend(user_id, taken, self.is_last)

    def put_back(self, append: FeedAppend) -> None:
        """Have what was taken wait again, before what has come since."""
        self.frames[:0] = append.frames
        self._bound()

    def _bound(self) -> None:
        if len(self.frames) > MAX_EVENTS:
            self.frames[:] = [_LAST if self.is_last else _RESYNC]


_LAST: Final = encode(ACCOUNT_DELETED)
_RESYNC: Final = encode(RESYNC)


class FeedPublisher:
    """Publishes the events of one process, in the order in which they are told."""

    def __init__(self, writer: FeedWriter, metrics: Metrics) -> None:
        self._writer = writer
        self._metrics = metrics
        self._waiting: dict[UserId, _Waiting] = {}
        self._told = asyncio.Event()
        self._flushes: list[asyncio.Future[None]] = []

    def tell(self, user_id: UserId, *events: FeedEvent) -> None:
        """Have a user's readers told, in the background. Belongs after the commit. Never raises, never waits."""
        if user_id not in self._waiting and len(self._waiting) >= MAX_USERS:
            self._metrics.feed_events_lost(len(events))
            return
        waiting = self._waiting.setdefault(user_id, _Waiting())
        for event in events:
            waiting.add(encode(event))
        self._told.set()

    async def flush(self, within: float) -> bool:
        """Wait until everything that was told is in the feeds, for so many seconds at most. Returns whether it is."""
        if not self._waiting and not self._flushes:
            return True
        flushed = asyncio.get_running_loop().create_future()
        self._flushes.append(flushed)
        self._told.set()
        try:
            async with asyncio.timeout(within):
                await flushed
        except TimeoutError:
            return False
        finally:
            if flushed in self._flushes:
                self._flushes.remove(flushed)
        return True

    async def run(self) -> None:
        """Append what is told, for ever."""
        failures = 0
        while True:
            await self._told.wait()
            self._told.clear()
            flushes = tuple(self._flushes)
            batch = list(self._waiting.items())
            try:
                await self._append(batch)
            except StreamsUnavailable as error:
                if not failures:
                    log.warning("feed_not_told", error=error.code, users=len(self._waiting))
                await asyncio.sleep(RETRY_AFTER[min(failures, len(RETRY_AFTER) - 1)])
                failures += 1
                self._told.set()
            else:
                failures = 0
                for flushed in flushes:
                    if not flushed.done():
                        flushed.set_result(None)
                if self._waiting:
                    self._told.set()

    async def _append(self, batch: list[tuple[UserId, _Waiting]]) -> None:
        """Append a batch. What is told meanwhile stays waiting.

        Raises:
            StreamsUnavailable: what was not appended waits on.

        """
        for first in range(0, len(batch), BATCH_USERS):
            portion = batch[first : first + BATCH_USERS]
            appends = [each.take(user_id) for user_id, each in portion]
            try:
                await self._writer.append(appends)
            except StreamsUnavailable:
                for append, (_, each) in zip(appends, portion, strict=True):
                    each.put_back(append)
                raise
            for user_id, each in portion:
                if not each.frames:
                    del self._waiting[user_id]


@asynccontextmanager
async def open_feed_publisher(writer: FeedWriter, metrics: Metrics) -> AsyncIterator[FeedPublisher]:
    """A publisher that runs. At the end, what it has not sent yet has one more second."""
    publisher = FeedPublisher(writer, metrics)
    running = asyncio.create_task(publisher.run())
    try:
        yield publisher
    finally:
        await publisher.flush(DRAIN_WITHIN)
        await background.end(running)
