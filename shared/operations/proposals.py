"""Proposing an operation: from here on a person can decide. What is proposed has a preview already."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import func, insert, select

from shared.canonical import canonical
from shared.database.engine import Connection
from shared.database.tables import Chat, DataSource, Generation, Operation
from shared.database.times import from_now
from shared.errors import (
    ChatNotFound,
    CortexAIError,
    DataSourceInUse,
    DataSourceNotFound,
    GenerationNotFound,
    NotUndoable,
    TooManyOperations,
)
from shared.ids import ChatId, DataSourceId, GenerationId, OperationId, UserId, new_operation_id
from shared.operations import audit
from shared.operations.moves import Moved
from shared.operations.rows import COLUMNS, OperationRow, find_by_call, find_operation, find_undo
from shared.operations.wanted import PENDING

SUMMARY_MAX_CHARS: Final = 500


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many proposals of a user may wait for a decision, and how long each may wait."""

    pending: int
    expire_after: timedelta


class ToolCall(NamedTuple):
    """The call by which a model proposes."""

    chat_id: ChatId
    generation_id: GenerationId
    call_id: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is proposed. `digest` is that of what the preview shows.

    `chat_id`, `generation_id` and `call_id` name the tool call that proposes; None where a person does. A hidden chat is not
    noted with the operation. `undo_of` is the operation that this one undoes. `writer_url` is where the preview was made,
    encrypted, as in the data source's row.
    """

    kind: str
    summary: str
    preview: dict[str, Any]
    digest: str
    data_source_id: DataSourceId | None = None
    statement: str | None = None
    chat_id: ChatId | None = None
    generation_id: GenerationId | None = None
    call_id: str | None = None
    undo_of: OperationId | None = None
    writer_url: bytes | None = None


async def propose(db: Connection, user_id: UserId, proposal: Proposal, bounds: Bounds) -> Moved:
    """Add an operation, which waits for a decision. Needs a transaction.

    A tool call that has proposed before gets its operation of then, and so does whoever undoes what is being undone.

    Raises:
        ChatNotFound, GenerationNotFound, DataSourceNotFound, OperationNotFound: what the proposal names is gone, or another
            user's.
        NotUndoable: the operation to be undone is undone already, or not committed.
        DataSourceInUse: the data source has got another address since the preview was made.
        TooManyOperations: too many of the user's operations wait for a decision.
        TokenInvalid: the account is gone.

    """
    # In the order in which a deletion locks. The rows stay until the operation that names them is there.
    await _insist(db, ChatNotFound, Chat, user_id, proposal.chat_id)
    await _insist(db, GenerationNotFound, Generation, user_id, proposal.generation_id)
    await audit.take_turn(db, user_id)
    await _insist(db, DataSourceNotFound, DataSource, user_id, proposal.data_source_id)
    if proposal.writer_url is not None:
        url = select(DataSource.writer_url).where(DataSource.id == proposal.data_source_id)
        if (await db.execute(url)).scalar_one() != proposal.writer_url:
            raise DataSourceInUse("The data source's address was changed, or encrypted anew, meanwhile; propose again.")
    if present := await _find_present(db, user_id, proposal):
        return Moved(present, has_moved=False)
    waiting = select(func.count()).where(Operation.user_id == user_id, PENDING)
    if (await db.execute(waiting)).scalar_one() >= bounds.pending:
        raise TooManyOperations
    # A hidden chat can't be opened, so nobody is told of it.
    shown_in = select(Chat.id).where(Chat.id == proposal.chat_id, ~Chat.is_hidden).scalar_subquery()
    statement = (
        insert(Operation)
        .values(
            id=new_operation_id(),
            user_id=user_id,
            status="proposed",
            kind=proposal.kind,
            summary=proposal.summary[:SUMMARY_MAX_CHARS],
            statement=proposal.statement,
            preview=proposal.preview,
            digest=proposal.digest,
            data_source_id=proposal.data_source_id,
            undo_of=proposal.undo_of,
            expires_at=from_now(bounds.expire_after),
            chat_id=shown_in,
            generation_id=proposal.generation_id,
            call_id=proposal.call_id,
        )
        .returning(*COLUMNS)
    )
    operation = OperationRow._make((await db.execute(statement)).one())
    await audit.append(db, user_id, proposed(operation))
    return Moved(operation, has_moved=True)


async def _insist(db: Connection, error: type[CortexAIError], table: Any, user_id: UserId, row_id: Any) -> None:  # noqa: ANN401
    """Hold a row of the user's that is about to be referred to, if one is.

    Raises:
        CortexAIError: `error`, where there is no such row.

    """
    if row_id is None:
        return
    statement = select(table.id).where(table.id == row_id, table.user_id == user_id)
    if (await db.execute(statement.with_for_update(read=True, key_share=True))).one_or_none() is None:
        raise error


async def _find_present(db: Connection, user_id: UserId, proposal: Proposal) -> OperationRow | None:
    """The operation that there is already for what is proposed."""
    if proposal.generation_id is not None and proposal.call_id is not None:
        return await find_by_call(db, user_id, proposal.generation_id, proposal.call_id)
    if proposal.undo_of is None:
        return None
    original = await find_operation(db, user_id, proposal.undo_of)
    return await find_present_undo(db, original)


async def find_present_undo(db: Connection, original: OperationRow) -> OperationRow | None:
    """The undo of an operation that is offered already; None where one may be proposed.

    Raises:
        NotUndoable: the operation is not committed, or its undo is, or it can't be undone.

    """
    undo = await find_undo(db, original.user_id, original.id)
    if undo is not None and undo.status == "committed":
        raise NotUndoable("this change has been undone already")
    if not (original.status == "committed" and original.is_undoable):
        raise NotUndoable(original.preview.get("undo_refusal"))
    return undo


def proposed(operation: OperationRow) -> audit.Event:
    """What the log says of a proposal: by whom, and what; no row of it.

    Of a call of an outside tool it says the arguments, as JSON in a text: they are what would be sent out.
    """
    details = {
        "kind": operation.kind,
        "summary": operation.summary,
        "statement": operation.statement,
        "digest": operation.digest,
        "data_source": operation.data_source_id,
        "undo_of": str(operation.undo_of) if operation.undo_of else None,
        "by": "model" if operation.generation_id else "user",
        "generation": str(operation.generation_id) if operation.generation_id else None,
    }
    if operation.kind == "tool_call":
        arguments = canonical(operation.preview.get("arguments", {})).decode()
        details |= {"tool": operation.preview.get("tool"), "arguments": arguments}
    return audit.Event("operation.proposed", audit.operation(operation.id), details)
