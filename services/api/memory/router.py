"""A chat's memory, which stands for the chat's older messages: look at it, correct it, have it made again."""

from fastapi import APIRouter, status

from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, CurrentPrincipal
from services.api.fields import BigIntId
from services.api.memory import queries
from services.api.memory.schemas import MemoryChange, MemoryView
from shared.errors import MemoryTooLarge
from shared.ids import ChatId
from shared.memory.facts import MAX_KEPT
from shared.protocol.feed_events import memory_changed

router = APIRouter(
    route_class=JsonRoute,
    prefix="/api/chats/{chat_id}/memory",
    tags=["memory"],
    responses={404: {"description": "chat_not_found"}},
)


@router.get("")
async def get_memory(chat_id: BigIntId, principal: CurrentPrincipal, resources: AppResources) -> MemoryView:
    """The segments and the facts that stand for the chat's older messages, replaced and forgotten facts too."""
    async with resources.database.connect() as db:
        return MemoryView.of(await queries.find_memory(db, principal.user_id, ChatId(chat_id)))


@router.patch(
    "",
    responses={
        409: {"description": "memory_changed"},
        422: {"description": "validation_failed, memory_item_not_found, memory_too_large"},
    },
)
async def change_memory(
    chat_id: BigIntId, body: MemoryChange, principal: CurrentPrincipal, resources: AppResources
) -> MemoryView:
    """Correct segments, or the summary as a whole; correct, add, pin and forget facts."""
    if len(body.summary or "") > resources.limits.summary_chars:
        raise MemoryTooLarge("summary", resources.limits.summary_chars, "characters")
    if len(body.facts or ()) > MAX_KEPT:
        raise MemoryTooLarge("facts", MAX_KEPT, "edits in one request")
    async with resources.database.begin() as db:
        changed = await queries.change_memory(db, principal.user_id, ChatId(chat_id), body, resources.limits)
    resources.streams.feed.tell(principal.user_id, memory_changed(ChatId(chat_id)))
    resources.jobs.summarize(ChatId(chat_id))  # a worker that is summarizing has to begin again
    return MemoryView.of(changed)


@router.delete("", status_code=status.HTTP_204_NO_CONTENT)
async def make_memory_anew(chat_id: BigIntId, principal: CurrentPrincipal, resources: AppResources) -> None:
    """Forget the segments and facts, and have both made again. Pinned, edited and forgotten facts stay."""
    async with resources.database.begin() as db:
        await queries.make_memory_anew(db, principal.user_id, ChatId(chat_id), resources.limits.kept_messages)
    resources.streams.feed.tell(principal.user_id, memory_changed(ChatId(chat_id)))
    resources.jobs.summarize(ChatId(chat_id))
