"""Who makes a request, however that was proved."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from shared.ids import UserId

Credential = Literal["access_token", "session", "stream_ticket"]
StreamKind = Literal["chat", "generation", "events"]


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
    """

    user_id: UserId
    credential: Credential
    credential_hash: bytes = field(repr=False)
    stream: StreamOf | None = None
