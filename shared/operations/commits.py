"""The commit of an approved operation: which worker does it, and how it ended.

As with generations, a claim has an attempt, which fences all later writes, and a lease, after which another worker takes over.
Whoever takes over first asks whether the transaction `xid` of the attempt before was committed. An attempt notes its transaction
before it commits, and only while no later attempt has begun. So the effect comes about at most once, whoever dies when.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import func, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from shared.database.engine import Connection
from shared.database.tables import Operation
from shared.database.times import from_now, interval
from shared.errors import CortexAIError
from shared.ids import OperationId
from shared.operations import audit
from shared.operations.moves import Moved, moved_to, take_turn
from shared.operations.rows import COLUMNS, OperationRow

EndStatus = Literal["committed", "stale", "failed"]
LOST: Final = 100
"""How many lost commits one pass finds."""


class ClaimedCommit(NamedTuple):
    """What a worker took. `attempt` (>= 1) is the fence of all later writes.

    `xid` is the transaction that an earlier attempt was about to commit, None where none was. `approved_ago` is how long ago the
    operation was approved.
    """

    operation: OperationRow
    attempt: int
    xid: str | None
    approved_ago: timedelta


@dataclass(frozen=True, slots=True)
class Ending:
    """How a commit ended. `error` is why nothing was changed.

    `result` is what was done; None where it was noted before the commit, or where nothing was done.
    """

    status: EndStatus
    result: dict[str, Any] | None = None
    error: CortexAIError | None = None


async def claim_commit(db: Connection, operation_id: OperationId, lease: timedelta) -> ClaimedCommit | None:
    """Take an approved operation. None when another worker has it, or when it is over or gone."""
    statement = (
        update(Operation)
        .where(
            Operation.id == operation_id,
            Operation.status == "approved",
            or_(Operation.lease_expires_at.is_(None), Operation.lease_expires_at < func.now()),
        )
        .values(attempt=Operation.attempt + 1, lease_expires_at=from_now(lease))
        .returning(*COLUMNS, Operation.attempt, Operation.xid, func.now() - Operation.decided_at)
    )
    row = (await db.execute(statement)).one_or_none()
    return ClaimedCommit(OperationRow._make(row[:-3]), *row[-3:]) if row else None


async def renew_commit(db: Connection, claimed: ClaimedCommit, lease: timedelta) -> bool:
    """Prolong the lease, or shorten it. Returns whether the attempt still has the operation."""
    return await _set(db, claimed, lease_expires_at=from_now(lease))


async def note_xid(
    db: Connection, claimed: ClaimedCommit, xid: str, result: dict[str, Any], images: bytes | None
) -> bool:
    """Note the transaction that is about to be committed on the data source, and all that has to be known of it then.

    `images` are what an undo needs, encrypted; None where there is no undo. Returns whether the attempt still has the
    operation; if not, it must not commit.
    """
    return await _set(db, claimed, xid=xid, result=result, before_images=images)


async def forget_xid(db: Connection, claimed: ClaimedCommit) -> bool:
    """The transaction that was noted was rolled back. Returns whether the attempt still has the operation."""
    return await _set(db, claimed, xid=None, result=None, before_images=None)


async def finish_commit(db: Connection, claimed: ClaimedCommit, ending: Ending) -> Moved | None:
    """End the operation that this attempt has. Needs a transaction. None when another attempt has it, or it is gone.

    Raises:
        TokenInvalid: the account is gone.

    """
    await take_turn(db, claimed.operation.user_id, claimed.operation.id)
    error = ending.error
    done: dict[str, Any] = {}
    if ending.status != "committed":
        done = {"result": None, "before_images": None}
    elif ending.result is not None:
        done = {"result": ending.result}
    statement = (
        update(Operation)
        .where(*_mine(claimed))
        .values(
            status=ending.status,
            **done,
            error_code=error.code if error else None,
            error_message=error.message if error else None,
            lease_expires_at=None,
            finished_at=func.now(),
        )
        .returning(*COLUMNS, Operation.xid)
    )
    row = (await db.execute(statement)).one_or_none()
    if row is None:
        return None
    operation = OperationRow._make(row[:-1])
    await audit.append(db, operation.user_id, _ended(operation, row[-1]))
    return await moved_to(db, operation)


async def find_lost(db: Connection, patience: timedelta) -> list[OperationId]:
    """Approved operations whose lease has expired, and those that no worker took for so long. At most LOST."""
    statement = (
        select(Operation.id)
        .where(
            Operation.status == "approved",
            or_(
                Operation.lease_expires_at < func.now(),
                Operation.lease_expires_at.is_(None) & (Operation.decided_at < func.now() - interval(patience)),
            ),
        )
        .order_by(Operation.decided_at)
        .limit(LOST)
    )
    return [OperationId(operation_id) for operation_id in (await db.execute(statement)).scalars()]


async def _set(db: Connection, claimed: ClaimedCommit, **values: Any) -> bool:  # noqa: ANN401 - columns' values
    statement = update(Operation).where(*_mine(claimed)).values(**values).returning(Operation.id)
    return (await db.execute(statement)).one_or_none() is not None


def _mine(claimed: ClaimedCommit) -> tuple[ColumnElement[bool], ...]:
    """The operation, while no later attempt has it and nobody has ended it."""
    return (
        Operation.id == claimed.operation.id,
        Operation.attempt == claimed.attempt,
        Operation.status == "approved",
    )


def _ended(operation: OperationRow, xid: str | None) -> audit.Event:
    """What the log says of a commit: counts, never rows."""
    result = operation.result or {}
    actions: dict[str, audit.Action] = {
        "committed": "operation.committed",
        "stale": "operation.stale",
        "failed": "operation.failed",
    }
    details = {
        "kind": operation.kind,
        "undo_of": str(operation.undo_of) if operation.undo_of else None,
        "counts": result.get("counts", {"chats": len(result["chat_ids"])} if "chat_ids" in result else None),
        "transaction": xid,
        "code": operation.error_code,
    }
    return audit.Event(actions[operation.status], audit.operation(operation.id), details)
