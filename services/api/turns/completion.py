"""Accepting a request that brings its whole context along: it becomes a turn in a hidden chat of its own."""

from services.api.limits import Limits
from services.api.turns import queries
from services.api.turns.idempotency import hashed_key
from services.api.turns.limits import check_message, check_parameters
from services.api.turns.new_chats import open_once
from services.api.turns.queries import Bounds
from services.api.turns.turn import Completion, Key, OpenedCompletion, Turn
from shared.database.engine import Connection, Database
from shared.errors import TooBusy
from shared.jobs.sender import JobSender


async def accept_completion(database: Database, jobs: JobSender, limits: Limits, new: Completion) -> Turn:
    """Accept a completion. The generation's stream may be read from now on.

    A completion with a key that was accepted before is not accepted again, for as long as its hidden chat is there: its turn is
    returned, with `is_repeated`.

    Raises:
        ModelNotOffered, ParameterNotSupported: see `limits`.
        IdempotencyKeyReused: the key was used before, with another request.
        TooManyGenerations, QuotaExceeded, QueueFull, TooBusy: as `accept`.

    """
    check_message("", new.model, limits)
    check_parameters(new.parameters, new.model, limits)
    bounds = Bounds(limits.live_generations, limits.queue_depth, limits.daily_tokens)
    key = hashed_key(new)
    turn = await open_once(database, new.user_id, key, lambda db: _open(db, new, key, bounds))
    if not turn.is_repeated:
        jobs.generate(turn.generation_id)
    return turn


async def _open(db: Connection, new: Completion, key: Key | None, bounds: Bounds) -> Turn:
    """Make the hidden chat and open its turn. Needs a transaction, which undoes both where this raises."""
    chat_id = await queries.add_hidden_chat(db, new.user_id)
    opened = OpenedCompletion(new.user_id, chat_id, new.parameters, new.model, new.response)
    turn = await queries.open_turn(db, opened, key, bounds)
    if turn is None:
        raise await queries.why_refused(db, opened, bounds) or TooBusy()
    return turn
