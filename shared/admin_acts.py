"""Acts of admins: what somebody with the role `admin`, or an operator by a command, has done to an account, or to an invite.

An act is written in the transaction that does what it tells. It names users by their ids alone, so that it can be kept when they
are gone.
"""

from typing import Final, Literal, NamedTuple

from sqlalchemy import Insert, insert

from shared.database.tables import AdminAct
from shared.ids import UserId

Act = Literal[
    "user.disabled",
    "user.enabled",
    "user.quota_set",
    "user.sessions_ended",
    "user.deleted",
    "admin.made",
    "admin.removed",
    "second_factor.reset",
    "invite.made",
    "invite.removed",
]
ActCredential = Literal["session", "api_key", "command"]


class Actor(NamedTuple):
    """Who acts. `user_id` is None for a command. `credential_id` is the id of the session or the API key, None for a command."""

    user_id: UserId | None
    credential: ActCredential
    credential_id: int | None


OPERATOR: Final = Actor(None, "command", None)
"""Whoever runs a command."""


def record(actor: Actor, act: Act, subject_id: UserId | None, **details: int | bool | str | None) -> Insert:
    """Note an act on a user, or on nobody who is there yet. `details` are few and short: no secrets, no addresses."""
    return insert(AdminAct).values(
        actor_id=actor.user_id,
        credential=actor.credential,
        credential_id=actor.credential_id,
        act=act,
        subject_id=subject_id,
        details=details,
    )
