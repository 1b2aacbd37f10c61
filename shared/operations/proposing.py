"""Proposing a change: its preview is made first, without a connection to our own database, and then the operation is added."""

from typing import Any

from shared.canonical import digest_of
from shared.chats.operations import preview_deletion, preview_restoration
from shared.database.engine import Database
from shared.errors import NotUndoable
from shared.ids import DataSourceId, OperationId, UserId
from shared.operations import audit
from shared.operations.changes import Changes, ShownChange
from shared.operations.moves import Moved
from shared.operations.proposals import Bounds, Proposal, ToolCall, find_present_undo, propose
from shared.operations.rows import OperationRow, find_by_call, find_operation
from shared.operations.sources import find_images, find_source


async def propose_write(
    database: Database,
    changes: Changes,
    bounds: Bounds,
    user_id: UserId,
    data_source_id: DataSourceId,
    sql: str,
    summary: str | None = None,
    call: ToolCall | None = None,
) -> Moved:
    """Propose a statement. `call` is the tool call that proposes; a call that has proposed before gets its operation of then.

    The audit log gets the statement before it runs, whatever becomes of it.

    Raises:
        DataSourceNotFound: absent, or another user's.
        TokenInvalid: the account is gone.
        StatementRefused, StatementFailed, ChangeTooLarge, DataSourceUnreachable, TooBusy, TooManyOperations: see Changes and
            `propose`.

    """
    async with database.begin() as db:
        if call and (present := await find_by_call(db, user_id, call.generation_id, call.call_id)):
            return Moved(present, has_moved=False)
        source = await find_source(db, user_id, data_source_id, with_schema=True)
        await audit.append(db, user_id, _previewed(data_source_id, sql, by="model" if call else "user"))
    shown = await changes.preview_write(source, sql)
    proposal = Proposal(
        kind="write",
        summary=summary or _summary_of(shown.preview),
        preview=shown.preview,
        digest=shown.digest,
        data_source_id=data_source_id,
        statement=sql,
        writer_url=source.writer_url,
        **(call._asdict() if call else {}),
    )
    async with database.begin() as db:
        return await propose(db, user_id, proposal, bounds)


async def propose_undo(
    database: Database, changes: Changes, bounds: Bounds, user_id: UserId, operation_id: OperationId
) -> Moved:
    """Propose to undo a committed operation. Where its undo is offered already, that is what comes back.

    Raises:
        OperationNotFound: absent, or another user's.
        NotUndoable: the operation is not committed, can't be undone, or is undone already.
        DataSourceUnreachable, TooBusy, TooManyOperations: see Changes and `propose`.

    """
    async with database.connect() as db:
        original = await find_operation(db, user_id, operation_id)
        if present := await find_present_undo(db, original):
            return Moved(present, has_moved=False)
    if original.data_source_id is None:
        (kind, shown), writer_url = await _undo_of_chats(database, original), None
    else:
        kind = "undo"
        shown, writer_url = await _undo_of_rows(database, changes, original, original.data_source_id)
    proposal = Proposal(
        kind=kind,
        summary=f"Undo: {original.summary}",
        preview=shown.preview,
        digest=shown.digest,
        data_source_id=original.data_source_id,
        undo_of=original.id,
        writer_url=writer_url,
    )
    async with database.begin() as db:
        return await propose(db, user_id, proposal, bounds)


async def _undo_of_chats(database: Database, original: OperationRow) -> tuple[str, ShownChange]:
    """The undo of moving chats to the trash, or out of it."""
    result = original.result or {"chat_ids": []}
    async with database.connect() as db:
        if original.kind == "delete_chats":
            kind, preview = "restore_chats", await preview_restoration(db, original.user_id, result)
        else:
            kind, preview = "delete_chats", await preview_deletion(db, original.user_id, result["chat_ids"])
    if not preview["chats"]:
        raise NotUndoable("none of these chats is there any more")
    return kind, ShownChange(preview, digest_of(preview))


async def _undo_of_rows(
    database: Database, changes: Changes, original: OperationRow, data_source_id: DataSourceId
) -> tuple[ShownChange, bytes | None]:
    """The undo of a change of a data source, and where that is."""
    async with database.begin() as db:
        source = await find_source(db, original.user_id, data_source_id)
        images = await find_images(db, original.user_id, original.id)
        if images is None:
            raise NotUndoable
        await audit.append(db, original.user_id, _previewed(data_source_id, None, by="user", undo_of=original.id))
    return await changes.preview_undo(source, images), source.writer_url


def _previewed(
    data_source_id: DataSourceId, sql: str | None, *, by: str, undo_of: OperationId | None = None
) -> audit.Event:
    """What the log says of a preview, which runs a change in a transaction that is rolled back."""
    details = {"statement": sql, "undo_of": str(undo_of) if undo_of else None, "by": by}
    return audit.Event("preview.run", audit.data_source(data_source_id), details)


def _summary_of(preview: dict[str, Any]) -> str:
    """What a statement does, in words, where nobody has said so: `update 3 rows of public.orders`."""
    rows = len(preview["rows"])
    return f"{preview['kind']} {rows} row{'' if rows == 1 else 's'} of {preview['table']}"
