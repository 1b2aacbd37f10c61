"""Users in the database, as admins see and change them. Each change notes its act in the same transaction."""

from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import func, select, update

from services.api.accounts.deletion import DeletedAccount, delete_rows
from services.api.accounts.queries import void_logins_under_way
from services.api.auth.sessions import end_other_sessions
from shared.admin_acts import Actor, record
from shared.database.engine import Connection
from shared.database.tables import Chat, Session, User
from shared.errors import UserNotFound
from shared.ids import UserId


class UserRow(NamedTuple):
    """A user as admins see one. `last_used_at` is exact to five minutes; None where there is no session.

    `chats` counts those in the trash too. `daily_tokens` is the user's own quota; None where the setting's holds.
    """

    id: UserId
    email: str
    role: str
    created_at: datetime
    email_verified: bool
    disabled_at: datetime | None
    last_used_at: datetime | None
    chats: int
    daily_tokens: int | None


_LAST_USED: Final = select(func.max(Session.last_used_at)).where(Session.user_id == User.id).correlate(User)
_CHATS: Final = select(func.count()).select_from(Chat).where(Chat.user_id == User.id, ~Chat.is_hidden).correlate(User)
_USERS: Final = select(
    *(User.id, User.email, User.role, User.created_at),
    User.email_verified_at.is_not(None).label("email_verified"),
    User.disabled_at,
    _LAST_USED.scalar_subquery().label("last_used_at"),
    _CHATS.scalar_subquery().label("chats"),
    User.daily_tokens,
)


async def list_users(db: Connection, *, query: str | None, before: int | None, limit: int) -> list[UserRow]:
    """Users, the newest first, whose ids are less than `before`. With `query`, those whose addresses have it, in any case."""
    statement = _USERS.order_by(User.id.desc()).limit(limit)
    if query is not None:
        statement = statement.where(User.email.icontains(query, autoescape=True))
    if before is not None:
        statement = statement.where(User.id < before)
    return [UserRow._make(row) for row in await db.execute(statement)]


async def find_user(db: Connection, user_id: UserId) -> UserRow:
    """One user.

    Raises:
        UserNotFound: there is none.

    """
    row = (await db.execute(_USERS.where(User.id == user_id))).one_or_none()
    if row is None:
        raise UserNotFound
    return UserRow._make(row)


async def set_disabled(db: Connection, actor: Actor, user_id: UserId, *, disabled: bool) -> None:
    """Keep a user out, or let the user in again. Whoever is kept out has no session any more. Needs a transaction.

    Raises:
        UserNotFound: there is no such user.

    """
    is_disabled = User.disabled_at.is_not(None)
    was_disabled = (
        await db.execute(select(is_disabled).where(User.id == user_id).with_for_update(key_share=True))
    ).scalar_one_or_none()
    if was_disabled is None:
        raise UserNotFound
    if was_disabled == disabled:
        return
    new = {"disabled_at": func.now() if disabled else None}
    await db.execute(update(User).where(User.id == user_id).values(new))
    if disabled:
        await void_logins_under_way(db, user_id)
        sessions = await end_other_sessions(db, user_id, None)
        await db.execute(record(actor, "user.disabled", user_id, sessions=sessions))
    else:
        await db.execute(record(actor, "user.enabled", user_id))


async def set_daily_tokens(db: Connection, actor: Actor, user_id: UserId, daily_tokens: int | None) -> None:
    """Give a user another quota, or None for the setting's. Needs a transaction.

    Raises:
        UserNotFound: there is no such user.

    """
    locked = select(User.daily_tokens).where(User.id == user_id).with_for_update(key_share=True)
    row = (await db.execute(locked)).one_or_none()
    if row is None:
        raise UserNotFound
    if row.daily_tokens != daily_tokens:
        await db.execute(update(User).where(User.id == user_id).values(daily_tokens=daily_tokens))
        await db.execute(record(actor, "user.quota_set", user_id, before=row.daily_tokens, after=daily_tokens))


async def end_sessions(db: Connection, actor: Actor, user_id: UserId) -> None:
    """End all sessions of a user, and the logins under way. Needs a transaction.

    Raises:
        UserNotFound: there is no such user.

    """
    await find_user(db, user_id)
    await void_logins_under_way(db, user_id)
    sessions = await end_other_sessions(db, user_id, None)
    if sessions:
        await db.execute(record(actor, "user.sessions_ended", user_id, sessions=sessions))


async def delete_user(db: Connection, actor: Actor, user_id: UserId) -> DeletedAccount:
    """Delete a user's account as its owner would. Needs a transaction. Returns the generations that were open.

    Raises:
        UserNotFound: there is no such user, or somebody else has deleted the account a moment ago.

    """
    deleted = await delete_rows(db, user_id)
    if deleted is None:
        raise UserNotFound
    await db.execute(record(actor, "user.deleted", user_id))
    return deleted
