"""What tool calls have proposed to a person, for clients that ask their users. Ownership is in the WHERE clause."""

from collections.abc import Collection
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, select

from shared.database.engine import Connection
from shared.database.tables import Operation
from shared.ids import ChatId, GenerationId, OperationId, UserId
from shared.operations.wanted import AWAITS_PERSON


class CallOperation(NamedTuple):
    """An operation that a tool call of a generation has proposed. `awaits_person`: the answer goes on when a person decides."""

    id: OperationId
    generation_id: GenerationId
    call_id: str
    digest: str
    status: str
    awaits_person: bool


_COLUMNS: Final = (
    *(getattr(Operation, name) for name in CallOperation._fields[:-1]),
    AWAITS_PERSON.label("awaits_person"),
)


async def find_named(
    db: Connection, user_id: UserId, chat_id: ChatId, operation_ids: Collection[OperationId]
) -> list[CallOperation]:
    """Those of the operations that the user's answers in this chat have proposed, the newest first."""
    return await _find(db, Operation.user_id == user_id, Operation.chat_id == chat_id, Operation.id.in_(operation_ids))


async def find_proposed(db: Connection, generation_id: GenerationId) -> list[CallOperation]:
    """What the generation, which is known to be the user's, has proposed so far, the newest first."""
    return await _find(db, Operation.generation_id == generation_id)


async def awaits_person(db: Connection, operation_ids: Collection[OperationId]) -> bool:
    """Whether a person has to decide one of these before the answer goes on."""
    statement = select(Operation.id).where(Operation.id.in_(operation_ids), AWAITS_PERSON).limit(1)
    return (await db.execute(statement)).one_or_none() is not None


async def _find(db: Connection, *which: ColumnElement[bool]) -> list[CallOperation]:
    statement = (
        select(*_COLUMNS)
        .where(Operation.generation_id.is_not(None), Operation.call_id.is_not(None), *which)
        .order_by(Operation.created_at.desc(), Operation.id.desc())
    )
    return [CallOperation._make(row) for row in await db.execute(statement)]
