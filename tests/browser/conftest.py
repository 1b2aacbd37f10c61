"""A real system for all tests here (an API, a worker, the Groq double), and Chromium, which looks at it."""

import asyncio
import os
from collections.abc import AsyncIterator, Generator
from typing import Final

import pytest
from cryptography.fernet import Fernet
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from services.launcher.embedded.postgres import EmbeddedPostgres
from shared.data_sources.sandbox.server import prepare
from tests.conftest import Systems
from tests.support.chromium import Complaints, find_chromium, watched_context
from tests.support.page import Person
from tests.support.system import System

LAUNCH_OPTIONS = ["--no-sandbox", "--disable-dev-shm-usage"]
"""Chromium's sandbox needs rights that containers often lack, and /dev/shm more room than they often give."""

HAS_FAILED: Final = pytest.StashKey[bool]()
"""Whether a test has failed so far."""
PATIENCE_MS: Final = 20_000
"""How long a page may take to show what is expected. The default, 5 s, is short on a machine that runs two browsers."""
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Chromium's program."""
    return find_chromium(os.environ)


@pytest.fixture(scope="package")
async def browser(chromium_path: str) -> AsyncIterator[Browser]:
    """Chromium, without a window."""
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=chromium_path, args=LAUNCH_OPTIONS)
        yield launched
        await launched.close()


@pytest.fixture(scope="package")
async def system(
    chromium_path: str, systems: Systems, tavily_url: str, postgres: EmbeddedPostgres
) -> AsyncIterator[System]:
    """The system that the pages of all tests talk to. Without Chromium, it is not started."""
    assert chromium_path
    sandboxes = postgres.url_of("sandbox")
    await prepare(sandboxes)
    with systems() as new_system:
        made = new_system(
            TAVILY_API_KEY="tvly-test",
            TAVILY_BASE_URL=tavily_url,
            SUMMARY_CHUNK_MESSAGES="3",
            DATA_SOURCE_KEYS=Fernet.generate_key().decode(),
            DATA_SOURCE_HOSTS="127.0.0.1",
            SANDBOX_DATABASE_URL=sandboxes,
            TITLE_BY_MODEL="true",
        )
        await asyncio.gather(made.start_worker(), made.start_worker("summaries,maintenance"))
        yield made


@pytest.fixture(scope="package")
async def api_url(system: System) -> str:
    """The system's API."""
    _, url = await system.start_api()
    return url


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep whether the test has failed, for fixtures that end after it."""
    report = yield
    item.stash[HAS_FAILED] = report.failed
    return report


@pytest.fixture
async def watched(
    browser: Browser, api_url: str, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[BrowserContext, Complaints]]:
    """A browser of the test's own, without cookies. At the test's end, its pages must have had nothing to complain of."""

    def has_failed() -> bool:
        return bool(request.node.stash.get(HAS_FAILED, False))

    async with watched_context(browser, api_url, has_failed) as (context, complaints):
        yield context, complaints
        assert complaints.all() == []


@pytest.fixture
def context(watched: tuple[BrowserContext, Complaints]) -> BrowserContext:
    """A browser of the test's own, for tests with several tabs."""
    return watched[0]


@pytest.fixture
def complaints(watched: tuple[BrowserContext, Complaints]) -> Complaints:
    """What the pages of `context` complain of. A test that expects a complaint takes it out."""
    return watched[1]


@pytest.fixture
async def page(context: BrowserContext) -> Page:
    """A tab."""
    return await context.new_page()


@pytest.fixture
async def stranger(page: Page, api_url: str) -> Person:
    """Somebody in front of the page who has no account."""
    await page.goto("/")
    return Person(page, api_url)


@pytest.fixture
async def person(page: Page, api_url: str) -> Person:
    """Somebody who has just signed in."""
    made = Person(page, api_url)
    await made.arrive()
    return made
