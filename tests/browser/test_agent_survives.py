"""The whole way of a change in Chromium, while worker and API are killed between each two steps."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet
from playwright.async_api import Browser, expect

from services.launcher.embedded.postgres import EmbeddedPostgres
from shared.data_sources.sandbox.server import prepare
from tests.browser.conftest import PATIENCE_MS
from tests.conftest import NewSystem
from tests.doubles import groq_control
from tests.support.chromium import watched_context
from tests.support.databases_on_page import card, rows_of
from tests.support.forks import Process
from tests.support.page import Person
from tests.support.system import System

ASKED = "SELECT id, status FROM orders ORDER BY id LIMIT 2"
CHANGE = "UPDATE orders SET status = 'cancelled' WHERE id = 1"
PATIENCE = 30_000
"""Milliseconds: a lease of 4 s may have to end, and the page waits longer between two tries."""


@dataclass
class Mortal:
    """A system whose processes are killed and replaced."""

    system: System
    url: str
    api: Process
    worker: Process

    async def die_and_rise(self) -> None:
        """Kill the API and the worker, and start others in their places."""
        self.system.kill(self.api)
        self.system.kill(self.worker)
        (self.api, _), self.worker = await asyncio.gather(
            self.system.start_api(PORT=self.url.rpartition(":")[2]), self.system.start_worker()
        )


@pytest.fixture
async def mortal(chromium_path: str, new_system: NewSystem, postgres: EmbeddedPostgres) -> Mortal:
    """A system of the test's own. Without Chromium, it is not started."""
    sandboxes = postgres.url_of("sandbox")
    await prepare(sandboxes)
    system = new_system(
        DATA_SOURCE_KEYS=Fernet.generate_key().decode(), SANDBOX_DATABASE_URL=sandboxes, TITLE_BY_MODEL="false"
    )
    api, url = await system.start_api()
    return Mortal(system, url, api, await system.start_worker())


@pytest.fixture
def patience() -> Iterator[None]:
    """Expectations of this test wait so long. Those of all other tests wait as before."""
    expect.set_options(timeout=PATIENCE)
    yield
    expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture
async def tabs(browser: Browser, mortal: Mortal) -> AsyncIterator[tuple[Person, Person]]:
    """Two tabs of one person. What they complain of while nobody answers them is no fault of theirs."""
    async with watched_context(browser, mortal.url) as (context, _):
        context.set_default_timeout(PATIENCE)
        first = Person(await context.new_page(), mortal.url)
        await first.arrive()
        yield first, Person(await context.new_page(), mortal.url)


@pytest.mark.usefixtures("patience")
async def test_a_change_is_made_seen_and_undone_though_everything_dies_between_the_steps(
    mortal: Mortal, tabs: tuple[Person, Person], groq_url: str
) -> None:
    first, second = tabs
    page, marker = first.page, uuid4().hex

    # Connect the sandbox.
    await page.goto(f"{mortal.url}/#/databases")
    await first.button("Try a sandbox").click()
    await expect(page.get_by_role("heading", name="Sandbox")).to_be_visible()
    ((source,),) = mortal.system.ask("SELECT id::int FROM data_sources")
    assert isinstance(source, int)
    await mortal.die_and_rise()

    # Ask.
    await page.goto(f"{mortal.url}/#/")
    question = {"source": source, "sql": ASKED, "purpose": "The first orders"}
    await groq_control.script(groq_url, "tool=db_query", arguments=question, marker=f"ask-{marker}", purpose="answer")
    await first.ask(f"ask-{marker} [[tokens=3]]")
    await expect(page.get_by_role("table", name="The first orders")).to_be_visible()
    before = await rows_of(first, source, ASKED)
    await mortal.die_and_rise()

    # Command, and look at the diff.
    change = {"source": source, "sql": CHANGE, "summary": "Cancel the first order."}
    await groq_control.script(
        groq_url, "tool=db_propose_write", arguments=change, marker=f"do-{marker}", purpose="answer"
    )
    await first.say(f"do-{marker} [[tokens=4]]")
    shown = card(page, "Waits for your decision")
    await expect(shown).to_contain_text("1 row will be changed.")
    await mortal.die_and_rise()

    # Approve in the second tab, and see the row change in the first.
    await second.page.goto(page.url)
    await second.button("Approve", within=card(second.page, "Waits for your decision")).click()
    await expect(card(page, "Done")).to_contain_text("1 row changed.")
    await expect(first.answers.nth(0).get_by_text("orders has changed since.")).to_be_visible()
    await expect(first.answers.last.get_by_text("t1 t2 t3 t4")).to_be_visible()
    assert (await rows_of(first, source, ASKED))[0] == [before[0][0], "cancelled"]
    await mortal.die_and_rise()

    # Undo.
    await first.button("Undo", within=card(page, "Done")).click()
    undo = card(page, "Waits for your decision").last
    await expect(undo).to_contain_text("Undo of a change")
    await mortal.die_and_rise()
    await first.button("Approve", within=undo).click()
    await expect(page.get_by_text("It was done, and has been undone since.")).to_be_visible()
    assert await rows_of(first, source, ASKED) == before
    await mortal.die_and_rise()

    # Read the audit.
    await page.goto(f"{mortal.url}/#/changes/audit")
    await expect(page.locator(".audit > li").filter(has_text="Change done")).to_have_count(2)
    assert mortal.system.ask("SELECT status FROM generations") == [("completed",), ("completed",)]
