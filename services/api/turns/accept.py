"""Accepting a message: at once, after stopping what is in the way, in line behind it, or as one accepted before."""

from typing import Final, NamedTuple

from sqlalchemy.exc import IntegrityError

from services.api.generations.cancellation import end_cancelled
from services.api.generations.schemas import NewMessage
from services.api.resources import Resources
from services.api.turns import queries
from services.api.turns.idempotency import Key
from services.api.turns.queries import Bounds, Turn
from shared.database.tables import Generation
from shared.errors import TooBusy
from shared.generations.cancel import cancel
from shared.generations.turn_order import promote
from shared.ids import ChatId, GenerationId, UserId
from shared.states import GenerationStatus

TRIES: Final = 20
"""How often others may be quicker. Each time, one of them has been accepted or refused."""


class Acceptance(NamedTuple):
    """A turn, and whether it was made now rather than found under its key."""

    turn: Turn
    fresh: bool


async def accept(
    resources: Resources, user_id: UserId, chat_id: ChatId, body: NewMessage, key: Key | None
) -> Acceptance:
    """Accept a message and send its generation to a worker.

    Raises:
        CortexAIError: it is refused; nothing was written.

    """
    status = GenerationStatus.WAITING if body.on_conflict == "enqueue" else GenerationStatus.QUEUED
    settings = resources.settings
    bounds = Bounds(settings.user_max_live_generations, settings.queue_max_depth, settings.user_daily_tokens)
    for _ in range(TRIES):
        if key is not None:
            async with resources.database.connect() as db:
                if (found := await queries.find_turn(db, user_id, key)) is not None:
                    return Acceptance(found, fresh=False)
        try:
            if body.on_conflict == "interrupt":
                return Acceptance(await _interrupt(resources, user_id, chat_id, body, key, bounds), fresh=True)
            async with resources.database.connect() as db:
                turn = await queries.open_turn(
                    db, user_id, chat_id, body.content, status=status, key=key, bounds=bounds, model=body.model
                )
                refusal = await queries.why_refused(db, user_id, chat_id, status, bounds) if turn is None else None
        except IntegrityError as error:
            if queries.violated(error) not in {queries.ONE_LIVE_PER_CHAT, queries.ONE_PER_SLOT, queries.ONE_PER_KEY}:
                raise
            async with resources.database.connect() as db:
                turn, refusal = None, await queries.why_refused(db, user_id, chat_id, status, bounds)
        if turn is not None:
            await _send(resources, chat_id, turn)
            return Acceptance(turn, fresh=True)
        if refusal is not None and not (key is not None and await _is_known(resources, user_id, key)):
            raise refusal
    raise TooBusy


async def _is_known(resources: Resources, user_id: UserId, key: Key) -> bool:
    """Whether the same message was accepted a moment ago, which then is what is in the way."""
    async with resources.database.connect() as db:
        return await queries.find_turn(db, user_id, key) is not None


async def _interrupt(
    resources: Resources, user_id: UserId, chat_id: ChatId, body: NewMessage, key: Key | None, bounds: Bounds
) -> Turn:
    """Cancel what the chat has open, and accept the message, or neither."""
    async with resources.database.begin() as db:
        await queries.lock_chat(db, user_id, chat_id)
        cancelled = await cancel(db, Generation.chat_id == chat_id)
        turn = await queries.open_turn(
            db,
            user_id,
            chat_id,
            body.content,
            status=GenerationStatus.QUEUED,
            key=key,
            bounds=bounds,
            model=body.model,
        )
        if turn is None:
            refusal = await queries.why_refused(db, user_id, chat_id, GenerationStatus.QUEUED, bounds)
            raise refusal or TooBusy
    # Before the new one is sent: it is to be told the whole of what was said before.
    await end_cancelled(resources, cancelled)
    resources.jobs.generate(turn.generation_id)
    return turn


async def _send(resources: Resources, chat_id: ChatId, turn: Turn) -> None:
    """Send what can be made now: the turn's generation, unless it waits."""
    if turn.status == "queued":
        resources.jobs.generate(turn.generation_id)
        return
    try:
        async with resources.database.connect() as db:
            due = (await db.execute(promote(chat_id))).scalar_one_or_none()
    except IntegrityError:
        return  # another message was accepted in this moment; this one is behind it
    if due is not None:
        resources.jobs.generate(GenerationId(due))
