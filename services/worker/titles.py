"""A better title for a chat than the first words of its first message.

The model finds the title while the answer is written.
Readers get a new title as a `data-title` frame (`title` in shared/protocol/frames.py).
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from sqlalchemy import func, literal, select, update
from sqlalchemy.orm import aliased

from services.worker import prompts
from services.worker.model_calls import noted_answer
from services.worker.models.answer import Answer
from services.worker.models.port import ChatModel, ModelMessage, ModelRequest
from services.worker.title_answers import title_in
from shared.database.engine import Connection, Database
from shared.database.tables import Chat, Generation, Message
from shared.errors import ModelError, StreamsUnavailable
from shared.generations import title_tries
from shared.ids import ChatId, GenerationId, UserId
from shared.protocol import frames
from shared.protocol.encoding import encode
from shared.protocol.feed_events import chat_renamed
from shared.streams.feed.publisher import FeedPublisher
from shared.streams.redis import TransientFrames
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import Metrics

log = get_logger(__name__)

WITHIN: Final = 20.0
READ_CHARS: Final = 2_000
MAX_TOKENS: Final = 1_024
"""More than a title takes, since some models think first."""


_first: Final = aliased(Message)
_FIRST: Final = (
    select(func.min(_first.position))
    .where(_first.chat_id == Chat.id, ~_first.replaced)
    .correlate(Chat)
    .scalar_subquery()
)
"""The position of a chat's first message. Others may be replaced."""


class UntitledChat(NamedTuple):
    """A chat whose title is the first words of its first message, and the message."""

    chat_id: ChatId
    user_id: UserId
    first_message: str
    position: int


@dataclass(frozen=True, slots=True)
class Titles:
    """Makes titles. `model_name` is the model that is asked, `max_tokens` the most that it may write."""

    database: Database
    model: ChatModel
    model_name: str
    max_tokens: int
    transient_frames: TransientFrames
    feed: FeedPublisher
    metrics: Metrics

    async def make(self, generation_id: GenerationId) -> None:
        """Give the generation's chat a title, unless its user or an earlier job has done so, or it was given up.

        Live readers get it at once.
        """
        async with self.database.connect() as db:
            chat = await _find_untitled(db, generation_id)
        if chat is None:
            return
        try:
            answer = await self._ask(chat)
        except ModelError as error:
            log.warning("title_failed", **error.log_fields)
            return
        # An answer that was cut off or filtered may end in the middle of a title.
        title = title_in(answer.text) if answer.finish_reason not in {"length", "content-filter"} else ""
        async with self.database.begin() as db:
            is_new = bool(title) and await _save_title(db, chat, title)
            if not title:
                await db.execute(title_tries.give_up(chat.chat_id))
                log.info("title_not_usable", model=answer.model)
        if is_new:
            self.feed.tell(chat.user_id, chat_renamed(chat.chat_id, title, "model"))
            try:
                await self.transient_frames.send(generation_id, encode(frames.title(title)))
            except StreamsUnavailable as error:
                log.warning("title_not_told", error=error.code)

    async def _ask(self, chat: UntitledChat) -> Answer:
        question = prompts.quoted(chat.first_message[:READ_CHARS])
        conversation = [ModelMessage("system", prompts.TITLE), ModelMessage("user", question)]
        request = ModelRequest(
            self.model_name, conversation, max_tokens=min(self.max_tokens, MAX_TOKENS), is_brief=True
        )
        return await noted_answer(
            self.database,
            self.metrics,
            self.model,
            request,
            chat.user_id,
            "title",
            chat_id=chat.chat_id,
            within=WITHIN,
        )


async def _find_untitled(db: Connection, generation_id: GenerationId) -> UntitledChat | None:
    """The generation's chat. None when it has a better title, is to be asked about no more, or is gone."""
    statement = (
        select(Chat.id, Chat.user_id, Message.content, Message.position)
        .join(Generation, Generation.chat_id == Chat.id)
        .join(Message, Message.chat_id == Chat.id)
        .where(Generation.id == generation_id, Message.position == _FIRST)
        .where(title_tries.AWAITS_TITLE, Chat.title_tries <= title_tries.MAX_TRIES)
    )
    row = (await db.execute(statement)).one_or_none()
    return UntitledChat(ChatId(row.id), UserId(row.user_id), row.content, row.position) if row else None


async def _save_title(db: Connection, chat: UntitledChat, title: str) -> bool:
    """Save the title, unless the chat has got one, or its first message was edited. Returns whether it was saved."""
    statement = (
        update(Chat)
        .where(Chat.id == chat.chat_id, title_tries.AWAITS_TITLE, literal(chat.position) == _FIRST)
        .values(title=title, title_by="model", updated_at=func.now())
        .returning(Chat.id)
    )
    return (await db.execute(statement)).one_or_none() is not None
