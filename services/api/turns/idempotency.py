"""Idempotency: the same key with the same body is the same message (draft-ietf-httpapi-idempotency-key-header)."""

import hashlib
import json
from typing import NamedTuple

from shared.ids import ChatId


class Key(NamedTuple):
    """A client's key for one message, and the hash of what the client sent with it."""

    key: str
    body_hash: str


def hashed_key(key: str, chat_id: ChatId, content: str, on_conflict: str, model: str | None) -> Key:
    """The key with the hash of its message. Another chat, text, way of queueing or model is another message."""
    message = json.dumps([chat_id, content, on_conflict, *([model] if model else [])])
    return Key(key, hashlib.sha256(message.encode()).hexdigest())
