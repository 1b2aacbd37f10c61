"""A feed as Server-Sent Events. Source: docs/protocol.md, "Live feed"."""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from services.api.feed.follow import Began, Told
from services.api.own_paths import own_path
from services.api.streaming.follow import Quiet
from shared.protocol.encoding import OPENING, PING, encode
from shared.protocol.feed_events import READY, RESYNC
from shared.streams.port import Offset

_STREAM_URL: Final = b'"stream_url":"'
"""Before a path of the API. No text of a user's holds this: the marks in it would be escaped."""
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
    root = own_path("").encode()
    yield OPENING
    async with aclosing(events):
        async for event in events:
            match event:
                case Told(entries):
                    told = b"".join([b"id: %d-%d\n%b" % (*entry.offset, entry.frame) for entry in entries])
                    yield told.replace(_STREAM_URL, _STREAM_URL + root) if root else told
                case Began(offset, is_resync):
                    yield b"id: %d-%d\n%b" % (*offset, encode(RESYNC if is_resync else READY))
                case Quiet():
                    yield PING
