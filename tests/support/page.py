"""The chat page as a person uses it: by what is read on it, not by what it is made of."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from re import Pattern
from typing import Any
from uuid import uuid4

from playwright.async_api import Locator, Page, Route, expect

from tests.support.clients import PASSWORD

CALL_MODULE = """async ([module, name, args]) => {
    const app = document.querySelector("script[src$='app.js']").src;
    return (await import(app.replace("app.js", module)))[name](...args);
}"""


@dataclass(frozen=True)
class Person:
    """Somebody in front of the page."""

    page: Page
    origin: str

    @property
    def composer(self) -> Locator:
        """Where a message is written."""
        return self.page.get_by_label("Message", exact=True)

    @property
    def answers(self) -> Locator:
        """The assistant's messages."""
        return self.page.get_by_role("article", name="Assistant")

    @property
    def questions(self) -> Locator:
        """The person's own messages."""
        return self.page.get_by_role("article", name="You")

    @property
    def chats(self) -> Locator:
        """The entries of the list of chats."""
        return self.page.get_by_role("navigation", name="Chats").get_by_role("listitem")

    def button(self, name: str, *, within: Locator | None = None) -> Locator:
        """A button of the page, or of a part of it."""
        return (within or self.page).get_by_role("button", name=name, exact=True)

    @property
    def other_chats(self) -> Locator:
        """The links of the list that lead to other chats than the shown one. Their order changes: titles come later."""
        return self.chats.locator("a:not([aria-current=page])")

    async def sign_up(self) -> str:
        """Make an account on the page. Returns its e-mail address."""
        email = f"{uuid4().hex}@example.com"
        await self.page.goto(f"{self.origin}/")
        await self.page.get_by_role("button", name="Make one").click()
        await self.fill_in(email, PASSWORD)
        await self.button("Make an account").click()
        await expect(self.composer).to_be_focused()
        return email

    async def arrive(self, email: str | None = None) -> str:
        """Open the page, with an account and a session already. Returns the account's e-mail address."""
        email = email or f"{uuid4().hex}@example.com"
        credentials = {"email": email, "password": PASSWORD}
        api = self.page.context.request  # shares the pages' cookies
        origin = {"Origin": self.origin}
        assert (await api.post(f"{self.origin}/api/auth/signup", data=credentials, headers=origin)).ok
        assert (
            await api.post(f"{self.origin}/api/auth/login", data={**credentials, "cookie": True}, headers=origin)
        ).ok
        await self.page.goto(f"{self.origin}/")
        await expect(self.composer).to_be_focused()
        return email

    async def fill_in(self, email: str, password: str) -> None:
        """Fill in who signs in."""
        await self.page.get_by_role("textbox", name="E-mail", exact=True).fill(email)
        await self.page.get_by_label("Password").fill(password)

    async def sign_out(self) -> None:
        """Sign out, and wait until the page shows that."""
        await self.button("Sign out").click()
        await expect(self.page.get_by_role("heading", name="Welcome back")).to_be_visible()

    async def say(self, text: str) -> None:
        """Send a message with the keyboard."""
        await self.composer.fill(text)
        await self.composer.press("Enter")

    async def ask(self, text: str) -> Locator:
        """Send a message, and wait until its answer is over. Returns the answer."""
        await self.say(text)  # the page shows the message and an empty answer at once
        answer = self.answers.nth(await self.answers.count() - 1)
        await expect(self.button("Copy message", within=answer)).to_be_visible(timeout=20_000)
        return answer


async def answer_next(page: Page, url: str | Pattern[str], handler: Callable[[Route], Awaitable[None]]) -> None:
    """Have the page's next request of this kind answered by `handler`; those after it go on to whoever else answers.

    Playwright's own `times=1` stops looking at requests once the first is answered. Playwright may then never report a
    request that the page makes at that moment. Playwright also drops what a handler raises: the page waits for ever then.
    """
    is_next = True

    async def handle(route: Route) -> None:
        nonlocal is_next
        if not is_next:
            await route.fallback()
            return
        is_next = False
        try:
            await handler(route)
        except Exception as error:
            sys.stdout.write(f"{route.request.method} {route.request.url} was not answered: {error!r}\n")
            raise

    await page.route(url, handle)


@dataclass(frozen=True)
class HeldAnswer:
    """An answer of the API that the page does not get yet."""

    is_there: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the API has answered. What is changed from then on, the answer does not tell."""
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    """Set this, and the page gets the answer."""


async def hold_next(page: Page, url: str | Pattern[str]) -> HeldAnswer:
    """Have the page wait for what is answered to its next request of this kind."""
    held = HeldAnswer()

    async def hold(route: Route) -> None:
        response = await route.fetch()
        held.is_there.set()
        await held.go_on.wait()
        await route.fulfill(response=response)

    await answer_next(page, url, hold)
    return held


async def hold_requests(page: Page, url: str | Pattern[str]) -> asyncio.Event:
    """Have all of the page's requests of this kind wait before they are sent, until the event is set."""
    go_on = asyncio.Event()

    async def hold(route: Route) -> None:
        await go_on.wait()
        await route.continue_()

    await page.route(url, hold)
    return go_on


async def refuse(route: Route, status: int, code: str) -> None:
    """Answer a request with a problem."""
    problem = {"status": status, "code": code, "detail": code}
    await route.fulfill(status=status, content_type="application/problem+json", body=json.dumps(problem))


async def call_module(page: Page, module: str, name: str, *args: object) -> Any:  # noqa: ANN401 - whatever is returned
    """What a function of one of the page's modules returns."""
    return await page.evaluate(CALL_MODULE, [module, name, args])


async def pass_event(page: Page, event: Mapping[str, object]) -> None:
    """Have the page's parts hear an event of the feed."""
    await call_module(page, "feed_events.js", "passFeedEvent", event)
