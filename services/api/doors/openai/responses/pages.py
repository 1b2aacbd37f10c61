"""Pages of items, as OpenAI's clients turn them. Pure."""

import json
from collections.abc import Sequence

from services.api.doors.openai.responses.output_items import Json
from services.api.message_pages import MAX_BYTES
from shared.errors import CursorInvalid


def item_page(items: Sequence[Json], after: str | None, limit: int) -> Json:
    """The page of these items behind the one with the id `after`.

    Raises:
        CursorInvalid: there is no such item.

    """
    begin = 0
    if after is not None:
        begin = next((number for number, item in enumerate(items, 1) if item.get("id") == after), 0)
        if not begin:
            raise CursorInvalid
    return listed(items[begin : begin + limit], has_more=len(items) > begin + limit)


def listed(items: Sequence[Json], *, has_more: bool) -> Json:
    """Items as a list."""
    return {
        "object": "list",
        "data": list(items),
        "first_id": items[0].get("id") if items else None,
        "last_id": items[-1].get("id") if items else None,
        "has_more": has_more,
    }


def fitting(items: Sequence[Json]) -> Sequence[Json]:
    """The first of the items, that together have no more bytes than a page of messages; the first one at least."""
    size = 0
    for number, item in enumerate(items):
        size += len(json.dumps(item, ensure_ascii=False).encode())
        if size > MAX_BYTES and number:
            return items[:number]
    return items
