"""Ends streams whose sessions or API keys have ended, or whose credentials have expired, in this process.

A request is judged when it comes, and a stream may last for hours after that. Nothing tells of the end of a session or a
key: a row may be deleted by whoever has the database. So the rows are asked for, of all that have open streams together.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from collections.abc import Set as AbstractSet
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from services.api.stream_slots import StreamSlot, StreamSlots
from shared import background
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

LOOK_EVERY: Final = 1.5
"""Seconds between two looks."""
ANSWER_WITHIN: Final = 1.0
"""Seconds after which a look is given up. Two looks take the 5 s that are promised, so one of them may fail."""

FindLive = Callable[[Collection[int]], Awaitable[AbstractSet[int]]]
"""Those of some sessions, or of some API keys, that have not ended."""


class SessionWatch:
    """Looks at the open streams every `every` seconds, as long as `run` runs.

    A cut stream has no terminal frame, so its client resumes, with whatever credential it then has. While the database can't be
    asked, streams go on: they show nothing that a reader who comes now would not be shown when the database is back.
    """

    def __init__(
        self,
        slots: StreamSlots,
        find_live_sessions: FindLive,
        find_live_keys: FindLive,
        *,
        every: float = LOOK_EVERY,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._slots = slots
        self._find_live_sessions = find_live_sessions
        self._find_live_keys = find_live_keys
        self._every = every
        self._clock = clock

    async def run(self) -> None:
        """Look again and again, until this is cancelled."""
        while True:
            await asyncio.sleep(self._every)
            look = background.start(self.look(), _tell_failure)
            try:
                await asyncio.wait([look])
            finally:
                look.cancel()

    async def look(self) -> None:
        """Cut the streams of those who would not be let in any more. At most one query for sessions and one for keys."""
        slots, now = self._slots.open_slots(), self._clock()
        _cut("expired", (slot for slot in slots if slot.expires_at is not None and slot.expires_at <= now))
        await asyncio.gather(
            self._cut_ended("session_ended", slots, lambda slot: slot.session_id, self._find_live_sessions),
            self._cut_ended("key_ended", slots, lambda slot: slot.key_id, self._find_live_keys),
        )

    async def _cut_ended(
        self, why: str, slots: Iterable[StreamSlot], row_of: Callable[[StreamSlot], int | None], find_live: FindLive
    ) -> None:
        """Cut the streams whose row is gone. Nobody is asked where no stream has one."""
        rows = {slot: row for slot in slots if (row := row_of(slot)) is not None}
        if not rows:
            return
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                live = await find_live(set(rows.values()))
        except (SQLAlchemyError, TimeoutError) as error:
            log.warning("credentials_not_looked_up", error=type(error).__name__)
            return
        _cut(why, (slot for slot, row in rows.items() if row not in live))


def _tell_failure(error: BaseException) -> None:
    """A fault of ours ends a look, and no more: the next one may cut what this one did not."""
    log.error("session_watch_failed", exc_info=error)


def _cut(why: str, slots: Iterable[StreamSlot]) -> None:
    """Cut streams that have begun. Another look finds those that have not."""
    count = 0
    for slot in slots:
        if slot.cut is not None:
            slot.cut()
            count += 1
    if count:
        log.info("streams_cut", why=why, streams=count)
