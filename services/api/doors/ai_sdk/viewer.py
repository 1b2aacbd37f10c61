"""Who looks at a chat: a client that the door can tell from others though it says nothing of itself."""

import hashlib

from starlette.requests import Request

from services.api.auth.session_cookies import SessionCookies


def viewer_of(request: Request, cookies: SessionCookies) -> str:
    """A hash of the request's credential: the same for all tabs of a browser, another for each device."""
    named = request.headers.get("authorization") or ",".join(cookies.read(request))
    return hashlib.sha256(named.encode()).hexdigest()[:32]
