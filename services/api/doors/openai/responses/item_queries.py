"""Items of conversations in the database: those that wait for a response, and any by its id. Ownership is in the WHERE clause."""

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Text, bindparam, cast, delete, func, insert, select
from sqlalchemy.dialects.postgresql import ARRAY

from services.api.doors.openai.responses.ids import added_id, added_of, message_of, operation_of
from services.api.doors.openai.responses.output_items import Json
from services.api.doors.openai.responses.queries import ITEMS_SIZE, messages_by
from services.api.versions.queries import lock_chat
from shared.database.engine import Connection
from shared.database.ownership import owned_by
from shared.database.tables import Chat, ConversationItem, Generation, Message, Operation
from shared.errors import ChatNotFound, ConversationNotFound, InvalidInput
from shared.generations.parameters import MAX_TEXT_CHARS
from shared.ids import ChatId, MessageId, UserId

MAX_WAITING: Final = 100
"""So many items of a conversation wait at most."""
MAX_FOUND_BYTES: Final = 4_000_000
"""Of the messages whose items one request refers to, all of their items counted. One message alone may have more."""
_CHARS: Final = func.length(cast(ConversationItem.item, Text))


class WaitingItem(NamedTuple):
    """An item that no response has taken yet. `item` has its id as clients know it."""

    number: int
    item: Json


class FoundItem(NamedTuple):
    """An item with its chat, and the position of the message that has it; None for one that waits."""

    item: Json
    chat_id: ChatId
    position: int | None


async def list_waiting(db: Connection, chat_id: ChatId) -> list[WaitingItem]:
    """The items that wait in a chat, which is known to be the user's: the oldest first."""
    statement = select(ConversationItem.id, ConversationItem.item).where(ConversationItem.chat_id == chat_id)
    rows = await db.execute(statement.order_by(ConversationItem.id))
    return [WaitingItem(row.id, {**row.item, "id": added_id(chat_id, row.id)}) for row in rows]


async def add_items(db: Connection, user_id: UserId, chat_id: ChatId, items: Sequence[Json]) -> list[Json]:
    """Let items wait in a chat. Needs a transaction. Returns them with their ids.

    Raises:
        ConversationNotFound: absent, or another user's.
        InvalidInput: too much would wait.

    """
    try:
        await lock_chat(db, user_id, chat_id)
    except ChatNotFound as error:
        raise ConversationNotFound from error
    adding = insert(ConversationItem).returning(ConversationItem.id, sort_by_parameter_order=True)
    numbers = (await db.execute(adding, [{"chat_id": chat_id, "item": item} for item in items])).scalars().all()
    size = func.coalesce(func.sum(_CHARS), 0)
    waiting = select(func.count(), size).where(ConversationItem.chat_id == chat_id)
    count, chars = (await db.execute(waiting)).one()
    if count > MAX_WAITING:
        raise InvalidInput(f"items: at most {MAX_WAITING} may wait for a response", field="items")
    if chars > MAX_TEXT_CHARS:
        raise InvalidInput(f"items: at most {MAX_TEXT_CHARS} characters may wait for a response", field="items")
    return [{**item, "id": added_id(chat_id, number)} for item, number in zip(items, numbers, strict=True)]


async def delete_waiting(db: Connection, user_id: UserId, chat_id: ChatId, item_id: str) -> bool:
    """Delete an item that waits. Returns whether there was one."""
    added = added_of(item_id)
    if added is None or added[0] != chat_id:
        return False
    is_mine = select(Chat.id).where(Chat.id == chat_id, owned_by(user_id)).exists()
    gone = delete(ConversationItem).where(ConversationItem.id == added[1], ConversationItem.chat_id == chat_id, is_mine)
    return (await db.execute(gone.returning(ConversationItem.id))).one_or_none() is not None


async def find_items(
    db: Connection, user_id: UserId, item_ids: Collection[str], chat_id: ChatId | None = None
) -> dict[str, FoundItem]:
    """The user's items by their ids, of one chat or of any. What is absent, or another user's, is not among them.

    Raises:
        InvalidInput: what has them is too large to be read at once, which one item never is.

    """
    mine: list[ColumnElement[bool]] = [owned_by(user_id)]
    if chat_id is not None:
        mine.append(Chat.id == chat_id)
    found = await _find_waiting(db, item_ids, mine)
    message_ids = await _find_messages(db, [one for one in item_ids if one not in found], mine)
    if not message_ids:
        return found
    which = _is_one_of(Message.id, message_ids)
    sizes = select(func.count(), func.coalesce(func.sum(ITEMS_SIZE), 0)).select_from(Message).join(Chat)
    count, size = (await db.execute(sizes.where(which, *mine))).one()
    if count > 1 and size > MAX_FOUND_BYTES:
        raise refer_to_too_much()
    wanted = set(item_ids)
    for of_chat, message in await messages_by(db, which, *mine):
        items = {item["id"]: item for item in message.items}
        found |= {one: FoundItem(items[one], of_chat, message.position) for one in wanted & items.keys()}
    return found


def refer_to_too_much() -> InvalidInput:
    """The refusal of an input whose references stand for too much."""
    return InvalidInput("input: the items that it refers to are too long", field="input")


async def _find_waiting(
    db: Connection, item_ids: Collection[str], mine: Collection[ColumnElement[bool]]
) -> dict[str, FoundItem]:
    numbers = [added[1] for one in item_ids if (added := added_of(one)) is not None]
    if not numbers:
        return {}
    which = (_is_one_of(ConversationItem.id, numbers), *mine)
    size = select(func.coalesce(func.sum(_CHARS), 0)).select_from(ConversationItem).join(Chat).where(*which)
    if (await db.execute(size)).scalar_one() > MAX_TEXT_CHARS:
        raise refer_to_too_much()
    columns = (ConversationItem.id, ConversationItem.chat_id, ConversationItem.item)
    statement = select(*columns).join(Chat, Chat.id == ConversationItem.chat_id).where(*which)
    rows = [(added_id(row.chat_id, row.id), row) for row in await db.execute(statement)]
    return {name: FoundItem({**row.item, "id": name}, ChatId(row.chat_id), None) for name, row in rows}


async def _find_messages(
    db: Connection, item_ids: Collection[str], mine: Collection[ColumnElement[bool]]
) -> list[MessageId]:
    """The messages that have these items. Some may have none, or be another user's."""
    found = [message_id for one in item_ids if (message_id := message_of(one)) is not None]
    operations = [operation_id for one in item_ids if (operation_id := operation_of(one)) is not None]
    if operations:
        asking = select(Generation.assistant_message_id).join(Operation, Operation.generation_id == Generation.id)
        found += map(MessageId, (await db.execute(asking.where(Operation.id.in_(operations)))).scalars())
    taken = [(added[0], one) for one in item_ids if (added := added_of(one)) is not None]
    if taken:
        # One condition for all: a row's response is read once, however many items are looked for.
        names = bindparam(None, [one for _, one in taken], type_=ARRAY(Text), unique=True)
        is_taken = Generation.response["added"].has_any(names)
        in_chats = _is_one_of(Generation.chat_id, list({chat_id for chat_id, _ in taken}))
        asked = select(Generation.user_message_id).join(Chat, Chat.id == Generation.chat_id)
        asked = asked.where(in_chats, is_taken, *mine)
        found += map(MessageId, (await db.execute(asked)).scalars())
    return found


def _is_one_of(column: Any, ids: Sequence[int]) -> ColumnElement[bool]:  # noqa: ANN401 - a column of ids
    named = bindparam(None, list(ids), type_=ARRAY(BigInteger), unique=True)
    is_one_of: ColumnElement[bool] = column == func.any(named)
    return is_one_of
