"""What is remembered of a login between its two halves: in the browser that began it, sealed, in a cookie.

So strangers who begin logins fill no table, and nobody but this browser can go on with a login (RFC 9700, section 4.7).
"""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Final, Literal

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from services.api.auth.shared_counts import SharedCounts, TriesInRedis

COOKIE: Final = "__Host-cortexai-oidc"
PLAIN_COOKIE: Final = "cortexai-oidc"
LASTS: Final = 600
"""Seconds from the beginning of a login to its end: people type passwords, and look for their phones."""
RANDOM_BYTES: Final = 32

Purpose = Literal["login", "link", "proof"]
"""To log in; to link an identity to the account that is logged in; to prove once more who is logged in."""


@dataclass(frozen=True, slots=True)
class LoginState:
    """One login that is under way. `state`, `nonce` and `verifier` are secrets of 256 bits, made for this login alone.

    `return_to` is the path at which the person goes on. `began` is in seconds since 1970. `user_id` and `session_id` are of
    who links or proves an identity; None for a login.
    """

    provider: str
    purpose: Purpose
    return_to: str
    user_id: int | None = None
    session_id: int | None = None
    began: int = field(default_factory=lambda: int(time.time()))
    state: str = field(default_factory=lambda: secrets.token_urlsafe(RANDOM_BYTES), repr=False)
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(RANDOM_BYTES), repr=False)
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(RANDOM_BYTES), repr=False)


class LoginStates:
    """Seals and opens states. The key is made of `secret`; what is sealed with keys of `others` is opened too.

    That a state has been used is remembered in Redis. Without Redis, the provider sees to it alone: a code is good once.
    """

    def __init__(self, tries: TriesInRedis, secret: str, others: Sequence[str] = ()) -> None:
        self._name = tries.name
        self._counts = SharedCounts(tries)
        self._box = MultiFernet([Fernet(_key(each)) for each in (secret, *others)])

    def seal(self, state: LoginState) -> str:
        """The value of a cookie."""
        return self._box.encrypt(json.dumps(asdict(state)).encode()).decode()

    def open(self, sealed: str) -> LoginState | None:
        """The state in a cookie's value; None for any other value, and for one that is too old."""
        try:
            return LoginState(**json.loads(self._box.decrypt(sealed, ttl=LASTS)))
        except (InvalidToken, ValueError, TypeError):  # the latter two: as another release has sealed it
            return None

    async def use(self, state: LoginState) -> bool:
        """Use a state up. False where somebody has already."""
        found = await self._counts.add({self._name("oidc_states", state.state): 2 * LASTS})
        return found is None or found[0].number == 1


def _key(secret: str) -> bytes:
    return base64.urlsafe_b64encode(hashlib.sha256(b"cortexai oidc\0" + secret.encode()).digest())
