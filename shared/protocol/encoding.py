r"""Frames as bytes: encoded once, by their writer, as the very bytes that a browser gets.

An encoded frame is `data: <json>\n\n`. The front door puts the `id:` line before it. Source: docs/protocol.md §1, rule 5.
"""

import json
import re
from typing import Final, cast

from shared.protocol.feed_events import FeedEvent
from shared.protocol.frames import Frame

DONE: Final = b"data: [DONE]\n\n"
PING: Final = b": ping\n\n"
OPENING: Final = b": open\nretry: 1000\n\n"
PREFIX: Final = b"data: "
RESET: Final = b'data: {"type":"data-reset","data":{},"transient":true}\n\n'
"""Goes before a full replay to a client that asked for less: what the client has is not in the log. No log holds this frame,
so the frame has no id."""

# Neither can be trusted to be absent: \u0000 and \ud800 are legal JSON.
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")

# They end no line in SSE, but they do for some clients' line splitters (Python's, for one); JSON lets them be escaped.
LINE_ENDS: Final = (("\u0085", "\\u0085"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029"))


def encode(frame: Frame | FeedEvent) -> bytes:
    """The bytes of a frame, or of a feed's event: one `data:` line, whatever the frame's texts hold.

    Raises:
        UnicodeEncodeError: a text has a lone surrogate; `clean` the text first.

    """
    line = json.dumps(frame, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for end, escape in LINE_ENDS:
        if end in line:
            line = line.replace(end, escape)
    return b"data: %b\n\n" % line.encode()


def decode(encoded: bytes) -> Frame:
    """The frame that `encode` made these bytes of."""
    return cast("Frame", json.loads(encoded.removeprefix(PREFIX)))


def clean(text: str) -> str:
    """`text` without what PostgreSQL or UTF-8 can't hold: NUL and lone surrogates become U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)
