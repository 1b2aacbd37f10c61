"""Conversations: chats, as OpenAI's clients make, read, change and delete them. Source: docs/protocol.md, "Conversations"."""

from typing import Any, Final

from fastapi import APIRouter

from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, CurrentPrincipal
from services.api.doors.openai.responses import queries
from services.api.doors.openai.responses.ids import chat_of
from services.api.doors.openai.responses.input_items import insist_on_calls, read_added
from services.api.doors.openai.responses.item_queries import add_items
from services.api.doors.openai.responses.objects import present_conversation
from services.api.doors.openai.responses.output_items import Json
from services.api.doors.openai.responses.schemas import ConversationChange, NewConversation
from services.api.generations.cancellation import end_deleted
from shared.operations.telling import tell_all
from shared.protocol.feed_events import chat_created, chat_deleted

router = APIRouter(route_class=JsonRoute, prefix="/v1/conversations", tags=["Conversations"])

_NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {404: {"description": "conversation_not_found"}}


@router.post("", responses={429: {"description": "too_many_requests"}})
async def create_conversation(
    principal: CurrentPrincipal, resources: AppResources, body: NewConversation | None = None
) -> Json:
    """Make a conversation. Its items wait for its first response."""
    resources.message_rate.take(principal.user_id)
    body, mine = body or NewConversation(), principal.user_id
    given = read_added(body.items) if body.items else None
    if given is not None:
        insist_on_calls(given, ())
    async with resources.database.begin() as db:
        row = await queries.add_conversation(db, mine, body.metadata)
        if given is not None:
            await add_items(db, mine, row.id, given.all_items)
    resources.streams.feed.tell(mine, chat_created(row.id, None, row.created_at, temporary=False))
    return present_conversation(row)


@router.get("/{conversation_id}", responses=_NOT_FOUND)
async def get_conversation(conversation_id: str, principal: CurrentPrincipal, resources: AppResources) -> Json:
    """A conversation."""
    async with resources.database.connect() as db:
        return present_conversation(await queries.find_conversation(db, principal.user_id, chat_of(conversation_id)))


@router.post("/{conversation_id}", responses=_NOT_FOUND)
async def update_conversation(
    conversation_id: str, body: ConversationChange, principal: CurrentPrincipal, resources: AppResources
) -> Json:
    """Give a conversation other metadata."""
    async with resources.database.connect() as db:
        changed = await queries.change_conversation(db, principal.user_id, chat_of(conversation_id), body.metadata)
    return present_conversation(changed)


@router.delete("/{conversation_id}", responses=_NOT_FOUND)
async def delete_conversation(conversation_id: str, principal: CurrentPrincipal, resources: AppResources) -> Json:
    """Delete a conversation with all of its responses. What it is generating is stopped."""
    chat_id = chat_of(conversation_id)
    async with resources.database.begin() as db:
        deleted = await queries.delete_conversation(db, principal.user_id, chat_id)
    if chat_id is not None:
        resources.streams.feed.tell(principal.user_id, chat_deleted(chat_id))
    tell_all(resources.jobs, resources.streams.feed, deleted.refused)
    await end_deleted(resources.streams, deleted.generations)
    return {"id": conversation_id, "object": "conversation.deleted", "deleted": True}
