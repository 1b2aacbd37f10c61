"""Bodies of the routes of operations and of the audit log."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field, StringConstraints

from services.api.fields import Body, NotBlank, Storable, View
from shared.data_sources.statements.checked import MAX_STATEMENT_CHARS
from shared.operations.audit import Entry
from shared.operations.proposals import SUMMARY_MAX_CHARS
from shared.operations.rows import OperationRow, to_json

Kind = Literal["write", "undo", "delete_chats", "restore_chats", "tool_call"]
Status = Literal["proposed", "approved", "committed", "refused", "stale", "expired", "failed"]
Statement = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_STATEMENT_CHARS), Storable, NotBlank
]
Summary = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=SUMMARY_MAX_CHARS),
    Storable,
    NotBlank,
]


class OperationError(View):
    """Why nothing was changed. `code` is stable, `message` is for people."""

    code: str
    message: str


class ListedOperation(View):
    """A change that somebody proposed, as lists have it: without its preview and its result, which may be large.

    `statement` is the SQL, null for other kinds than `write`. `generation_id` and `call_id` name the tool call that proposed
    the operation; null where a person did. `is_undoable`: the change can be undone once it is committed, or now if it is.
    `undone_by` is the committed operation that has undone this one. `decided_by` is the kind of the credential that approved
    or refused it, or `stop`, since the answer that proposed it was stopped; null where nobody decided.
    """

    id: UUID
    kind: Kind
    status: Status
    data_source_id: int | None
    chat_id: int | None
    generation_id: UUID | None
    call_id: str | None
    summary: str
    statement: str | None
    digest: str
    undo_of: UUID | None
    undone_by: UUID | None
    is_undoable: bool
    error: OperationError | None
    created_at: datetime
    expires_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    finished_at: datetime | None

    @classmethod
    def of(cls, operation: OperationRow) -> Self:
        """The view of an operation."""
        return cls.model_validate(to_json(operation))


class Operation(ListedOperation):
    """A change that somebody proposed, whole.

    `preview` is what the change does: the rows of a table before and after, for the kinds `write` and `undo`. Whoever approves
    the operation names its `digest`. `result` is what was done; null before that.
    """

    preview: dict[str, Any]
    result: dict[str, Any] | None


class Approval(Body):
    """The digest of the preview that the person has seen."""

    digest: Annotated[str, StringConstraints(min_length=1, max_length=200), Storable]


class NewOperation(Body):
    """An INSERT, UPDATE or DELETE of one table. `summary` says in words what it is for."""

    sql: Statement
    summary: Summary | None = None


class AuditEntry(View):
    """Something that was done. The user's entries are numbered from 1, without gaps.

    `hash` is the SHA-256, in hexadecimal, of the entry and of the hash before it.
    """

    number: int
    at: datetime
    action: str
    subject: str
    details: dict[str, Any]
    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """The view of an entry."""
        return cls.model_validate(entry._replace(hash=entry.hash.hex())._asdict())  # type: ignore[arg-type]
