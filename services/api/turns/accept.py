"""Accepting a message, whatever door it came through: it becomes a turn, and its generation is sent to a worker."""

from typing import Final

from sqlalchemy.exc import IntegrityError

from services.api.generations.cancellation import end_cancelled
from services.api.generations.paths import stream_path
from services.api.limits import Limits
from services.api.turns import queries
from services.api.turns.idempotency import find_repeated, hashed_key
from services.api.turns.limits import check_message, check_parameters
from services.api.turns.queries import Bounds
from services.api.turns.turn import Branch, Edit, Key, NewTurn, Turn
from services.api.versions.queries import lock_chat
from shared.database.engine import Database
from shared.database.tables import Generation
from shared.errors import CortexAIError, ItemsChanged, MessageNameTaken, TooBusy
from shared.generations.cancel import cancel
from shared.generations.turn_order import QueuedGeneration, promote, send
from shared.ids import ChatId, UserId
from shared.jobs.sender import JobSender
from shared.protocol.feed_events import chat_renamed, message_accepted
from shared.states import GenerationStatus
from shared.streams.feed.publisher import FeedPublisher
from shared.streams.redis import Streams
from shared.telemetry.metrics import Metrics

TRIES: Final = 20
"""How often other messages may be quicker. Each time, one of them has been accepted or refused."""


async def accept(
    database: Database, streams: Streams, jobs: JobSender, metrics: Metrics, limits: Limits, new: NewTurn
) -> Turn:
    """Accept a message. The generation's stream may be read from now on.

    A message with a key that was accepted before is not accepted again: its turn is returned, with `is_repeated`.

    Raises:
        ContentTooLong: see `limits`.
        ModelNotOffered, ParameterNotSupported: see `limits`.
        ChatNotFound: absent, or another user's.
        ItemsChanged: the items that the message takes, or the path that it follows, have changed meanwhile.
        GenerationInProgress: the chat is generating, and `on_conflict` is "reject".
        IdempotencyKeyReused: the key was used before, with another message.
        MessageNameTaken: another message of the chat has the client's name for this one.
        TooManyGenerations: the user has too many open generations.
        QuotaExceeded: the user's tokens for today are used up.
        QueueFull: too many generations are queued.
        TooBusy: other messages were quicker, again and again.

    """
    check_message(new.content, new.model, limits)
    if new.parameters is not None:
        check_parameters(new.parameters, new.model, limits)
    hashed = hashed_key(new)
    bounds = Bounds(limits.live_generations, limits.queue_depth, limits.daily_tokens)
    for _ in range(TRIES):
        if hashed is not None and (repeated := await _find_repeated(database, new.user_id, hashed)):
            return repeated
        try:
            if new.on_conflict == "interrupt":
                return await _interrupt(database, streams, jobs, metrics, new, hashed, bounds)
            turn, refusal = await _open(database, new, hashed, bounds)
        except IntegrityError as error:
            if (violated := queries.violated(error)) not in queries.ACCEPTED_AT_ONCE:
                raise
            async with database.connect() as db:
                turn, refusal = None, await queries.why_refused(db, new, bounds)
            if violated == queries.ONE_PER_CLIENT_ID:  # which no wait will change
                refusal = MessageNameTaken()
        if turn is not None:
            tell_accepted(streams.feed, new, turn)
            await _send(database, jobs, streams.feed, new.chat_id, turn)
            return turn
        # What is in the way may be the same message, which was accepted a moment ago.
        if refusal is not None and not (hashed is not None and await _find_repeated(database, new.user_id, hashed)):
            raise refusal
    raise TooBusy


async def _find_repeated(database: Database, user_id: UserId, key: Key) -> Turn | None:
    async with database.connect() as db:
        return await find_repeated(db, user_id, key)


async def _open(
    database: Database, new: NewTurn, key: Key | None, bounds: Bounds
) -> tuple[Turn | None, CortexAIError | None]:
    """Open the turn, or find out why not. What it takes and follows is compared in the transaction that opens it."""
    if not new.takes and new.follows is None:
        async with database.connect() as db:
            turn = await queries.open_turn(db, new, key, bounds)
            return turn, await queries.why_refused(db, new, bounds) if turn is None else None
    try:
        async with database.begin() as db:
            turn = await queries.open_turn(db, new, key, bounds)
            if turn is None:
                return None, await queries.why_refused(db, new, bounds)
            if new.takes:
                await queries.take_items(db, new.chat_id, new.takes)
            if new.follows is not None:
                await queries.insist_on_end(db, new.chat_id, turn, new.follows)
            return turn, None
    except ItemsChanged as error:
        return None, error


async def _interrupt(
    database: Database,
    streams: Streams,
    jobs: JobSender,
    metrics: Metrics,
    new: NewTurn,
    key: Key | None,
    bounds: Bounds,
) -> Turn:
    """Cancel the chat's open generations and accept the message, or do neither."""
    async with database.begin() as db:
        await lock_chat(db, new.user_id, new.chat_id)
        cancelled = await cancel(db, Generation.chat_id == new.chat_id)
        turn = await queries.open_turn(db, new, key, bounds)
        if turn is None:
            refusal = await queries.why_refused(db, new, bounds)
            raise refusal or TooBusy
    tell_accepted(streams.feed, new, turn)
    # The logs are closed before the new generation is sent: its model reads what the cancelled generations said.
    await end_cancelled(database, streams, jobs, metrics, cancelled)
    jobs.generate(turn.generation_id)
    return turn


def tell_accepted(feed: FeedPublisher, new: NewTurn | Edit | Branch, turn: Turn) -> None:
    """Tell the user's readers of an accepted message, before a worker can tell them of its generation."""
    accepted = message_accepted(
        new.chat_id,
        user_message_id=turn.user_message_id,
        assistant_message_id=turn.assistant_message_id,
        position=turn.position,
        generation_id=turn.generation_id,
        status=turn.status,
        stream_url=stream_path(turn.generation_id),
        created_at=turn.created_at,
    )
    feed.tell(new.user_id, accepted)
    if turn.first_title is not None:
        feed.tell(new.user_id, chat_renamed(new.chat_id, turn.first_title, "message"))


async def _send(database: Database, jobs: JobSender, feed: FeedPublisher, chat_id: ChatId, turn: Turn) -> None:
    """Send the generation that a worker may take now: the turn's own, or the one whose turn has come in its chat."""
    if turn.status == GenerationStatus.QUEUED:
        jobs.generate(turn.generation_id)
        return
    try:
        async with database.connect() as db:
            due = (await db.execute(promote(chat_id))).one_or_none()
    except IntegrityError:
        return  # another message was accepted at the same moment, and this one waits behind it
    if due is not None:
        send(jobs, feed, QueuedGeneration._make(due))
