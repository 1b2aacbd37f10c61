"""Deleting chats as an operation: what a person is shown before, what approval does, and what its undo does.

Pure as to the rows of operations: whoever keeps those calls these functions in a transaction of their own.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, func, select

from shared.chats.trash import MAX_CHATS, MovedChats, RestoredChat, move_to_trash, restore
from shared.database.engine import Connection
from shared.database.ownership import owned_by
from shared.database.tables import Chat, Generation, Message
from shared.errors import EffectChanged
from shared.ids import ChatId, GenerationId, UserId
from shared.states import OPEN

Json = dict[str, Any]

_MESSAGES: Final = (
    select(func.count()).where(Message.chat_id == Chat.id, ~Message.replaced).correlate(Chat).scalar_subquery()
)


class ChatSummary(NamedTuple):
    """A chat as a person is shown it who decides about it. `messages` counts those of the active path."""

    id: ChatId
    title: str | None
    messages: int
    last_message_at: datetime

    def to_json(self) -> Json:
        """The chat in a preview. The time is in ISO 8601, UTC."""
        at = self.last_message_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        return {"id": self.id, "title": self.title, "messages": self.messages, "last_message_at": at}


async def preview_deletion(db: Connection, user_id: UserId, chat_ids: Collection[ChatId]) -> Json:
    """What `chats_delete` would delete: `{"chats": [{id, title, messages, last_message_at}, …]}`, by id.

    Chats that are absent, another user's, or in the trash are left out.
    """
    return {"chats": [chat.to_json() for chat in await _find(db, owned_by(user_id), Chat.id.in_(chat_ids))]}


async def preview_restoration(db: Connection, user_id: UserId, result: Json) -> Json:
    """What undoing a deletion would restore, in the form of `preview_deletion`. `result` is the deletion's.

    Chats that have left the trash since, for either side, are left out.
    """
    in_trash = (Chat.user_id == user_id) & Chat.deleted_at.is_not(None)
    return {"chats": [chat.to_json() for chat in await _find(db, in_trash, Chat.id.in_(_ids(result["chat_ids"])))]}


async def commit_deletion(
    db: Connection, user_id: UserId, preview: Json, proposed_by: GenerationId | None = None
) -> MovedChats:
    """Move the chats of a preview to the trash: exactly those, as they were shown. Needs a transaction.

    `proposed_by` is the generation that has proposed this, and goes on with the decision; None where a person did.

    Raises:
        EffectChanged: one is gone, or something was said there since. Nothing is moved.

    """
    chat_ids = _ids(chat["id"] for chat in preview["chats"])
    await _lock(db, user_id, chat_ids, proposed_by)
    moved = await move_to_trash(db, user_id, chat_ids)
    # Compared behind the lock. The title is no part of it: a model may have made a better one meanwhile.
    now = await _find(db, Chat.id.in_(moved.chat_ids))
    if [_content(chat.to_json()) for chat in now] != [_content(chat) for chat in preview["chats"]]:
        raise EffectChanged
    return moved


async def commit_restoration(db: Connection, user_id: UserId, preview: Json) -> list[RestoredChat]:
    """Take the chats of a preview out of the trash: exactly those. Needs a transaction.

    Raises:
        EffectChanged: one is not there any more. The transaction is to be rolled back.

    """
    restored = await restore(db, user_id, _ids(chat["id"] for chat in preview["chats"]))
    if len(restored) != len(preview["chats"]):
        raise EffectChanged
    return restored


def result_of(chats: Sequence[ChatId]) -> Json:
    """What an operation's row keeps of what was done: `{"chat_ids": […]}`."""
    return {"chat_ids": list(chats)}


async def _lock(
    db: Connection, user_id: UserId, chat_ids: Sequence[ChatId], generation_id: GenerationId | None
) -> None:
    """Lock chats, and then at once their generations and the one that goes on afterwards, each by id.

    Two answers may propose to delete each other's chat. One by one, each deletion would hold what the other waits for.
    """
    chats = select(Chat.id).where(Chat.id.in_(chat_ids), owned_by(user_id)).order_by(Chat.id)
    await db.execute(chats.with_for_update())
    is_touched = Generation.chat_id.in_(chat_ids) & Generation.status.in_(OPEN)
    if generation_id is not None:
        is_touched |= Generation.id == generation_id
    touched = select(Generation.id).where(Generation.user_id == user_id, is_touched).order_by(Generation.id)
    await db.execute(touched.with_for_update(key_share=True))


async def _find(db: Connection, *which: ColumnElement[bool]) -> list[ChatSummary]:
    statement = select(Chat.id, Chat.title, _MESSAGES, Chat.last_message_at).where(*which).order_by(Chat.id)
    return [ChatSummary(ChatId(row[0]), *row[1:]) for row in await db.execute(statement.limit(MAX_CHATS))]


def _content(chat: Json) -> tuple[object, ...]:
    return chat["id"], chat["messages"], chat["last_message_at"]


def _ids(found: Any) -> list[ChatId]:  # noqa: ANN401 - ids in JSON of ours
    return [ChatId(int(chat_id)) for chat_id in found]
