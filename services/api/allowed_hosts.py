"""By which hosts the API may be asked. Source: RFC 9110, section 7.2; OWASP on Host header injection."""

import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from services.api.own_paths import HEALTH_PATHS
from shared.errors import UnknownHost
from shared.host_lists import read_hosts

_HOST: Final = re.compile(r"(\[(?P<address>[^\]]*)\]|(?P<name>[A-Za-z0-9._-]{0,253}))(:[0-9]{0,5})?")
"""A name has at most 253 characters (RFC 1035, section 2.3.4)."""


class AllowedHosts:
    """Refuses requests that were sent to other hosts. Without `listed` ones, every host is allowed.

    The port of a Host header does not count. A name that begins with `*.` stands for all names below.
    """

    def __init__(self, app: ASGIApp, listed: Iterable[str]) -> None:
        self.app = app
        self.names, self.networks = read_hosts(listed)
        self.below = tuple(name.removeprefix("*") for name in self.names if name.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on.

        Raises:
            UnknownHost: it names no host, several, or one that is not listed.

        """
        if scope["type"] == "http" and (self.names or self.networks) and not self._lets_in(scope):
            raise UnknownHost
        await self.app(scope, receive, send)

    def _lets_in(self, scope: Scope) -> bool:
        if scope["path"].removeprefix(scope.get("root_path", "")) in HEALTH_PATHS:
            return True
        told = Headers(scope=scope).getlist("host")
        if len(told) != 1:
            return False
        host = _without_port(told[0])
        try:
            address = ip_address(host)
        except ValueError:
            return host in self.names or host.endswith(self.below)
        return any(address in network for network in self.networks)


def _without_port(host: str) -> str:
    """`Example.COM.:443` → `example.com`, `[::1]:80` → `::1`; "" for what is no host."""
    found = _HOST.fullmatch(host)
    return (found["address"] or found["name"] or "").lower().removesuffix(".") if found else ""
