"""The trash: chats that their user has deleted, and may restore for a while. Elsewhere they are absent (ownership.py)."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, NamedTuple, cast

from sqlalchemy import func, null, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased

from shared.database.engine import Connection
from shared.database.ownership import owned_by
from shared.database.tables import Chat, Generation
from shared.generations.cancel import OpenGeneration, cancel
from shared.ids import ChatId, UserId
from shared.protocol.feed_events import TitledBy, chat_created, chat_deleted, chat_renamed
from shared.streams.feed.publisher import FeedPublisher

MAX_CHATS: Final = 100
"""So many chats are moved at once."""


class MovedChats(NamedTuple):
    """The chats that a call has moved to the trash, by id, and the generations that it has cancelled for that.

    Whoever has moved them tells the workers of these generations and closes their logs, once the transaction is committed;
    where nobody does, heartbeat and sweep do, a few seconds later.
    """

    chat_ids: list[ChatId]
    cancelled: list[OpenGeneration]


class RestoredChat(NamedTuple):
    """A chat that a call has taken out of the trash."""

    id: ChatId
    title: str | None
    title_by: TitledBy | None
    created_at: datetime
    temporary: bool


async def move_to_trash(db: Connection, user_id: UserId, chat_ids: Collection[ChatId]) -> MovedChats:
    """Move chats to the trash, at most MAX_CHATS. Needs a transaction.

    Chats that are absent, another user's, or in the trash already are passed over: they are not among those returned.

    Raises:
        ValueError: these are more.

    """
    _insist_on_few(chat_ids)
    # The lock comes first: a message accepted at the same moment is either found here, or refused.
    locked = select(Chat.id).where(Chat.id.in_(chat_ids), owned_by(user_id)).order_by(Chat.id).with_for_update()
    found = [ChatId(chat_id) for chat_id in (await db.execute(locked)).scalars()]
    if not found:
        return MovedChats([], [])
    cancelled = await cancel(db, Generation.chat_id.in_(found))
    # Its client may give the name to another chat, as after a deletion.
    moved = {"deleted_at": func.now(), "trashed_client_id": Chat.client_id, "client_id": null()}
    await db.execute(update(Chat).where(Chat.id.in_(found)).values(moved))
    return MovedChats(found, cancelled)


async def restore(db: Connection, user_id: UserId, chat_ids: Collection[ChatId]) -> list[RestoredChat]:
    """Take chats out of the trash, at most MAX_CHATS. Needs a transaction. Returns those that were there, by id.

    A chat is as it was before; but where the user has another chat of its client's name by now, that one keeps the name.

    Raises:
        ValueError: these are more.

    """
    _insist_on_few(chat_ids)
    locked = (
        select(Chat.id, Chat.title, Chat.title_by, Chat.created_at, Chat.is_temporary, Chat.trashed_client_id)
        .where(Chat.id.in_(chat_ids), Chat.user_id == user_id, Chat.deleted_at.is_not(None))
        .order_by(Chat.id)
        .with_for_update()
    )
    found = (await db.execute(locked)).all()
    there = {"deleted_at": null(), "trashed_client_id": null()}
    await db.execute(update(Chat).where(Chat.id.in_([row.id for row in found])).values(there))
    for row in found:
        if row.trashed_client_id is not None:
            await _name_again(db, user_id, row.id, row.trashed_client_id)
    return [
        RestoredChat(ChatId(row.id), row.title, cast("TitledBy | None", row.title_by), row.created_at, row.is_temporary)
        for row in found
    ]


async def _name_again(db: Connection, user_id: UserId, chat_id: int, name: str) -> None:
    """Give a chat the client's name that it had, unless another chat has the name."""
    other = aliased(Chat)
    is_taken = select(other.id).where(other.user_id == user_id, other.client_id == name).exists()
    try:
        async with db.begin_nested():
            await db.execute(update(Chat).where(Chat.id == chat_id, ~is_taken).values(client_id=name))
    except IntegrityError:
        return  # another chat has got the name at this very moment


def _insist_on_few(chat_ids: Collection[ChatId]) -> None:
    if len(chat_ids) > MAX_CHATS:
        raise ValueError(f"at most {MAX_CHATS} chats at once")


def tell_moved(feed: FeedPublisher, user_id: UserId, chat_ids: Sequence[ChatId]) -> None:
    """Tell the user's readers that these chats are gone."""
    feed.tell(user_id, *map(chat_deleted, chat_ids))


def tell_restored(feed: FeedPublisher, user_id: UserId, chats: Sequence[RestoredChat]) -> None:
    """Tell the user's readers that these chats are there again."""
    for chat in chats:
        feed.tell(user_id, chat_created(chat.id, chat.title, chat.created_at, temporary=chat.temporary))
        if chat.title is not None:
            feed.tell(user_id, chat_renamed(chat.id, chat.title, chat.title_by))
