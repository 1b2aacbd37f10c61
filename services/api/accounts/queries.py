"""Accounts in the database."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import Interval, cast, delete, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from shared.accounts.mails import forget_mails
from shared.accounts.state import HAS_SECOND_FACTOR, MAY_LOG_IN
from shared.database.engine import Connection, allow_long_statements
from shared.database.tables import Chat, Generation, RecoveryCode, User
from shared.errors import CredentialsInvalid, EmailTaken, TokenInvalid
from shared.generations.cancel import DeletedGenerations, delete_generations
from shared.ids import GenerationId, UserId

_NEW: Final = (User.id, User.email, User.email_verified_at.is_not(None), User.created_at, User.time_zone, User.role)
_CODES_LEFT: Final = (
    select(func.count()).select_from(RecoveryCode).where(RecoveryCode.user_id == User.id).correlate(User)
).scalar_subquery()
_ACCOUNT: Final = (*_NEW, HAS_SECOND_FACTOR, _CODES_LEFT, User.password_hash.is_not(None))


class AccountRow(NamedTuple):
    """An account as its owner sees it."""

    id: UserId
    email: str
    email_verified: bool
    created_at: datetime
    time_zone: str | None
    role: str
    has_second_factor: bool
    recovery_codes_left: int
    has_password: bool


class Credentials(NamedTuple):
    """What a login is checked with.

    `password_hash` is None for an account without a password. `may_log_in`: no admin keeps the user out.
    """

    id: UserId
    password_hash: str | None
    email: str
    version: int
    has_second_factor: bool
    may_log_in: bool


_CREDENTIALS: Final = (
    *(User.id, User.password_hash, User.email, User.credentials_version, HAS_SECOND_FACTOR),
    MAY_LOG_IN.label("may_log_in"),
)


async def add_user(db: Connection, email: str, password_hash: str, *, is_verified: bool = False) -> AccountRow:
    """Make an account. `is_verified`: its owner has shown to read mail at this address.

    Raises:
        EmailTaken: an account has this address already, in upper or lower case.

    """
    values = {"email": email, "password_hash": password_hash, "email_verified_at": func.now() if is_verified else None}
    statement = insert(User).values(values).on_conflict_do_nothing().returning(*_NEW)
    row = (await db.execute(statement)).one_or_none()
    if row is None:
        raise EmailTaken
    return AccountRow._make((*row, False, 0, True))


async def find_credentials(db: Connection, email: str) -> Credentials | None:
    """The credentials of the account with this address, in upper or lower case; None when no account has it."""
    statement = select(*_CREDENTIALS).where(func.lower(User.email) == func.lower(email))
    row = (await db.execute(statement)).one_or_none()
    return Credentials._make(row) if row else None


async def find_own_credentials(db: Connection, user_id: UserId) -> Credentials:
    """The credentials of this account.

    Raises:
        TokenInvalid: the account was deleted after its request was let in.

    """
    row = (await db.execute(select(*_CREDENTIALS).where(User.id == user_id))).one_or_none()
    if row is None:
        raise TokenInvalid
    return Credentials._make(row)


async def change_password_hash(db: Connection, found: Credentials, password_hash: str) -> bool:
    """Keep the hash of another password. False where who may log in has been changed since the password was checked."""
    unchanged = User.id == found.id, User.credentials_version == found.version
    new = {"password_hash": password_hash, "credentials_version": User.credentials_version + 1}
    changed = update(User).where(*unchanged).values(new).returning(User.id)
    return (await db.execute(changed)).one_or_none() is not None


async def void_logins_under_way(db: Connection, user_id: UserId) -> None:
    """See to it that no login begins a session that was checked before now. Needs a transaction.

    For each change of who may log in, before anything else of the account is changed: the lock that this takes makes logins
    wait, and all who change an account take it first.
    """
    version = User.credentials_version + 1
    await db.execute(update(User).where(User.id == user_id).values(credentials_version=version))


class AddressBefore(NamedTuple):
    """The address that an account had. `is_verified`: its user has shown to read mail there."""

    email: str
    is_verified: bool


async def change_email(db: Connection, user_id: UserId, email: str) -> AddressBefore | None:
    """Set the account's e-mail address, which nobody has verified then. Needs a transaction, which an error ends.

    Returns the address before; None where the account has this address already, and nothing changes.

    Raises:
        EmailTaken: another account has this address, in upper or lower case.
        TokenInvalid: the account was deleted after its request was let in.

    """
    columns = User.email, User.email_verified_at.is_not(None)
    row = (await db.execute(select(*columns).where(User.id == user_id).with_for_update(key_share=True))).one_or_none()
    if row is None:
        raise TokenInvalid
    before = AddressBefore._make(row)
    if before.email == email:
        return None
    try:
        await db.execute(update(User).where(User.id == user_id).values(email=email, email_verified_at=None))
    except IntegrityError as error:
        raise EmailTaken from error
    return before


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


async def lock_account(db: Connection, found: Credentials) -> AccountRow:
    """One account, locked: those who change what belongs to it take turns. Needs a transaction.

    The lock is of the kind that does not stop who only refers to the account, as each new message does.

    Raises:
        CredentialsInvalid: the account was deleted or disabled, or who may log in was changed, after these credentials were
            checked.

    """
    unchanged = User.id == found.id, User.credentials_version == found.version, MAY_LOG_IN
    statement = select(*_ACCOUNT).where(*unchanged).with_for_update(key_share=True)
    row = (await db.execute(statement)).one_or_none()
    if row is None:
        raise CredentialsInvalid
    return AccountRow._make(row)


async def set_time_zone(db: Connection, user_id: UserId, time_zone: str | None) -> None:
    """Set the account's time zone, or None for none."""
    await db.execute(update(User).where(User.id == user_id).values(time_zone=time_zone))


async def delete_account(db: Connection, user_id: UserId) -> DeletedGenerations | None:
    """Delete an account with everything that belongs to it. Needs a transaction.

    Returns its generations; None where the account is gone already.
    """
    # Accepting a message locks its chat, then its user. The same order here avoids deadlocks.
    await allow_long_statements(db)
    await db.execute(select(Chat.id).where(Chat.user_id == user_id).order_by(Chat.id).with_for_update())
    generations = await delete_generations(db, Generation.user_id == user_id)
    email = await db.scalar(delete(User).where(User.id == user_id).returning(User.email))
    if email is None:
        return None
    await forget_mails(db, email)
    return generations


async def find_with_logs(db: Connection, user_id: UserId, kept_for: timedelta) -> list[GenerationId]:
    """The user's generations whose logs may still be there: a log is kept for so long after it was closed."""
    closed_lately = Generation.closed_at > func.now() - cast(literal(kept_for), Interval)
    statement = select(Generation.id).where(
        Generation.user_id == user_id, or_(Generation.closed_at.is_(None), closed_lately)
    )
    return [GenerationId(each) for each in (await db.execute(statement)).scalars()]
