"""The life of a generation as statements: every move is a compare-and-set on (status, attempt), timed by the database.

A statement that changes or returns no row means: somebody else has moved the generation on. Those that every generation
runs are built once, since building one takes as long as running it; the others are made by pure builders.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Interval,
    Row,
    Select,
    Text,
    Update,
    Uuid,
    bindparam,
    cast,
    exists,
    func,
    insert,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import aliased
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.sql.elements import ColumnElement

from shared.database.engine import Connection
from shared.database.tables import Chat, Generation, Message, ModelCall
from shared.ids import ChatId, GenerationId, MessageId, UserId
from shared.states import LIVE, OPEN, TERMINAL, GenerationStatus, MessageStatus, message_status

Json = dict[str, Any]
WAITING, QUEUED, RUNNING = GenerationStatus.WAITING, GenerationStatus.QUEUED, GenerationStatus.RUNNING
FAILED, CANCELLED = GenerationStatus.FAILED, GenerationStatus.CANCELLED


def _claim() -> ReturningUpdate[*tuple[Any, ...]]:
    return (
        update(Generation)
        .where(Generation.id == bindparam("generation"), Generation.status == QUEUED, Chat.id == Generation.chat_id)
        .values(
            status=RUNNING,
            attempt=Generation.attempt + 1,
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
            Chat.summary,
            Chat.facts,
            Chat.summary_position,
            Generation.traceparent,
            (func.now() - Generation.created_at).label("waited"),
        )
    )


_CLAIM: Final = _claim()


class Claimed(NamedTuple):
    """What a worker took: the attempt (>= 1), the fence of all later writes; what earlier attempts saved; the chat's memory.

    `summary` and `facts` cover the positions up to `watermark`. `waited` is how long ago the message was accepted.
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
    summary: str | None
    facts: list[Json] | None
    watermark: int
    traceparent: str | None
    waited: timedelta


async def claim(db: Connection, generation_id: GenerationId, lease: timedelta) -> Claimed | None:
    """Take a queued generation. None when it is held, over or gone."""
    row = (await db.execute(_CLAIM, {"generation": generation_id, "lease": lease})).one_or_none()
    return Claimed._make(row) if row else None


def renew(held: Iterable[tuple[GenerationId, int]], lease: timedelta) -> ReturningUpdate[UUID]:
    """Prolong the leases of (generation, attempt) pairs. Returns the ids that are still held."""
    return (
        update(Generation)
        .where(tuple_(Generation.id, Generation.attempt).in_(list(held)), Generation.status == RUNNING)
        .values(lease_expires_at=_in(lease))
        .returning(Generation.id)
    )


def release(held: Iterable[tuple[GenerationId, int]]) -> ReturningUpdate[UUID]:
    """Give generations back so that another worker continues at once. It is not counted as a loss."""
    return (
        update(Generation)
        .where(tuple_(Generation.id, Generation.attempt).in_(list(held)), Generation.status == RUNNING)
        .values(status=QUEUED, lease_expires_at=None, queued_at=func.now())
        .returning(Generation.id)
    )


def _finish() -> ReturningUpdate[int]:
    ended = (
        update(Generation)
        .where(
            Generation.id == bindparam("generation"),
            Generation.attempt == bindparam("held_attempt"),
            Generation.status == RUNNING,
        )
        .values(
            status=bindparam("final_status"),
            lease_expires_at=None,
            finished_at=func.now(),
            finish_reason=bindparam("final_reason"),
            error_code=bindparam("final_error"),
            error_message=bindparam("final_error_message"),
            usage=bindparam("final_usage"),
            model=func.coalesce(Generation.model, bindparam("final_model")),
            first_token_at=func.now() - cast(bindparam("first_token_ago"), Interval),
        )
        .returning(Generation.id, Generation.user_id, Generation.chat_id, Generation.assistant_message_id)
        .cte("ended")
    )
    taken = ("prompt_tokens", "completion_tokens", "total_tokens")
    call = insert(ModelCall).from_select(
        ("user_id", "chat_id", "generation_id", "purpose", "model", *taken, "is_estimate"),
        select(
            ended.c.user_id,
            ended.c.chat_id,
            ended.c.id,
            literal("generation"),
            bindparam("call_model", type_=Text),
            *(bindparam(f"call_{name}", type_=BigInteger) for name in taken),
            bindparam("call_is_estimate", type_=Boolean),
        ).where(bindparam("call_model", type_=Text).is_not(None)),
    )
    return (
        update(Message)
        .where(Message.id == ended.c.assistant_message_id)
        .values(
            content=bindparam("final_content"),
            status=bindparam("final_message_status"),
            usage=bindparam("final_usage"),
            parts=bindparam("final_parts"),
            sources=bindparam("final_sources"),
        )
        .returning(Message.id)
        .add_cte(call.cte("call"))
    )


_FINISH: Final = _finish()


class ModelUsage(NamedTuple):
    """What a model call took, in tokens as `messageMetadata.usage` has them."""

    model: str
    usage: dict[str, int]
    is_estimate: bool


async def finish(
    db: Connection,
    generation_id: GenerationId,
    attempt: int,
    status: GenerationStatus,
    content: str,
    *,
    parts: list[Json] | None = None,
    sources: list[Json] | None = None,
    call: ModelUsage | None = None,
    finish_reason: str | None = None,
    error_code: str | None = None,
    error_message: str | None = None,
    usage: dict[str, int] | None = None,
    model: str | None = None,
    first_token_ago: timedelta | None = None,
) -> bool:
    """End the generation that this attempt holds and save its reply, in one statement: both or neither.

    `usage` is that of all its model calls, `call` the last of them. `first_token_ago` is how long ago this attempt's first
    token came. Returns False when another has it, or it is gone.
    """
    values = {
        "generation": generation_id,
        "held_attempt": attempt,
        "final_status": status,
        "final_reason": finish_reason,
        "final_error": error_code,
        "final_error_message": error_message,
        "final_usage": usage,
        "final_model": model,
        "first_token_ago": first_token_ago,
        "final_content": content,
        "final_message_status": message_status(status),
        "final_parts": parts,
        "final_sources": sources,
        "call_model": call.model if call else None,
        "call_prompt_tokens": call.usage["promptTokens"] if call else None,
        "call_completion_tokens": call.usage["completionTokens"] if call else None,
        "call_total_tokens": call.usage["totalTokens"] if call else None,
        "call_is_estimate": call.is_estimate if call else None,
    }
    return (await db.execute(_FINISH, values)).one_or_none() is not None


def save_steps(generation_id: GenerationId, attempt: int, steps: list[Json]) -> ReturningUpdate[UUID]:
    """Save the tool calls of the generation that this attempt holds. Returns no row when another has it."""
    return (
        update(Generation)
        .where(Generation.id == generation_id, Generation.attempt == attempt, Generation.status == RUNNING)
        .values(steps=steps)
        .returning(Generation.id)
    )


def checkpoint(replies: Sequence[tuple[GenerationId, int, str]]) -> Update:
    """Save what (generation, attempt) pairs have written of their replies so far.

    Those that are over, or another attempt's, are left alone, and so are those that somebody is changing this moment.
    """
    ids, attempts, contents = zip(*replies, strict=True)
    written = (
        func.unnest(
            bindparam("ids", ids, ARRAY(Uuid)),
            bindparam("attempts", attempts, ARRAY(BigInteger)),
            bindparam("contents", contents, ARRAY(Text)),
        )
        .table_valued("id", "attempt", "content")
        .render_derived(name="written")
    )
    held = (
        select(Message.id, written.c.content)
        .join(Generation, Generation.assistant_message_id == Message.id)
        .join(written, (written.c.id == Generation.id) & (written.c.attempt == Generation.attempt))
        # The message's own status too: it is read again once the row is locked, and an end sets it with the generation's.
        .where(Generation.status == RUNNING, Message.status == MessageStatus.PENDING)
        .where(func.length(Message.content) <= func.length(written.c.content))
        .with_for_update(skip_locked=True, of=Message)
        .cte("held")
    )
    return update(Message).where(Message.id == held.c.id).values(content=held.c.content)


def save_text(
    message_id: int, content: str, parts: list[Json] | None = None, sources: list[Json] | None = None
) -> Update:
    """Write what readers have seen of a reply whose generation ended without the worker that wrote it.

    Parts that the worker has saved stay: they are of all that it wrote, and a log may lack its end.
    """
    values: dict[str, Any] = {"content": content}
    for column, written in ((Message.parts, parts), (Message.sources, sources)):
        if written:
            values[column.key] = func.coalesce(column, literal(written, column.type))
    return update(Message).where(Message.id == message_id).values(values)


class OpenGeneration(NamedTuple):
    """A generation that a request ends or ended, its last attempt, and its reply as it was last saved.

    What a worker has written beyond that is in the log; `shared.generations.close_log` saves it.
    """

    id: GenerationId
    attempt: int
    message_id: MessageId
    content: str


async def find_open(db: Connection, *which: ColumnElement[bool]) -> list[OpenGeneration]:
    """Generations that are not over."""
    statement = (
        select(Generation.id, Generation.attempt, Message.id, Message.content)
        .join(Message, Message.id == Generation.assistant_message_id)
        .where(Generation.status.in_(OPEN), *which)
    )
    return [_open_generation(row) for row in await db.execute(statement)]


async def cancel(db: Connection, *which: ColumnElement[bool]) -> list[OpenGeneration]:
    """End open generations on request, whatever they are doing. Returns those that it ended."""
    ended = (
        update(Generation)
        .where(Generation.status.in_(OPEN), *which)
        .values(status=CANCELLED, lease_expires_at=None, cancel_requested_at=func.now(), finished_at=func.now())
        .returning(Generation.id, Generation.attempt, Generation.assistant_message_id)
        .cte("ended")
    )
    reply = (
        update(Message)
        .where(Message.id == ended.c.assistant_message_id)
        .values(status=MessageStatus.CANCELLED)
        .returning(Message.id, Message.content)
        .cte("reply")
    )
    statement = select(ended.c.id, ended.c.attempt, reply.c.id, reply.c.content).join(
        reply, reply.c.id == ended.c.assistant_message_id
    )
    return [_open_generation(row) for row in await db.execute(statement)]


def _open_generation(row: Row[UUID, int, int, str]) -> OpenGeneration:
    generation_id, attempt, message_id, content = row
    return OpenGeneration(GenerationId(generation_id), attempt, MessageId(message_id), content)


_QUEUED_NOW: Final[dict[str, Any]] = {"status": QUEUED, "queued_at": func.now()}


def _next_in(chat: ColumnElement[Any]) -> Select[UUID]:
    """The chat's generation that waits longest, if nothing of the chat's is live."""
    live = aliased(Generation)
    return (
        select(Generation.id)
        .where(Generation.chat_id == chat, Generation.status == WAITING)
        .where(~exists().where(live.chat_id == chat, live.status.in_(LIVE)))
        .order_by(Generation.user_message_id)
        .limit(1)
    )


def promote(chat_id: ChatId | None = None, limit: int = 100) -> ReturningUpdate[UUID]:
    """Queue what waited for its turn in this chat, or in any. Returns the ids, to be sent.

    May violate the index of live generations when another message is accepted in the same moment; then there is nothing to do.
    """
    if chat_id is not None:
        due = _next_in(literal(chat_id)).scalar_subquery()
        return update(Generation).where(Generation.id == due).values(**_QUEUED_NOW).returning(Generation.id)
    waiting, live = aliased(Generation), aliased(Generation)
    first = (
        select(waiting.id)
        .ext(distinct_on(waiting.chat_id))
        .where(waiting.status == WAITING)
        .where(~exists().where(live.chat_id == waiting.chat_id, live.status.in_(LIVE)))
        .order_by(waiting.chat_id, waiting.user_message_id)
        .limit(limit)
    )
    return (
        update(Generation)
        .where(Generation.id.in_(first), Generation.status == WAITING)
        .values(**_QUEUED_NOW)
        .returning(Generation.id)
    )


def _close() -> ReturningUpdate[UUID]:
    closed = (
        update(Generation)
        .where(Generation.id == bindparam("generation"))
        .values(
            closed_at=func.now(),
            attempt=func.greatest(Generation.attempt, bindparam("last_attempt", type_=BigInteger)),
            final_sequence=bindparam("last_sequence", type_=BigInteger),
        )
        .returning(Generation.chat_id)
        .cte("closed")
    )
    due = _next_in(select(closed.c.chat_id).scalar_subquery()).scalar_subquery()
    return update(Generation).where(Generation.id == due).values(**_QUEUED_NOW).returning(Generation.id)


_CLOSE: Final = _close()


async def close(
    db: Connection, generation_id: GenerationId, attempt: int, final_sequence: int | None
) -> GenerationId | None:
    """Note that the generation's log ends with this frame, None for a log that is gone; whose turn is next is queued.

    Returns the generation that was queued, to be sent; None when none waited.
    """
    values = {"generation": generation_id, "last_attempt": attempt, "last_sequence": final_sequence}
    due = (await db.execute(_CLOSE, values)).scalar_one_or_none()
    return GenerationId(due) if due else None


def reopen(generation_id: GenerationId) -> Update:
    """Have the sweep close the generation's log once more: Redis has lost its end, which the row says was there."""
    return (
        update(Generation)
        .where(Generation.id == generation_id, Generation.status.in_(TERMINAL), Generation.closed_at.is_not(None))
        .values(closed_at=None)
    )


def _in(lease: timedelta) -> ColumnElement[Any]:
    return func.now() + cast(literal(lease), Interval)
