"""Chats: list, make, read, rename, delete."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request, Response, status

from services.api import cursors
from services.api.bodies import JsonRoute
from services.api.chats import queries
from services.api.chats.schemas import Chat, ChatChange, ChatWithMessages, Message, NewChat
from services.api.dependencies import AppResources, CurrentPrincipal
from services.api.fields import BigIntId, Digits
from services.api.generations.cancellation import end_deleted
from services.api.message_pages import MAX_MESSAGES, Place
from services.api.own_paths import own_path
from services.api.pages import link_next, link_previous
from shared.ids import MAX_BIGINT, ChatId
from shared.operations.telling import tell_all
from shared.protocol import feed_events

router = APIRouter(route_class=JsonRoute, prefix="/api/chats", tags=["chats"])

_NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {404: {"description": "chat_not_found"}}

Limit = Annotated[int, Query(ge=1, le=100, description="Page size."), Digits]
Include = Annotated[Literal["replaced"] | None, Query(description="With `replaced`, all versions of all messages.")]


@router.get("", responses={422: {"description": "validation_failed, cursor_invalid"}})
async def list_chats(
    request: Request,
    response: Response,
    principal: CurrentPrincipal,
    resources: AppResources,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Limit = 50,
    temporary: Annotated[bool, Query(description="The temporary chats instead of the others.")] = False,
) -> list[Chat]:
    """The user's chats, newest activity first. The next page is in the `Link` header (RFC 8288)."""
    before = cursors.read(cursor, cursors.number) if cursor else None
    async with resources.database.connect() as db:
        rows = await queries.list_chats(db, principal.user_id, before=before, limit=limit + 1, temporary=temporary)
    page = [Chat.model_validate(row) for row in rows[:limit]]
    if len(rows) > limit:
        link_next(request, response, cursor=cursors.write(page[-1].last_message_at, page[-1].id))
    return page


@router.post("", status_code=status.HTTP_201_CREATED)
async def create_chat(
    principal: CurrentPrincipal, resources: AppResources, response: Response, body: NewChat | None = None
) -> Chat:
    """Make an empty chat. A temporary one is deleted a while after its last message."""
    body = body or NewChat()
    async with resources.database.connect() as db:
        row = await queries.add_chat(db, principal.user_id, body.title, temporary=body.temporary)
    created = feed_events.chat_created(row.id, row.title, row.created_at, temporary=row.temporary)
    resources.streams.feed.tell(principal.user_id, created)
    response.headers["Location"] = own_path(f"/api/chats/{row.id}")
    return Chat.model_validate(row)


@router.get("/{chat_id}", responses=_NOT_FOUND)
async def get_chat(
    chat_id: BigIntId, principal: CurrentPrincipal, resources: AppResources, include: Include = None
) -> ChatWithMessages:
    """A chat with the newest messages of its active path, by position. `older_url` is where those before them are."""
    with_replaced = include is not None
    async with resources.database.connect() as db:
        chat = await queries.find_chat(db, principal.user_id, ChatId(chat_id))
        page = await queries.list_messages(db, principal.user_id, ChatId(chat_id), with_replaced=with_replaced)
    return ChatWithMessages.of(chat, page, with_replaced=with_replaced)


@router.get("/{chat_id}/messages", responses=_NOT_FOUND)
async def list_messages(
    request: Request,
    response: Response,
    chat_id: BigIntId,
    principal: CurrentPrincipal,
    resources: AppResources,
    after: Annotated[int, Query(ge=0, le=MAX_BIGINT, description="Positions past this one."), Digits] = 0,
    before: Annotated[
        int | None, Query(ge=1, le=MAX_BIGINT, description="The last positions before this one."), Digits
    ] = None,
    limit: Limit = MAX_MESSAGES,
    include: Include = None,
) -> list[Message]:
    """A page of the messages of a chat's active path, by position. `Link` has the next page; with `before`, the previous one.

    A page ends early where its messages are long.
    """
    owner, chat, with_replaced = principal.user_id, ChatId(chat_id), include is not None
    place = Place(after, before, forwards=before is None)
    async with resources.database.connect() as db:
        await queries.find_chat(db, owner, chat)
        page = await queries.list_messages(db, owner, chat, place, limit, with_replaced=with_replaced)
    if page.goes_on and before is None:
        link_next(request, response, after=page.messages[-1].position)
    elif page.goes_on:
        link_previous(request, response, before=page.messages[0].position)
    return [Message.model_validate(row) for row in page.messages]


@router.patch("/{chat_id}", responses=_NOT_FOUND)
async def rename_chat(
    chat_id: BigIntId, body: ChatChange, principal: CurrentPrincipal, resources: AppResources
) -> Chat:
    """Change a chat's title."""
    async with resources.database.connect() as db:
        row = await queries.rename_chat(db, principal.user_id, ChatId(chat_id), body.title)
    resources.streams.feed.tell(principal.user_id, feed_events.chat_renamed(row.id, body.title, "user"))
    return Chat.model_validate(row)


@router.delete("/{chat_id}", status_code=status.HTTP_204_NO_CONTENT, responses=_NOT_FOUND)
async def delete_chat(chat_id: BigIntId, principal: CurrentPrincipal, resources: AppResources) -> None:
    """Delete a chat and its messages. Its generations are stopped, and what they have proposed is refused."""
    async with resources.database.begin() as db:
        deleted, refused = await queries.delete_chat(db, principal.user_id, ChatId(chat_id))
    resources.streams.feed.tell(principal.user_id, feed_events.chat_deleted(ChatId(chat_id)))
    tell_all(resources.jobs, resources.streams.feed, refused)
    await end_deleted(resources.streams, deleted)
