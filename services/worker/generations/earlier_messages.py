"""The messages behind the watermark that bear on a question, looked up while the rest of the history is read."""

import asyncio
from dataclasses import replace
from typing import Final, NamedTuple

from sqlalchemy import BigInteger, bindparam, text
from sqlalchemy.exc import SQLAlchemyError

from services.worker.generations.history import ChatHistory
from services.worker.look_up.port import FoundMessage, HistoryIndex, Scope
from shared.database.engine import Connection, Database
from shared.generations.claim import Claimed
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

MAX_FOUND: Final = 6
"""So many messages behind the watermark are looked up for an answer."""
WITHIN: Final = 3.0
"""Seconds. An answer does not wait longer for what it can do without."""

# Everything that a look-up has to know, in one round trip. The newest message that the user wrote is the question.
_ASKED: Final = text("""
SELECT chats.summary_position AS watermark,
    ARRAY(
        SELECT content FROM messages
        WHERE chat_id = chats.id AND role = 'user' AND NOT replaced
            AND position <= (SELECT position FROM messages WHERE id = :question)
        ORDER BY position DESC LIMIT 2
    ) AS said,
    ARRAY(
        SELECT coalesce(nullif(value, ''), quote) FROM memory_facts
        WHERE chat_id = chats.id AND forgotten_at IS NOT NULL AND replaced_by IS NULL
    ) AS taken_back
FROM chats WHERE id = :chat
""").bindparams(bindparam("chat", type_=BigInteger), bindparam("question", type_=BigInteger))


class Asked(NamedTuple):
    """What a look-up has to know: the chat's watermark, what the user said last, the newest first, and took back."""

    watermark: int
    said: list[str]
    taken_back: list[str]


async def look_up(database: Database, index: HistoryIndex, claimed: Claimed) -> tuple[FoundMessage, ...]:
    """The messages of the chat, up to its watermark, that bear on the question, the best first. Never raises.

    Empty when the look-up fails or takes more than WITHIN seconds: an answer without them is better than none. The caller
    need hold no connection: to make terms and excerpts takes time.
    """
    if not claimed.watermark:
        return ()
    try:
        async with asyncio.timeout(WITHIN):
            async with database.connect() as db:
                asked = await read_asked(db, claimed)
            return await find(index, claimed, asked)
    except (SQLAlchemyError, TimeoutError) as error:
        log.warning("look_up_failed", error=type(error).__name__)
        return ()


async def read_asked(db: Connection, claimed: Claimed) -> Asked | None:
    """What a look-up for this generation has to know; None when the chat is gone."""
    values = {"chat": claimed.chat_id, "question": claimed.user_message_id}
    row = (await db.execute(_ASKED, values)).one_or_none()
    return Asked(*row) if row else None


async def find(index: HistoryIndex, claimed: Claimed, asked: Asked | None) -> tuple[FoundMessage, ...]:
    """The messages that bear on what was asked. Raises what the index raises."""
    if asked is None or not asked.said:
        return ()
    question, *before = asked.said
    forgotten = tuple(value for value in dict.fromkeys(asked.taken_back) if value)
    scope = Scope(claimed.user_id, claimed.chat_id, asked.watermark, forgotten=forgotten)
    return tuple(await index.find(scope, question, before="".join(before), limit=MAX_FOUND))


def with_found(history: ChatHistory, found: tuple[FoundMessage, ...]) -> ChatHistory:
    """The history with what was looked up for it, but for messages that it tells in full."""
    return replace(history, looked_up=tuple(one for one in found if one.position <= history.memory.watermark))
