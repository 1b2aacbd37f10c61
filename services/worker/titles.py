"""A better title for a chat than its first message's first words: found by the model, beside the answer."""

import asyncio
from typing import Final

from sqlalchemy import func, select, update

from services.worker import prompts
from services.worker.generations.desk import Desk
from services.worker.models.answer import whole_answer
from services.worker.models.port import ModelMessage, ModelRequest
from shared import usage
from shared.database.tables import Chat, Generation, Message
from shared.errors import ModelError, StreamsUnavailable
from shared.ids import ChatId, GenerationId, UserId
from shared.protocol import frames
from shared.protocol.encoding import encode
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

WITHIN: Final = 20.0
READ_CHARS: Final = 2_000
MAX_CHARS: Final = 80
MAX_TOKENS: Final = 1_024
"""More than a title takes: some models think first."""
QUOTES: Final = "\"'`*#“”„«»「」 \t"


async def make_title(desk: Desk, generation_id: GenerationId) -> None:
    """Give the chat of this generation a title, unless its user or an earlier job has done so. Readers are told at once."""
    statement = (
        select(Chat.id, Chat.user_id, Message.content)
        .join(Generation, Generation.chat_id == Chat.id)
        .join(Message, Message.id == Generation.user_message_id)
        .where(Generation.id == generation_id, Chat.title_by == "message")
    )
    async with desk.database.connect() as db:
        row = (await db.execute(statement)).one_or_none()
    if row is None:
        return
    question = prompts.quoted(row.content[:READ_CHARS])
    conversation = [ModelMessage("system", prompts.TITLE), ModelMessage("user", question)]
    try:
        async with asyncio.timeout(WITHIN):
            request = ModelRequest(desk.models.default, conversation, max_tokens=MAX_TOKENS, is_brief=True)
            answer = await whole_answer(desk.model, request)
    except (ModelError, TimeoutError) as error:
        log.warning("title_failed", error=type(error).__name__)
        return
    title = tidy(answer.text)
    named = (
        update(Chat)
        .where(Chat.id == row.id, Chat.title_by == "message")
        .values(title=title, title_by="model", updated_at=func.now())
        .returning(Chat.id)
    )
    async with desk.database.begin() as db:
        if answer.usage is not None:
            owner, chat = UserId(row.user_id), ChatId(row.id)
            await db.execute(usage.record(owner, "title", answer.model, answer.usage, chat_id=chat))
        changed = bool(title) and (await db.execute(named)).one_or_none() is not None
    if answer.usage is not None:
        desk.metrics.tokens(answer.model, answer.usage)
    if changed:
        try:
            await desk.transient_frames.send(generation_id, encode(frames.title(title)))
        except StreamsUnavailable as error:
            log.warning("title_not_told", error=error.code)


def tidy(text: str) -> str:
    """What the model said as a title: its first line, without the quotation marks and headings that models add."""
    line = next((line for line in text.splitlines() if line.strip(QUOTES)), "")
    title = " ".join(line.strip(QUOTES).removeprefix("Title:").strip(QUOTES).rstrip(".").split())
    return title if len(title) <= MAX_CHARS else title[: MAX_CHARS - 1].rstrip() + "…"
