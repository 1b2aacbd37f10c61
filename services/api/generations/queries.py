"""Generations in the database. Ownership is in the WHERE clause: what belongs to another user is not found."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, cast

from sqlalchemy import ColumnElement, case, func, literal, or_, select, union_all

from shared.database.engine import Connection
from shared.database.ownership import CHAT_IS_THERE, owned_by
from shared.database.tables import Chat, Generation, Message
from shared.errors import ChatNotFound, GenerationNotFound
from shared.generations import title_tries
from shared.generations.outcome import Outcome
from shared.ids import ChatId, GenerationId, MessageId, UserId
from shared.protocol.message_parts import MessagePart
from shared.states import LIVE, GenerationStatus
from shared.streams.port import Offset

TITLE_AGE: Final = timedelta(seconds=2)
"""How long after a generation's end its chat's title may still come. A later reader has read the chat, and its title."""


# A worker completes a generation together with its reply. Whoever ends a generation otherwise saves what its log has after.
REPLY_IS_FINAL: Final = or_(Generation.status == GenerationStatus.COMPLETED, Generation.closed_at.is_not(None))
"""Whether the reply of a generation changes no more."""


class GenerationRow(NamedTuple):
    """A generation. Times are None until reached; `final_sequence` is None until the log is closed, or was lost.

    `log_length` is the sequence of the log's last frame when the generation began to await an approval, or when its log was
    made again; None before.
    `awaits_title`: the chat's title is still the first words of its first message, so that a model may make a better one.
    """

    id: GenerationId
    chat_id: ChatId
    user_message_id: MessageId
    assistant_message_id: MessageId
    status: str
    attempt: int
    model: str | None
    usage: dict[str, Any] | None
    finish_reason: str | None
    error_code: str | None
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    first_token_at: datetime | None
    finished_at: datetime | None
    closed_at: datetime | None
    final_sequence: int | None
    log_length: int | None
    awaits_title: bool

    @property
    def waits_at(self) -> Offset | None:
        """Where the log ends while the generation awaits an approval; None where it does not, or that is not known."""
        return _waits_at(self.status, self.attempt, self.log_length)


def _waits_at(status: str, attempt: int, log_length: int | None) -> Offset | None:
    is_known = status == GenerationStatus.AWAITING_APPROVAL and log_length is not None
    return Offset(attempt, log_length or 0) if is_known else None


_AWAITS_TITLE = select(title_tries.AWAITS_TITLE).where(Chat.id == Generation.chat_id).scalar_subquery()
_ROW = (
    *(getattr(Generation, name) for name in GenerationRow._fields if name != "awaits_title"),
    func.coalesce(_AWAITS_TITLE, False).label("awaits_title"),
)


def _mine(user_id: UserId) -> ColumnElement[bool]:
    return (Generation.user_id == user_id) & CHAT_IS_THERE


class EndedGeneration(NamedTuple):
    """A generation that is over, as its rows have it: what a log is rebuilt from. `parts` is None for plain text."""

    attempt: int
    outcome: Outcome
    content: str
    parts: list[MessagePart] | None


class GenerationState(NamedTuple):
    """A generation's status, and whether its row says that its log is closed. `waits_at` is as in GenerationRow."""

    status: str
    is_closed: bool
    waits_at: Offset | None = None


async def find_generation(db: Connection, user_id: UserId, generation_id: GenerationId) -> GenerationRow:
    """One generation.

    Raises:
        GenerationNotFound: absent, or another user's.

    """
    statement = select(*_ROW).where(Generation.id == generation_id, _mine(user_id))
    row = (await db.execute(statement)).one_or_none()
    if row is None:
        raise GenerationNotFound
    return GenerationRow._make(row)


async def check_chat(db: Connection, user_id: UserId, chat_id: ChatId) -> None:
    """See that the chat is there.

    Raises:
        ChatNotFound: absent, or another user's.

    """
    owned = select(Chat.id).where(Chat.id == chat_id, owned_by(user_id))
    if (await db.execute(owned)).one_or_none() is None:
        raise ChatNotFound


async def find_answer(
    db: Connection, user_id: UserId, chat_id: ChatId, message_id: MessageId | None
) -> GenerationRow | None:
    """The generation of a reply of the chat; None when `message_id` is none of these, or None."""
    if message_id is None:
        return None
    statement = select(*_ROW).where(
        Generation.assistant_message_id == message_id, Generation.chat_id == chat_id, _mine(user_id)
    )
    row = (await db.execute(statement)).one_or_none()
    return GenerationRow._make(row) if row else None


async def find_next(db: Connection, user_id: UserId, chat_id: ChatId, after: int) -> GenerationRow | None:
    """The generation of the chat's first reply after the message with this id; None when there is none."""
    statement = (
        select(*_ROW)
        .join(Message, Message.id == Generation.assistant_message_id)
        .where(~Message.replaced)
        .where(Generation.assistant_message_id > after, Generation.chat_id == chat_id, _mine(user_id))
        .order_by(Generation.assistant_message_id)
        .limit(1)
    )
    row = (await db.execute(statement)).one_or_none()
    return GenerationRow._make(row) if row else None


async def find_latest(db: Connection, user_id: UserId, chat_id: ChatId) -> GenerationRow | None:
    """The chat's live generation, else the newest whose reply is not replaced; None when the chat has none.

    Raises:
        ChatNotFound: absent, or another user's.

    """
    await check_chat(db, user_id, chat_id)
    in_chat = select(Generation.id).where(Generation.chat_id == chat_id)
    live = in_chat.where(Generation.status.in_(LIVE))
    newest = (
        in_chat.join(Message, Message.id == Generation.assistant_message_id)
        .where(~Message.replaced)
        .order_by(Generation.created_at.desc())
        .limit(1)
    )
    one = func.coalesce(live.scalar_subquery(), newest.scalar_subquery())
    row = (await db.execute(select(*_ROW).where(Generation.id == one))).one_or_none()
    return GenerationRow._make(row) if row else None


async def find_many(db: Connection, generation_ids: Sequence[GenerationId]) -> list[GenerationRow]:
    """These generations, in the order of their messages."""
    statement = select(*_ROW).where(Generation.id.in_(generation_ids)).order_by(Generation.user_message_id)
    return [GenerationRow._make(row) for row in await db.execute(statement)]


async def find_queue_positions(db: Connection, limit: int) -> dict[GenerationId, int]:
    """The positions from 1 of queued generations, and 0 for each waiting one; at most `limit` of each kind."""
    queued = (
        select(Generation.id, func.row_number().over(order_by=(Generation.created_at, Generation.id)))
        .where(Generation.status == GenerationStatus.QUEUED)
        .order_by(Generation.created_at, Generation.id)
        .limit(limit)
    )
    waiting = select(Generation.id, literal(0)).where(Generation.status == GenerationStatus.WAITING).limit(limit)
    rows = (await db.execute(union_all(queued.subquery().select(), waiting.subquery().select()))).all()
    return {GenerationId(generation_id): position for generation_id, position in rows}


async def find_ended(db: Connection, generation_id: GenerationId) -> EndedGeneration | None:
    """A generation that is over, with its reply; None when the generation is gone."""
    statement = (
        select(
            Generation.status,
            Generation.attempt,
            Generation.finish_reason,
            Generation.error_code,
            Generation.error_message,
            Generation.usage,
            Message.content,
            Message.parts,
        )
        .join(Message, Message.id == Generation.assistant_message_id)
        .where(Generation.id == generation_id)
    )
    row = (await db.execute(statement)).one_or_none()
    if row is None:
        return None
    outcome = Outcome.from_row(row.status, row.finish_reason, row.error_code, row.error_message, row.usage)
    return EndedGeneration(row.attempt, outcome, row.content, cast("list[MessagePart] | None", row.parts))


async def find_title(db: Connection, generation_id: GenerationId) -> tuple[str | None, bool]:
    """The title that a model made for the generation's chat, or None; and whether a model may be making one now."""
    has_just_ended = Generation.finished_at > func.now() - TITLE_AGE
    statement = select(
        case((Chat.title_by == "model", Chat.title)),
        func.coalesce(title_tries.MAY_BE_COMING & has_just_ended, False),
    ).where(Generation.id == generation_id, Chat.id == Generation.chat_id)
    row = (await db.execute(statement)).one_or_none()
    return (row[0], row[1]) if row else (None, False)


async def find_state(db: Connection, generation_id: GenerationId) -> GenerationState | None:
    """The state of a generation; None when the generation is gone."""
    columns = (Generation.status, Generation.closed_at.is_not(None), Generation.attempt, Generation.log_length)
    row = (await db.execute(select(*columns).where(Generation.id == generation_id))).one_or_none()
    if row is None:
        return None
    status, is_closed, attempt, log_length = row
    return GenerationState(status, is_closed, _waits_at(status, attempt, log_length))
