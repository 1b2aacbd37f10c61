"""Claims: which attempt has a generation, and for how long.

Every statement is a compare-and-set on (status, attempt), timed by the database. A statement that changes no row means:
somebody else has moved the generation on.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Interval, Text, bindparam, exists, func, literal_column, select, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.dml import ReturningUpdate

from shared.database.engine import Connection
from shared.database.ownership import NOT_IN_TRASH
from shared.database.tables import Chat, DataSource, Generation, Message, User
from shared.database.times import from_now
from shared.generations.turn_order import QUEUED_NOW
from shared.ids import ChatId, GenerationId, MessageId, UserId
from shared.protocol.message_parts import MessagePart
from shared.states import GenerationStatus

Json = dict[str, Any]
QUEUED, RUNNING = GenerationStatus.QUEUED, GenerationStatus.RUNNING


# What is looked up in a chat with a memory, read here so that the look-up can begin at once.
_SAID_LAST: Final = """
    CASE WHEN chats.summary_position > 0 THEN ARRAY(
        SELECT content FROM messages
        WHERE chat_id = chats.id AND role = 'user' AND NOT replaced
            AND position <= (SELECT position FROM messages WHERE id = generations.user_message_id)
        ORDER BY position DESC LIMIT 2
    ) END
"""
_TAKEN_BACK: Final = """
    CASE WHEN chats.summary_position > 0 THEN ARRAY(
        SELECT coalesce(nullif(value, ''), quote) FROM memory_facts
        WHERE chat_id = chats.id AND forgotten_at IS NOT NULL AND replaced_by IS NULL
    ) END
"""


def _claim() -> ReturningUpdate[*tuple[Any, ...]]:
    return (
        update(Generation)
        .where(Generation.id == bindparam("generation"), Generation.status == QUEUED)
        .where(Chat.id == Generation.chat_id, NOT_IN_TRASH)
        .values(
            status=RUNNING,
            attempt=Generation.attempt + 1,
            parameters_attempt=Generation.attempt + 1,
            lease_expires_at=func.now() + bindparam("lease", type_=Interval),
            started_at=func.coalesce(Generation.started_at, func.now()),
        )
        .returning(
            Generation.attempt,
            Generation.user_id,
            Generation.chat_id,
            Generation.user_message_id,
            Generation.assistant_message_id,
            Generation.model,
            Generation.steps,
            select(Message.content).where(Message.id == Generation.assistant_message_id).scalar_subquery(),
            Chat.title_by,
            Chat.title_tries,
            Chat.summary_position,
            Generation.traceparent,
            (func.now() - Generation.created_at).label("waited"),
            func.coalesce(
                Generation.time_zone, select(User.time_zone).where(User.id == Generation.user_id).scalar_subquery()
            ),
            Chat.has_rows,
            exists().where(DataSource.user_id == Generation.user_id),
            select(Message.parts).where(Message.id == Generation.assistant_message_id).scalar_subquery(),
            Generation.usage,
            Generation.first_token_at.is_not(None),
            literal_column(_SAID_LAST, ARRAY(Text)),
            literal_column(_TAKEN_BACK, ARRAY(Text)),
            Generation.parameters,
            Chat.is_hidden,
        )
    )


_CLAIM: Final = _claim()


class Claimed(NamedTuple):
    """What a worker took: the attempt (>= 1), the fence of all later writes, and what earlier attempts saved.

    `waited` is how long ago the message was accepted. `title_tries` is how often a model was asked for the chat's title.
    `watermark` is the chat's at that time, 0 where nothing is summarized. `time_zone` is an IANA name: the message's, else
    the user's; None where neither has one. `has_rows`: the chat has rows of a user's database.
    `has_sources`: the user has connected a database. `parts` are those of the reply when it began to wait for a decision;
    None where it did not, or where the log has had them all since. `usage` is what its model calls took until then, and
    `has_first_token`: something was said. `said_last` is what the user said last, the question first, at most two messages;
    `taken_back` what was to be forgotten in this chat: both None where nothing is summarized. `parameters` is what the
    request asks of the model (parameters.py); None where it asks for nothing. `is_hidden`: the chat is hidden.
    """

    attempt: int
    user_id: UserId
    chat_id: ChatId
    user_message_id: MessageId
    assistant_message_id: MessageId
    model: str | None
    steps: list[Json] | None
    content: str
    title_by: str | None
    title_tries: int
    watermark: int
    traceparent: str | None
    waited: timedelta
    time_zone: str | None
    has_rows: bool = False
    has_sources: bool = False
    parts: list[MessagePart] | None = None
    usage: dict[str, Any] | None = None
    has_first_token: bool = False
    said_last: list[str] | None = None
    taken_back: list[str] | None = None
    parameters: Json | None = None
    is_hidden: bool = False


async def claim(db: Connection, generation_id: GenerationId, lease: timedelta) -> Claimed | None:
    """Take a queued generation. None when another worker has the generation, or when it is over or gone."""
    row = (await db.execute(_CLAIM, {"generation": generation_id, "lease": lease})).one_or_none()
    return Claimed._make(row) if row else None


def renew(attempts: Iterable[tuple[GenerationId, int]], lease: timedelta) -> ReturningUpdate[UUID]:
    """Prolong the leases of (generation, attempt) pairs. Returns the ids of those that the attempts still have."""
    return (
        update(Generation)
        .where(tuple_(Generation.id, Generation.attempt).in_(list(attempts)), Generation.status == RUNNING)
        .values(lease_expires_at=from_now(lease))
        .returning(Generation.id)
    )


def release(attempts: Iterable[tuple[GenerationId, int]]) -> ReturningUpdate[UUID]:
    """Give generations back so that another worker continues at once. This does not count as a loss."""
    return (
        update(Generation)
        .where(tuple_(Generation.id, Generation.attempt).in_(list(attempts)), Generation.status == RUNNING)
        .values(**QUEUED_NOW, lease_expires_at=None)
        .returning(Generation.id)
    )
