"""Request headers that doors read: Idempotency-Key and Last-Event-ID."""

import re
from typing import Annotated, Final

from fastapi import Depends, Header

from shared.errors import InvalidInput

MAX_CHARS: Final = 255
_BARE: Final = re.compile(r"[!#-~]+", re.ASCII)
_QUOTED: Final = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])+)"', re.ASCII)
_ESCAPED: Final = re.compile(r"\\(.)")


def idempotency_key(header: Annotated[str | None, Header(alias="Idempotency-Key")] = None) -> str | None:
    """The key: the header's value, a quoted string (RFC 9651) or a bare one; None without the header.

    Raises:
        InvalidInput: the key is empty, longer than 255 characters, or has characters other than visible ASCII.

    """
    if header is None:
        return None
    text = header.strip()
    quoted = _QUOTED.fullmatch(text)
    key = _ESCAPED.sub(r"\1", quoted[1]) if quoted else text
    if not (quoted or _BARE.fullmatch(text)) or len(key) > MAX_CHARS:
        message = f"Idempotency-Key: must have 1 to {MAX_CHARS} visible ASCII characters"
        raise InvalidInput(message, field="Idempotency-Key")
    return key


IdempotencyKey = Annotated[str | None, Depends(idempotency_key)]
LastEventId = Annotated[str | None, Header(alias="Last-Event-ID")]
"""The event id of the last frame that a client has. `services.api.event_ids.read` makes an offset of it."""
