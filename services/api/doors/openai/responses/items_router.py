"""Items of conversations: listed, added, looked at, deleted. Source: docs/protocol.md, "Conversations"."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query

from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, CurrentPrincipal
from services.api.doors.openai.responses import item_queries, queries
from services.api.doors.openai.responses.ids import chat_of
from services.api.doors.openai.responses.input_items import GivenInput, insist_on_calls, read_added, read_input
from services.api.doors.openai.responses.objects import present_conversation
from services.api.doors.openai.responses.output_items import Json
from services.api.doors.openai.responses.pages import item_page, listed
from services.api.doors.openai.responses.schemas import NewItems
from services.api.fields import Digits
from services.api.message_pages import Place
from shared.database.engine import Connection
from shared.errors import CursorInvalid, ItemNotDeletable, ItemNotFound
from shared.generations.told_path import made_calls
from shared.ids import ChatId, UserId

router = APIRouter(route_class=JsonRoute, prefix="/v1/conversations/{conversation_id}/items", tags=["Conversations"])

_NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {404: {"description": "conversation_not_found"}}
_ITEM_NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {
    404: {"description": "conversation_not_found, item_not_found"}
}


@router.get("", responses=_NOT_FOUND)
async def list_items(
    conversation_id: str,
    principal: CurrentPrincipal,
    resources: AppResources,
    after: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=100), Digits] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> Json:
    """What was said in a conversation, input and output, and what waits: the last items first, unless `order` is `asc`."""
    mine = principal.user_id
    async with resources.database.connect() as db:
        chat_id = (await queries.find_conversation(db, mine, chat_of(conversation_id))).id
        waiting = [one.item for one in await item_queries.list_waiting(db, chat_id)]
        if after is not None and any(item["id"] == after for item in waiting):
            if order == "asc":
                return item_page(waiting, after, limit)
            page, after = item_page(waiting[::-1], after, limit + 1)["data"], None
        else:
            page = waiting[::-1] if order == "desc" and after is None else []
        if len(page) <= limit:
            page += await _said(db, mine, chat_id, after, limit + 1 - len(page), is_rising=order == "asc")
        if order == "asc":
            page += waiting
    return listed(page[:limit], has_more=len(page) > limit)


@router.post("", responses=_NOT_FOUND | {429: {"description": "too_many_requests"}})
async def add_items(conversation_id: str, body: NewItems, principal: CurrentPrincipal, resources: AppResources) -> Json:
    """Add items to a conversation. They wait until its next response takes them as the beginning of its input."""
    resources.message_rate.take(principal.user_id)
    given = read_added(body.items)
    mine, chat_id = principal.user_id, chat_of(conversation_id)
    async with resources.database.begin() as db:
        row = await queries.find_conversation(db, mine, chat_id)
        if given.awaited:
            await _insist_on_calls(db, row.id, given)
        added = await item_queries.add_items(db, mine, row.id, given.all_items)
    return listed(added, has_more=False)


@router.get("/{item_id}", responses=_ITEM_NOT_FOUND)
async def get_item(conversation_id: str, item_id: str, principal: CurrentPrincipal, resources: AppResources) -> Json:
    """An item of a conversation."""
    async with resources.database.connect() as db:
        row = await queries.find_conversation(db, principal.user_id, chat_of(conversation_id))
        found = await item_queries.find_items(db, principal.user_id, [item_id], row.id)
    if item_id not in found:
        raise ItemNotFound
    return found[item_id].item


@router.delete("/{item_id}", responses=_ITEM_NOT_FOUND | {409: {"description": "item_not_deletable"}})
async def delete_item(conversation_id: str, item_id: str, principal: CurrentPrincipal, resources: AppResources) -> Json:
    """Delete an item that waits for a response. One of a response goes with the response alone. Returns the conversation."""
    mine = principal.user_id
    async with resources.database.connect() as db:
        row = await queries.find_conversation(db, mine, chat_of(conversation_id))
        if not await item_queries.delete_waiting(db, mine, row.id, item_id):
            found = await item_queries.find_items(db, mine, [item_id], row.id)
            raise ItemNotDeletable if item_id in found else ItemNotFound
    return present_conversation(row)


async def _insist_on_calls(db: Connection, chat_id: ChatId, given: GivenInput) -> None:
    """Refuse a result of a call that nobody has made in the conversation. Raises as `insist_on_calls`."""
    waiting = [one.item for one in await item_queries.list_waiting(db, chat_id)]
    added = read_input(waiting, "conversation").messages if waiting else ()
    earlier = await queries.load_path(db, chat_id, None)
    if earlier.is_too_long:  # no response is told it, which says so
        return
    insist_on_calls(given, made_calls(earlier.path) | {call.id for message in added for call in message.calls})


async def _said(
    db: Connection, user_id: UserId, chat_id: ChatId, after: str | None, count: int, *, is_rising: bool
) -> list[Json]:
    """At most so many items of the path, behind the one with the id `after`.

    Raises:
        CursorInvalid: the conversation has no such item.

    """
    place, items = Place(forwards=is_rising), list[Json]()
    if after is not None:
        found = (await item_queries.find_items(db, user_id, [after], chat_id)).get(after)
        if found is None or found.position is None:
            raise CursorInvalid
        # The message that has the item may have others behind it.
        at = found.position
        place = Place(after=at - 1, forwards=True) if is_rising else Place(before=at + 1)
    wanted = after
    while True:
        messages, goes_on = await queries.list_conversation(db, user_id, chat_id, place, count - len(items) + 1)
        for message in messages if is_rising else messages[::-1]:
            own = message.items if is_rising else message.items[::-1]
            if wanted is not None:
                own, wanted = item_page(own, wanted, len(own))["data"], None
            items += own
            if len(items) >= count:
                return items[:count]
        if not goes_on:
            return items
        at = messages[-1].position if is_rising else messages[0].position
        place = Place(after=at, forwards=True) if is_rising else Place(before=at)
