"""Tells the operator of a proxy that the API does not trust: all of its clients share the limits of one network then."""

from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from shared.telemetry.logs import get_logger

log = get_logger(__name__)

FORWARDED: Final = b"x-forwarded-for"
REMEDY: Final = "If a proxy of yours sends this, list its address in FORWARDED_ALLOW_IPS. Else ignore it."


class UntrustedProxies:
    """Logs `proxy_not_trusted`, once, when somebody names a client in X-Forwarded-For who is not trusted to.

    It stands before what makes the client of a proxy. `is_trusted` tells proxies by the addresses of their connections.
    No address is logged: it may be a client's, and anybody can send such a header.
    """

    def __init__(self, app: ASGIApp, is_trusted: Callable[[str | None], bool]) -> None:
        self.app = app
        self._is_trusted = is_trusted
        self._has_told = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if not self._has_told and scope["type"] == "http" and self._is_untrusted(scope):
            self._has_told = True
            log.warning("proxy_not_trusted", remedy=REMEDY)
        await self.app(scope, receive, send)

    def _is_untrusted(self, scope: Scope) -> bool:
        client = scope.get("client")
        names_client = any(name == FORWARDED for name, _ in scope["headers"])
        return names_client and not self._is_trusted(client[0] if client else None)
