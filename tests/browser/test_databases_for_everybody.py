"""The views of databases with a screen reader, on a phone, in the dark."""

from playwright.async_api import Page, expect

from tests.browser.test_for_everybody import faults
from tests.support.databases_on_page import CHANGE, ask_with_query, call, card, make_sandbox, propose
from tests.support.page import Person

CONTRAST: dict[str, object] = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
BY_CITY = "SELECT city, count(*) AS people, sum(id) / 3 AS thirds FROM customers GROUP BY city ORDER BY city"


async def all_faults(page: Page) -> list[str]:
    """What axe finds wrong with the page in the light, and with its colours in the dark."""
    await page.emulate_media(color_scheme="light")
    found = await faults(page)
    await page.emulate_media(color_scheme="dark")
    return [*found, *await faults(page, CONTRAST)]


async def test_axe_finds_no_fault_with_databases(person: Person, groq_url: str) -> None:
    page = person.page
    source = await make_sandbox(person)
    for kind in ("bar", "line", "pie"):
        chart = {"kind": kind, "x": "city", "y": ["people", "thirds"]}
        asked = {"source": source, "sql": BY_CITY, "purpose": f"As a {kind}", "chart": chart}
        await ask_with_query(person, groq_url, f"axe-{kind}", **asked)
    shown = await propose(person, groq_url, "axe-change", source)
    for summary in await page.locator("details summary").all():
        await summary.click()
    assert await all_faults(page) == []
    await person.button("Approve", within=shown).click()
    await expect(card(page, "Done")).to_be_visible()
    await page.goto("/#/databases")
    await page.get_by_text("Connect a database").click()
    await person.button("Connect").click()
    assert await all_faults(page) == []
    await page.goto(f"/#/databases/{source}")
    await page.locator(".table-list summary").first.click()
    await person.button("Test").click()
    await expect(page.get_by_text("Connected. PostgreSQL")).to_be_visible()
    assert await all_faults(page) == []
    await call(person, "POST", f"/api/data-sources/{source}/operations", {"sql": CHANGE.replace("cancelled", "paid")})
    await page.goto("/#/changes")
    await page.locator(".operation-lines summary").first.click()
    await expect(card(page, "Done")).to_be_visible()
    assert await all_faults(page) == []
    await page.goto("/#/changes/audit")
    await page.locator(".audit summary").first.click()
    assert await all_faults(page) == []
    chat = await call(person, "POST", "/api/chats", {"title": "Old plans"})
    await page.context.request.post(f"{person.origin}/api/chats/{chat['id']}/trash", headers={"Origin": person.origin})
    await page.goto("/#/trash")
    await expect(person.button("Restore “Old plans”")).to_be_visible()
    await page.get_by_label("Search chats").fill("t1")
    await expect(page.get_by_text("chat found")).to_be_visible()
    assert await all_faults(page) == []


async def test_on_a_phone_nothing_is_wider_than_the_page(person: Person, groq_url: str) -> None:
    page = person.page
    await page.set_viewport_size({"width": 375, "height": 740})
    source = await make_sandbox(person)
    asked = {"source": source, "sql": "SELECT *, 'x' AS y FROM customers", "purpose": "All customers"}
    chart = {"kind": "pie", "x": "city", "y": ["id"]}
    await ask_with_query(person, groq_url, "phone-query", **asked, chart=chart)
    shown = await propose(person, groq_url, "phone-change", source)
    width = "document.documentElement.scrollWidth"
    assert await page.evaluate(width) == 375
    boxes = [await one.bounding_box() for one in await shown.get_by_role("button").all()]
    assert all(box and box["x"] >= 0 and box["x"] + box["width"] <= 375 for box in boxes)
    for place in (f"databases/{source}", "databases", "changes", "changes/audit", "trash"):
        await page.goto(f"/#/{place}")
        await expect(page.locator(".panel")).to_be_visible()
        assert await page.evaluate(width) == 375
