"""/docs in a real browser: nothing leaves the origin, and the policy lets Swagger UI work."""

from playwright.async_api import Page, expect

from tests.support.chromium import Complaints


async def test_the_documentation_works_without_the_internet(page: Page, complaints: Complaints) -> None:
    await page.goto("/docs")
    await expect(page.get_by_text("/api/chats/{chat_id}/messages").first).to_be_visible()
    await page.get_by_role("button", name="GET /livez").first.click()
    await page.get_by_role("button", name="Try it out").first.click()
    await page.get_by_role("button", name="Execute").first.click()
    await expect(page.locator(".live-responses-table")).to_contain_text('"status": "ok"')
    assert complaints.foreign == []
    assert complaints.violations == []


async def test_a_policy_that_is_broken_is_noticed(page: Page, complaints: Complaints) -> None:
    await page.goto("/docs")
    await page.evaluate("""() => new Promise((resolve) => {
        document.addEventListener("securitypolicyviolation", () => resolve());
        document.body.append(Object.assign(new Image(), {src: "http://127.0.0.2:9/x.png"}));
    })""")
    (violation,) = complaints.violations
    assert violation.startswith("img-src http://127.0.0.2:9/x.png")
    complaints.violations.clear()
    complaints.errors.clear()
    complaints.foreign.clear()
