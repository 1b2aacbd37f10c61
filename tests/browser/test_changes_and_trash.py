"""What was changed and who decided; chats that are searched, deleted and restored."""

import re

from playwright.async_api import Locator, Route, expect

from tests.support.databases_on_page import CHANGE, call, card, make_sandbox
from tests.support.page import Person, hold_next, hold_requests, pass_event
from tests.support.system import System

FIRST_LINES = re.compile(r"/api/operations\?limit=30$")
LATER_LINES = re.compile(r"/api/operations\?.*cursor=")
COPY_OPERATION = """
INSERT INTO operations (id, user_id, data_source_id, kind, status, summary, statement, preview, digest, expires_at)
SELECT gen_random_uuid(), user_id, data_source_id, kind, status, summary, statement, preview, digest, expires_at
FROM operations, generate_series(1, 31) WHERE id = %s"""
COPY_ENTRY = """
INSERT INTO audit_log (user_id, number, at, action, subject, details, hash)
SELECT user_id, number + copy, at, action, subject, details, hash
FROM audit_log, generate_series(1, 50) AS copy WHERE subject = %s AND action = 'operation.refused'"""


async def propose_many(person: Person, source: int, count: int) -> list[str]:
    """Propose the same change so often. Returns the operations' ids."""
    path = f"/api/data-sources/{source}/operations"
    return [str((await call(person, "POST", path, {"sql": CHANGE}))["id"]) for _ in range(count)]


async def test_changes_wait_are_decided_and_are_in_the_log(person: Person) -> None:
    page = person.page
    source = await make_sandbox(person)
    _, second = await propose_many(person, source, 2)
    await page.get_by_role("link", name="Changes").click()
    waiting = card(page, "Waits for your decision")
    await expect(waiting).to_have_count(2)
    await call(person, "POST", f"/api/operations/{second}/refuse")
    await expect(card(page, "Refused")).to_have_count(1)
    await person.button("Approve", within=waiting).click()
    await expect(card(page, "Done")).to_have_count(1)
    await propose_many(person, source, 1)
    await expect(waiting).to_have_count(1)
    await page.reload()
    lines = page.locator(".operation-lines > li")
    await expect(lines).to_have_count(2)
    await page.get_by_label("Status").select_option("committed")
    await expect(lines).to_have_count(1)
    await lines.locator("summary").first.click()
    await person.button("Undo", within=lines).click()
    await expect(waiting.first).to_be_visible()
    await page.get_by_role("link", name="Audit log").click()
    entries = page.locator(".audit > li")
    await expect(entries.first).to_contain_text("Change proposed")
    await expect(page.get_by_text("Change done")).to_be_visible()
    await entries.filter(has_text="Change done").locator("summary").click()
    await expect(entries.filter(has_text="Change done").locator("pre")).to_be_visible()
    await expect(entries.filter(has_text="Change proposed")).to_have_count(4)
    await propose_many(person, source, 1)
    await expect(entries.filter(has_text="Change proposed")).to_have_count(5)
    await expect(entries.filter(has_text="Change done").locator("pre")).to_be_visible()


async def test_the_lists_go_on_page_by_page(person: Person, system: System) -> None:
    page = person.page
    (operation,) = await propose_many(person, await make_sandbox(person), 1)
    await call(person, "POST", f"/api/operations/{operation}/refuse")
    system.ask(COPY_OPERATION, operation)
    system.ask(COPY_ENTRY, f"operation:{operation}")
    await page.goto("/#/changes")
    await expect(page.locator(".operation-lines > li")).to_have_count(30)
    await person.button("Show more").click()
    await expect(page.locator(".operation-lines > li")).to_have_count(32)
    await expect(person.button("Show more")).to_be_hidden()
    await page.goto("/#/changes/audit")
    await expect(page.locator(".audit > li")).to_have_count(50)
    await person.button("Show more").click()
    await expect(page.locator(".audit > li").last).to_contain_text("Database connected")


async def test_all_that_wait_are_shown_though_their_list_has_pages_and_no_previews(person: Person) -> None:
    page = person.page

    async def shorten(route: Route) -> None:
        response = await route.fetch(url=route.request.url.replace("limit=100", "limit=2"))
        rows = [{**row, "preview": None, "result": None} for row in await response.json()]
        await route.fulfill(response=response, json=rows)

    await propose_many(person, await make_sandbox(person), 3)
    await page.route("**/api/operations?*", shorten)
    await page.goto("/#/changes")
    waiting = card(page, "Waits for your decision")
    await expect(waiting).to_have_count(3)
    for shown in await waiting.all():
        await expect(shown).to_contain_text("2 rows will be changed.")
    await person.button("Refuse", within=waiting.last).click()
    await expect(card(page, "Refused")).to_have_count(1)
    await page.reload()
    await page.locator(".operation-lines summary").click()
    await expect(card(page, "Refused")).to_contain_text("orders: 2 rows")


async def test_what_is_open_stays_so_when_the_list_is_read_anew(person: Person, system: System) -> None:
    page, lines = person.page, await show_32_lines(person, system)
    await person.button("Show more").click()
    await expect(lines).to_have_count(32)
    await lines.last.locator("summary").first.click()
    await expect(lines.last.locator(".operation")).to_contain_text("2 rows")

    async def change_the_first(route: Route) -> None:
        response = await route.fetch()
        waiting, first, *others = await response.json()
        await route.fulfill(response=response, json=[waiting, {**first, "status": "expired"}, *others])

    await page.route(FIRST_LINES, change_the_first)
    await pass_event(page, {"type": "resync"})
    await expect(lines.first).to_contain_text("Expired")
    await expect(lines.last.locator(".operation")).to_be_visible()
    await expect(lines).to_have_count(32)


async def show_32_lines(person: Person, system: System) -> Locator:
    """Have 32 operations that were decided, and one that waits, which has no line. Returns the lines of the first page."""
    source = await make_sandbox(person)
    (operation,) = await propose_many(person, source, 1)
    await call(person, "POST", f"/api/operations/{operation}/refuse")
    system.ask(COPY_OPERATION, operation)
    await propose_many(person, source, 1)
    await person.page.goto("/#/changes")
    lines = person.page.locator(".operation-lines > li")
    await expect(lines).to_have_count(29)
    return lines


async def test_who_asks_for_more_gets_more_though_the_list_is_read_anew_meanwhile(
    person: Person, system: System
) -> None:
    page, lines = person.page, await show_32_lines(person, system)
    held = await hold_next(page, LATER_LINES)
    await person.button("Show more").click()
    await held.is_there.wait()
    await pass_event(page, {"type": "resync"})
    held.go_on.set()
    await expect(lines).to_have_count(32)
    await expect(person.button("Show more")).to_be_hidden()


async def test_who_asks_for_more_while_the_list_is_read_anew_gets_more(person: Person, system: System) -> None:
    page, lines = person.page, await show_32_lines(person, system)
    held = await hold_requests(page, FIRST_LINES)
    async with page.expect_request(FIRST_LINES):
        await pass_event(page, {"type": "resync"})
    await person.button("Show more").click()
    async with page.expect_request(LATER_LINES):  # the read of the first page goes on
        held.set()
    await expect(lines).to_have_count(32)
    await expect(person.button("Show more")).to_be_hidden()


async def test_a_deleted_chat_is_restored_from_the_trash(person: Person) -> None:
    page = person.page
    await call(person, "POST", "/api/chats", {"title": "Old plans"})
    await person.chats.get_by_text("Old plans").hover()
    await person.button("Delete “Old plans”").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(person.chats).to_have_count(0)
    await page.get_by_role("link", name="Trash").click()
    await person.button("Restore “Old plans”").click()
    await expect(page.get_by_text("The trash is empty.")).to_be_visible()
    await expect(person.chats.get_by_text("Old plans")).to_be_visible()


async def test_a_restored_chat_does_not_come_back_with_what_was_read_before(person: Person) -> None:
    page = person.page
    chat = await call(person, "POST", "/api/chats", {"title": "Old plans"})
    await page.context.request.post(f"{person.origin}/api/chats/{chat['id']}/trash", headers={"Origin": person.origin})
    await page.get_by_role("link", name="Trash").click()
    await expect(person.button("Restore “Old plans”")).to_be_visible()
    held = await hold_next(page, "**/api/trash?limit=50")
    await pass_event(page, {"type": "resync"})
    await held.is_there.wait()
    await person.button("Restore “Old plans”").click()
    await expect(person.chats.get_by_text("Old plans")).to_be_visible()
    held.go_on.set()
    await expect(page.get_by_text("The trash is empty.")).to_be_visible()


async def test_chats_are_found_by_their_words(person: Person) -> None:
    page = person.page
    await call(person, "POST", "/api/chats", {"title": "A week in Lisbon"})
    await call(person, "POST", "/api/chats", {"title": "Sourdough"})
    search = page.get_by_label("Search chats")
    await search.fill("lisbon")
    await expect(page.get_by_text("1 chat found")).to_be_visible()
    await expect(person.chats).to_have_text(["A week in Lisbon"])
    await search.fill("nothing has this")
    await expect(page.get_by_text("Nothing was found.")).to_be_visible()
    await search.press("Escape")
    await expect(person.chats).to_have_count(2)
