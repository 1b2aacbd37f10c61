"""A real browser: the distribution's Chromium, and what its pages complain of."""

import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Error, Page, Request, Response

from tests.support.tools import tool

PROGRAMS: Final = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first one has no windows, whose frames take three quarters of the time in which the others open a page."""
NETWORK: Final = "Failed to load resource"
"""How Chromium's console tells that a response was an error. Tests make such responses on purpose."""
SNAPSHOT_MS: Final = 5_000
"""How long a page may take to say what it shows when a test has failed."""
TELL_VIOLATIONS: Final = """
document.addEventListener("securitypolicyviolation", (event) => {
  tellViolation(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
});
"""


def find_chromium(environ: Mapping[str, str]) -> str:
    """The path of Chromium's program. Where there is none, the test skips; with `CI` set, it fails."""
    return tool(*PROGRAMS, environ=environ)


@dataclass
class Complaints:
    """What went wrong in the pages of a context: broken content security policies, errors, requests to other hosts."""

    origin: str
    violations: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def all(self) -> list[str]:
        """All of them."""
        return [*self.violations, *self.errors, *self.foreign]

    def watch(self, page: Page) -> None:
        """Listen to a page."""
        page.on("console", lambda message: self._hear(message))  # noqa: PLW0108 - Playwright writes to what it gets
        page.on("pageerror", lambda error: self.errors.append(_words(error)))

    async def move(self, page: Page, origin: str) -> None:
        """Have the pages at another origin from now on. This one becomes an empty page."""
        await page.goto("about:blank")  # what it still asked of the former origin ends
        self.origin = origin

    def see(self, request: Request) -> None:
        """Look where a request goes."""
        if not request.url.startswith((f"{self.origin}/", "data:", "blob:", "about:")):
            self.foreign.append(request.url)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(NETWORK):
            self.errors.append(f"{message.type}: {message.text}")


class Traffic:
    """The newest requests to the API by the pages of a context, with what came of them, and when."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=200)

    def ask(self, request: Request) -> None:
        """A request begins."""
        self._tell(request, "…")

    def answer(self, response: Response) -> None:
        """A response begins."""
        self._tell(response.request, str(response.status))

    def fail(self, request: Request) -> None:
        """A request was given up or broke off."""
        self._tell(request, request.failure or "failed")

    def _tell(self, request: Request, outcome: str) -> None:
        parts = urlsplit(request.url)
        if not parts.path.startswith("/assets/"):
            path = f"{parts.path}?{parts.query}" if parts.query else parts.path
            self._lines.append(f"{time.monotonic():.3f} {request.method} {path} {outcome}")

    def __str__(self) -> str:
        return "\n".join(self._lines)


def _words(error: Error) -> str:
    return f"{error.name}: {error.message}\n{error.stack}"


@asynccontextmanager
async def watched_context(
    browser: Browser, origin: str, has_failed: Callable[[], bool] = lambda: False
) -> AsyncIterator[tuple[BrowserContext, Complaints]]:
    """A browser without cookies, whose pages are at this origin, and what its pages complain of.

    If the body raises or `has_failed()` is true, what the pages asked for and what they show is printed.
    """
    context = await browser.new_context(base_url=origin, permissions=["clipboard-read", "clipboard-write"])
    complaints = Complaints(origin)
    await context.expose_function("tellViolation", lambda words: complaints.violations.append(words))  # noqa: PLW0108 - Playwright writes to what it gets
    await context.add_init_script(TELL_VIOLATIONS)
    context.on("page", lambda page: complaints.watch(page))  # noqa: PLW0108
    context.on("request", lambda request: complaints.see(request))  # noqa: PLW0108
    traffic = Traffic()
    context.on("request", lambda request: traffic.ask(request))  # noqa: PLW0108
    context.on("response", lambda response: traffic.answer(response))  # noqa: PLW0108
    context.on("requestfailed", lambda request: traffic.fail(request))  # noqa: PLW0108
    is_done = False
    try:
        yield context, complaints
        is_done = True
    finally:
        if not is_done or has_failed():
            sys.stdout.write(f"{traffic}\n{await _shown(context)}\n")
        # A request may still be on its way through a route of the test: its end with the context is nobody's fault.
        for page in context.pages:
            await page.unroute_all(behavior="ignoreErrors")
        await context.unroute_all(behavior="ignoreErrors")
        await context.close()


async def _shown(context: BrowserContext) -> str:
    shown = [f"{time.monotonic():.3f}"]
    for page in context.pages:
        try:
            shown += [page.url, await page.locator("body").aria_snapshot(timeout=SNAPSHOT_MS)]
        except Error as error:  # it is closed, or opens something else
            shown += [error.message]
    return "\n".join(shown)
