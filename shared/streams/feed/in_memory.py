"""Feeds in one process's memory: the same promises as Redis's, for tests."""

import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from shared.ids import UserId
from shared.protocol.encoding import encode
from shared.protocol.feed_events import ACCOUNT_DELETED, READY
from shared.streams.feed.port import FeedAppend
from shared.streams.port import BEGINNING, Entry, Offset, Subscription
from shared.streams.subscriptions import Subscriptions, followed

_LAST: Final = encode(ACCOUNT_DELETED)


class InMemoryFeeds:
    """FeedWriter and FeedReader at once. A feed keeps its newest `kept` entries.

    After `keep_alive` quiet seconds a subscription gets an empty notification.
    """

    def __init__(self, *, kept: int = 1000, keep_alive: float = 15.0) -> None:
        self._kept = kept
        self._keep_alive = keep_alive
        self._time = 0
        self._feeds: dict[UserId, list[Entry]] = {}
        self._subscriptions = Subscriptions[UserId]()

    async def append(self, appends: Sequence[FeedAppend]) -> None:
        """Append to several feeds (FeedWriter)."""
        for user_id, frames, is_last in appends:
            for frame in frames:
                self._append(user_id, frame)
            if is_last:
                del self._feeds[user_id][:-1]

    def _append(self, user_id: UserId, frame: bytes) -> None:
        feed = self._feeds.setdefault(user_id, [])
        if feed and feed[-1].frame == _LAST:
            return
        last = feed[-1].offset if feed else BEGINNING
        # Each entry has a time of its own: here, a feed can be lost and begun again within a millisecond.
        self._time = max(self._time + 1, time.time_ns() // 1_000_000)
        entry = Entry(Offset(self._time, last.sequence + 1), frame)
        feed.append(entry)
        del feed[: -self._kept]
        for subscription in self._subscriptions.of(user_id):
            subscription.notify(entry)

    async def begin(self, user_id: UserId) -> Offset:
        """The feed's last offset (FeedReader)."""
        if user_id not in self._feeds:
            self._append(user_id, encode(READY))
        return self._feeds[user_id][-1].offset

    async def replay(self, user_id: UserId, after: Offset, *, limit: int = 500) -> list[Entry] | None:
        """The entries past an entry (FeedReader)."""
        feed = self._feeds.get(user_id, [])
        for number, entry in enumerate(feed, start=1):
            if entry.offset == after:
                return feed[number : number + limit]
        return None

    def follow(self, user_id: UserId) -> AbstractAsyncContextManager[Subscription]:
        """Subscribe (FeedReader)."""
        return followed(self._subscriptions, user_id, self._keep_alive)

    def first(self, user_id: UserId) -> Entry | None:
        """The oldest entry that is kept; None where there is none."""
        return next(iter(self._feeds.get(user_id, ())), None)

    def lose(self, user_id: UserId) -> None:
        """Forget a feed, as a server does that loses its memory or expires it."""
        self._feeds.pop(user_id, None)
