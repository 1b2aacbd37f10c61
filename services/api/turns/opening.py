"""Accepting a message that begins a chat: both are made in one transaction, so there never is a chat without its message."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy.exc import IntegrityError

from services.api.limits import Limits
from services.api.turns import queries
from services.api.turns.accept import TRIES, tell_accepted
from services.api.turns.idempotency import find_repeated, hashed_key
from services.api.turns.limits import check_message, check_parameters
from services.api.turns.queries import Bounds
from services.api.turns.turn import Key, NewTurn, Opening, Turn
from shared.database.engine import Connection, Database
from shared.errors import CortexAIError, TooBusy
from shared.jobs.sender import JobSender
from shared.protocol.feed_events import chat_created
from shared.streams.feed.publisher import FeedPublisher


class _Opened(NamedTuple):
    """A chat that was made at `made_at`, and its first turn."""

    made_at: datetime
    new: NewTurn
    turn: Turn


async def accept_opening(
    database: Database, feed: FeedPublisher, jobs: JobSender, limits: Limits, new: Opening
) -> Turn:
    """Accept a message that begins a chat. The generation's stream may be read from now on.

    A message with a key that was accepted before is not accepted again: its turn is returned, with `is_repeated`.

    Raises:
        TokenInvalid: the account was deleted after its request was let in.
        CortexAIError: as `turns.accept.accept`; no chat is made then, and nobody is told of one.

    """
    check_message(new.content, new.model, limits)
    if new.parameters is not None:
        check_parameters(new.parameters, new.model, limits)
    key = hashed_key(new)
    bounds = Bounds(limits.live_generations, limits.queue_depth, limits.daily_tokens)
    for _ in range(TRIES):
        if key is not None and (repeated := await _find_repeated(database, new, key)):
            return repeated
        try:
            async with database.begin() as db:
                opened = await _open(db, new, key, bounds)
        except IntegrityError as error:
            if queries.violated(error) not in queries.ACCEPTED_AT_ONCE:
                raise
        except CortexAIError:
            # What is in the way may be the same request, which was accepted a moment ago.
            if key is not None and (repeated := await _find_repeated(database, new, key)):
                return repeated
            raise
        else:
            created = chat_created(opened.new.chat_id, None, opened.made_at, temporary=False)
            feed.tell(new.user_id, created)
            tell_accepted(feed, opened.new, opened.turn)
            jobs.generate(opened.turn.generation_id)
            return opened.turn
    raise TooBusy


async def _open(db: Connection, new: Opening, key: Key | None, bounds: Bounds) -> _Opened:
    """Make the chat and open its turn. Needs a transaction, which undoes both where this raises."""
    chat_id, made_at = await queries.add_chat(db, new.user_id)
    opened = new.into(chat_id)
    turn = await queries.open_turn(db, opened, key, bounds)
    if turn is None:
        raise await queries.why_refused(db, opened, bounds) or TooBusy()
    return _Opened(made_at, opened, turn)


async def _find_repeated(database: Database, new: Opening, key: Key) -> Turn | None:
    async with database.connect() as db:
        return await find_repeated(db, new.user_id, key)
