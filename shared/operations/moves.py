"""What a move of an operation brings about."""

from typing import NamedTuple

from sqlalchemy import select

from shared.database.engine import Connection
from shared.database.tables import Operation
from shared.generations.approval import lock, resume
from shared.generations.turn_order import QueuedGeneration
from shared.ids import GenerationId, OperationId, UserId
from shared.operations import audit
from shared.operations.rows import OperationRow, owned


class Moved(NamedTuple):
    """An operation as it is now, and whether this call has moved it there.

    `resumed` is the generation that awaited the operation and is queued now.
    """

    operation: OperationRow
    has_moved: bool
    resumed: QueuedGeneration | None = None


async def moved_to(db: Connection, operation: OperationRow) -> Moved:
    """An operation that was moved in this transaction. If it is over, the generation that awaited it is queued."""
    if operation.generation_id is None or not operation.is_over:
        return Moved(operation, has_moved=True)
    return Moved(operation, has_moved=True, resumed=await resume(db, operation.generation_id))


async def take_turn(db: Connection, user_id: UserId, operation_id: OperationId) -> None:
    """Lock what a move of an operation touches. Belongs at the beginning of the transaction that moves it.

    Everybody locks in this order: chats, generations, the user, operations; several of a kind by id.

    Raises:
        TokenInvalid: the account is gone.

    """
    of = select(Operation.generation_id).where(owned(user_id, operation_id))
    generation_id = (await db.execute(of)).scalar_one_or_none()
    if generation_id is not None:
        await lock(db, GenerationId(generation_id))
    await audit.take_turn(db, user_id)
