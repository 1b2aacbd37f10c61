"""Searching one's chats."""

from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import StringConstraints

from services.api.bodies import JsonRoute
from services.api.chats.schemas import FoundChat
from services.api.dependencies import AppResources, CurrentPrincipal
from services.api.fields import Digits, NotBlank, Storable
from shared.chats.search import MAX_QUERY_CHARS, search_chats

router = APIRouter(route_class=JsonRoute, prefix="/api/search", tags=["chats"])

MAX_FOUND: Final = 50

Words = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_QUERY_CHARS),
    Storable,
    NotBlank,
    Query(description="All of these words are in what is found. Case does not matter."),
]


@router.get("")
async def search(
    principal: CurrentPrincipal,
    resources: AppResources,
    q: Words,
    limit: Annotated[int, Query(ge=1, le=MAX_FOUND, description="How many chats at most."), Digits] = 20,
) -> list[FoundChat]:
    """The user's chats whose title has all words, then those with a message that has them; the newest activity first.

    All titles are searched. Of messages, only the newest ones of the newest chats are (docs/protocol.md says how many).
    """
    async with resources.database.connect() as db:
        found = await search_chats(db, principal.user_id, q, limit=limit)
    return [FoundChat.model_validate(chat) for chat in found]
