"""The feed's port: what a publisher and a reader of a user's events may rely on, whatever keeps them.

A feed is a log like a generation's: entries with rising sequences, from 1 without gaps, and subscriptions to what comes. It
is bounded, so its oldest entries go. An entry's offset has, in place of an attempt, the time of the append in milliseconds:
after a loss, other entries may have the sequences of the lost ones, and the times tell them apart.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from shared.ids import UserId
from shared.streams.port import Entry, Offset, Subscription


class FeedAppend(NamedTuple):
    """Encoded events that go to the end of a user's feed. After `is_last`, the feed keeps its last entry, for a minute.

    Nothing is appended after the event that tells of the account's end.
    """

    user_id: UserId
    frames: tuple[bytes, ...]
    is_last: bool = False


class FeedWriter(Protocol):
    """Appends to feeds."""

    async def append(self, appends: Sequence[FeedAppend]) -> None:
        """Append to several feeds in one round trip, each feed atomically. Each entry is published too.

        An append whose answer was lost may have happened. Sent again, it happens twice.

        Raises:
            StreamsUnavailable: nothing is known about any of them.

        """
        ...


class FeedReader(Protocol):
    """Reads feeds."""

    async def begin(self, user_id: UserId) -> Offset:
        """The offset of the feed's last entry. A feed without entries gets its first one, `ready`.

        Raises:
            StreamsUnavailable: the feed can't be read now.

        """
        ...

    async def replay(self, user_id: UserId, after: Offset, *, limit: int = 500) -> list[Entry] | None:
        """The entries past an entry, in order, at most `limit`; empty at the feed's end.

        None where the feed has no entry with this offset (any more), and so can't tell what came after.

        Raises:
            StreamsUnavailable: the feed can't be read now.

        """
        ...

    def follow(self, user_id: UserId) -> AbstractAsyncContextManager[Subscription]:
        """Subscribe. Once entered, every entry appended from then on reaches the subscription or is reported as missed.

        Raises:
            StreamsUnavailable: the subscription was not confirmed in time.

        """
        ...
