"""The versions of a chat's messages: choose one, delete the last turn. New ones come in by a front door."""

from typing import Any, Final

from fastapi import APIRouter, status

from services.api.bodies import JsonRoute
from services.api.chats import queries
from services.api.chats.schemas import ChatWithMessages
from services.api.dependencies import AppResources, CurrentPrincipal
from services.api.fields import BigIntId
from services.api.generations.cancellation import end_deleted
from services.api.versions.queries import choose_version, delete_turn
from shared.ids import ChatId, MessageId
from shared.operations.telling import tell_all
from shared.protocol.feed_events import chat_renamed, memory_changed, messages_changed

_NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {404: {"description": "chat_not_found, message_not_found"}}

router = APIRouter(
    route_class=JsonRoute, prefix="/api/chats/{chat_id}/messages/{message_id}", tags=["chats"], responses=_NOT_FOUND
)


@router.post("/choose", responses={409: {"description": "generation_in_progress"}})
async def choose(
    chat_id: BigIntId, message_id: BigIntId, principal: CurrentPrincipal, resources: AppResources
) -> ChatWithMessages:
    """Make a version the active one, with what follows it: its newest leaf is the chat's end. Returns the chat as it is then.

    A version that is active already stays so.
    """
    owner, chat, kept = principal.user_id, ChatId(chat_id), resources.limits.kept_messages
    async with resources.database.begin() as db:
        change = await choose_version(db, owner, chat, MessageId(message_id), kept)
        view = ChatWithMessages.of(
            await queries.find_chat(db, owner, chat), await queries.list_messages(db, owner, chat), with_replaced=False
        )
    if change.position is not None:
        resources.streams.feed.tell(owner, messages_changed(chat, change.position))
    if change.changes_memory:
        resources.streams.feed.tell(owner, memory_changed(chat))
    if change.is_due:
        resources.jobs.summarize(chat)
    return view


@router.delete("", status_code=status.HTTP_204_NO_CONTENT, responses={409: {"description": "turn_not_last"}})
async def delete(chat_id: BigIntId, message_id: BigIntId, principal: CurrentPrincipal, resources: AppResources) -> None:
    """Delete the last turn: the user's message, and all replies to it in all versions. What it generates is stopped."""
    chat, kept = ChatId(chat_id), resources.limits.kept_messages
    async with resources.database.begin() as db:
        deleted = await delete_turn(db, principal.user_id, chat, MessageId(message_id), kept)
    feed = resources.streams.feed
    feed.tell(principal.user_id, messages_changed(chat, deleted.position))
    if deleted.changes_memory:
        feed.tell(principal.user_id, memory_changed(chat))
    if deleted.takes_title:
        feed.tell(principal.user_id, chat_renamed(chat, None, None))
    tell_all(resources.jobs, feed, deleted.refused)
    await end_deleted(resources.streams, deleted.generations)
    if deleted.is_due:
        resources.jobs.summarize(chat)
