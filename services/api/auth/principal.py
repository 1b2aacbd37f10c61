"""Who makes a request, however that was proved."""

from dataclasses import dataclass
from typing import Final, Literal

from shared.ids import UserId

Credential = Literal["access_token"]
Scope = Literal["read", "write"]

ALL_SCOPES: Final[frozenset[Scope]] = frozenset({"read", "write"})


@dataclass(frozen=True, slots=True)
class Principal:
    """The user for whom a request is made.

    `credential` is the kind of proof that the request had. `scopes` are what the credential allows; an access token
    allows everything. The account existed when the request came.
    """

    user_id: UserId
    credential: Credential
    scopes: frozenset[Scope]
