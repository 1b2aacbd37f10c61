"""Event ids: `<message id>:<attempt>-<sequence>`. They are opaque to clients. Source: docs/protocol.md §2.

`<message id>:0-0` is before the first frame: a client has it that has got nothing of the message yet.
"""

import re
from typing import Final

from shared.ids import MAX_BIGINT, MessageId
from shared.streams.port import BEGINNING, Offset

_FORM: Final = re.compile(r"([1-9]\d{0,18}):(?:0-0|([1-9]\d{0,8})-([1-9]\d{0,11}))", re.ASCII)


def write(message_id: MessageId, offset: Offset) -> bytes:
    """The `id:` line of a frame."""
    return b"id: %d:%d-%d\n" % (message_id, *offset)


def text(message_id: MessageId, offset: Offset) -> str:
    """The event id of a frame."""
    return f"{message_id}:{offset}"


def message_of(event_id: str | None) -> MessageId | None:
    """The message that a client reads; None for any text that is no event id."""
    found = _FORM.fullmatch(event_id or "")
    return MessageId(int(found[1])) if found is not None and int(found[1]) <= MAX_BIGINT else None


def read(event_id: str | None, message_id: MessageId) -> Offset | None:
    """The offset that a client has reached in this message; None for any text that is no event id of the message."""
    found = _FORM.fullmatch(event_id or "")
    if found is None or int(found[1]) != message_id or int(found[1]) > MAX_BIGINT:
        return None
    return Offset(int(found[2]), int(found[3])) if found[2] else BEGINNING
