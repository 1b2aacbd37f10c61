"""Accounts in the database."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Row, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from shared.database.engine import Connection
from shared.database.tables import Chat, Generation, User
from shared.errors import EmailTaken, TokenInvalid
from shared.generations.cancel import OpenGeneration, find_open
from shared.ids import UserId

AccountRow = Row[int, str, datetime]


async def add_user(db: Connection, email: str, password_hash: str) -> AccountRow:
    """Make an account. Returns (id, email, created_at).

    Raises:
        EmailTaken: one with this address, in whatever case, exists.

    """
    statement = (
        insert(User)
        .values(email=email, password_hash=password_hash)
        .on_conflict_do_nothing()
        .returning(User.id, User.email, User.created_at)
    )
    row = (await db.execute(statement)).one_or_none()
    if row is None:
        raise EmailTaken
    return row


async def find_credentials(db: Connection, email: str) -> Row[int, str] | None:
    """(id, password_hash) of the account with this address, in whatever case."""
    statement = select(User.id, User.password_hash).where(func.lower(User.email) == func.lower(email))
    return (await db.execute(statement)).one_or_none()


async def find_account(db: Connection, user_id: UserId) -> AccountRow:
    """(id, email, created_at) of an account.

    Raises:
        TokenInvalid: the account was deleted after its request was let in.

    """
    statement = select(User.id, User.email, User.created_at).where(User.id == user_id)
    row = (await db.execute(statement)).one_or_none()
    if row is None:
        raise TokenInvalid
    return row


async def delete_account(db: Connection, user_id: UserId) -> Sequence[OpenGeneration]:
    """Delete an account with everything that belongs to it. Needs a transaction.

    Returns the generations that were open.
    """
    # In the order in which accepting a message locks: its chat, then its user.
    await db.execute(select(Chat.id).where(Chat.user_id == user_id).order_by(Chat.id).with_for_update())
    open_ones = await find_open(db, Generation.user_id == user_id)
    await db.execute(delete(User).where(User.id == user_id))
    return open_ones
