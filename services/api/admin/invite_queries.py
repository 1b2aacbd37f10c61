"""Invites in the database, as admins see them."""

from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import func, select

from shared.database.engine import Connection
from shared.database.tables import AccountInvite, User


class InviteRow(NamedTuple):
    """An invite that can be used. `created_by` is None for a command, and for an admin whose account is gone."""

    id: int
    email: str | None
    created_at: datetime
    expires_at: datetime
    created_by: int | None
    created_by_email: str | None


_INVITES: Final = (
    select(
        *(AccountInvite.id, AccountInvite.email, AccountInvite.created_at, AccountInvite.expires_at),
        *(AccountInvite.created_by, User.email.label("created_by_email")),
    )
    .outerjoin(User, User.id == AccountInvite.created_by)
    .where(AccountInvite.expires_at > func.now())
    .order_by(AccountInvite.id.desc())
)


async def list_invites(db: Connection, *, before: int | None, limit: int) -> list[InviteRow]:
    """Invites that can be used, the newest first, whose ids are less than `before`."""
    statement = _INVITES.limit(limit)
    if before is not None:
        statement = statement.where(AccountInvite.id < before)
    return [InviteRow._make(row) for row in await db.execute(statement)]


async def count_invites(db: Connection) -> int:
    """How many invites can be used."""
    counted = select(func.count()).select_from(AccountInvite).where(AccountInvite.expires_at > func.now())
    return (await db.execute(counted)).scalar_one()
