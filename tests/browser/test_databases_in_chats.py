"""Databases in a chat: rows and charts of queries, and changes that a person decides."""

from uuid import uuid4

import pytest
from playwright.async_api import BrowserContext, Locator, expect

from tests.doubles import groq_control
from tests.support.databases_on_page import CHANGE, ORDERS, ask_with_query, call, card, make_sandbox, propose, rows_of
from tests.support.page import Person, hold_next, pass_event

STATUS = "SELECT status FROM orders WHERE id IN (1, 2) ORDER BY id"
BY_CITY = "SELECT city, count(*) AS people, sum(id) AS ids FROM customers GROUP BY city ORDER BY city"

WATCH_STATUSES = """(card) => {
    window.statuses = [];
    new MutationObserver(() => window.statuses.push(card.dataset.status)).observe(card, {attributeFilter: ["data-status"]});
}"""


@pytest.fixture
async def sandbox(person: Person) -> int:
    """The person's sandbox."""
    return await make_sandbox(person)


@pytest.fixture
def marker() -> str:
    """A word that no other test says."""
    return uuid4().hex


async def test_queries_show_their_purpose_rows_charts_and_sql(
    person: Person, sandbox: int, groq_url: str, marker: str
) -> None:
    chart = {"kind": "bar", "x": "city", "y": ["people", "ids"]}
    asked = {"source": sandbox, "sql": BY_CITY, "purpose": "Customers by city", "chart": chart}
    answer = await ask_with_query(person, groq_url, marker, **asked)
    await expect(answer.get_by_text("Customers by city").first).to_be_visible()
    table = answer.get_by_role("table", name="Customers by city")
    await expect(table.get_by_role("columnheader")).to_have_text(["citytext", "peoplebigint", "idsnumeric"])
    await expect(table.get_by_role("row").nth(1).get_by_role("cell")).to_have_text(["Ankara", "10", "310"])
    picture = answer.get_by_role("img", name="Bar chart by city, 6 values.")
    assert "ids: highest 330 (Vienna), lowest 280 (Berlin)." in str(await picture.get_attribute("aria-label"))
    await expect(picture.locator("rect")).to_have_count(12)
    await expect(answer.get_by_text("GROUP BY city")).to_be_hidden()
    await answer.get_by_text("SQL", exact=True).click()
    await person.button("Copy", within=answer).click()
    assert await person.page.evaluate("navigator.clipboard.readText()") == BY_CITY
    sql = "SELECT id, price::text AS price FROM products ORDER BY id"
    chart = {"kind": "pie", "x": "id", "y": ["price"]}
    answer = await ask_with_query(
        person, groq_url, f"{marker} too", source=sandbox, sql=sql, purpose="Prices", chart=chart
    )
    rows = answer.get_by_role("table", name="Prices").locator("tbody tr")
    await expect(rows).to_have_count(20)
    await person.button("Show 20 more rows", within=answer).click()
    await expect(rows).to_have_count(40)
    await expect(answer.get_by_text("40 of 40 rows")).to_be_visible()
    await expect(answer.get_by_role("img", name="Pie chart by id, 40 values.").locator("path")).to_have_count(9)
    await expect(answer.locator(".legend li").last).to_contain_text("32 others")


async def test_a_change_is_seen_approved_and_undone(person: Person, sandbox: int, groq_url: str, marker: str) -> None:
    before = await rows_of(person, sandbox, STATUS)
    shown = await propose(person, groq_url, marker, sandbox)
    await expect(person.button("Approve", within=shown)).to_be_in_viewport()
    await expect(shown).to_contain_text("Cancel two orders.")
    await expect(shown).to_contain_text("orders: 2 rows will be changed.")
    await expect(shown).to_contain_text("Set when it is done, each time anew: updated_at.")
    assert await diff_of(shown) == [
        "Changed id 1",
        "status text −delivered +cancelled",
        "updated_at timestamp with time zone −2026-01-01 08:00:00+00 +set when it is done",
        "Changed id 2",
        "status text −delivered +cancelled",
        "updated_at timestamp with time zone −2026-01-02 21:00:00+00 +set when it is done",
    ]
    await shown.get_by_label("Show unchanged columns").check()
    assert "customer_id bigint 18 18" in await diff_of(shown)
    await expect(person.page.get_by_text("The answer waits for your decision. What")).to_be_visible()
    await person.button("Approve", within=shown).click()
    done = card(person.page, "Done")
    await expect(done).to_contain_text("It is done, as shown.")
    await expect(done.locator(".operation-outcome")).to_be_focused()
    await expect(person.answers.last.get_by_text("t1 t2 t3")).to_be_visible()
    assert await rows_of(person, sandbox, STATUS) == [["cancelled"], ["cancelled"]]
    await person.button("Undo", within=done).click()
    undo = card(person.page, "Waits for your decision").last
    await expect(undo).to_contain_text("Undo of a change")
    await person.button("Approve", within=undo).click()
    await expect(person.page.get_by_text("It was done, and has been undone since.")).to_be_visible()
    assert await rows_of(person, sandbox, STATUS) == before


async def test_what_is_refused_changes_nothing_and_the_answer_can_be_stopped(
    person: Person, sandbox: int, groq_url: str, marker: str
) -> None:
    before = await rows_of(person, sandbox, STATUS)
    await person.button("Refuse", within=await propose(person, groq_url, marker, sandbox)).click()
    await expect(card(person.page, "Refused")).to_contain_text("Nothing was changed.")
    await expect(person.answers.last.get_by_text("t1 t2 t3")).to_be_visible()
    await propose(person, groq_url, uuid4().hex, sandbox)
    await person.button("Stop the answer").click()
    await expect(card(person.page, "Refused")).to_have_count(2)
    await expect(person.button("Stop the answer")).to_be_hidden()
    assert await rows_of(person, sandbox, STATUS) == before


async def test_a_change_whose_database_is_disconnected_meanwhile_waits_no_more(
    person: Person, sandbox: int, groq_url: str, marker: str
) -> None:
    await propose(person, groq_url, marker, sandbox)
    await call(person, "DELETE", f"/api/data-sources/{sandbox}")
    gone = card(person.page, "Refused")
    await expect(gone).to_contain_text("It went with its database.")
    await expect(gone.get_by_role("button")).to_have_count(0)
    await expect(person.answers.last.get_by_text("t1 t2 t3")).to_be_visible()


async def test_escape_does_not_refuse_what_waits_for_a_decision(
    person: Person, sandbox: int, groq_url: str, marker: str
) -> None:
    shown = await propose(person, groq_url, marker, sandbox)
    stops: list[str] = []
    person.page.on("request", lambda request: stops.append(request.url) if request.url.endswith("/stop") else None)
    await person.page.keyboard.press("Escape")
    await person.button("Approve", within=shown).click()
    await expect(card(person.page, "Done")).to_contain_text("It is done, as shown.")
    assert stops == []


async def test_a_change_whose_rows_have_changed_since_is_told_to_be_out_of_date(
    person: Person, sandbox: int, groq_url: str, marker: str
) -> None:
    shown = await propose(person, groq_url, marker, sandbox)
    path = f"/api/data-sources/{sandbox}/operations"
    other = await call(person, "POST", path, {"sql": "UPDATE orders SET status = 'paid' WHERE id = 1"})
    await call(person, "POST", f"/api/operations/{other['id']}/approve", {"digest": other["digest"]})
    await person.button("Approve", within=shown).click()
    await expect(card(person.page, "Out of date")).to_contain_text("so nothing was changed.")
    await person.page.reload()
    await expect(card(person.page, "Out of date")).to_contain_text("orders: 2 rows")


async def test_a_tool_that_tells_strangers_shows_what_it_would_tell(
    person: Person, sandbox: int, groq_url: str, marker: str
) -> None:
    await ask_with_query(person, groq_url, marker, source=sandbox, sql=ORDERS, purpose="Orders")
    await person.say(f"[[tokens=3 tool=web_search query={marker}]]")
    shown = card(person.page, "Waits for your decision")
    await expect(shown).to_contain_text("Web search")
    await expect(shown.locator("pre")).to_contain_text(marker)
    await person.button("Refuse", within=shown).click()
    await expect(card(person.page, "Refused")).to_be_visible()
    await person.say(f"[[tokens=3 tool=web_search query={marker}]]")
    await person.button("Approve", within=shown).click()
    await expect(card(person.page, "Done")).to_contain_text("It is allowed.")


async def test_chats_that_are_to_be_deleted_are_named(person: Person, groq_url: str, marker: str) -> None:
    old = await call(person, "POST", "/api/chats", {"title": "Old plans"})
    arguments = {"chats": [old["id"]]}
    await groq_control.script(groq_url, "tool=chats_delete", arguments=arguments, marker=marker, purpose="answer")
    await person.say(f"{marker} [[tokens=3]]")
    shown = card(person.page, "Waits for your decision")
    await expect(shown.get_by_role("link", name="Old plans")).to_be_visible()
    await expect(person.chats.get_by_text("Old plans")).to_be_visible()
    await person.button("Approve", within=shown).click()
    await expect(person.chats.get_by_text("Old plans")).to_have_count(0)
    await expect(card(person.page, "Done")).to_be_visible()


async def test_a_change_is_told_in_every_tab_and_marks_the_rows_that_are_shown(
    person: Person, sandbox: int, groq_url: str, marker: str, context: BrowserContext
) -> None:
    answer = await ask_with_query(person, groq_url, marker, source=sandbox, sql=ORDERS, purpose="Orders")
    shown = await propose(person, groq_url, uuid4().hex, sandbox)
    other = Person(await context.new_page(), person.origin)
    await other.page.goto("/")
    await other.chats.first.get_by_role("link").click()
    waiting = card(other.page, "Waits for your decision")
    await expect(waiting).to_contain_text("2 rows will be changed.")
    await person.button("Approve", within=shown).click()
    await expect(card(other.page, "Done")).to_contain_text("2 rows changed.")
    for tab in (person, other):
        result = tab.answers.nth(0)
        await expect(result.get_by_text("orders has changed since.")).to_be_visible()
        await expect(cells(result).nth(1)).not_to_have_text("cancelled")
    await person.button("Run again", within=answer).click()
    await expect(cells(answer).nth(1)).to_have_text("cancelled")
    await expect(answer.get_by_text("These are the rows of now.")).to_be_visible()


async def test_an_answer_that_comes_late_does_not_undo_a_decision(person: Person, sandbox: int) -> None:
    made = await call(person, "POST", f"/api/data-sources/{sandbox}/operations", {"sql": CHANGE})
    path, page = f"/api/operations/{made['id']}", person.page
    await page.goto("/#/changes")
    shown = card(page, "Waits for your decision")
    await expect(shown).to_contain_text("2 rows will be changed.")
    late = await hold_next(page, f"**{path}")
    await pass_event(page, {"type": "operation.changed", "operation_id": made["id"], "status": "approved"})
    await late.is_there.wait()
    await page.locator(".operation").evaluate(WATCH_STATUSES)
    await person.button("Approve", within=shown).click()
    await expect(card(page, "Done")).to_contain_text("2 rows changed.")
    async with page.expect_response(f"**{path}"):
        late.go_on.set()
    await expect(card(page, "Done")).to_contain_text("2 rows changed.")
    assert "proposed" not in await page.evaluate("window.statuses")


async def test_a_card_of_a_finished_answer_is_read_once(
    person: Person, sandbox: int, groq_url: str, marker: str
) -> None:
    shown = await propose(person, groq_url, marker, sandbox)
    await person.button("Refuse", within=shown).click()
    await expect(person.answers.last.get_by_text("t1 t2 t3")).to_be_visible()
    reads: list[str] = []
    person.page.on("request", lambda request: reads.append(request.url) if "/api/operations/" in request.url else None)
    await person.button("New chat").click()
    await expect(person.answers).to_have_count(0)
    await person.chats.first.get_by_role("link").click()
    await expect(card(person.page, "Refused")).to_contain_text("orders: 2 rows")
    assert len(reads) == 1


async def diff_of(shown: Locator) -> list[str]:
    """The rows of a diff that are seen."""
    seen = await shown.locator("tbody tr:visible").all_inner_texts()
    return [" ".join(text.split()).replace("− ", "−").replace("+ ", "+") for text in seen]


def cells(result: Locator) -> Locator:
    return result.get_by_role("cell")
