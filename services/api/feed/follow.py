"""Following a user's feed: every event past an offset, once and in order; or the word that some may be missing."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from services.api.streaming.follow import Quiet, StreamCut
from shared.errors import CortexAIError, DatabaseUnavailable
from shared.ids import UserId
from shared.protocol.encoding import encode
from shared.protocol.feed_events import ACCOUNT_DELETED
from shared.streams.feed.port import FeedReader
from shared.streams.port import Entry, Notification, Offset
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

PAGE: Final = 500
"""How many entries are read at a time."""
LOOK_EVERY: Final = 15.0
"""Seconds after which a reader is looked at again, though the feed has not been quiet."""
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
    feed: FeedReader,
    user_id: UserId,
    after: Offset | None,
    *,
    begins_anew: bool,
    may_read: Callable[[], Awaitable[bool]],
    look_every: float = LOOK_EVERY,
) -> AsyncGenerator[Began | Told | Quiet, None]:
    """What happens to a user's feed past an offset, until the account or the reader's session is gone.

    Its user closes it (`contextlib.aclosing`). Without an offset, the reader begins at the feed's end; `begins_anew` says
    that this is no loss. `may_read` looks whether the reader's account and session are there: no event tells of the end of a
    session, and at the end of an account, Redis may have been away. It is asked in each pause, and with events after
    `look_every` seconds.

    Raises:
        StreamCut: Redis does not answer.

    """
    try:
        async with feed.follow(user_id) as subscription:
            reached = after
            notification = _READ_FEED
            looked_at = time.monotonic()
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
                if notification == Notification() or time.monotonic() - looked_at >= look_every:
                    looked_at = time.monotonic()
                    if not await _is_there(may_read):
                        return
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


async def _is_there(may_read: Callable[[], Awaitable[bool]]) -> bool:
    """Whether the reader's account and session are there, as far as the database says."""
    try:
        return await may_read()
    except (SQLAlchemyError, DatabaseUnavailable) as error:
        log.warning("reader_not_looked_up", error=type(error).__name__)
        return True
