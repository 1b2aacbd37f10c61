"""Pages of a chat's messages: so many messages, and no more bytes than the event loop writes in a moment."""

from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Select, Text, cast, func, or_, select

from shared.database.ownership import owned_by
from shared.database.tables import Chat, Message
from shared.ids import ChatId, UserId

MAX_MESSAGES: Final = 100
MAX_BYTES: Final = 1_000_000
"""Of the texts, parts and sources of a page, as UTF-8. A page has one message at least: those have up to 2 MB."""


class Place(NamedTuple):
    """Where a page is: behind the position `after`, before the position `before`; at the chat's end unless `forwards`."""

    after: int = 0
    before: int | None = None
    forwards: bool = False


NEWEST: Final = Place()

SIZE: Final = (
    func.octet_length(Message.content)
    + func.coalesce(func.octet_length(cast(Message.parts, Text)), 0)
    + func.coalesce(func.octet_length(cast(Message.sources, Text)), 0)
)
"""The bytes of a message, as MAX_BYTES counts them."""


def page_of(
    user_id: UserId,
    chat_id: ChatId,
    place: Place,
    limit: int = MAX_MESSAGES,
    *,
    with_replaced: bool = False,
    size: ColumnElement[int] = SIZE,
) -> Select[tuple[int, int]]:
    """The ids of a page's messages, each with the number of messages that there could be: more of them, where it goes on.

    `size` is what a message counts as, in bytes. No rows where the chat is absent, or another user's.
    """
    order: ColumnElement[int] = Message.position.asc() if place.forwards else Message.position.desc()
    found = select(Message.id, Message.position, size.label("size")).join(Chat, Chat.id == Message.chat_id)
    found = found.where(Chat.id == chat_id, owned_by(user_id), Message.position > place.after)
    if place.before is not None:
        found = found.where(Message.position < place.before)
    if not with_replaced:
        found = found.where(~Message.replaced)
    sized = found.order_by(order).limit(limit + 1).subquery()
    by_place = sized.c.position.asc() if place.forwards else sized.c.position.desc()
    counted = select(
        sized.c.id,
        func.count().over().label("candidates"),
        func.row_number().over(order_by=by_place).label("number"),
        func.sum(sized.c.size).over(order_by=by_place).label("bytes"),
    ).subquery()
    fits = or_(counted.c.bytes <= MAX_BYTES, counted.c.number == 1)
    return select(counted.c.id, counted.c.candidates).where(counted.c.number <= limit, fits)
