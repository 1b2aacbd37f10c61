"""Conversations: chats, as OpenAI's clients make, read, change and delete them. Source: docs/protocol.md, "Conversations"."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query

from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, CurrentPrincipal
from services.api.doors.openai.responses import queries
from services.api.doors.openai.responses.events import Json
from services.api.doors.openai.responses.ids import chat_of, conversation_id, message_of, operation_of
from services.api.doors.openai.responses.pages import item_page, listed
from services.api.doors.openai.responses.queries import ConversationRow
from services.api.doors.openai.responses.schemas import ConversationChange, NewConversation
from services.api.fields import Digits
from services.api.generations.cancellation import end_deleted
from services.api.message_pages import Place
from shared.database.engine import Connection, Database
from shared.errors import CursorInvalid, ParameterNotSupported
from shared.ids import ChatId, MessageId, UserId
from shared.protocol.feed_events import chat_created, chat_deleted

router = APIRouter(route_class=JsonRoute, prefix="/v1/conversations", tags=["Conversations"])

_NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {404: {"description": "conversation_not_found"}}


@router.post("")
async def create_conversation(
    principal: CurrentPrincipal, resources: AppResources, body: NewConversation | None = None
) -> Json:
    """Make an empty conversation."""
    body = body or NewConversation()
    if body.items:
        raise ParameterNotSupported("items", "send the items with the first response")
    async with resources.database.connect() as db:
        row = await queries.add_conversation(db, principal.user_id, body.metadata)
    created = chat_created(row.id, None, row.created_at, temporary=False)
    resources.streams.feed.tell(principal.user_id, created)
    return _view(row)


@router.get("/{conversation_id}", responses=_NOT_FOUND)
async def get_conversation(conversation_id: str, principal: CurrentPrincipal, resources: AppResources) -> Json:
    """A conversation."""
    async with resources.database.connect() as db:
        return _view(await queries.find_conversation(db, principal.user_id, chat_of(conversation_id)))


@router.post("/{conversation_id}", responses=_NOT_FOUND)
async def update_conversation(
    conversation_id: str, body: ConversationChange, principal: CurrentPrincipal, resources: AppResources
) -> Json:
    """Give a conversation other metadata."""
    async with resources.database.connect() as db:
        changed = await queries.change_conversation(db, principal.user_id, chat_of(conversation_id), body.metadata)
    return _view(changed)


@router.delete("/{conversation_id}", responses=_NOT_FOUND)
async def delete_conversation(conversation_id: str, principal: CurrentPrincipal, resources: AppResources) -> Json:
    """Delete a conversation with all of its responses. What it is generating is stopped."""
    chat_id = chat_of(conversation_id)
    async with resources.database.begin() as db:
        deleted = await queries.delete_conversation(db, principal.user_id, chat_id)
    if chat_id is not None:
        resources.streams.feed.tell(principal.user_id, chat_deleted(chat_id))
    await end_deleted(resources.streams, deleted)
    return {"id": conversation_id, "object": "conversation.deleted", "deleted": True}


@router.get("/{conversation_id}/items", responses=_NOT_FOUND)
async def list_items(
    conversation_id: str,
    principal: CurrentPrincipal,
    resources: AppResources,
    after: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=100), Digits] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> Json:
    """What was said in a conversation, input and output: the last items first, unless `order` is `asc`."""
    database = resources.database
    async with database.connect() as db:
        row = await queries.find_conversation(db, principal.user_id, chat_of(conversation_id))
    return await _items(database, principal.user_id, row.id, after, limit, is_rising=order == "asc")


async def _items(
    database: Database, user_id: UserId, chat_id: ChatId, after: str | None, limit: int, *, is_rising: bool
) -> Json:
    """The page of items behind the one with the id `after`."""
    place, items = Place(forwards=is_rising), list[Json]()
    async with database.connect() as db:
        if after is not None:
            message_id = await _find_message(db, user_id, after)
            position = await queries.find_position(db, user_id, chat_id, message_id) if message_id else None
            if position is None:
                raise CursorInvalid
            # The message that has the item may have others behind it.
            place = Place(after=position - 1, forwards=True) if is_rising else Place(before=position + 1)
        wanted = after
        while True:
            messages, goes_on = await queries.list_conversation(db, user_id, chat_id, place)
            for message in messages if is_rising else messages[::-1]:
                own = message.items if is_rising else message.items[::-1]
                if wanted is not None:
                    own, wanted = item_page(own, wanted, len(own))["data"], None
                items += own
                if len(items) > limit:
                    return listed(items[:limit], has_more=True)
            if not goes_on:
                return listed(items, has_more=False)
            place = (
                Place(after=messages[-1].position, forwards=True) if is_rising else Place(before=messages[0].position)
            )


async def _find_message(db: Connection, user_id: UserId, item_id: str) -> MessageId | None:
    """The message that has an item. A request for approval has an operation's id, and no message's."""
    operation_id = operation_of(item_id)
    return message_of(item_id) if operation_id is None else await queries.find_asking(db, user_id, operation_id)


def _view(row: ConversationRow) -> Json:
    return {
        "id": conversation_id(row.id),
        "object": "conversation",
        "created_at": int(row.created_at.timestamp()),
        "metadata": row.metadata or {},
    }
