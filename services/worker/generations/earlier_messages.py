"""The messages behind the watermark that bear on a question, looked up while the rest of the history is read."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from services.worker.generations.history import ChatHistory
from services.worker.look_up.port import FoundMessage, HistoryIndex, Scope
from shared.generations.claim import Claimed
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

MAX_FOUND: Final = 6
"""So many messages behind the watermark are looked up for an answer."""
WITHIN: Final = 3.0
"""Seconds. An answer does not wait longer for what it can do without."""


async def look_up(index: HistoryIndex, scope: Scope, said_last: Sequence[str]) -> tuple[FoundMessage, ...]:
    """The messages in the scope that bear on what the user said last, the best first. Never raises.

    Empty when the look-up fails or takes more than WITHIN seconds: an answer without them is better than none. The caller
    need hold no connection: to make terms and excerpts takes time.
    """
    try:
        async with asyncio.timeout(WITHIN):
            return await find(index, scope, said_last)
    except (SQLAlchemyError, TimeoutError) as error:
        log.warning("look_up_failed", error=type(error).__name__)
        return ()


async def find(index: HistoryIndex, scope: Scope, said_last: Sequence[str]) -> tuple[FoundMessage, ...]:
    """As `look_up`. Raises what the index raises."""
    if not scope.upto or not said_last:
        return ()
    question, *before = said_last
    return tuple(await index.find(scope, question, before="".join(before), limit=MAX_FOUND))


def scope_of(claimed: Claimed) -> Scope:
    """Where to look for an answer: in its chat, up to the watermark that was claimed with it."""
    forgotten = dict.fromkeys(value for value in claimed.taken_back or () if value)
    return Scope(claimed.user_id, claimed.chat_id, claimed.watermark, forgotten=tuple(forgotten))


def with_found(history: ChatHistory, found: tuple[FoundMessage, ...]) -> ChatHistory:
    """The history with what was looked up for it, but for messages that it tells in full."""
    return replace(history, looked_up=tuple(one for one in found if one.position <= history.memory.watermark))
