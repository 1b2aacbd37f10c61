r"""Frames as bytes: encoded once, by their writer, as the very bytes that a browser gets.

An encoded frame is `data: <json>\n\n`. The front door puts the `id:` line before it. Source: docs/protocol.md §1, rule 5.
"""

import json
import re
from collections.abc import Iterable
from typing import Final, cast

from shared.protocol.feed_events import FeedEvent
from shared.protocol.frames import Frame
from shared.protocol.json_lines import json_line
from shared.protocol.sizes import MAX_DELTA_CHARS

DONE: Final = b"data: [DONE]\n\n"
# A comment, or `retry:`, with a blank line of its own is an empty event for many clients.
PING: Final = b": ping\n"
OPENING: Final = b": open\nretry: 1000\n"
PREFIX: Final = b"data: "
RESET: Final = b'data: {"type":"data-reset","data":{},"transient":true}\n\n'
"""Goes before a full replay to a client that asked for less: what the client has is not in the log. No log holds this frame,
so the frame has no id."""

# Neither can be trusted to be absent: \u0000 and \ud800 are legal JSON.
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")


def encode(frame: Frame | FeedEvent) -> bytes:
    """The bytes of a frame, or of a feed's event: one `data:` line, whatever the frame's texts hold.

    Raises:
        UnicodeEncodeError: a text has a lone surrogate; `clean` the text first.

    """
    return b"data: %b\n\n" % json_line(frame).encode()


def encode_all(frames: Iterable[Frame]) -> tuple[bytes, ...]:
    """The bytes of frames for a log. A delta of a long text becomes several frames, so that no line is long (sizes.py).

    Raises:
        UnicodeEncodeError: a text has a lone surrogate; `clean` the text first.

    """
    encoded: list[bytes] = []
    for frame in frames:
        if (frame["type"] == "text-delta" or frame["type"] == "reasoning-delta") and len(
            frame["delta"]
        ) > MAX_DELTA_CHARS:
            text = frame["delta"]
            pieces = (text[begin : begin + MAX_DELTA_CHARS] for begin in range(0, len(text), MAX_DELTA_CHARS))
            encoded += [encode(cast("Frame", {**frame, "delta": piece})) for piece in pieces]
        else:
            encoded.append(encode(frame))
    return tuple(encoded)


def decode(encoded: bytes) -> Frame:
    """The frame that `encode` made these bytes of."""
    return cast("Frame", json.loads(encoded.removeprefix(PREFIX)))


def is_title(encoded: bytes) -> bool:
    """Whether these are the bytes of a `data-title` frame."""
    return encoded.startswith(b'data: {"type":"data-title"')


def clean(text: str) -> str:
    """`text` without what PostgreSQL or UTF-8 can't hold: NUL and lone surrogates become U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)
