"""A browser as far as signing in goes: it keeps our cookie, and tells the origin of its page."""

from http.cookies import SimpleCookie
from typing import Any
from uuid import uuid4

import httpx

from tests.support.clients import PASSWORD

NOBODY = "nobody"
"""A request that tells no origin."""


class Browser:
    """A browser at the API. It sends its cookie with each request, as a page of our own origin does.

    Its page may be shown under another host or scheme, as behind a proxy. `origin` is our own; a request may have another.
    """

    def __init__(self, http: httpx.AsyncClient, *, host: str = "", scheme: str = "http") -> None:
        self.http = http
        self.host = host or http.base_url.netloc.decode()
        self.scheme = scheme
        self.origin = f"{scheme}://{self.host}"
        self.cookies: dict[str, str] = {}
        self.email = ""

    def headers(self, origin: str | None = None) -> dict[str, str]:
        """What the browser sends by itself."""
        headers = {"Host": self.host, "X-Forwarded-Proto": self.scheme, "Origin": origin or self.origin}
        if origin == NOBODY:
            del headers["Origin"]
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return headers

    async def send(self, method: str, path: str, *, origin: str | None = None, **request: Any) -> httpx.Response:  # noqa: ANN401
        """Send a request and keep the cookies of its answer, the Secure ones of localhost too."""
        headers = {**self.headers(origin), **request.pop("headers", {})}
        response = await self.http.request(method, path, headers=headers, **request)
        self.http.cookies.clear()  # httpx keeps cookies, but knows nothing of localhost
        for header in response.headers.get_list("set-cookie"):
            for name, cookie in SimpleCookie(header).items():
                self.cookies[name] = cookie.value
                if cookie["max-age"] == "0":
                    del self.cookies[name]
        return response

    async def get(self, path: str, *, origin: str | None = NOBODY, **request: Any) -> httpx.Response:  # noqa: ANN401
        """Get something, as a page of ours does: without an origin."""
        return await self.send("GET", path, origin=origin, **request)

    async def post(self, path: str, *, origin: str | None = None, **request: Any) -> httpx.Response:  # noqa: ANN401
        """Post something."""
        return await self.send("POST", path, origin=origin, **request)

    async def sign_up(self) -> None:
        """Make an account, without logging in."""
        self.email = f"{uuid4().hex}@example.com"
        (await self.post("/api/auth/signup", json={"email": self.email, "password": PASSWORD})).raise_for_status()

    async def log_in(self, email: str = "", *, origin: str | None = None, **body: Any) -> httpx.Response:  # noqa: ANN401
        """Ask for a session."""
        credentials = {"email": email or self.email, "password": PASSWORD, "cookie": True, **body}
        return await self.post("/api/auth/login", origin=origin, json=credentials)

    async def is_logged_in(self) -> bool:
        """Whether the browser's cookie names its user."""
        me = await self.get("/api/auth/me")
        return me.status_code == 200 and me.json()["email"] == self.email


async def logged_in_browser(http: httpx.AsyncClient) -> Browser:
    """The browser of a new user who has logged in."""
    browser = Browser(http)
    await browser.sign_up()
    (await browser.log_in()).raise_for_status()
    return browser
