"""Origins of pages that may call the API, as BACKEND_CORS_ORIGINS lists them."""

import re
from ipaddress import IPv6Address
from typing import Final

from shared.urls import MAX_PORT

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
SCHEMES_WITHOUT_ORIGIN: Final = frozenset(
    {"about", "blob", "data", "file", "filesystem", "ftp", "javascript", "mailto", "ws", "wss"}
)
ORIGIN: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._~-]*)(?::(?P<port>[0-9]{1,5}))?/?",
    re.IGNORECASE | re.ASCII,
)
MAX_QUOTED_CHARS: Final = 200
ACCOUNT: Final = re.compile("//.*@", re.DOTALL)
"""The user and the password in a URL."""


def read_origin(text: str) -> str:
    """An origin in the form that browsers send (RFC 6454, section 6.2; of opaque hosts, the URL Standard).

    Any scheme is taken that pages can come from, since apps and extensions have schemes of their own. Only a web page's
    scheme has a default port and needs a host: `app://` is what Chromium sends for a scheme without hosts.

    Raises:
        ValueError: it is none. The message quotes the entry, but not what stands before an `@`.

    """
    # On one line, whatever is in it, and without what may be a password.
    quoted = repr(ACCOUNT.sub("//…@", text)[:MAX_QUOTED_CHARS])
    if "*" in text:
        raise ValueError(f"{quoted}: a wildcard is refused, name each origin")
    if text.lower() == "null":
        raise ValueError(f"{quoted}: any sandboxed page and any file sends this, so it names nobody")
    match = ORIGIN.fullmatch(text)
    if match is None:
        raise ValueError(f"{quoted}: is no origin such as https://app.example.com or tauri://localhost")
    scheme, host, port = match["scheme"].lower(), match["host"].lower(), match["port"]
    if scheme in SCHEMES_WITHOUT_ORIGIN:
        raise ValueError(f"{quoted}: browsers send no origin for {scheme}: pages")
    if scheme in DEFAULT_PORTS and not host:
        raise ValueError(f"{quoted}: has no host")
    if host.startswith("["):
        try:
            host = f"[{IPv6Address(host[1:-1]).compressed}]"
        except ValueError as error:
            raise ValueError(f"{quoted}: is no IPv6 address") from error
    if port and (not host or int(port) > MAX_PORT):
        raise ValueError(f"{quoted}: has a port that is none")
    told = "" if port is None or int(port) == DEFAULT_PORTS.get(scheme) else f":{int(port)}"
    return f"{scheme}://{host}{told}"
