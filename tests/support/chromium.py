"""A real browser: the distribution's Chromium, and what its pages complain of."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Error, Page, Request

from tests.support.tools import tool

PROGRAMS: Final = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first one has no windows, whose frames take three quarters of the time in which the others open a page."""
NETWORK: Final = "Failed to load resource"
"""How Chromium's console tells that a response was an error. Tests make such responses on purpose."""
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

    def see(self, request: Request) -> None:
        """Look where a request goes."""
        if not request.url.startswith((f"{self.origin}/", "data:", "blob:", "about:")):
            self.foreign.append(request.url)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(NETWORK):
            self.errors.append(f"{message.type}: {message.text}")


def _words(error: Error) -> str:
    return f"{error.name}: {error.message}\n{error.stack}"


@asynccontextmanager
async def watched_context(browser: Browser, origin: str) -> AsyncIterator[tuple[BrowserContext, Complaints]]:
    """A browser without cookies, whose pages are at this origin, and what its pages complain of."""
    context = await browser.new_context(base_url=origin, permissions=["clipboard-read", "clipboard-write"])
    complaints = Complaints(origin)
    await context.expose_function("tellViolation", lambda words: complaints.violations.append(words))  # noqa: PLW0108 - Playwright writes to what it gets
    await context.add_init_script(TELL_VIOLATIONS)
    context.on("page", lambda page: complaints.watch(page))  # noqa: PLW0108
    context.on("request", lambda request: complaints.see(request))  # noqa: PLW0108
    try:
        yield context, complaints
    finally:
        # A request may still be on its way through a route of the test: its end with the context is nobody's fault.
        for page in context.pages:
            await page.unroute_all(behavior="ignoreErrors")
        await context.unroute_all(behavior="ignoreErrors")
        await context.close()
