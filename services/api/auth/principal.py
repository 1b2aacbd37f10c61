"""Who makes a request, however that was proved."""

from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from shared.ids import UserId

Credential = Literal["access_token", "session", "stream_ticket"]
Scope = Literal["read", "write"]
StreamKind = Literal["chat", "generation", "events"]

ALL_SCOPES: Final[frozenset[Scope]] = frozenset({"read", "write"})
READ_ONLY: Final[frozenset[Scope]] = frozenset({"read"})


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
    same for all requests by it, another one for each session. `scopes` are what the credential allows; an access token and a
    session allow everything. `stream` is the only thing that a stream ticket allows to read; None where the credential is
    not bound to one. The account existed when the request came.
    """

    user_id: UserId
    credential: Credential
    credential_hash: bytes = field(repr=False)
    scopes: frozenset[Scope]
    stream: StreamOf | None = None
