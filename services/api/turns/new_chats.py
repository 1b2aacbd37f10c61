"""Opening the turn of a chat that is made with the turn, in one transaction: once for a key, however requests race."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.exc import IntegrityError

from services.api.turns import queries
from services.api.turns.accept import TRIES
from services.api.turns.idempotency import find_repeated
from services.api.turns.turn import Key, Turn
from shared.database.engine import Connection, Database
from shared.errors import CortexAIError, TooBusy
from shared.ids import UserId

Opened = TypeVar("Opened")


async def open_once(
    database: Database, user_id: UserId, key: Key | None, make: Callable[[Connection], Awaitable[Opened]]
) -> Opened | Turn:
    """What `make` makes in a transaction of its own; or the turn that was accepted with this key, with `is_repeated`.

    Where `make` raises, nothing is made.

    Raises:
        TooBusy: others were quicker again and again.
        CortexAIError: as `make`, and as `find_repeated`.

    """
    for _ in range(TRIES):
        if key is not None and (repeated := await _find_repeated(database, user_id, key)):
            return repeated
        try:
            async with database.begin() as db:
                return await make(db)
        except IntegrityError as error:
            if queries.violated(error) not in queries.ACCEPTED_AT_ONCE:
                raise
        except CortexAIError:
            # What is in the way may be the same request, which was accepted a moment ago.
            if key is not None and (repeated := await _find_repeated(database, user_id, key)):
                return repeated
            raise
    raise TooBusy


async def _find_repeated(database: Database, user_id: UserId, key: Key) -> Turn | None:
    async with database.connect() as db:
        return await find_repeated(db, user_id, key)
