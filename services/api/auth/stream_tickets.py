"""Stream tickets: what a page puts into the URL of an EventSource, which can send no header. Source: RFC 7519, RFC 8725."""

import time
from dataclasses import dataclass
from typing import Final, NamedTuple, get_args

import jwt

from services.api.auth.principal import StreamKind, StreamOf
from services.api.auth.signed_claims import COMMON_CLAIMS, ISSUER, SESSION, TokenForm, read_claims, session_of
from services.api.auth.signing_keys import SigningKeys
from shared.errors import TicketInvalid
from shared.ids import UserId

PARAMETER: Final = "ticket"
"""The name of the query parameter."""
AUDIENCE: Final = "cortexai-streams"
"""Not that of access tokens, so that neither is taken for the other."""
TYPE: Final = "ticket+jwt"
"""Not that of access tokens either (RFC 8725, section 3.11)."""
CLAIMS: Final = (*COMMON_CLAIMS, "kind", "id")
FORM: Final = TokenForm(TYPE, {}, CLAIMS)
FORM_BEFORE: Final = TokenForm("JWT", {"typ": "stream_ticket"}, (*CLAIMS, "typ"), names_key=False)
"""That of the release before, whose tickets name no key."""


class Admitted(NamedTuple):
    """What a ticket allows, and to whom. `session_id` is that of whoever got the ticket; None where that is not known.

    `expires_at`: the time, in seconds since 1970, from which the ticket is refused.
    """

    user_id: UserId
    stream: StreamOf
    session_id: int | None
    expires_at: float


@dataclass(frozen=True, slots=True)
class StreamTickets:
    """Issues and reads stream tickets. `lifetime` is a ticket's; `leeway` is how far clocks may differ. Both are in seconds."""

    keys: SigningKeys
    lifetime: int
    leeway: int = 0

    def issue(self, user_id: UserId, stream: StreamOf, session_id: int | None) -> str:
        """A ticket with which this user's stream can be read any number of times, until it expires or the session ends."""
        now = int(time.time())
        claims = {
            "sub": str(user_id),
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + self.lifetime,
            "kind": stream.kind,
            "id": stream.id,
        }
        if session_id is not None:
            claims[SESSION] = str(session_id)
        return self.keys.sign(claims, TYPE)

    def read(self, ticket: str) -> Admitted:
        """What a ticket allows, and to whom.

        Raises:
            TicketInvalid: the ticket is not one that `issue` made, or it has expired.

        """
        try:
            claims = read_claims(
                ticket,
                self.keys,
                audience=AUDIENCE,
                forms=(FORM, FORM_BEFORE),
                lifetime=self.lifetime,
                leeway=self.leeway,
            )
            session_id = session_of(claims)
        except jwt.InvalidTokenError as error:
            raise TicketInvalid from error
        if claims["kind"] not in get_args(StreamKind) or not isinstance(claims["id"], str):
            raise TicketInvalid
        stream = StreamOf(claims["kind"], claims["id"])
        return Admitted(UserId(int(claims["sub"])), stream, session_id, claims["exp"] + self.leeway)
