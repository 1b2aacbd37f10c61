"""The trash: chats that may be restored for a while. To every other route they are absent."""

from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response, status

from services.api import cursors
from services.api.bodies import JsonRoute
from services.api.chats import queries
from services.api.chats.router import Limit
from services.api.chats.schemas import Chat, TrashedChat
from services.api.chats.trash_queries import list_trash
from services.api.dependencies import AppResources, CurrentPrincipal
from services.api.fields import BigIntId
from services.api.generations.cancellation import end_cancelled
from services.api.pages import link_next
from shared.chats import trash
from shared.errors import ChatNotFound
from shared.ids import ChatId

router = APIRouter(route_class=JsonRoute, prefix="/api", tags=["chats"])

_NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {404: {"description": "chat_not_found"}}


@router.get("/trash", responses={422: {"description": "validation_failed, cursor_invalid"}})
async def get_trash(
    request: Request,
    response: Response,
    principal: CurrentPrincipal,
    resources: AppResources,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Limit = 50,
) -> list[TrashedChat]:
    """The user's chats in the trash, the last deleted first. The next page is in the `Link` header (RFC 8288)."""
    before = cursors.read(cursor, cursors.number) if cursor else None
    async with resources.database.connect() as db:
        rows = await list_trash(db, principal.user_id, before=before, limit=limit + 1)
    kept_for = timedelta(days=resources.limits.trash_days)
    page = [TrashedChat.of(row, kept_for) for row in rows[:limit]]
    if len(rows) > limit:
        link_next(request, response, cursor=cursors.write(page[-1].deleted_at, page[-1].id))
    return page


@router.post("/chats/{chat_id}/trash", status_code=status.HTTP_204_NO_CONTENT, responses=_NOT_FOUND)
async def move_to_trash(chat_id: BigIntId, principal: CurrentPrincipal, resources: AppResources) -> None:
    """Move a chat to the trash. Its generations are stopped."""
    streams = resources.streams
    async with resources.database.begin() as db:
        moved = await trash.move_to_trash(db, principal.user_id, [ChatId(chat_id)])
    if not moved.chat_ids:
        raise ChatNotFound
    trash.tell_moved(streams.feed, principal.user_id, moved.chat_ids)
    await end_cancelled(resources.database, streams, resources.jobs, resources.metrics, moved.cancelled)


@router.post("/chats/{chat_id}/restore", responses=_NOT_FOUND)
async def restore(chat_id: BigIntId, principal: CurrentPrincipal, resources: AppResources) -> Chat:
    """Take a chat out of the trash. Returns the chat; one that is not in the trash stays as it is."""
    async with resources.database.begin() as db:
        restored = await trash.restore(db, principal.user_id, [ChatId(chat_id)])
        chat = await queries.find_chat(db, principal.user_id, ChatId(chat_id))
    trash.tell_restored(resources.streams.feed, principal.user_id, restored)
    return Chat.model_validate(chat)
