"""What a user's chats may tell each other: look at it, correct it, switch it on and off, forget it."""

from collections.abc import Mapping

from fastapi import APIRouter, status

from services.api.auth.principal import Principal
from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, CurrentPrincipal
from services.api.memory import shared_queries
from services.api.memory.schemas import SharedFactView, SharedMemoryChange, SharedMemoryView
from services.api.memory.shared_queries import SharedMemory
from services.api.resources import Resources
from shared.errors import MemoryTooLarge
from shared.ids import ChatId
from shared.memory.facts import MAX_KEPT
from shared.protocol.feed_events import memory_changed

router = APIRouter(route_class=JsonRoute, prefix="/api/memory", tags=["memory"])


@router.get("")
async def get_shared_memory(principal: CurrentPrincipal, resources: AppResources) -> SharedMemoryView:
    """The newest facts that the user's chats may tell each other, at most 60. No fact is of a temporary chat."""
    async with resources.database.connect() as db:
        return _view(await shared_queries.find_shared_memory(db, principal.user_id))


@router.patch("", responses={422: {"description": "validation_failed, memory_item_not_found, memory_too_large"}})
async def change_shared_memory(
    body: SharedMemoryChange, principal: CurrentPrincipal, resources: AppResources
) -> SharedMemoryView:
    """Switch sharing on or off; correct, pin and forget facts of any chat; add facts for all chats."""
    if len(body.facts or ()) > MAX_KEPT:
        raise MemoryTooLarge("facts", MAX_KEPT, "edits in one request")
    async with resources.database.begin() as db:
        memory, chats = await shared_queries.change_shared_memory(db, principal.user_id, body, resources.limits.facts)
    _tell(resources, principal, chats)
    return _view(memory)


@router.delete("", status_code=status.HTTP_204_NO_CONTENT)
async def forget_shared_memory(principal: CurrentPrincipal, resources: AppResources) -> None:
    """Forget all facts that the user's chats may tell each other. Whether chats share facts stays as it is."""
    async with resources.database.begin() as db:
        chats = await shared_queries.forget_shared_memory(db, principal.user_id)
    _tell(resources, principal, chats)


def _tell(resources: Resources, principal: Principal, chats: Mapping[ChatId, bool]) -> None:
    """Tell that the shared memory has changed, and the memories of these chats. Have those summarized that are due."""
    resources.streams.feed.tell(principal.user_id, *map(memory_changed, (None, *chats)))
    for chat_id, is_due in chats.items():
        if is_due:
            resources.jobs.summarize(chat_id)


def _view(memory: SharedMemory) -> SharedMemoryView:
    return SharedMemoryView(enabled=memory.enabled, facts=[SharedFactView.of(one) for one in memory.facts])
