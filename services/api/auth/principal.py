"""Who makes a request, however that was proved."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, get_args

from shared.ids import UserId

Credential = Literal["access_token", "session", "stream_ticket", "api_key"]
StreamKind = Literal["chat", "generation", "events"]
KeyScope = Literal["read", "chat", "admin"]
"""What an API key may be given for: to read; to read and write all that is ordinary; what only admins do."""

SCOPES: Final[tuple[KeyScope, ...]] = get_args(KeyScope)
_READ: Final[frozenset[KeyScope]] = frozenset({"read"})


def granted(scopes: Collection[str]) -> frozenset[KeyScope]:
    """All that a key with these scopes allows. Whoever may write may read. A scope of another release allows nothing."""
    known = frozenset(scope for scope in SCOPES if scope in scopes)
    return known | _READ if "chat" in known else known


class StreamOf(NamedTuple):
    """One stream of a user: of a chat, of a generation, or the live feed (`events`, whose `id` is empty).

    `id` is what the path of the stream's route has for it.
    """

    kind: StreamKind
    id: str = ""


@dataclass(frozen=True, slots=True)
class Principal:
    """The user for whom a request is made.

    `credential` is the kind of proof that the request had. `credential_hash` is the SHA-256 of the token or ticket itself: the
    same for all requests by it, another one for each session. `stream` is all that a stream ticket allows; None where the
    credential allows everything. The account existed when the request came.

    `session_id` is the session that the credential belongs to; None for an API key, and for what a release before has signed.
    `expires_at` is the time, in seconds since 1970, from which the credential is void; None where a row alone decides.
    `key_id` is the API key's, None for every other credential. What the key's scopes allow was looked at before.

    `is_admin`: the user was an admin when the request came. False for what a release before has signed.
    """

    user_id: UserId
    credential: Credential
    credential_hash: bytes = field(repr=False)
    stream: StreamOf | None = None
    session_id: int | None = None
    expires_at: float | None = None
    key_id: int | None = None
    is_admin: bool = False
