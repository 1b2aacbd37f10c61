"""Second factors and recovery codes in the database."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.dialects import postgresql

from shared.database.engine import Connection
from shared.database.tables import RecoveryCode, SecondFactor
from shared.errors import SecondFactorPresent
from shared.ids import UserId


class FactorRow(NamedTuple):
    """A second factor: its encrypted secret, since when a login asks for it, and the step of the last code that was taken."""

    totp_secret: bytes
    confirmed_at: datetime | None
    last_step: int | None


async def begin_factor(db: Connection, user_id: UserId, totp_secret: bytes) -> None:
    """Keep a new secret, which no login asks for yet. It takes the place of one that was never confirmed.

    Raises:
        SecondFactorPresent: the account has a second factor.

    """
    new = {"user_id": user_id, "totp_secret": totp_secret}
    again = {"totp_secret": totp_secret, "created_at": func.now(), "last_step": None}
    statement = (
        postgresql.insert(SecondFactor)
        .values(new)
        .on_conflict_do_update(
            index_elements=[SecondFactor.user_id], set_=again, where=SecondFactor.confirmed_at.is_(None)
        )
        .returning(SecondFactor.id)
    )
    if (await db.execute(statement)).one_or_none() is None:
        raise SecondFactorPresent


async def lock_factor(db: Connection, user_id: UserId) -> FactorRow | None:
    """The user's second factor, locked: those who try codes take turns. None where there is none. Needs a transaction."""
    columns = SecondFactor.totp_secret, SecondFactor.confirmed_at, SecondFactor.last_step
    statement = select(*columns).where(SecondFactor.user_id == user_id).with_for_update()
    row = (await db.execute(statement)).one_or_none()
    return FactorRow._make(row) if row else None


async def confirm_factor(db: Connection, user_id: UserId) -> None:
    """Have each login ask for the second factor from now on."""
    await db.execute(update(SecondFactor).where(SecondFactor.user_id == user_id).values(confirmed_at=func.now()))


async def keep_step(db: Connection, user_id: UserId, step: int) -> None:
    """Note the step of a code that is taken now."""
    await db.execute(update(SecondFactor).where(SecondFactor.user_id == user_id).values(last_step=step))


async def delete_factor(db: Connection, user_id: UserId) -> None:
    """Delete the user's second factor and recovery codes."""
    await db.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    await db.execute(delete(SecondFactor).where(SecondFactor.user_id == user_id))


async def replace_recovery_codes(db: Connection, user_id: UserId, hashes: Sequence[bytes]) -> None:
    """Have these be the user's recovery codes. The user's second factor must be locked."""
    await db.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    await db.execute(insert(RecoveryCode), [{"user_id": user_id, "code_hash": each} for each in hashes])


async def use_recovery_code(db: Connection, user_id: UserId, code_hash: bytes) -> bool:
    """Use a recovery code up. False where the user has none with this hash; of two who use it at once, one gets True."""
    code = RecoveryCode.user_id == user_id, RecoveryCode.code_hash == code_hash
    used = delete(RecoveryCode).where(*code).returning(RecoveryCode.id)
    return (await db.execute(used)).one_or_none() is not None
