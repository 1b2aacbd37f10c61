"""Generations in the database."""

from typing import Any, Final, NamedTuple

from sqlalchemy import Row, bindparam, func, insert, literal, select, true, update
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.exc import IntegrityError

from shared.database.engine import Connection
from shared.database.tables import Chat, Generation, Message
from shared.errors import ChatNotFound, GenerationInProgress, GenerationNotFound
from shared.generation import LIVE, GenerationStatus, MessageStatus
from shared.ids import ChatId, GenerationId, UserId, new_generation_id

TITLE_CHARS: Final = 80
ONE_LIVE_PER_CHAT: Final = "uq_generations_chat_id_live"


class Turn(NamedTuple):
    """What accepting a message made: the message, the empty reply, the queued generation."""

    generation_id: GenerationId
    user_message_id: int
    assistant_message_id: int
    position: int
    created_at: Any


def _open_turn() -> Any:  # noqa: ANN401 - SQLAlchemy's type of it is not worth reading
    """One statement: allocate two positions by the chat's row, insert the message, its empty reply and the generation.

    No row means that the chat is absent or another's. Built once, since building it takes longer than running it.
    """
    chat = (
        update(Chat)
        .where(Chat.id == bindparam("chat"), Chat.user_id == bindparam("owner"))
        .values(
            last_position=Chat.last_position + 2,
            last_message_at=func.now(),
            updated_at=func.now(),
            title=func.coalesce(Chat.title, bindparam("first_title")),
        )
        .returning(Chat.id, Chat.user_id, Chat.last_position)
        .cte("chat")
    )
    columns = ("chat_id", "role", "content", "position", "status")
    question = (
        insert(Message)
        .from_select(
            columns,
            select(
                chat.c.id,
                literal("user"),
                bindparam("question", type_=Message.content.type),
                chat.c.last_position - 1,
                literal(MessageStatus.COMPLETED.value),
            ),
        )
        .returning(Message.id, Message.created_at)
        .cte("question")
    )
    reply = (
        insert(Message)
        .from_select(
            columns,
            select(
                chat.c.id, literal("assistant"), literal(""), chat.c.last_position, literal(MessageStatus.PENDING.value)
            ),
        )
        .returning(Message.id)
        .cte("reply")
    )
    generation = (
        insert(Generation)
        .from_select(
            ("id", "user_id", "chat_id", "user_message_id", "assistant_message_id", "status"),
            select(
                bindparam("generation", type_=UUID(as_uuid=True)),
                chat.c.user_id,
                chat.c.id,
                question.c.id,
                reply.c.id,
                literal(GenerationStatus.QUEUED.value),
            ).select_from(chat.join(question, true()).join(reply, true())),
        )
        .returning(Generation.id)
        .cte("generation")
    )
    return select(
        generation.c.id,
        question.c.id.label("user_message_id"),
        reply.c.id.label("assistant_message_id"),
        (chat.c.last_position - 1).label("position"),
        question.c.created_at,
    ).select_from(chat.join(question, true()).join(reply, true()).join(generation, true()))  # each has one row, or none


OPEN_TURN: Final = _open_turn()


async def open_turn(db: Connection, user_id: UserId, chat_id: ChatId, content: str) -> Turn:
    """Accept a message: it gets the chat's next position, its reply the one after, and a generation is queued.

    Raises:
        ChatNotFound: absent, or another's.
        IntegrityError: the chat has a live generation; the transaction is over.

    """
    values = {
        "chat": chat_id,
        "owner": user_id,
        "question": content,
        "first_title": title_of(content),
        "generation": new_generation_id(),
    }
    row = (await db.execute(OPEN_TURN, values)).one_or_none()
    if row is None:
        raise ChatNotFound
    return Turn(*row)


def is_second_live(error: IntegrityError) -> bool:
    """Whether a statement failed because the chat has a live generation already."""
    return getattr(getattr(error.orig, "diag", None), "constraint_name", None) == ONE_LIVE_PER_CHAT


def title_of(content: str) -> str:
    """A title from a message: its first words, on one line, at most 80 characters."""
    line = " ".join(content.split())
    if len(line) <= TITLE_CHARS:
        return line
    cut = line[: TITLE_CHARS - 1]
    return (cut.rpartition(" ")[0] or cut) + "…"


_VIEW = (
    Generation.id,
    Generation.chat_id,
    Generation.user_message_id,
    Generation.assistant_message_id,
    Generation.status,
    Generation.attempt,
    Generation.model,
    Generation.usage,
    Generation.finish_reason,
    Generation.error_code,
    Generation.error_message,
    Generation.created_at,
    Generation.started_at,
    Generation.first_token_at,
    Generation.finished_at,
)


async def find_generation(db: Connection, user_id: UserId, generation_id: GenerationId) -> Row[Any]:
    """One generation.

    Raises:
        GenerationNotFound: absent, or another's.

    """
    statement = select(*_VIEW).where(Generation.id == generation_id, Generation.user_id == user_id)
    row = (await db.execute(statement)).one_or_none()
    if row is None:
        raise GenerationNotFound
    return row


async def find_latest(db: Connection, user_id: UserId, chat_id: ChatId) -> Row[Any] | None:
    """The chat's newest generation; None when it has none.

    Raises:
        ChatNotFound: absent, or another's.

    """
    owned = select(Chat.id).where(Chat.id == chat_id, Chat.user_id == user_id)
    if (await db.execute(owned)).one_or_none() is None:
        raise ChatNotFound
    statement = select(*_VIEW).where(Generation.chat_id == chat_id).order_by(Generation.created_at.desc()).limit(1)
    return (await db.execute(statement)).one_or_none()


async def refuse_if_live(db: Connection, chat_id: ChatId) -> None:
    """Find out which generation is in the way.

    Raises:
        GenerationInProgress: this one. Nothing is raised when it has just ended.

    """
    statement = select(Generation.id).where(Generation.chat_id == chat_id, Generation.status.in_(LIVE))
    found = (await db.execute(statement)).scalar_one_or_none()
    if found is not None:
        raise GenerationInProgress(GenerationId(found))


async def find_outcome(db: Connection, generation_id: GenerationId) -> Row[Any] | None:
    """What a log is rebuilt from: (status, attempt, finish_reason, error_code, error_message, usage, content)."""
    statement = (
        select(
            Generation.status,
            Generation.attempt,
            Generation.finish_reason,
            Generation.error_code,
            Generation.error_message,
            Generation.usage,
            Message.content,
        )
        .join(Message, Message.id == Generation.assistant_message_id)
        .where(Generation.id == generation_id)
    )
    return (await db.execute(statement)).one_or_none()


async def find_status(db: Connection, generation_id: GenerationId) -> str | None:
    """The generation's status; None when it is gone."""
    return (await db.execute(select(Generation.status).where(Generation.id == generation_id))).scalar_one_or_none()
