"""What a move of an operation brings about."""

from typing import NamedTuple

from shared.database.engine import Connection
from shared.generations.resume import resume_generation
from shared.generations.turn_order import QueuedGeneration
from shared.operations.rows import OperationRow


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
    return Moved(operation, has_moved=True, resumed=await resume_generation(db, operation.generation_id))
