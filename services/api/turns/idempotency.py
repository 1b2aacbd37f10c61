"""Idempotency: the same key with the same body is the same message (draft-ietf-httpapi-idempotency-key-header).

Of two requests with one key at the same time, a unique index lets one in; the other one then finds its turn (accept.py).
"""

import hashlib
import json

from sqlalchemy import select

from services.api.turns.turn import Branch, Completion, Edit, Key, NewTurn, Regeneration, Turn
from shared.database.engine import Connection
from shared.database.ownership import CHAT_IS_THERE
from shared.database.tables import Generation, Message
from shared.errors import ChatNotFound, IdempotencyKeyReused
from shared.ids import GenerationId, MessageId, UserId


def hashed_key(new: NewTurn | Edit | Regeneration | Branch | Completion) -> Key | None:
    """The message's key with the hash of the message; None where it has no key.

    Another chat, text, way of queueing, model or time zone is another message, and so is another version of one.

    What a message does not name is not in its hash, so that the release before finds the same message. The messages that are
    told before a response are not either: they come from the conversation, which has more of them when the request is repeated.
    """
    if new.key is None:
        return None
    named: list[object] = [new.model] if new.model else []
    if new.time_zone:
        named.append({"time_zone": new.time_zone})
    if new.parameters is not None:
        sent = new.parameters if new.response is None else new.parameters.model_copy(update={"messages": None})
        named.append({"parameters": sent.to_row()})
    if new.response is not None:  # which has the input
        named.append({"response": new.response})
    match new:
        case NewTurn():
            said: list[object] = [new.chat_id, new.content]
        case Edit():
            said = ["edit", new.chat_id, new.message_id, new.content]
        case Branch():
            said = ["branch", new.chat_id, new.message_id, new.content]
        case Completion():
            said = [new.kind]
        case _:
            said = ["regenerate", new.chat_id, new.message_id]
    message = json.dumps([*said, new.on_conflict, *named])
    return Key(new.key, hashlib.sha256(message.encode()).hexdigest())


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
