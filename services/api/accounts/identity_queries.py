"""Identities at OpenID providers in the database."""

from collections.abc import Collection
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert

from shared.accounts.addresses import is_same_mailbox
from shared.accounts.mails import add_notice
from shared.database.engine import Connection
from shared.database.tables import OidcIdentity, Session, User
from shared.errors import IdentityNotFound, IdentityTaken, LastWayIn, SessionInvalid, TokenInvalid, TooManyIdentities
from shared.ids import UserId

MAX_IDENTITIES: Final = 20
"""How many identities an account may have."""


class OwnerOfAddress(NamedTuple):
    """The account that has an address. `is_verified`: its user has shown to read mail at this very address."""

    id: UserId
    is_verified: bool


class OwnIdentity(NamedTuple):
    """An identity as its user sees it."""

    id: int
    issuer: str
    created_at: datetime
    last_used_at: datetime


async def use_identity(db: Connection, issuer: str, subject: str) -> UserId | None:
    """The user of an identity, with a note that it was used now; None where nobody has it.

    Who takes the identity away waits for the end of the transaction in which this is done.
    """
    used = (
        update(OidcIdentity)
        .where(OidcIdentity.issuer == issuer, OidcIdentity.subject == subject)
        .values(last_used_at=func.now())
        .returning(OidcIdentity.user_id)
    )
    user_id = await db.scalar(used)
    return None if user_id is None else UserId(user_id)


async def lock_owner_of_address(db: Connection, email: str) -> OwnerOfAddress | None:
    """The account with this address, in upper or lower case, locked; None where there is none. Needs a transaction."""
    is_verified = User.email_verified_at.is_not(None) & is_same_mailbox(User.email, email)
    has_it = func.lower(User.email) == func.lower(email)
    statement = select(User.id, is_verified).where(has_it).with_for_update(key_share=True)
    row = (await db.execute(statement)).one_or_none()
    return OwnerOfAddress._make(row) if row else None


async def add_user_without_password(db: Connection, email: str) -> UserId | None:
    """Make an account whose address a provider vouches for. None where somebody else has just made one with it."""
    new = {"email": email, "password_hash": None, "email_verified_at": func.now()}
    made = await db.scalar(insert(User).values(new).on_conflict_do_nothing().returning(User.id))
    return None if made is None else UserId(made)


async def add_identity(db: Connection, user_id: UserId, issuer: str, subject: str) -> bool:
    """Link an identity to an account. False where somebody has it already."""
    new = {"user_id": user_id, "issuer": issuer, "subject": subject}
    added = insert(OidcIdentity).values(new).on_conflict_do_nothing().returning(OidcIdentity.id)
    return await db.scalar(added) is not None


async def link_identity(db: Connection, user_id: UserId, session_id: int, issuer: str, subject: str) -> int | None:
    """Link an identity to the account of somebody who is logged in by this session. Needs a transaction.

    Returns the mail that tells the owner; None where nobody has verified the address, or the identity was linked already and
    nothing changes.

    Raises:
        SessionInvalid: the session has ended.
        TokenInvalid: the account is gone.
        TooManyIdentities: it has MAX_IDENTITIES already.
        IdentityTaken: the identity is another account's.

    """
    # The lock comes first: who ends the session of a thief, by another password say, has the lock until the session is gone.
    owner = select(User.id).where(User.id == user_id).with_for_update(key_share=True)
    if await db.scalar(owner) is None:
        raise TokenInvalid
    if not await goes_on(db, user_id, session_id):
        raise SessionInvalid
    if not await add_identity(db, user_id, issuer, subject):
        named = OidcIdentity.issuer == issuer, OidcIdentity.subject == subject
        if await db.scalar(select(OidcIdentity.user_id).where(*named)) != user_id:
            raise IdentityTaken
        return None
    counted = select(func.count()).select_from(OidcIdentity).where(OidcIdentity.user_id == user_id)
    if (await db.execute(counted)).scalar_one() > MAX_IDENTITIES:
        raise TooManyIdentities
    return await add_notice(db, "identity_linked", user_id)


async def list_identities(db: Connection, user_id: UserId) -> list[OwnIdentity]:
    """The user's identities, the oldest first."""
    columns = OidcIdentity.id, OidcIdentity.issuer, OidcIdentity.created_at, OidcIdentity.last_used_at
    rows = await db.execute(select(*columns).where(OidcIdentity.user_id == user_id).order_by(OidcIdentity.id))
    return [OwnIdentity._make(row) for row in rows]


async def remove_identity(
    db: Connection, user_id: UserId, identity_id: int, *, has_password: bool, issuers: Collection[str]
) -> None:
    """Take an identity away. `issuers` are those by which people can log in. Needs a transaction that has locked the user.

    Raises:
        IdentityNotFound: absent, or another user's.
        LastWayIn: the user has no password and no other identity of these issuers.

    """
    owned = OidcIdentity.id == identity_id, OidcIdentity.user_id == user_id
    if not (await db.execute(delete(OidcIdentity).where(*owned))).rowcount:
        raise IdentityNotFound
    others = exists().where(OidcIdentity.user_id == user_id, OidcIdentity.issuer.in_(issuers))
    if not has_password and not await db.scalar(select(others)):
        raise LastWayIn


async def goes_on(db: Connection, user_id: UserId, session_id: int) -> bool:
    """Whether this session of the user's has not ended."""
    session = exists().where(Session.id == session_id, Session.user_id == user_id, Session.expires_at > func.now())
    return bool(await db.scalar(select(session)))
