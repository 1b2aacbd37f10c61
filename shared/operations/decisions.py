"""Decisions on proposals: a person's, or the clock's. One wins, and is told to whoever decides the same again."""

from typing import Final

from sqlalchemy import exists, func, select, update
from sqlalchemy.sql.elements import ColumnElement

from shared.database.engine import Connection
from shared.database.tables import Generation, Operation
from shared.errors import OperationNotPending, PreviewMismatch
from shared.ids import DataSourceId, OperationId, UserId
from shared.operations import audit
from shared.operations.moves import Moved, moved_to, take_turn
from shared.operations.rows import COLUMNS, OperationRow, find_operation, owned
from shared.operations.wanted import IS_WANTED, PENDING

APPROVED: Final = frozenset({"approved", "committed", "stale", "failed"})
"""The statuses that an operation has only after its approval."""
DISCONNECTED: Final = "data_source_deleted"
"""The detail of an entry that tells why an operation was refused: nobody has decided before its data source was deleted."""
DUE: Final = 100
"""How many proposals one pass lets expire."""


async def approve(db: Connection, user_id: UserId, operation_id: OperationId, digest: str, by: str) -> Moved:
    """Approve what the preview with this digest shows. Needs a transaction.

    `by` is the kind of the credential that the person had. An operation of the kind `tool_call` is committed at once; any
    other is `approved`, and the caller has a worker commit it. Who approves again what is approved gets the present state.

    Raises:
        OperationNotFound: absent, or another user's.
        PreviewMismatch: the operation waits, and has another digest.
        OperationNotPending: the operation was refused, has expired, or was approved with another digest; or the answer that
            proposed it is over.
        TokenInvalid: the account is gone.

    """
    await take_turn(db, user_id, operation_id)
    present = await find_operation(db, user_id, operation_id)
    is_call = present.kind == "tool_call"
    moved = await _decide(
        db,
        present,
        Operation.digest == digest,
        IS_WANTED,
        status="committed" if is_call else "approved",
        decided_by=by,
        finished_at=func.now() if is_call else None,
    )
    if moved is None:
        if present.status in APPROVED and present.digest == digest:
            return Moved(present, has_moved=False)
        if present.status == "proposed" and present.digest != digest:
            raise PreviewMismatch
        raise OperationNotPending
    await audit.append(db, user_id, _decided("operation.approved", moved, by))
    if is_call:
        committed = {"kind": moved.kind, "tool": moved.preview.get("tool"), "code": None}
        await audit.append(db, user_id, audit.Event("operation.committed", audit.operation(moved.id), committed))
    return await moved_to(db, moved)


async def refuse(db: Connection, user_id: UserId, operation_id: OperationId, by: str) -> Moved:
    """Refuse a proposal. Needs a transaction. `by` is as in `approve`. Who refuses again gets the present state.

    Raises:
        OperationNotFound: absent, or another user's.
        OperationNotPending: the operation was approved, or has expired.
        TokenInvalid: the account is gone.

    """
    await take_turn(db, user_id, operation_id)
    present = await find_operation(db, user_id, operation_id)
    moved = await _decide(db, present, status="refused", decided_by=by, finished_at=func.now())
    if moved is None:
        if present.status == "refused":
            return Moved(present, has_moved=False)
        raise OperationNotPending
    await audit.append(db, user_id, _decided("operation.refused", moved, by))
    return await moved_to(db, moved)


async def refuse_before_deletion(db: Connection, user_id: UserId, *which: ColumnElement[bool]) -> list[Moved]:
    """Refuse what generations have proposed that are about to be deleted. Belongs in the transaction that deletes them.

    The caller has locked their chat, so that no proposal comes after this. `which` are conditions on generations. None of them
    is resumed.

    Raises:
        TokenInvalid: the account is gone.

    """
    proposes = exists().where(Operation.generation_id == Generation.id, PENDING)
    if (await db.execute(select(Generation.id).where(*which, proposes).limit(1))).first() is None:
        return []
    # In the order in which everybody locks: all generations that go, the user, the operations.
    locked = select(Generation.id).where(*which).order_by(Generation.id).with_for_update()
    generations = list((await db.execute(locked)).scalars())
    await audit.take_turn(db, user_id)
    statement = (
        update(Operation)
        .where(Operation.user_id == user_id, Operation.generation_id.in_(generations), PENDING)
        .values(status="refused", decided_by="stop", decided_at=func.now(), finished_at=func.now())
        .returning(*COLUMNS)
    )
    refused = [OperationRow._make(row) for row in await db.execute(statement)]
    for operation in refused:
        await audit.append(db, user_id, _decided("operation.refused", operation, "stop"))
    return [Moved(operation, has_moved=True) for operation in refused]


async def refuse_with_source(
    db: Connection, user_id: UserId, data_source_id: DataSourceId, by: str
) -> list[Moved] | None:
    """Refuse what waits for a data source that is about to be deleted. Belongs in the transaction that deletes the source.

    The answers that wait go on. `by` is as in `approve`. From here on, the transaction holds the user's lock, so nothing is
    proposed any more. None where an answer has proposed something in this very moment, and nothing was refused: its generation
    would have to be locked before the user. Try again in another transaction.

    Raises:
        TokenInvalid: the account is gone.

    """
    waiting = (
        Operation.user_id == user_id,
        Operation.data_source_id == data_source_id,
        Operation.status == "proposed",
    )
    of_answers = select(Operation.generation_id).where(*waiting, Operation.generation_id.is_not(None))
    locked = select(Generation.id).where(Generation.id.in_(of_answers)).order_by(Generation.id)
    generations = set((await db.execute(locked.with_for_update(key_share=True))).scalars())
    await audit.take_turn(db, user_id)
    if not set((await db.execute(of_answers)).scalars()) <= generations:
        return None
    statement = (
        update(Operation)
        .where(*waiting)
        .values(status="refused", decided_by=by, decided_at=func.now(), finished_at=func.now())
        .returning(*COLUMNS)
    )
    refused = [OperationRow._make(row) for row in await db.execute(statement)]
    for operation in refused:
        event = _decided("operation.refused", operation, by)
        await audit.append(db, user_id, event._replace(details={**event.details, DISCONNECTED: True}))
    return [await moved_to(db, operation) for operation in refused]


async def find_abandoned(db: Connection, *which: ColumnElement[bool]) -> list[tuple[UserId, OperationId]]:
    """Proposals of answers that were stopped or deleted before anybody decided, at most DUE."""
    statement = (
        select(Operation.user_id, Operation.id)
        .where(Operation.status == "proposed", ~IS_WANTED, *which)
        .order_by(Operation.id)
        .limit(DUE)
    )
    return [(UserId(user_id), OperationId(operation_id)) for user_id, operation_id in await db.execute(statement)]


async def find_due(db: Connection) -> list[tuple[UserId, OperationId]]:
    """Proposals that nobody has decided in time, at most DUE."""
    statement = (
        select(Operation.user_id, Operation.id)
        .where(Operation.status == "proposed", Operation.expires_at <= func.now())
        .order_by(Operation.expires_at)
        .limit(DUE)
    )
    return [(UserId(user_id), OperationId(operation_id)) for user_id, operation_id in await db.execute(statement)]


async def expire(db: Connection, user_id: UserId, operation_id: OperationId) -> Moved | None:
    """Let a proposal expire that nobody has decided in time. Needs a transaction. None where it is not due any more.

    Raises:
        TokenInvalid: the account is gone.

    """
    await take_turn(db, user_id, operation_id)
    statement = (
        update(Operation)
        .where(owned(user_id, operation_id), Operation.status == "proposed", Operation.expires_at <= func.now())
        .values(status="expired", finished_at=func.now())
        .returning(*COLUMNS)
    )
    row = (await db.execute(statement)).one_or_none()
    if row is None:
        return None
    moved = OperationRow._make(row)
    await audit.append(db, user_id, audit.Event("operation.expired", audit.operation(moved.id), {}))
    return await moved_to(db, moved)


async def _decide(db: Connection, present: OperationRow, *which: object, **values: object) -> OperationRow | None:
    """Move an operation that waits. None where it does not, or `which` does not hold."""
    statement = (
        update(Operation)
        .where(
            owned(present.user_id, present.id),
            PENDING,
            *which,  # type: ignore[arg-type]
        )
        .values(decided_at=func.now(), **values)
        .returning(*COLUMNS)
    )
    row = (await db.execute(statement)).one_or_none()
    return OperationRow._make(row) if row else None


def _decided(action: audit.Action, operation: OperationRow, by: str) -> audit.Event:
    return audit.Event(action, audit.operation(operation.id), {"by": by, "digest": operation.digest})
