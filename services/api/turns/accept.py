"""Accepting a message, whatever door it came through: it becomes a turn, and its generation is sent to a worker."""

from typing import Final, Literal

from sqlalchemy.exc import IntegrityError

from services.api.generations.cancellation import end_cancelled
from services.api.limits import Limits
from services.api.turns import queries
from services.api.turns.idempotency import find_repeated, hashed_key
from services.api.turns.limits import check_message
from services.api.turns.queries import Bounds
from services.api.turns.turn import Key, Turn
from shared.database.engine import Database
from shared.database.tables import Generation
from shared.errors import TooBusy
from shared.generations.cancel import cancel
from shared.generations.turn_order import promote
from shared.ids import ChatId, GenerationId, UserId
from shared.jobs.sender import JobSender
from shared.states import GenerationStatus
from shared.streams.redis import Streams
from shared.telemetry.metrics import Metrics

OnConflict = Literal["reject", "interrupt", "enqueue"]
"""A message whose chat is generating is refused, or stops the generation, or waits behind it."""

TRIES: Final = 20
"""How often other messages may be quicker. Each time, one of them has been accepted or refused."""


async def accept(
    database: Database,
    streams: Streams,
    jobs: JobSender,
    metrics: Metrics,
    limits: Limits,
    user_id: UserId,
    chat_id: ChatId,
    content: str,
    *,
    on_conflict: OnConflict = "reject",
    model: str | None = None,
    time_zone: str | None = None,
    key: str | None = None,
) -> Turn:
    """Accept a message. The generation's stream may be read from now on.

    A message with a `key` that was accepted before is not accepted again: its turn is returned, with `is_repeated`.
    Without a `model`, the default model answers. `time_zone` is the user's for this message; None for the account's.

    Raises:
        ContentTooLong: see `limits`.
        ModelNotOffered: see `limits`.
        ChatNotFound: absent, or another user's.
        GenerationInProgress: the chat is generating, and `on_conflict` is "reject".
        IdempotencyKeyReused: the key was used before, with another message.
        TooManyGenerations: the user has too many open generations.
        QuotaExceeded: the user's tokens for today are used up.
        QueueFull: too many generations are queued.
        TooBusy: other messages were quicker, again and again.

    """
    check_message(content, model, limits)
    hashed = None if key is None else hashed_key(key, chat_id, content, on_conflict, model, time_zone)
    status = GenerationStatus.WAITING if on_conflict == "enqueue" else GenerationStatus.QUEUED
    bounds = Bounds(limits.live_generations, limits.queue_depth, limits.daily_tokens)
    for _ in range(TRIES):
        if hashed is not None and (repeated := await _find_repeated(database, user_id, hashed)):
            return repeated
        try:
            if on_conflict == "interrupt":
                return await _interrupt(
                    database,
                    streams,
                    jobs,
                    metrics,
                    user_id,
                    chat_id,
                    content,
                    key=hashed,
                    bounds=bounds,
                    model=model,
                    time_zone=time_zone,
                )
            async with database.connect() as db:
                turn = await queries.open_turn(
                    db,
                    user_id,
                    chat_id,
                    content,
                    status=status,
                    key=hashed,
                    bounds=bounds,
                    model=model,
                    time_zone=time_zone,
                )
                refusal = await queries.why_refused(db, user_id, chat_id, status, bounds) if turn is None else None
        except IntegrityError as error:
            if queries.violated(error) not in queries.ACCEPTED_AT_ONCE:
                raise
            async with database.connect() as db:
                turn, refusal = None, await queries.why_refused(db, user_id, chat_id, status, bounds)
        if turn is not None:
            await _send(database, jobs, chat_id, turn)
            return turn
        # What is in the way may be the same message, which was accepted a moment ago.
        if refusal is not None and not (hashed is not None and await _find_repeated(database, user_id, hashed)):
            raise refusal
    raise TooBusy


async def _find_repeated(database: Database, user_id: UserId, key: Key) -> Turn | None:
    async with database.connect() as db:
        return await find_repeated(db, user_id, key)


async def _interrupt(
    database: Database,
    streams: Streams,
    jobs: JobSender,
    metrics: Metrics,
    user_id: UserId,
    chat_id: ChatId,
    content: str,
    *,
    key: Key | None,
    bounds: Bounds,
    model: str | None,
    time_zone: str | None,
) -> Turn:
    """Cancel the chat's open generations and accept the message, or do neither."""
    status = GenerationStatus.QUEUED
    async with database.begin() as db:
        await queries.lock_chat(db, user_id, chat_id)
        cancelled = await cancel(db, Generation.chat_id == chat_id)
        turn = await queries.open_turn(
            db, user_id, chat_id, content, status=status, key=key, bounds=bounds, model=model, time_zone=time_zone
        )
        if turn is None:
            refusal = await queries.why_refused(db, user_id, chat_id, status, bounds)
            raise refusal or TooBusy
    # The logs are closed before the new generation is sent: its model reads what the cancelled generations said.
    await end_cancelled(database, streams, jobs, metrics, cancelled)
    jobs.generate(turn.generation_id)
    return turn


async def _send(database: Database, jobs: JobSender, chat_id: ChatId, turn: Turn) -> None:
    """Send the generation that a worker may take now: the turn's own, or the one whose turn has come in its chat."""
    if turn.status == GenerationStatus.QUEUED:
        jobs.generate(turn.generation_id)
        return
    try:
        async with database.connect() as db:
            due = (await db.execute(promote(chat_id))).scalar_one_or_none()
    except IntegrityError:
        return  # another message was accepted at the same moment, and this one waits behind it
    if due is not None:
        jobs.generate(GenerationId(due))
