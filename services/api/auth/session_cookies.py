"""The cookie that names a session: its name, its attributes, and who is believed that sends it. Source: RFC 6265bis."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import Response

from services.api.auth.origin_check import insist_on_origin, own_origin, refuse_foreign_pages
from shared.errors import CookieNeedsHttps

SECURE_NAME: Final = "__Host-cortexai"
"""Browsers take a cookie of this prefix from this very host only, so no other host of its domain can put one in its place."""
PLAIN_NAME: Final = "cortexai"
LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""Where browsers keep Secure cookies without TLS."""
KEPT_FOR: Final = 400 * 24 * 3600
"""Seconds: the most that browsers keep a cookie. The session's row decides when the session ends."""
SPACE: Final = " \t"
"""What may stand around a cookie's name. Other space is part of the name, to the browser that checked its prefix too."""


@dataclass(frozen=True, slots=True)
class SessionCookies:
    """Reads and writes the cookie. `origins` are those of other pages that may use it, as the operator listed them.

    Other short-lived cookies of the same kind have names of their own, and are `kept_for` so many seconds.
    `over_http`: plain HTTP may carry a cookie to other hosts than this machine, where anybody on the way can read it.
    """

    over_http: bool
    origins: frozenset[str]
    secure_name: str = SECURE_NAME
    plain_name: str = PLAIN_NAME
    kept_for: int = KEPT_FOR

    def insist_on_origin(self, request: HTTPConnection) -> None:
        """Refuse a request that no page of ours made.

        Raises:
            OriginNotAllowed: the Origin is absent, opaque, or another page's.

        """
        insist_on_origin(request, self.origins)

    def refuse_foreign_pages(self, request: HTTPConnection) -> None:
        """Refuse a browser's request that no page of ours made; a program's is let in.

        Raises:
            OriginNotAllowed: the Origin is absent, opaque, or another page's.

        """
        refuse_foreign_pages(request, self.origins)

    def read(self, request: HTTPConnection) -> list[str]:
        """The values of the cookie. More than one means that somebody else has set one of them."""
        name = self._name(request)
        pairs = (pair.partition("=") for header in request.headers.getlist("cookie") for pair in header.split(";"))
        values = (value.strip(SPACE) for told, _, value in pairs if told.strip(SPACE) == name)
        return list(dict.fromkeys(value for value in values if value))

    def insist_on_transport(self, request: HTTPConnection) -> None:
        """Refuse a request in whose answer no cookie can be set.

        Raises:
            CookieNeedsHttps: the request came over plain HTTP, which no setting allows.

        """
        if self._name(request) is None:
            raise CookieNeedsHttps

    def write(self, request: HTTPConnection, response: Response, token: str) -> None:
        """Set the cookie."""
        if name := self._name(request):
            secure = name == self.secure_name
            response.set_cookie(name, token, self.kept_for, path="/", secure=secure, httponly=True, samesite="lax")

    def clear(self, request: HTTPConnection, response: Response) -> None:
        """Have the browser forget the cookie."""
        if name := self._name(request):
            response.delete_cookie(name, path="/", secure=name == self.secure_name, httponly=True, samesite="lax")

    def _name(self, request: HTTPConnection) -> str | None:
        """The cookie's name on this request's transport; None where there can't be one."""
        origin = urlsplit(own_origin(request) or "")
        if origin.scheme == "https" or origin.hostname in LOCAL_HOSTS:
            return self.secure_name
        return self.plain_name if self.over_http else None
