"""A generation that awaits the end of an operation goes on."""

from typing import Final

from sqlalchemy import func, update

from shared.database.engine import Connection
from shared.database.tables import Generation
from shared.generations.turn_order import QueuedGeneration
from shared.ids import GenerationId
from shared.states import GenerationStatus

AWAITING_APPROVAL: Final = "awaiting_approval"


async def resume_generation(db: Connection, generation_id: GenerationId) -> QueuedGeneration | None:
    """Queue a generation whose operation has come to its end. Belongs in the transaction that ends the operation.

    None where the generation awaits nothing. After the commit, `turn_order.send` sends the job.
    """
    statement = (
        update(Generation)
        .where(Generation.id == generation_id, Generation.status == AWAITING_APPROVAL)
        .values(status=GenerationStatus.QUEUED, queued_at=func.now())
        .returning(Generation.id, Generation.user_id, Generation.chat_id, Generation.assistant_message_id)
    )
    row = (await db.execute(statement)).one_or_none()
    return QueuedGeneration._make(row) if row else None
