"""Items of conversations: listed, added, looked at, deleted. Source: docs/protocol.md, "Conversations"."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query

from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, CurrentPrincipal
from services.api.doors.openai.responses import item_queries, queries
from services.api.doors.openai.responses.ids import chat_of
from services.api.doors.openai.responses.includes import INCLUDES
from services.api.doors.openai.responses.input_items import GivenInput, insist_on_calls, read_added, read_input
from services.api.doors.openai.responses.objects import present_conversation
from services.api.doors.openai.responses.output_items import Json
from services.api.doors.openai.responses.pages import fitting, item_page, listed
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


@router.get("", dependencies=[INCLUDES], responses=_NOT_FOUND)
async def list_items(
    conversation_id: str,
    principal: CurrentPrincipal,
    resources: AppResources,
    after: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=100), Digits] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> Json:
    """What was said in a conversation, input and output, and what waits: the last items first, unless `order` is `asc`.

    A page has fewer than `limit` items where they are long. `has_more` says whether others come.
    """
    mine, is_rising = principal.user_id, order == "asc"
    async with resources.database.connect() as db:
        chat_id = (await queries.find_conversation(db, mine, chat_of(conversation_id))).id
        waiting = [one.item for one in await item_queries.list_waiting(db, chat_id)]
        if not is_rising:
            waiting.reverse()
        is_waiting = after is not None and any(item["id"] == after for item in waiting)
        if is_waiting:
            waiting, after = item_page(waiting, after, len(waiting))["data"], None
        if is_rising:
            page, goes_on = ([], False) if is_waiting else await _said(db, mine, chat_id, after, limit, is_rising=True)
            page += [] if goes_on else waiting
        else:
            page, goes_on = waiting if after is None else [], True
            if len(page) <= limit:
                said, goes_on = await _said(db, mine, chat_id, after, max(1, limit - len(page)), is_rising=False)
                page += said
    shown = fitting(page[:limit])
    return listed(shown, has_more=goes_on or len(page) > len(shown))


@router.post("", dependencies=[INCLUDES], responses=_NOT_FOUND | {429: {"description": "too_many_requests"}})
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


@router.get("/{item_id}", dependencies=[INCLUDES], responses=_ITEM_NOT_FOUND)
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
) -> tuple[list[Json], bool]:
    """At most so many items of the path, behind the one with the id `after`; and whether there are more.

    They are of messages with no more bytes than a page of messages has: who asks for long items asks more often.

    Raises:
        CursorInvalid: the conversation has no such item.

    """
    place = Place(forwards=is_rising)
    if after is not None:
        found = (await item_queries.find_items(db, user_id, [after], chat_id)).get(after)
        if found is None or found.position is None:
            raise CursorInvalid
        # The message that has the item may have others behind it.
        at = found.position
        place = Place(after=at - 1, forwards=True) if is_rising else Place(before=at + 1)
    items, goes_on = list[Json](), True
    while goes_on and not items:
        messages, goes_on = await queries.list_conversation(db, user_id, chat_id, place, count + 1)
        for message in messages if is_rising else messages[::-1]:
            own = message.items if is_rising else message.items[::-1]
            if after is not None:
                own, after = item_page(own, after, len(own))["data"], None
            items += own
        if messages:
            at = messages[-1].position if is_rising else messages[0].position
            place = Place(after=at, forwards=True) if is_rising else Place(before=at)
    return items[:count], goes_on or len(items) > count
