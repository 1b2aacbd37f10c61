"""Acts of admins in the database: who may act, and what was done."""

from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import aliased

from services.api.auth.principal import Principal
from shared.accounts.state import IS_ADMIN, MAY_LOG_IN
from shared.admin_acts import Actor
from shared.database.engine import Connection
from shared.database.tables import AdminAct, User
from shared.errors import AdminOnly
from shared.ids import UserId


class ActRow(NamedTuple):
    """An act. Addresses are those of now; None for a command, and for an account that is gone."""

    id: int
    at: datetime
    act: str
    actor_id: int | None
    actor_email: str | None
    credential: str
    credential_id: int | None
    subject_id: int | None
    subject_email: str | None
    details: dict[str, Any]


_ACTOR, _SUBJECT = aliased(User), aliased(User)
_ACTS: Final = (
    select(
        *(AdminAct.id, AdminAct.at, AdminAct.act),
        *(AdminAct.actor_id, _ACTOR.email.label("actor_email"), AdminAct.credential, AdminAct.credential_id),
        *(AdminAct.subject_id, _SUBJECT.email.label("subject_email"), AdminAct.details),
    )
    .outerjoin(_ACTOR, _ACTOR.id == AdminAct.actor_id)
    .outerjoin(_SUBJECT, _SUBJECT.id == AdminAct.subject_id)
    .order_by(AdminAct.id.desc())
)


async def lock_actor(db: Connection, principal: Principal) -> Actor:
    """See that the principal is an admin still, and stays one until the transaction ends. For each act, before all else.

    Of two admins who keep each other out at once, each waits for the other; the database ends one of the two transactions, and
    its admin is told to try again. So somebody is an admin always.

    Raises:
        AdminOnly: the principal is no admin any more, or is kept out.

    """
    actor = select(User.id).where(User.id == principal.user_id, IS_ADMIN, MAY_LOG_IN).with_for_update(read=True)
    if (await db.execute(actor)).one_or_none() is None:
        raise AdminOnly
    if principal.key_id is not None:
        return Actor(principal.user_id, "api_key", principal.key_id)
    return Actor(principal.user_id, "session", principal.session_id)


async def list_acts(
    db: Connection, *, subject_id: UserId | None, actor_id: UserId | None, before: int | None, limit: int
) -> list[ActRow]:
    """Acts, the newest first, whose ids are less than `before`: on one user, by one admin, or all."""
    statement = _ACTS.limit(limit)
    if subject_id is not None:
        statement = statement.where(AdminAct.subject_id == subject_id)
    if actor_id is not None:
        statement = statement.where(AdminAct.actor_id == actor_id)
    if before is not None:
        statement = statement.where(AdminAct.id < before)
    return [ActRow._make(row) for row in await db.execute(statement)]
