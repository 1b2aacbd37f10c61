"""A feed as Server-Sent Events. Source: docs/protocol.md, "Live feed"."""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from services.api.feed.follow import Began, Told
from services.api.streaming.follow import Quiet
from shared.protocol.encoding import OPENING, PING, encode
from shared.protocol.feed_events import READY, RESYNC
from shared.streams.port import Offset

_ID: Final = re.compile(r"([1-9]\d{0,14})-([1-9]\d{0,14})", re.ASCII)


def read_id(event_id: str | None) -> Offset | None:
    """The offset that an event id stands for; None for a text that is none."""
    found = _ID.fullmatch(event_id or "")
    return Offset(int(found[1]), int(found[2])) if found else None


async def encode_feed(events: AsyncGenerator[Began | Told | Quiet, None]) -> AsyncGenerator[bytes, None]:
    """The body.

    Raises:
        StreamCut: the stream can't go on here.

    """
    yield OPENING
    async with aclosing(events):
        async for event in events:
            match event:
                case Told(entries):
                    yield b"".join([b"id: %d-%d\n%b" % (*entry.offset, entry.frame) for entry in entries])
                case Began(offset, is_resync):
                    yield b"id: %d-%d\n%b" % (*offset, encode(RESYNC if is_resync else READY))
                case Quiet():
                    yield PING
