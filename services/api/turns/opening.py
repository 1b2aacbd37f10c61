"""Accepting a message that begins a chat: both are made in one transaction, so there never is a chat without its message."""

from datetime import datetime
from typing import NamedTuple

from services.api.limits import Limits
from services.api.turns import queries
from services.api.turns.accept import tell_accepted
from services.api.turns.idempotency import hashed_key
from services.api.turns.limits import check_message, check_parameters
from services.api.turns.new_chats import open_once
from services.api.turns.queries import Bounds
from services.api.turns.turn import Key, NewTurn, Opening, Turn
from shared.database.engine import Connection, Database
from shared.errors import TooBusy
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
    bounds = Bounds(limits.live_generations, limits.queue_depth, limits.daily_tokens)
    key = hashed_key(new)
    opened = await open_once(database, new.user_id, key, lambda db: _open(db, new, key, bounds))
    if isinstance(opened, Turn):
        return opened
    feed.tell(new.user_id, chat_created(opened.new.chat_id, None, opened.made_at, temporary=False))
    tell_accepted(feed, opened.new, opened.turn)
    jobs.generate(opened.turn.generation_id)
    return opened.turn


async def _open(db: Connection, new: Opening, key: Key | None, bounds: Bounds) -> _Opened:
    """Make the chat and open its turn. Needs a transaction, which undoes both where this raises."""
    chat_id, made_at = await queries.add_chat(db, new.user_id)
    opened = new.into(chat_id)
    turn = await queries.open_turn(db, opened, key, bounds)
    if turn is None:
        raise await queries.why_refused(db, opened, bounds) or TooBusy()
    return _Opened(made_at, opened, turn)
