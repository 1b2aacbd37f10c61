"""Stream tickets: what a page puts into the URL of an EventSource, which can send no header. Source: RFC 7519, RFC 8725."""

import time
from dataclasses import dataclass
from typing import Final, get_args

import jwt

from services.api.auth.principal import StreamKind, StreamOf
from services.api.auth.signed_claims import COMMON_CLAIMS, ISSUER, TokenForm, read_claims
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


@dataclass(frozen=True, slots=True)
class StreamTickets:
    """Issues and reads stream tickets. `lifetime` is a ticket's; `leeway` is how far clocks may differ. Both are in seconds."""

    keys: SigningKeys
    lifetime: int
    leeway: int = 0

    def issue(self, user_id: UserId, stream: StreamOf) -> str:
        """A ticket with which this user's stream can be read any number of times."""
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
        return self.keys.sign(claims, TYPE)

    def read(self, ticket: str) -> tuple[UserId, StreamOf]:
        """The user and the stream that a ticket names.

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
        except jwt.InvalidTokenError as error:
            raise TicketInvalid from error
        if claims["kind"] not in get_args(StreamKind) or not isinstance(claims["id"], str):
            raise TicketInvalid
        return UserId(int(claims["sub"])), StreamOf(claims["kind"], claims["id"])
