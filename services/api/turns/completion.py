"""Accepting a request that brings its whole context along: it becomes a turn in a hidden chat of its own."""

from sqlalchemy.exc import IntegrityError

from services.api.limits import Limits
from services.api.turns import queries
from services.api.turns.accept import TRIES
from services.api.turns.idempotency import find_repeated, hashed_key
from services.api.turns.limits import check_message, check_parameters
from services.api.turns.queries import Bounds
from services.api.turns.turn import Completion, Key, OpenedCompletion, Turn
from shared.database.engine import Connection, Database
from shared.errors import CortexAIError, TooBusy
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
    key = hashed_key(new)
    bounds = Bounds(limits.live_generations, limits.queue_depth, limits.daily_tokens)
    for _ in range(TRIES):
        if key is not None and (repeated := await _find_repeated(database, new, key)):
            return repeated
        try:
            async with database.begin() as db:
                turn = await _open(db, new, key, bounds)
        except IntegrityError as error:
            if queries.violated(error) not in queries.ACCEPTED_AT_ONCE:
                raise
        except CortexAIError:
            # What is in the way may be the same request, which was accepted a moment ago.
            if key is not None and (repeated := await _find_repeated(database, new, key)):
                return repeated
            raise
        else:
            jobs.generate(turn.generation_id)
            return turn
    raise TooBusy


async def _open(db: Connection, new: Completion, key: Key | None, bounds: Bounds) -> Turn:
    """Make the hidden chat and open its turn. Needs a transaction, which undoes both where this raises."""
    chat_id = await queries.add_hidden_chat(db, new.user_id)
    opened = OpenedCompletion(new.user_id, chat_id, new.parameters, new.model, new.response)
    turn = await queries.open_turn(db, opened, key, bounds)
    if turn is None:
        raise await queries.why_refused(db, opened, bounds) or TooBusy()
    return turn


async def _find_repeated(database: Database, new: Completion, key: Key) -> Turn | None:
    async with database.connect() as db:
        return await find_repeated(db, new.user_id, key)
