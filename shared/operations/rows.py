"""Operations as rows, and as everybody is shown them. Ownership is in the WHERE clause: another user's is not found."""

from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, func, literal_column, null, select, tuple_, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import aliased

from shared.database.engine import Connection
from shared.database.tables import Operation
from shared.errors import OperationNotFound
from shared.ids import ChatId, DataSourceId, GenerationId, OperationId, UserId
from shared.operations.wanted import PENDING
from shared.states import OPEN_OPERATIONS


class OperationRow(NamedTuple):
    """An operation. See tables.Operation; `undone_by` is the committed operation that has undone this one.

    `has_images`: what an undo needs is kept. A preview of a write or an undo is that of shared/data_sources/changes.
    """

    id: OperationId
    user_id: UserId
    data_source_id: DataSourceId | None
    chat_id: ChatId | None
    generation_id: GenerationId | None
    call_id: str | None
    kind: str
    status: str
    summary: str
    statement: str | None
    preview: dict[str, Any]
    digest: str
    undo_of: OperationId | None
    result: dict[str, Any] | None
    error_code: str | None
    error_message: str | None
    decided_by: str | None
    created_at: datetime
    expires_at: datetime
    decided_at: datetime | None
    finished_at: datetime | None
    undone_by: OperationId | None
    has_images: bool

    @property
    def is_over(self) -> bool:
        """Whether the operation changes no more."""
        return self.status not in OPEN_OPERATIONS

    @property
    def is_undoable(self) -> bool:
        """Whether the operation can be undone once it is committed, or now if it is."""
        if self.kind == "tool_call" or self.undone_by is not None or not self.preview.get("is_undoable", True):
            return False
        if self.status in OPEN_OPERATIONS:
            return True
        return self.status == "committed" and (self.has_images or self.data_source_id is None)


_other = aliased(Operation)
# By name: SQLAlchemy does not correlate what an INSERT returns, and would list the table once more.
_row = literal_column("operations.id", Operation.id.type)
_undone_by = select(_other.id).where(_other.undo_of == _row, _other.status == "committed").scalar_subquery()
COLUMNS: Final = (
    *(getattr(Operation, name) for name in OperationRow._fields[:-2]),
    _undone_by.label("undone_by"),
    Operation.before_images.is_not(None).label("has_images"),
)

_IN_LIST: Final = {
    "preview": func.jsonb_strip_nulls(
        func.jsonb_build_object("is_undoable", Operation.preview["is_undoable"]), type_=JSONB
    ),
    "result": null(),
}
_LISTED: Final = tuple(_IN_LIST.get(name, column) for name, column in zip(OperationRow._fields, COLUMNS, strict=True))


def owned(user_id: UserId, operation_id: OperationId) -> ColumnElement[bool]:
    """The operation, if it is the user's."""
    return (Operation.id == operation_id) & (Operation.user_id == user_id)


async def find_operation(db: Connection, user_id: UserId, operation_id: OperationId) -> OperationRow:
    """One operation.

    Raises:
        OperationNotFound: absent, or another user's.

    """
    row = (await db.execute(select(*COLUMNS).where(owned(user_id, operation_id)))).one_or_none()
    if row is None:
        raise OperationNotFound
    return OperationRow._make(row)


async def find_is_over(db: Connection, user_id: UserId, operation_id: OperationId) -> bool:
    """Whether an operation changes no more. Reads less than `find_operation`.

    Raises:
        OperationNotFound: absent, or another user's.

    """
    status = (await db.execute(select(Operation.status).where(owned(user_id, operation_id)))).scalar_one_or_none()
    if status is None:
        raise OperationNotFound
    return status not in OPEN_OPERATIONS


async def find_by_call(
    db: Connection, user_id: UserId, generation_id: GenerationId, call_id: str
) -> OperationRow | None:
    """The operation that a tool call has proposed; None where it has proposed none."""
    statement = select(*COLUMNS).where(
        Operation.generation_id == generation_id, Operation.call_id == call_id, Operation.user_id == user_id
    )
    row = (await db.execute(statement)).one_or_none()
    return OperationRow._make(row) if row else None


async def find_undo(db: Connection, user_id: UserId, operation_id: OperationId) -> OperationRow | None:
    """The undo of an operation that is offered or committed; None where there is none."""
    statement = select(*COLUMNS).where(
        Operation.undo_of == operation_id,
        Operation.user_id == user_id,
        Operation.status.in_(("proposed", "approved", "committed")),
    )
    row = (await db.execute(statement)).one_or_none()
    return OperationRow._make(row) if row else None


async def list_operations(
    db: Connection,
    user_id: UserId,
    *,
    before: tuple[datetime, UUID] | None = None,
    limit: int,
    status: str | None = None,
    chat_id: ChatId | None = None,
) -> list[OperationRow]:
    """The user's operations, the newest first, past the one whose (created_at, id) is `before`.

    They come without `result`, and of the `preview` with no more than `is_undoable`: these have megabytes each.
    """
    statement = (
        select(*_LISTED)
        .where(Operation.user_id == user_id)
        .order_by(Operation.created_at.desc(), Operation.id.desc())
        .limit(limit)
    )
    if status is not None:
        statement = statement.where(Operation.status == status)
    if chat_id is not None:
        statement = statement.where(Operation.chat_id == chat_id)
    if before is not None:
        statement = statement.where(tuple_(Operation.created_at, Operation.id) < before)
    return [OperationRow._make(row) for row in await db.execute(statement)]


async def is_committing(db: Connection, data_source_id: DataSourceId | int) -> bool:
    """Whether an approved operation of a data source is not over yet."""
    statement = select(Operation.id).where(Operation.data_source_id == data_source_id, Operation.status == "approved")
    return (await db.execute(statement.limit(1))).one_or_none() is not None


async def has_pending(db: Connection, data_source_id: DataSourceId | int) -> bool:
    """Whether a proposal for a data source may still be approved."""
    statement = select(Operation.id).where(Operation.data_source_id == data_source_id, PENDING)
    return (await db.execute(statement.limit(1))).one_or_none() is not None


async def forget_images(db: Connection, data_source_id: DataSourceId | int) -> None:
    """Let nothing that was committed on a data source be undone any more."""
    of_source = (Operation.data_source_id == data_source_id) & Operation.before_images.is_not(None)
    await db.execute(update(Operation).where(of_source).values(before_images=None))


def to_json(operation: OperationRow) -> dict[str, Any]:
    """The operation as clients and models are told it. Times are in ISO 8601, in UTC."""
    error = {"code": operation.error_code, "message": operation.error_message} if operation.error_code else None
    return {
        "id": str(operation.id),
        "kind": operation.kind,
        "status": operation.status,
        "data_source_id": operation.data_source_id,
        "chat_id": operation.chat_id,
        "generation_id": _text(operation.generation_id),
        "call_id": operation.call_id,
        "summary": operation.summary,
        "statement": operation.statement,
        "preview": operation.preview,
        "digest": operation.digest,
        "undo_of": _text(operation.undo_of),
        "undone_by": _text(operation.undone_by),
        "is_undoable": operation.is_undoable,
        "result": operation.result if operation.status == "committed" else None,
        "error": error,
        "created_at": _iso(operation.created_at),
        "expires_at": _iso(operation.expires_at),
        "decided_at": _iso(operation.decided_at),
        "decided_by": operation.decided_by,
        "finished_at": _iso(operation.finished_at),
    }


def _text(name: UUID | None) -> str | None:
    return str(name) if name else None


def _iso(time: datetime | None) -> str | None:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z") if time else None
