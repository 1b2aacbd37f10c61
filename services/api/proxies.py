"""What a proxy in front says of a request: who sent it, over which scheme, and below which prefix the API is served.

Only what the proxies of FORWARDED_ALLOW_IPS say is believed; uvicorn reads that list and decides whom it names.
"""

from typing import Any, Final

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware, _parse_host_port, _TrustedHosts

from services.api.own_paths import ROOT
from shared.urls import read_prefix

PREFIX: Final = b"x-forwarded-prefix"
_TOPS: Final = frozenset({"", "api", "assets", "docs", "livez", "openapi.json", "readyz"})
"""What the API's own paths begin with."""


def sees_through_proxies(config: uvicorn.Config, root_path: str) -> uvicorn.Config:
    """A server's configuration, whose application sees requests as they were before the trusted proxies.

    `root_path` is the prefix where no trusted proxy names one in X-Forwarded-Prefix.
    """
    config.proxy_headers = False  # done here: uvicorn's own has forgotten who the proxy is by then
    config.app = BehindProxies(config.app, config.forwarded_allow_ips, root_path)
    return config


class TrustedProxies(_TrustedHosts):
    """uvicorn's list of trusted proxies. With `*`, the proxy is whoever has connected, and no other is trusted."""

    def get_trusted_client_address(self, x_forwarded_for: str) -> tuple[str, int]:
        """The address of the client, and its port or 0.

        With `*`, uvicorn takes the first address. A proxy that appends the address that it sees leaves there what the client
        has made up. So the last address is taken: the one that the proxy has seen.
        """
        if self.always_trust:
            return _parse_host_port(x_forwarded_for.rpartition(",")[2].strip())
        return super().get_trusted_client_address(x_forwarded_for)


class BehindProxies(ProxyHeadersMiddleware):
    """uvicorn's middleware, which also finds the prefix of a request's paths (`root_path` of ASGI).

    Proxies that strip the prefix and proxies that leave it there are both understood: by ASGI, a path has its prefix.
    """

    def __init__(self, app: Any, trusted_hosts: list[str] | str, root_path: str = "") -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(app, trusted_hosts)
        self.trusted_hosts: TrustedProxies = TrustedProxies(trusted_hosts)
        self.root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]
        """Pass a request on."""
        if scope["type"] == "http":
            root = self._root(scope)
            ROOT.set(root)  # also where there is none: the requests of a connection share their context
            if root:
                _put_below(scope, root)
        await super().__call__(scope, receive, send)  # type: ignore[arg-type]

    def _root(self, scope: Scope) -> str:
        """The prefix that the last trusted proxy names by one header, else the setting's."""
        client = scope.get("client")
        told = [value for name, value in scope["headers"] if name == PREFIX]
        if len(told) == 1 and (client[0] if client else None) in self.trusted_hosts:
            try:
                return read_prefix(told[0].decode("latin-1"))
            except ValueError:
                pass
        return self.root_path


def _put_below(scope: Scope, root: str) -> None:
    """Give a request's path its prefix, if it has none, and the slash that `/ai` lacks."""
    scope["root_path"] = root
    if not _has_prefix(scope["path"], root):
        scope["path"] = root + scope["path"]
        scope["raw_path"] = root.encode() + scope["raw_path"]
    elif scope["path"] == root:
        scope["path"] += "/"
        scope["raw_path"] += b"/"


def _has_prefix(path: str, root: str) -> bool:
    """Whether a path has its prefix already. `/api/chats` has none below `/api`, where the API's path is `/api/api/chats`."""
    rest = path.removeprefix(root)
    return rest != path and rest[:1] in {"", "/"} and rest.split("/")[1:2] in ([], *([top] for top in _TOPS))
