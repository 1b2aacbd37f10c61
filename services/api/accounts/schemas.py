"""Bodies of the account routes."""

from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, EmailStr, StringConstraints, field_validator, model_validator, validate_email
from pydantic_core import PydanticCustomError, PydanticKnownError

from services.api.auth.common_passwords import MIN_PASSWORD
from services.api.auth.passwords import MAX_NORMAL, normalized, too_long
from services.api.auth.sessions import SessionKind
from services.api.fields import Body, BodyId, Flag, Storable, TimeZone, Uuid, View

MAX_CODE: Final = 100
"""Characters of a code as it is typed."""


def _right_length(password: str) -> str:
    """Count the characters of the password's normal form too: letters and marks that make one character are one.

    And some characters are many in that form: a password of them is refused here, since it could not be hashed.
    """
    if len(normalized(password)) < MIN_PASSWORD:
        raise PydanticKnownError("string_too_short", {"min_length": MIN_PASSWORD})
    if too_long(password):
        raise PydanticKnownError("string_too_long", {"max_length": MAX_NORMAL})
    return password


Password = Annotated[
    str, StringConstraints(min_length=MIN_PASSWORD, max_length=1024), Storable, AfterValidator(_right_length)
]


def _as_kept(email: str) -> str:
    """The address in the form that signing up has saved, with its domain decoded. Any other text stays as it is."""
    try:
        return validate_email(email)[1]
    except PydanticCustomError:
        return email


def _none_for_nothing(code: str) -> str | None:
    """A form sends its empty fields too."""
    return code.strip() or None


Email = Annotated[EmailStr, Storable]
TypedPassword = Annotated[str, StringConstraints(max_length=1024), Storable]
"""A password that is right or wrong, whatever its form."""
Code = Annotated[str, StringConstraints(max_length=MAX_CODE), Storable]
"""A code of the second factor, or a recovery code, likewise."""


TypedToken = Annotated[str, StringConstraints(min_length=1, max_length=1024), Storable]
"""The token of a link. Its form is not checked: the token is good or not."""


class Signup(Body):
    """A new account. The password has 8 to 1024 characters of any kind. `invite` is the token of an invite's link."""

    email: Email
    password: Password
    invite: TypedToken | None = None


class EmailGiven(Body):
    """An e-mail address, which may have an account."""

    email: Email


class LinkGiven(Body):
    """The token of a link that was mailed."""

    token: TypedToken


class PasswordReset(Body):
    """The token of a link that was mailed, and the password that is to come, of 8 to 1024 characters of any kind."""

    token: TypedToken
    password: Password


class Login(Body):
    """Credentials. Their form is not checked: they are right or wrong. With `cookie`, the answer sets a session cookie.

    `code` is one of the second factor, or a recovery code; an account without a second factor needs none.
    """

    email: Annotated[str, StringConstraints(max_length=1024), Storable, AfterValidator(_as_kept)]
    password: TypedPassword
    cookie: Flag = False
    code: Annotated[Code, AfterValidator(_none_for_nothing)] | None = None


class AccountChange(Body):
    """What is changed of an account. `time_zone` is an IANA name, such as Europe/Berlin; null for none."""

    time_zone: TimeZone | None = None
    email: Email | None = None

    @field_validator("email", mode="before")
    @classmethod
    def _is_there(cls, email: object) -> object:
        if email is None:
            raise PydanticKnownError("string_type")  # null takes nothing away: an account has an address
        return email

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("must have time_zone or email")
        return self


class PasswordChange(Body):
    """The account's password, and the one that is to come instead, of 8 to 1024 characters of any kind.

    `code` is one of the second factor, or a recovery code; an account without a second factor needs none.
    """

    current_password: TypedPassword
    new_password: Password
    code: Annotated[Code, AfterValidator(_none_for_nothing)] | None = None


class Reauthentication(Body):
    """The account's password, and a code where the account has a second factor."""

    password: TypedPassword
    code: Annotated[Code, AfterValidator(_none_for_nothing)] | None = None


class CodeGiven(Body):
    """A code of the second factor."""

    code: Code


class Account(View):
    """An account as its owner sees it. `time_zone` is an IANA name; null where none was set, which means UTC.

    `role` is `user` or `admin`. `recovery_codes_left` is how many recovery codes were not used yet. `email_verified`: the owner
    has shown to read mail at this address. `has_password` is false where the account has none: its user logs in by a provider.
    """

    id: int
    email: str
    email_verified: bool = False
    created_at: datetime
    time_zone: str | None
    role: Literal["user", "admin"] = "user"
    has_second_factor: bool = False
    recovery_codes_left: int = 0
    has_password: bool = True


class NewSecondFactor(View):
    """A secret for an authenticator app: in base32, and as an `otpauth:` URI to show as a QR code. Told once."""

    secret: str
    uri: str


class RecoveryCodes(View):
    """Codes that stand in for one of the second factor, once each. Told once."""

    recovery_codes: list[str]


class Token(View):
    """An access token, and a refresh token for the next one (RFC 6749 §5.1). Times are in seconds from now.

    `refresh_expires_in` is when the session ends, if nobody uses it until then.
    """

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the scheme's name
    expires_in: int
    refresh_token: str
    refresh_expires_in: int


RefreshTokenText = Annotated[str, StringConstraints(max_length=1024), Storable]


class Refresh(Body):
    """A refresh token. Its form is not checked: the token is good or not."""

    refresh_token: RefreshTokenText


class Logout(Body):
    """Which session to end, besides the one that the request's cookie or bearer token names."""

    refresh_token: RefreshTokenText | None = None


class LogoutAll(Body):
    """Whether the session that asks goes on."""

    keep_this: Flag = False


class SessionView(View):
    """A session of the user's. `device` is what the client calls itself, in words where it is a browser.

    `network` is the /24 of IPv4, or the /48 of IPv6, from which the session was begun or last refreshed. Null where that is
    not known, as for a session that an earlier release began.
    """

    id: int
    kind: SessionKind
    device: str | None
    network: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    is_current: bool


class TicketRequest(Body):
    """Which stream a ticket is for: a chat's, a generation's, or, with neither, the user's live feed."""

    chat_id: BodyId | None = None
    generation_id: Uuid | None = None

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        """An id that is null was meant to be one, and must not become a ticket for the feed."""
        if len(self.model_fields_set) > 1 or None in (getattr(self, name) for name in self.model_fields_set):
            raise ValueError("must name one chat, one generation, or nothing")
        return self


class Ticket(View):
    """A stream ticket: `?ticket=` of the stream's URL. `expires_in` is in seconds."""

    ticket: str
    expires_in: int
