"""A turn: an accepted message, with the reply that it asks for; and the key under which a client may repeat the message."""

from datetime import datetime
from typing import NamedTuple

from shared.ids import GenerationId, MessageId


class Key(NamedTuple):
    """A client's key for one message, and the hash of what the client sent with it."""

    key: str
    body_hash: str


class Turn(NamedTuple):
    """An accepted message, its empty reply, and its generation. `position` and `created_at` are the message's.

    `is_repeated` says that the message was accepted before, and was found by its key.
    """

    generation_id: GenerationId
    user_message_id: MessageId
    assistant_message_id: MessageId
    position: int
    created_at: datetime
    status: str
    is_repeated: bool = False
