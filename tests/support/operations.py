"""Operations in tests: proposals without a data source, and a database to move them in."""

from datetime import timedelta
from typing import Any, Final

from shared.canonical import digest_of
from shared.database.engine import Database
from shared.ids import OperationId, UserId
from shared.operations.commits import ClaimedCommit, claim_commit
from shared.operations.decisions import approve
from shared.operations.proposals import Bounds, Proposal, propose
from shared.operations.rows import OperationRow, find_operation
from tests.support.turns import execute

BOUNDS: Final = Bounds(pending=20, expire_after=timedelta(hours=1))
LEASE: Final = timedelta(seconds=30)
PREVIEW: Final = {
    "table": "public.orders",
    "kind": "update",
    "key": ["id"],
    "columns": [{"name": "id", "type": "bigint"}, {"name": "state", "type": "text"}],
    "rows": [{"before": {"id": 1, "state": "new"}, "after": {"id": 1, "state": "sent"}, "conflict": None}],
    "counts": {"inserted": 0, "updated": 1, "deleted": 0},
    "touched": [{"table": "public.audit", "inserted": 1, "updated": 0, "deleted": 0}],
    "set_at_commit": [],
    "is_undoable": True,
    "undo_refusal": None,
}
DIGEST: Final = digest_of(PREVIEW)


def new_user(database_url: str, email: str = "me@example.com") -> UserId:
    """An account, made behind everybody's back."""
    ((user_id,),) = execute(
        database_url, "INSERT INTO users (email, password_hash) VALUES (%s, 'x') RETURNING id", email
    )
    assert isinstance(user_id, int)
    return UserId(user_id)


def proposal(kind: str = "delete_chats", **values: Any) -> Proposal:  # noqa: ANN401
    """A proposal that needs no data source."""
    return Proposal(**{"kind": kind, "summary": "Send the order.", "preview": PREVIEW, "digest": DIGEST, **values})


async def proposed(database: Database, user_id: UserId, kind: str = "delete_chats", **values: Any) -> OperationRow:  # noqa: ANN401
    """An operation that waits for a decision."""
    async with database.begin() as db:
        return (await propose(db, user_id, proposal(kind, **values), BOUNDS)).operation


async def approved(database: Database, user_id: UserId, **values: Any) -> OperationRow:  # noqa: ANN401
    """An operation that waits for its commit."""
    operation = await proposed(database, user_id, **values)
    async with database.begin() as db:
        return (await approve(db, user_id, operation.id, operation.digest, "session")).operation


async def claimed(database: Database, user_id: UserId, lease: timedelta = LEASE, **values: Any) -> ClaimedCommit:  # noqa: ANN401
    """An operation that a worker has taken."""
    operation = await approved(database, user_id, **values)
    async with database.connect() as db:
        taken = await claim_commit(db, operation.id, lease)
    assert taken is not None
    return taken


async def found(database: Database, user_id: UserId, operation_id: OperationId) -> OperationRow:
    """An operation as it is now."""
    async with database.connect() as db:
        return await find_operation(db, user_id, operation_id)


def actions(database_url: str, user_id: UserId) -> list[object]:
    """The actions in a user's log, in order."""
    rows = execute(database_url, "SELECT action FROM audit_log WHERE user_id = %s ORDER BY number", user_id)
    return [action for (action,) in rows]
