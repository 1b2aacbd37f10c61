"""Accounts in the database."""

from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from shared.database.engine import Connection, allow_long_statements
from shared.database.tables import Chat, Generation, User
from shared.errors import CredentialsInvalid, EmailTaken, TokenInvalid
from shared.generations.cancel import OpenGeneration, delete_generations
from shared.ids import UserId

_ACCOUNT: Final = (User.id, User.email, User.created_at, User.time_zone)


class AccountRow(NamedTuple):
    """An account as its owner sees it."""

    id: UserId
    email: str
    created_at: datetime
    time_zone: str | None


class Credentials(NamedTuple):
    """What a password is checked with."""

    id: UserId
    password_hash: str


async def add_user(db: Connection, email: str, password_hash: str) -> AccountRow:
    """Make an account.

    Raises:
        EmailTaken: an account has this address already, in upper or lower case.

    """
    statement = (
        insert(User).values(email=email, password_hash=password_hash).on_conflict_do_nothing().returning(*_ACCOUNT)
    )
    row = (await db.execute(statement)).one_or_none()
    if row is None:
        raise EmailTaken
    return AccountRow._make(row)


async def find_credentials(db: Connection, email: str) -> Credentials | None:
    """The credentials of the account with this address, in upper or lower case; None when no account has it."""
    statement = select(User.id, User.password_hash).where(func.lower(User.email) == func.lower(email))
    row = (await db.execute(statement)).one_or_none()
    return Credentials._make(row) if row else None


async def replace_password_hash(db: Connection, found: Credentials, password_hash: str) -> None:
    """Keep another hash of the same password. A password that was changed meanwhile stays changed."""
    unchanged = User.id == found.id, User.password_hash == found.password_hash
    await db.execute(update(User).where(*unchanged).values(password_hash=password_hash))


async def find_account(db: Connection, user_id: UserId) -> AccountRow:
    """One account.

    Raises:
        TokenInvalid: the account was deleted after its request was let in.

    """
    statement = select(*_ACCOUNT).where(User.id == user_id)
    row = (await db.execute(statement)).one_or_none()
    if row is None:
        raise TokenInvalid
    return AccountRow._make(row)


async def lock_account(db: Connection, user_id: UserId) -> AccountRow:
    """One account, locked: those who change what belongs to it take turns. Needs a transaction.

    The lock is of the kind that does not stop who only refers to the account, as each new message does.

    Raises:
        CredentialsInvalid: the account was deleted after its password was checked.

    """
    statement = select(*_ACCOUNT).where(User.id == user_id).with_for_update(key_share=True)
    row = (await db.execute(statement)).one_or_none()
    if row is None:
        raise CredentialsInvalid
    return AccountRow._make(row)


async def set_time_zone(db: Connection, user_id: UserId, time_zone: str | None) -> AccountRow:
    """Set the account's time zone, or None for none.

    Raises:
        TokenInvalid: the account was deleted after its request was let in.

    """
    statement = update(User).where(User.id == user_id).values(time_zone=time_zone).returning(*_ACCOUNT)
    row = (await db.execute(statement)).one_or_none()
    if row is None:
        raise TokenInvalid
    return AccountRow._make(row)


async def delete_account(db: Connection, user_id: UserId) -> list[OpenGeneration]:
    """Delete an account with everything that belongs to it. Needs a transaction.

    Returns the generations that were open.
    """
    # Accepting a message locks its chat, then its user. The same order here avoids deadlocks.
    await allow_long_statements(db)
    await db.execute(select(Chat.id).where(Chat.user_id == user_id).order_by(Chat.id).with_for_update())
    open_ones = await delete_generations(db, Generation.user_id == user_id)
    await db.execute(delete(User).where(User.id == user_id))
    return open_ones
