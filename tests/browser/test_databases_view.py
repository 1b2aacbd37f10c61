"""The view of databases: connect, try a sandbox, look, ask, propose a change, delete."""

import pytest
from playwright.async_api import Browser, Route, expect

from services.launcher.embedded.postgres import EmbeddedPostgres
from tests.support.chromium import watched_context
from tests.support.data_sources import Source, make_source
from tests.support.databases_on_page import call, card, make_sandbox
from tests.support.page import Person, answer_next, pass_event, refuse
from tests.support.system import System

HOSTILE = """
CREATE TABLE "<img src=x onerror=window.ran=1>" (
    id bigint PRIMARY KEY, "javascript:window.ran=2" text, "\u202etxt" text, long text
);
COMMENT ON TABLE "<img src=x onerror=window.ran=1>" IS '<script>window.ran = 3</script>';
INSERT INTO "<img src=x onerror=window.ran=1>" VALUES
    (1, '<script>window.ran = 4</script>', E'abc\\u202Edef', repeat('long ', 2000)),
    (2, 'javascript:window.ran=5', E'\\u2066x', NULL);
"""
READ = 'SELECT * FROM "<img src=x onerror=window.ran=1>" ORDER BY id'
CHANGE = """
UPDATE "<img src=x onerror=window.ran=1>"
SET long = long || 'end\u202e', "javascript:window.ran=2" = '<i>'
WHERE id = 1"""


@pytest.fixture(scope="session")
def hostile_source(postgres: EmbeddedPostgres) -> Source:
    """A database whose names and values mean ill."""
    return make_source(postgres, HOSTILE)


async def test_a_sandbox_is_made_asked_changed_and_deleted(person: Person) -> None:
    page = person.page
    await page.get_by_role("link", name="Databases").click()
    await person.button("Try a sandbox").click()
    await expect(page.get_by_role("heading", name="Tables")).to_be_visible()
    await page.get_by_text("customers").first.click()
    await expect(page.get_by_role("row", name="email text not null")).to_be_visible()
    await page.get_by_label("A SELECT statement").fill("SELECT name, stock FROM products WHERE id = 1")
    await person.button("Run").click()
    await expect(page.get_by_role("cell", name="Tent small")).to_be_visible()
    await page.get_by_label("An INSERT, UPDATE or DELETE statement").fill("DELETE FROM products WHERE id = 1")
    await person.button("Show what it would do").click()
    await expect(page.locator("#change-problem")).to_contain_text("violates foreign key constraint")
    statement = "INSERT INTO customers (name, email, city) VALUES ('Zoe', 'zoe@example.com', 'Rome')"
    await page.get_by_label("An INSERT, UPDATE or DELETE statement").fill(statement)
    await page.get_by_label("What it is for (optional)").fill("A new customer.")
    await person.button("Show what it would do").click()
    shown = card(page, "Waits for your decision")
    await expect(shown).to_contain_text("1 row will be added.")
    await expect(shown.get_by_role("row", name="name text").first).to_contain_text("no row")
    await person.button("Approve", within=shown).click()
    await expect(card(page, "Done")).to_contain_text("1 row added.")
    await person.button("Test").click()
    await expect(page.get_by_text("has the rights that it should have.").first).to_be_visible()
    await person.button("Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(person.button("Try a sandbox")).to_be_visible()
    await expect(page.get_by_role("main").get_by_role("listitem")).to_have_count(0)


async def test_a_change_that_is_out_of_date_can_be_looked_at_again(person: Person) -> None:
    source, page = await make_sandbox(person), person.page
    await page.goto(f"/#/databases/{source}")
    raised = "UPDATE products SET stock = stock + 1 WHERE id = 1"
    await page.get_by_label("An INSERT, UPDATE or DELETE statement").fill(raised)
    await person.button("Show what it would do").click()
    shown = card(page, "Waits for your decision")
    await expect(shown).to_contain_text("1 row will be changed.")
    other = await call(person, "POST", f"/api/data-sources/{source}/operations", {"sql": raised})
    await call(person, "POST", f"/api/operations/{other['id']}/approve", {"digest": other["digest"]})
    await person.button("Approve", within=shown).click()
    await person.button("Preview again", within=card(page, "Out of date")).click()
    await person.button("Approve", within=card(page, "Waits for your decision").last).click()
    await expect(card(page, "Done").last).to_contain_text("1 row changed.")


async def test_what_is_wrong_with_an_address_is_said_at_its_field(person: Person, hostile_source: Source) -> None:
    page = person.page
    await page.goto("/#/databases")
    await page.get_by_text("Connect a database").click()
    await person.button("Connect").click()
    await expect(page.get_by_label("Name")).to_be_focused()
    await page.get_by_label("Name").fill("Mine")
    await page.get_by_label("Address for reading").fill("mysql://somewhere/else")
    await person.button("Connect").click()
    reader = page.get_by_label("Address for reading")
    await expect(reader).to_be_focused()
    await expect(reader).to_have_attribute("aria-invalid", "true")
    await expect(page.locator("#database-reader_url-problem")).not_to_be_empty()
    await reader.fill(hostile_source.reader_url)
    await page.get_by_label("Address for changes").fill("postgresql://a:b@192.0.2.1:5432/x")
    await person.button("Connect").click()
    await expect(page.get_by_label("Address for changes")).to_be_focused()
    await page.get_by_label("Address for changes").fill(hostile_source.writer_url)
    await person.button("Connect").click()
    await expect(page.get_by_role("heading", name="Mine")).to_be_visible()
    await person.button("Test").click()
    await expect(page.get_by_text("Connected. PostgreSQL")).to_be_visible()


async def test_hostile_names_and_values_do_no_harm(person: Person, hostile_source: Source) -> None:
    page = person.page
    body = {"name": "<b>\u202eMine", "reader_url": hostile_source.reader_url, "writer_url": hostile_source.writer_url}
    made = await page.context.request.post(
        f"{person.origin}/api/data-sources", data=body, headers={"Origin": person.origin}
    )
    source = (await made.json())["id"]
    await page.set_viewport_size({"width": 375, "height": 740})
    await page.goto(f"/#/databases/{source}")
    await expect(page.get_by_role("heading", name="<b>Mine")).to_be_visible()
    await page.locator(".table-list summary").click()
    await expect(page.get_by_text("<script>window.ran = 3</script>")).to_be_visible()
    await page.get_by_label("A SELECT statement").fill(READ)
    await person.button("Run").click()
    table = page.get_by_role("table", name="Rows of the query")
    await expect(table).to_contain_text("<script>window.ran = 4</script>")
    await expect(table).to_contain_text("abc⟨U+202E⟩def")
    await person.button("Show all 10,000 characters").click()
    await page.get_by_label("An INSERT, UPDATE or DELETE statement").fill(CHANGE)
    await person.button("Show what it would do").click()
    shown = card(page, "Waits for your decision")
    await expect(shown.locator("ins").last).to_contain_text("long end⟨U+202E⟩")
    await shown.get_by_text("SQL", exact=True).click()
    await expect(shown.locator("code")).to_contain_text("end⟨U+202E⟩")
    assert await page.evaluate("window.ran") is None
    assert await page.locator("main :is(img, script, iframe, a[href^=javascript])").count() == 0
    assert await page.evaluate("document.documentElement.scrollWidth") == 375


async def test_a_list_of_databases_is_the_same_in_every_tab(person: Person) -> None:
    await person.page.goto("/#/databases")
    await expect(person.button("Try a sandbox")).to_be_visible()
    await make_sandbox(person)
    await expect(person.page.get_by_role("main").get_by_role("link")).to_have_text("Sandbox")
    await expect(person.button("Try a sandbox")).to_be_hidden()


async def test_the_view_says_when_databases_are_off(browser: Browser, system: System) -> None:
    _, url = await system.start_api(DATA_SOURCE_KEYS="")
    async with watched_context(browser, url) as (context, complaints):
        person = Person(await context.new_page(), url)
        await person.arrive()
        await person.page.get_by_role("link", name="Databases").click()
        await expect(person.page.get_by_text("Databases are switched off here.")).to_be_visible()
        await expect(person.button("Try a sandbox")).to_have_count(0)
        assert complaints.all() == []


async def test_what_was_typed_stays_while_a_database_cannot_be_read(person: Person) -> None:
    async def fail(route: Route) -> None:
        await refuse(route, 503, "database_unavailable")

    source, page = await make_sandbox(person), person.page
    path = f"**/api/data-sources/{source}"
    await answer_next(page, path, fail)
    await page.goto(f"/#/databases/{source}")
    await expect(page.get_by_role("heading", name="Tables")).to_be_visible()
    await page.get_by_label("A SELECT statement").fill("SELECT 1 AS one")
    await person.button("Run").click()
    change = page.get_by_label("An INSERT, UPDATE or DELETE statement")
    await change.fill("UPDATE")
    await answer_next(page, path, fail)
    async with page.expect_response(lambda response: response.status == 503):
        await call(person, "PATCH", f"/api/data-sources/{source}", {"name": "Mine"})
    await expect(page.get_by_role("heading", name="Mine")).to_be_visible()
    await expect(change).to_have_value("UPDATE")
    await expect(page.get_by_role("cell", name="1", exact=True)).to_be_visible()


async def test_rows_that_change_or_may_have_changed_meanwhile_are_told_to_be_out_of_date(person: Person) -> None:
    page, source = person.page, await make_sandbox(person)
    change = {"type": "rows.changed", "data_source_id": source, "table": "public.orders"}

    async def change_meanwhile(route: Route) -> None:
        await pass_event(page, change)
        await route.continue_()

    await page.goto(f"/#/databases/{source}")
    await page.get_by_label("A SELECT statement").fill("SELECT id FROM orders WHERE id = 1")
    await answer_next(page, "**/query", change_meanwhile)
    await person.button("Run").click()
    await expect(page.get_by_text("orders has changed since.")).to_be_visible()
    await answer_next(page, "**/query", change_meanwhile)
    await person.button("Run again").click()
    await expect(person.button("Run again")).to_be_enabled()
    await expect(page.get_by_text("orders has changed since.")).to_be_visible()
    await person.button("Run again").click()
    await expect(page.get_by_text("These are the rows of now.")).to_be_visible()
    await pass_event(page, {"type": "resync"})
    await expect(page.get_by_text("The rows may have changed since.")).to_be_visible()


async def test_a_card_that_was_replaced_reads_nothing_more(person: Person) -> None:
    page, source = person.page, await make_sandbox(person)
    reads: list[str] = []
    page.on("request", lambda request: reads.append(request.url) if "/api/operations/" in request.url else None)
    await page.goto(f"/#/databases/{source}")
    box = page.get_by_label("An INSERT, UPDATE or DELETE statement")
    for stock in ("1", "2"):
        await box.fill("UPDATE products SET stock = 7 WHERE id = 1".replace("7", stock))
        await person.button("Show what it would do").click()
        await expect(page.locator(".operation ins")).to_contain_text(stock)
    reads.clear()
    async with page.expect_response("**/api/operations/*"):
        await pass_event(page, {"type": "resync"})
    assert len(reads) == 1
