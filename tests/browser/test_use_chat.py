"""useChat in a page of our own origin, with nothing set: the oldest and the newest supported release of each major version."""

from pathlib import Path
from uuid import uuid4

import pytest
from playwright.async_api import BrowserContext, Locator, Page, Route, expect

from tests.doubles import groq_control
from tests.support.ai_sdk_packages import VERSIONS, bundle, installed
from tests.support.clients import PASSWORD, numbered

HTML = """<!doctype html><meta charset="utf-8"><title>A chat</title>
<div id="page"></div><script type="module" src="page.js"></script>"""

RESUMED = "**/api/chat/*/stream"
SIGN_IN = """async (account) => {
    const post = (path, body) =>
        fetch(path, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)});
    await post("/api/auth/signup", account);
    await post("/api/auth/login", {...account, cookie: true});
}"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory, chromium_path: str) -> Path:
    """The SDK's packages."""
    return installed(tmp_path_factory)


@pytest.fixture(scope="module", params=VERSIONS)
def script(request: pytest.FixtureRequest, packages: Path) -> str:
    """The page's script, with one version of the SDK."""
    return bundle(packages, request.param)


@pytest.fixture
async def tabs(context: BrowserContext, script: str) -> BrowserContext:
    """A browser in which a user is signed in, by a cookie. The page is at /sdk/ of the API's origin."""

    async def page(route: Route) -> None:
        if route.request.url.endswith("page.js"):
            await route.fulfill(body=script, content_type="text/javascript")
        elif route.request.url.endswith("blank"):
            await route.fulfill(body="<!doctype html>", content_type="text/html")
        else:
            await route.fulfill(body=HTML, content_type="text/html")

    await context.route("**/sdk/**", page)
    first = await context.new_page()
    await first.goto("/sdk/blank")
    await first.evaluate(SIGN_IN, {"email": f"{uuid4().hex}@example.com", "password": PASSWORD})
    return context


async def open_tab(tabs: BrowserContext, chat: str) -> Page:
    """A tab with the page, that knows whether an answer is being written."""
    page = await tabs.new_page()
    async with page.expect_response(RESUMED):
        await page.goto(f"/sdk/?chat={chat}")
    return page


async def reload(page: Page) -> None:
    """Load the page anew, until it knows whether an answer is being written.

    An answer to what is sent before that comes twice: useChat shows what it resumes beside what it has sent.
    """
    async with page.expect_response(RESUMED):
        await page.reload()


async def say(page: Page, text: str) -> None:
    """Send a message."""
    await page.get_by_label("Message").fill(text)
    await page.get_by_role("button", name="Send").click()


def messages(page: Page) -> Locator:
    """The messages' texts."""
    return page.locator("article p")


async def shows(page: Page, *texts: str, status: str = "ready") -> None:
    """Wait until the page shows just these messages."""
    await expect(messages(page)).to_have_text([text.rstrip() for text in texts])
    await expect(page.get_by_label("Status")).to_have_text(status)


def held() -> tuple[str, str]:
    """A message whose answer stands still after five tokens, and the gate that lets it go on."""
    gate = uuid4().hex
    return f"[[tokens=20 after=5 hold={gate}]]", gate


async def test_a_new_chat_is_titled_and_goes_on_over_reloads_and_in_two_tabs(
    tabs: BrowserContext, groq_url: str
) -> None:
    chat = uuid4().hex[:16]
    page = await open_tab(tabs, chat)
    text, gate = held()
    await say(page, text)
    await shows(page, text, numbered(5), status="streaming")
    await expect(page.get_by_role("heading")).not_to_have_text("New chat")
    await reload(page)
    await shows(page, text, numbered(5), status="streaming")
    second = await open_tab(tabs, chat)
    await shows(second, text, numbered(5), status="streaming")
    await groq_control.release(groq_url, gate)
    for tab in (page, second):
        await shows(tab, text, numbered(20))
    await reload(page)
    await shows(page, text, numbered(20))
    await say(page, "More [[tokens=2]]")
    await shows(page, text, numbered(20), "More [[tokens=2]]", numbered(2))


async def test_answers_are_stopped_made_anew_and_messages_edited(tabs: BrowserContext) -> None:
    page = await open_tab(tabs, uuid4().hex[:16])
    text, _ = held()
    await say(page, text)
    await shows(page, text, numbered(5), status="streaming")
    await page.get_by_role("button", name="Stop").click()
    await shows(page, text, numbered(5))
    await reload(page)
    await shows(page, text, numbered(5))
    await expect(page.locator("article[data-role=assistant]")).to_have_attribute("data-status", "cancelled")
    await page.get_by_role("button", name="Edit").click()
    await say(page, "One [[tokens=3]]")
    await shows(page, "One [[tokens=3]]", numbered(3))
    async with page.expect_response("**/api/chat"):  # the answer before looks the same
        await page.get_by_role("button", name="Regenerate").click()
    await shows(page, "One [[tokens=3]]", numbered(3))
    text, _ = held()
    await say(page, text)
    await shows(page, "One [[tokens=3]]", numbered(3), text, numbered(5), status="streaming")
    await page.get_by_role("button", name="Disconnect").click()
    await say(page, "Two [[tokens=2]]")
    told = ("One [[tokens=3]]", numbered(3), text, numbered(5), "Two [[tokens=2]]", numbered(2))
    await shows(page, *told)
    await reload(page)
    await shows(page, *told)


async def test_failures_are_told_in_words_and_known_after_a_reload(tabs: BrowserContext) -> None:
    page = await open_tab(tabs, uuid4().hex[:16])
    await say(page, "x" * 40_000)
    await expect(page.get_by_role("alert")).to_have_text("Content must have at most 32000 characters.")
    await reload(page)
    await say(page, "One [[fault=400]]")
    await expect(page.get_by_label("Status")).to_have_text("error")
    await expect(page.get_by_role("alert")).not_to_be_empty()
    await expect(page.locator("article em")).to_have_attribute("title", "model_rejected")
    await reload(page)
    await expect(page.locator("article em")).to_have_attribute("title", "model_rejected")
    await expect(page.get_by_label("Status")).to_have_text("ready")
    await tabs.clear_cookies()
    await say(page, "Two")
    await expect(page.get_by_role("alert")).to_have_text("Authentication is required.")
