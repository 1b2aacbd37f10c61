"""The audit log: what was done with a user's data sources, and by whose decision. Entries are only ever added.

The entries of a user are a chain: each one's hash covers the entry and the hash before it, so that a change of an old entry, a
missing entry and another order are found (`verify`). Entries that are missing at the end, or a chain that was made anew as a
whole, are found only by whoever has kept an earlier head of the chain.

An entry holds statements, which are the user's own words, and counts of rows. It holds no rows, but for those that the arguments
of a call of an outside tool quote: the log tells what was to be sent out.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import func, insert, select

from shared.canonical import canonical
from shared.database.engine import Connection
from shared.database.tables import AuditEntry, User
from shared.errors import TokenInvalid
from shared.ids import MAX_BIGINT, DataSourceId, OperationId, UserId

Action = Literal[
    "data_source.added",
    "data_source.changed",
    "data_source.deleted",
    "query.run",
    "preview.run",
    "operation.proposed",
    "operation.approved",
    "operation.refused",
    "operation.expired",
    "operation.committed",
    "operation.called",
    "operation.stale",
    "operation.failed",
]
BEFORE_FIRST: Final = bytes(32)
"""What stands for the hash before the first entry's."""
PAGE: Final = 1000
"""How many entries are checked at a time."""


class Event(NamedTuple):
    """Something to be told in the log.

    `subject` is `operation:<id>` or `data_source:<id>`. `details` has texts, whole numbers, booleans, null, and lists and objects
    of these: another number might come back from the database in another spelling.
    """

    action: Action
    subject: str
    details: dict[str, Any]


class Entry(NamedTuple):
    """An entry as its owner sees it. `number` counts from 1; `hash` has 32 bytes."""

    number: int
    at: datetime
    action: str
    subject: str
    details: dict[str, Any]
    hash: bytes


class Chain(NamedTuple):
    """What a check has found: so many good entries from the first one on, and the hash of the last of them.

    `wrong` is the number of the first entry that is missing or does not fit, None where the whole chain is good.
    """

    user_id: UserId
    entries: int
    head: bytes
    wrong: int | None


_ENTRY: Final = tuple(getattr(AuditEntry, name) for name in Entry._fields)


def data_source(data_source_id: DataSourceId | int) -> str:
    """A data source as the subject of an entry."""
    return f"data_source:{data_source_id}"


def operation(operation_id: OperationId) -> str:
    """An operation as the subject of an entry."""
    return f"operation:{operation_id}"


async def take_turn(db: Connection, user_id: UserId) -> None:
    """Lock the user until the transaction ends: whoever adds to the user's log does so in turn. May be called again.

    Raises:
        TokenInvalid: the account is gone.

    """
    statement = select(User.id).where(User.id == user_id).with_for_update(key_share=True)
    if (await db.execute(statement)).one_or_none() is None:
        raise TokenInvalid


async def append(db: Connection, user_id: UserId, event: Event) -> None:
    """Add an entry, in the transaction that does what the entry tells. Needs a transaction (READ COMMITTED).

    Raises:
        TokenInvalid: the account is gone.

    """
    await take_turn(db, user_id)
    mine = AuditEntry.user_id == user_id
    last = select(AuditEntry.number, AuditEntry.hash).where(mine).order_by(AuditEntry.number.desc()).limit(1).subquery()
    # Only now: a statement sees what was committed before it began, and the turn before may just have ended.
    at, number, before = (
        await db.execute(
            select(
                func.clock_timestamp(), select(last.c.number).scalar_subquery(), select(last.c.hash).scalar_subquery()
            )
        )
    ).one()
    entry = Entry((number or 0) + 1, at, event.action, event.subject, event.details, b"")
    values = entry._replace(hash=hash_of(user_id, entry, before or BEFORE_FIRST))._asdict()
    await db.execute(insert(AuditEntry).values(user_id=user_id, **values))


async def find_newest(db: Connection, user_id: UserId, subject: str, actions: Collection[str]) -> Entry | None:
    """The newest entry of this subject with one of these actions; None where there is none."""
    wanted = (AuditEntry.user_id == user_id) & (AuditEntry.subject == subject) & AuditEntry.action.in_(actions)
    found = await db.execute(select(*_ENTRY).where(wanted).order_by(AuditEntry.number.desc()).limit(1))
    row = found.one_or_none()
    return Entry._make(row) if row else None


def hash_of(user_id: UserId, entry: Entry, before: bytes) -> bytes:
    """The hash of an entry, whatever its `hash` is. `before` is the hash of the entry before it, or BEFORE_FIRST."""
    told = {
        "before": before.hex(),
        "user": user_id,
        "number": entry.number,
        "at": entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "action": entry.action,
        "subject": entry.subject,
        "details": entry.details,
    }
    return sha256(canonical(told)).digest()


async def list_entries(db: Connection, user_id: UserId, *, before: int | None, limit: int) -> list[Entry]:
    """The user's entries, the newest first, whose numbers are less than `before`."""
    statement = select(*_ENTRY).where(AuditEntry.user_id == user_id).order_by(AuditEntry.number.desc()).limit(limit)
    if before is not None:
        statement = statement.where(AuditEntry.number < before)
    return [Entry._make(row) for row in await db.execute(statement)]


async def find_owners(db: Connection) -> list[UserId]:
    """The users who have a chain, in order."""
    owners = select(AuditEntry.user_id).distinct().order_by(AuditEntry.user_id)
    return [UserId(user_id) for user_id in (await db.execute(owners)).scalars()]


async def verify(db: Connection, user_id: UserId, *, page: int = PAGE) -> Chain:
    """Check a user's chain from its first entry on. A user without entries has a good chain of none.

    Reads `page` entries at a time, so that a chain of any length fits, and may run beside those who add.
    """
    checked, head = 0, BEFORE_FIRST
    after = -MAX_BIGINT  # no entry has such a number, unless somebody has put it there
    while True:
        statement = (
            select(*_ENTRY)
            .where(AuditEntry.user_id == user_id, AuditEntry.number > after)
            .order_by(AuditEntry.number)
            .limit(page)
        )
        entries = [Entry._make(row) for row in await db.execute(statement)]
        for entry in entries:
            if entry.number != checked + 1 or entry.hash != hash_of(user_id, entry, head):
                return Chain(user_id, checked, head, wrong=checked + 1)
            checked, head = entry.number, entry.hash
            after = checked
        if len(entries) < page:
            return Chain(user_id, checked, head, wrong=None)
