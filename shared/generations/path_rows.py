"""The messages of a path in the database, with what their requests brought along. No more is loaded than a model may be told."""

from typing import Any, Final

from sqlalchemy import ColumnElement, Integer, Select, Text, case, cast, func, literal_column, or_, select
from sqlalchemy.dialects.postgresql import JSONB

from shared.database.engine import Connection
from shared.database.tables import Generation, Message
from shared.generations.parameters import MAX_MESSAGES, MAX_TEXT_CHARS
from shared.generations.told_path import Earlier, PathMessage
from shared.ids import ChatId
from shared.memory.chat_memory import read_taken_back

IS_CALL: Final[ColumnElement[Any]] = literal_column(
    "'$[*] ? (@.type == \"dynamic-tool\" && @.providerExecuted == false)'::jsonpath"
)
"""Finds the parts of a message's calls that its client was to make."""
_GIVEN: Final = (
    select(Generation.parameters["messages"])
    .where(Generation.user_message_id == Message.id, Generation.parameters.has_key("continues_chat"))
    .order_by(Generation.created_at.desc())
    .limit(1)
    .scalar_subquery()
)
"""What the request brought that a user's message stands for. A reply that was made anew has none of its own."""


async def load_earlier(db: Connection, chat_id: ChatId, *which: ColumnElement[bool]) -> Earlier:
    """The messages of a chat that are told before a request, by conditions on Message; and what the user took back there."""
    rows = (await db.execute(_statement(chat_id, *which))).all()
    if rows and (rows[0].all_chars > MAX_TEXT_CHARS or rows[0].all_messages > MAX_MESSAGES):
        return Earlier(is_too_long=True)
    path = [PathMessage._make(tuple(row)[:-2]) for row in rows]
    return Earlier(path, await read_taken_back(db, chat_id) if path else ())


def _statement(chat_id: ChatId, *which: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """The messages, each with the characters and the number of all. Only the first comes where these are too many."""
    is_user = Message.role == "user"
    found = (
        select(
            Message.position,
            Message.role,
            Message.content,
            Message.status,
            case((is_user, _GIVEN)).label("given"),
            case((~is_user, func.jsonb_path_query_array(Message.parts, IS_CALL, type_=JSONB))).label("calls"),
        )
        .where(Message.chat_id == chat_id, *which)
        .cte("found")
    )
    given = func.jsonb_array_elements(found.c.given).table_valued("value").render_derived()
    of_given = select(
        func.sum(
            func.length(func.coalesce(given.c.value.op("->>")("content"), ""))
            + func.length(func.coalesce(given.c.value.op("->>")("calls"), ""))
        )
    ).scalar_subquery()
    own = func.coalesce(cast(of_given, Integer), func.length(found.c.content))
    size = own + func.coalesce(func.length(cast(func.nullif(found.c.calls, literal_column("'[]'::jsonb")), Text)), 0)
    sized = select(
        found,
        func.sum(size).over().label("all_chars"),
        func.sum(func.coalesce(func.jsonb_array_length(found.c.given), 1)).over().label("all_messages"),
        func.row_number().over(order_by=found.c.position).label("number"),
    ).cte("sized")
    fits = (sized.c.all_chars <= MAX_TEXT_CHARS) & (sized.c.all_messages <= MAX_MESSAGES)
    shown = (
        sized.c.position,
        sized.c.role,
        case((sized.c.given.is_(None), sized.c.content), else_=""),
        sized.c.status,
        sized.c.given,
        sized.c.calls,
        sized.c.all_chars,
        sized.c.all_messages,
    )
    return select(*shown).where(or_(fits, sized.c.number == 1)).order_by(sized.c.position)
