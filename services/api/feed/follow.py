"""Following a user's feed: every event past an offset, once and in order; or the word that some may be missing."""

from collections.abc import AsyncGenerator, Sequence
from typing import Final, NamedTuple

from services.api.streaming.follow import Quiet, StreamCut
from shared.errors import CortexAIError
from shared.ids import UserId
from shared.protocol.encoding import encode
from shared.protocol.feed_events import ACCOUNT_DELETED
from shared.streams.feed.port import FeedReader
from shared.streams.port import Entry, Notification, Offset

PAGE: Final = 500
"""How many entries are read at a time."""
_LAST: Final = encode(ACCOUNT_DELETED)
_READ_FEED: Final = Notification(missed=True)


class Began(NamedTuple):
    """The reader begins here. `is_resync`: events may be missing before."""

    offset: Offset
    is_resync: bool


class Told(NamedTuple):
    """The next events, at least one."""

    entries: Sequence[Entry]


async def follow(
    feed: FeedReader, user_id: UserId, after: Offset | None, *, begins_anew: bool
) -> AsyncGenerator[Began | Told | Quiet, None]:
    """What happens to a user's feed past an offset, until the account is deleted. session_watch.py ends it earlier.

    Its user closes it (`contextlib.aclosing`). Without an offset, the reader begins at the feed's end; `begins_anew` says
    that this is no loss.

    Raises:
        StreamCut: Redis does not answer.

    """
    try:
        async with feed.follow(user_id) as subscription:
            reached = after
            notification = _READ_FEED
            while True:
                entries = await _next_entries(feed, user_id, notification, reached) if reached else None
                if entries is None:
                    reached = await feed.begin(user_id)
                    yield Began(reached, is_resync=not begins_anew)
                    begins_anew = False
                elif entries:
                    yield Told(entries)
                    reached = entries[-1].offset
                    if entries[-1].frame == _LAST:
                        return
                elif notification == Notification():
                    yield Quiet()
                # After a full page the feed may have more.
                notification = _READ_FEED if len(entries or ()) == PAGE else await subscription.wait()
    except (CortexAIError, OSError) as error:
        raise StreamCut(type(error).__name__) from error


async def _next_entries(
    feed: FeedReader, user_id: UserId, notification: Notification, reached: Offset
) -> Sequence[Entry] | None:
    """The entries past `reached`: those of the notification if they are the next ones, else those of the feed.

    None where the feed can't tell what came after `reached`.
    """
    if notification == Notification():
        return ()
    entries = notification.entries
    if entries and not notification.missed and _are_next(entries, reached):
        return entries
    return await feed.replay(user_id, reached, limit=PAGE)


def _are_next(entries: Sequence[Entry], reached: Offset) -> bool:
    return all(entry.offset.sequence == sequence for sequence, entry in enumerate(entries, reached.sequence + 1))
