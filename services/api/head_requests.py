"""HEAD: what GET would answer, without the body (RFC 9110, section 9.3.2).

FastAPI gives no route a HEAD. The application answers as to a GET; the server leaves the body out, since it knows the
request's own method. A stream has no HEAD: its answer has no end, and would take one of the user's streams.
"""

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send


class HeadRequests:
    """Answers HEAD as GET where a path's GET `has_head`. The request's state says that nothing is shown: `is_head`."""

    def __init__(self, app: ASGIApp, has_head: Callable[[Scope], bool]) -> None:
        self.app = app
        self.has_head = has_head

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and scope["method"] == "HEAD" and self.has_head(scope):
            scope = {**scope, "method": "GET", "state": {**scope["state"], "is_head": True}}
        await self.app(scope, receive, send)
