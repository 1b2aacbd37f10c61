"""Idempotency: the same key with the same body is the same message (draft-ietf-httpapi-idempotency-key-header).

Of two requests with one key at the same time, a unique index lets one in; the other one then finds its turn (accept.py).
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from services.api.turns.turn import Branch, Completion, Edit, Key, NewTurn, Opening, Regeneration, Turn
from shared.database.engine import Connection
from shared.database.ownership import CHAT_IS_THERE
from shared.database.tables import Generation, Message
from shared.errors import ChatNotFound, IdempotencyKeyReused
from shared.generations.parameters import Parameters
from shared.ids import GenerationId, MessageId, UserId


def hashed_key(new: NewTurn | Opening | Edit | Regeneration | Branch | Completion) -> Key | None:
    """The message's key with the hash of the message; None where it has no key.

    Another chat, text, way of queueing, model or time zone is another message, and so is another version of one.

    What a message does not name is not in its hash, so that the release before finds the same message.
    """
    if new.key is None:
        return None
    if new.sent is not None:
        return sent_key(new.key, new.sent, new.parameters)
    named: list[object] = [new.model] if new.model else []
    if new.time_zone:
        named.append({"time_zone": new.time_zone})
    if new.parameters is not None:
        named.append({"parameters": new.parameters.to_row()})
    match new:
        case NewTurn():
            said: list[object] = [new.chat_id, new.content]
        case Opening():
            said = ["open", new.content]
        case Edit():
            said = ["edit", new.chat_id, new.message_id, new.content]
        case Branch():
            said = ["branch", new.chat_id, new.message_id, new.content]
        case Completion():
            said = [new.kind]
        case _:
            said = ["regenerate", new.chat_id, new.message_id]
    return _hashed(new.key, [*said, new.on_conflict, *named])


def sent_key(key: str, sent: Mapping[str, Any], parameters: Parameters | None) -> Key:
    """The key of a request with the hash of what its client sent: nothing needs to be looked up for it.

    The messages that the model is told are no part of it. They come from the conversation too, which has more of them, or
    others, when the request is repeated. The temperature is a setting's where the client sent none.
    """
    asked = (
        parameters.model_copy(update={"messages": None, "continues_chat": False, "temperature": None}).to_row()
        if parameters is not None
        else None
    )
    return _hashed(key, ["sent", sent, asked])


def _hashed(key: str, message: list[object]) -> Key:
    return Key(key, hashlib.sha256(json.dumps(message).encode()).hexdigest())


async def find_repeated(db: Connection, user_id: UserId, key: Key) -> Turn | None:
    """The turn that was accepted with this key, as it is now; None when the key is new.

    Raises:
        IdempotencyKeyReused: the turn's message is another one.
        ChatNotFound: the turn's chat is in the trash.

    """
    statement = (
        select(
            Generation.id,
            Generation.user_message_id,
            Generation.assistant_message_id,
            Message.position,
            Message.created_at,
            Generation.status,
            Generation.body_hash,
            Message.content,
            CHAT_IS_THERE.label("is_there"),
        )
        .join(Message, Message.id == Generation.user_message_id)
        .where(Generation.user_id == user_id, Generation.idempotency_key == key.key)
    )
    row = (await db.execute(statement)).one_or_none()
    if row is None:
        return None
    if row.body_hash != key.body_hash:
        raise IdempotencyKeyReused
    if not row.is_there:
        raise ChatNotFound
    return Turn(
        GenerationId(row.id),
        MessageId(row.user_message_id),
        MessageId(row.assistant_message_id),
        row.position,
        row.created_at,
        row.status,
        is_repeated=True,
        content=row.content,
    )
