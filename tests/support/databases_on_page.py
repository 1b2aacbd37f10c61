"""A person's sandbox, and what a model does with it, for tests of the page."""

from typing import Any

from playwright.async_api import Locator, Page, expect

from tests.doubles import groq_control
from tests.support.page import Person

ORDERS = "SELECT id, status FROM orders ORDER BY id LIMIT 3"
CHANGE = "UPDATE orders SET status = 'cancelled' WHERE id IN (1, 2)"


async def call(person: Person, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - whatever JSON
    """What the API answers to the person's browser; None where it answers nothing."""
    response = await person.page.context.request.fetch(
        f"{person.origin}{path}", method=method, data=body, headers={"Origin": person.origin}
    )
    assert response.ok, await response.text()
    return await response.json() if await response.body() else None


async def make_sandbox(person: Person) -> int:
    """Give the person a sandbox. Returns its id."""
    return int((await call(person, "POST", "/api/data-sources/sandbox"))["id"])


async def rows_of(person: Person, source: int, sql: str) -> list[list[object]]:
    """The rows that a query has now."""
    rows: list[list[object]] = (await call(person, "POST", f"/api/data-sources/{source}/query", {"sql": sql}))["rows"]
    return rows


async def ask_with_query(person: Person, groq_url: str, marker: str, **arguments: object) -> Locator:
    """Have the model run a query for a message. Returns the answer."""
    await groq_control.script(groq_url, "tool=db_query", arguments=arguments, marker=marker, purpose="answer")
    return await person.ask(f"{marker} [[tokens=3]]")


async def propose(person: Person, groq_url: str, marker: str, source: int, sql: str = CHANGE) -> Locator:
    """Have the model propose a change for a message. Returns its card, which waits for a decision."""
    arguments = {"source": source, "sql": sql, "summary": "Cancel two orders."}
    await groq_control.script(groq_url, "tool=db_propose_write", arguments=arguments, marker=marker, purpose="answer")
    await person.say(f"{marker} [[tokens=3]]")
    shown = card(person.page, "Waits for your decision")
    await expect(shown).to_contain_text("Decide until", timeout=15_000)
    return shown


def card(page: Page, status: str) -> Locator:
    """The cards of operations with this status."""
    return page.locator(".operation").filter(has=page.get_by_text(status, exact=True))
