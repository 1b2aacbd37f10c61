"""Bodies of the admins' routes."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, Strict, field_validator, model_validator
from pydantic_core import PydanticKnownError

from services.api.accounts.schemas import Email
from services.api.fields import Body, Flag, View
from shared.admin_acts import ActCredential

MAX_TOKENS: Final = 2**53 - 1
"""The most that every client of JSON reads exactly (RFC 8259, section 6)."""


class AdminUser(View):
    """A user as admins see one. `disabled_at` is since when the user is kept out; null for who may log in.

    `last_used_at` is when a session was last used, exact to five minutes; null where there is none. `chats` counts those in the
    trash too. `daily_tokens` is the user's own quota; null where that of all users holds.
    """

    id: int
    email: str
    role: Literal["user", "admin"]
    created_at: datetime
    email_verified: bool
    disabled_at: datetime | None
    last_used_at: datetime | None
    chats: int
    daily_tokens: int | None


class UserChange(Body):
    """What an admin changes of a user. `disabled`: the user is kept out. `daily_tokens`: 0 for none, null for what all have."""

    disabled: Flag | None = None
    daily_tokens: Annotated[int, Strict(), Field(ge=0, le=MAX_TOKENS)] | None = None

    @field_validator("disabled", mode="before")
    @classmethod
    def _is_there(cls, disabled: object) -> object:
        if disabled is None:
            raise PydanticKnownError("bool_type")
        return disabled

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("must have disabled or daily_tokens")
        return self


class InviteWanted(Body):
    """Whom an admin invites. `email` is the only address that may use the invite; null for any."""

    email: Email | None = None


class AdminInvite(View):
    """An invite that nobody has used. `created_by` is the admin who has made it; null for a command, and for who is gone."""

    id: int
    email: str | None
    created_at: datetime
    expires_at: datetime
    created_by: int | None
    created_by_email: str | None


class NewAdminInvite(View):
    """An invite that was just made. `link` is told here alone. `mailed`: another link of the invite goes to the address."""

    id: int
    email: str | None
    expires_at: datetime
    link: str
    mailed: bool


class AdminAct(View):
    """Something that an admin, or an operator by a command, has done to an account, or to an invite.

    Ids are of users, addresses those that they have now: null for a command, and for an account that is gone. `credential_id`
    is the id of the session or of the API key; null for a command. `subject_id` is null for an invite.
    """

    id: int
    at: datetime
    act: str
    actor_id: int | None
    actor_email: str | None
    credential: ActCredential
    credential_id: int | None
    subject_id: int | None
    subject_email: str | None
    details: dict[str, Any]
