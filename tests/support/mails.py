"""A deployment with mail: its API, and the part of its worker that sends, which sends when a test says so."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from services.worker.mail.outbox import Outbox
from shared.settings import Settings
from tests.conftest import settings_for
from tests.doubles.smtp import MailServer, Taken
from tests.integration.conftest import serve
from tests.support.clients import NO_TLS, PASSWORD
from tests.support.signed_in import Browser
from tests.support.turns import execute, open_worker_for

PAGE = "https://chat.example.com"
NOBODY = "http://127.0.0.1:1"
NEW_PASSWORD = "another horse, another battery"


@dataclass
class Deployment:
    """A deployment with mail. `database_url` is the superuser's."""

    http: httpx.AsyncClient
    outbox: Outbox
    server: MailServer
    database_url: str
    settings: Settings

    async def deliver(self) -> None:
        """Have all mails tried that wait."""
        for (mail_id,) in execute(self.database_url, "SELECT id FROM account_mails ORDER BY id"):
            await self.outbox.send(int(str(mail_id)))

    def waiting(self) -> list[tuple[object, ...]]:
        """The kinds and addresses of the mails that wait."""
        return execute(self.database_url, "SELECT kind, address FROM account_mails ORDER BY id")

    def links(self, purpose: str) -> int:
        """How many links of a purpose there are."""
        ((count,),) = execute(self.database_url, "SELECT count(*) FROM account_links WHERE purpose = %s", purpose)
        return int(str(count))

    async def new_user(self, *, verified: bool = False) -> Browser:
        """The browser of a new user, logged in, whose first mail was sent."""
        browser = Browser(self.http)
        await browser.sign_up()
        (await browser.log_in()).raise_for_status()
        await self.deliver()
        if verified:
            link = await self.server.mail(browser.email, "Confirm")
            assert (await self.verify(browser, link.token)).status_code == 204
        return browser

    async def ask_for_reset(self, email: str) -> Taken:
        """Ask for a link that sets a new password. Returns the last mail with one."""
        before = sum(mail.to == email and "new password" in str(mail.message["Subject"]) for mail in self.server.taken)
        assert (await self.post("password/forgot", email=email)).status_code == 202
        await self.deliver()
        return (await self.server.mails(email, before + 1, subject="Set a new password"))[-1]

    async def verify(self, browser: Browser, token: str) -> httpx.Response:
        """Try to verify the address of who is logged in."""
        return await browser.post("/api/auth/verify-email", json={"token": token})

    async def reset(self, token: str, password: str = NEW_PASSWORD) -> httpx.Response:
        """Try to set a new password."""
        return await self.post("password/reset", token=token, password=password)

    async def post(self, path: str, **body: Any) -> httpx.Response:  # noqa: ANN401
        """Ask as somebody who is not logged in."""
        return await self.http.post(f"/api/auth/{path}", json=body)

    async def ask(self, network: str, email: str) -> httpx.Response:
        """Ask for a link that sets a new password, from a network."""
        return await self.http.post(
            "/api/auth/password/forgot", json={"email": email}, headers={"X-Forwarded-For": network}
        )

    async def sign_up(self, email: str = "", invite: str | None = None) -> httpx.Response:
        """Try to make an account."""
        more = {} if invite is None else {"invite": invite}
        return await self.post("signup", email=email or f"{uuid4().hex}@example.com", password=PASSWORD, **more)


@asynccontextmanager
async def deployment_with_mail(
    database_url: str, redis_url: str, server: MailServer, **settings: object
) -> AsyncIterator[Deployment]:
    """Run one."""
    mail = {"mail_from": "CortexAI <no-reply@example.com>", "public_url": PAGE, "smtp_url": server.url}
    made = settings_for(database_url, redis_url, NOBODY, **mail | settings)
    async with (
        serve(made) as url,
        open_worker_for(made) as worker,
        httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=20) as http,
    ):
        yield Deployment(http, worker.outbox, server, database_url, made)
