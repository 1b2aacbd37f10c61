"""Idempotency-Key: the same key and body are the same message (draft-ietf-httpapi-idempotency-key-header)."""

import hashlib
import json
import re
from typing import Annotated, Final, NamedTuple

from fastapi import Header

from services.api.generations.schemas import NewMessage
from shared.errors import InvalidInput
from shared.ids import ChatId

MAX_CHARS: Final = 255
_BARE: Final = re.compile(r"[!#-~]+", re.ASCII)
_QUOTED: Final = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])+)"', re.ASCII)
_ESCAPED: Final = re.compile(r"\\(.)")


class Key(NamedTuple):
    """A client's key for one message, and the hash of what it sent."""

    key: str
    body_hash: str


def idempotency_key(header: Annotated[str | None, Header(alias="Idempotency-Key")] = None) -> str | None:
    """The header's value: a quoted string (RFC 9651), or bare.

    Raises:
        InvalidInput: it is empty, longer than 255 characters or has others than visible ASCII.

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


def keyed(key: str | None, chat_id: ChatId, body: NewMessage) -> Key | None:
    """The key with its body's hash; None without a key."""
    if key is None:
        return None
    said = json.dumps([chat_id, body.content, body.on_conflict, *([body.model] if body.model else [])])
    return Key(key, hashlib.sha256(said.encode()).hexdigest())
