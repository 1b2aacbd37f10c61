"""The tabs of one person show the same, as it happens, over the few connections that a browser has."""

import pytest
from playwright.async_api import BrowserContext, expect

from tests.doubles import groq_control
from tests.support.clients import numbered
from tests.support.page import Person

BECOME = """(state) => {
    Object.defineProperty(document, "visibilityState", {value: state, configurable: true});
    document.dispatchEvent(new Event("visibilitychange"));
}"""
"""Headless Chromium shows all of its tabs at once, so that a page has to be told that it is in the background."""

WITHOUT_LOCKS = """
Object.defineProperty(Navigator.prototype, "locks", {value: undefined});
window.posted = [];
const post = BroadcastChannel.prototype.postMessage;
BroadcastChannel.prototype.postMessage = function (message) {
    window.posted.push(this.name);
    post.call(this, message);
};
"""
"""What a page has over plain HTTP: no Web Locks. `posted` has the names of the channels to which the page has posted."""


@pytest.fixture
async def other(person: Person, context: BrowserContext) -> Person:
    """A second tab of the same person."""
    return await open_tab(context, person)


async def open_tab(context: BrowserContext, person: Person) -> Person:
    """One more tab of this person."""
    tab = Person(await context.new_page(), person.origin)
    await tab.page.goto(f"{person.origin}/")
    await expect(tab.composer).to_be_focused()
    return tab


async def test_a_chat_appears_gets_its_title_and_goes_in_the_other_tab(person: Person, other: Person) -> None:
    await person.say("About the tides [[tokens=3]] [[title: tokens=2]]")
    await expect(other.chats.get_by_role("link")).to_have_text("t1 t2", timeout=15_000)
    await expect(person.chats.get_by_role("link")).to_have_text("t1 t2")
    await person.chats.first.hover()
    await person.chats.first.get_by_role("button", name="Rename").click()
    await person.page.get_by_role("dialog").get_by_label("Title").fill("Mine")
    await person.page.keyboard.press("Enter")
    await expect(other.chats.get_by_role("link")).to_have_text("Mine")
    await other.chats.first.hover()
    await other.chats.first.get_by_role("button", name="Delete").click()
    await other.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(person.chats).to_have_count(0)
    await expect(person.page.get_by_role("heading", name="What is on your mind?")).to_be_visible()


async def test_an_answer_is_written_and_stopped_in_both_tabs(person: Person, other: Person, groq_url: str) -> None:
    await person.ask("Hello [[tokens=3]]")
    await other.chats.first.get_by_role("link").click()
    await expect(other.answers).to_have_count(1)
    await person.say("Both [[tokens=40 after=10 hold=page-tabs]]")
    for tab in (person, other):
        await expect(tab.answers.nth(1).locator(".markdown")).to_have_text("t1 t2 t3 t4 t5 t6 t7 t8 t9 t10")
        await expect(tab.questions.nth(1)).to_contain_text("Both")
    await person.say("Behind it [[tokens=3]]")
    for tab in (person, other):
        await expect(tab.answers.nth(2).get_by_text("Waiting for the answer before")).to_be_visible()
    await other.button("Stop").click()
    for tab in (person, other):
        for answer in (1, 2):
            await expect(tab.answers.nth(answer).get_by_text("Stopped.")).to_be_visible()
        await expect(tab.answers).to_have_count(3)
    await groq_control.release(groq_url, "page-tabs")


async def test_a_version_that_is_chosen_in_one_tab_is_shown_in_the_other(person: Person, other: Person) -> None:
    answer = await person.ask("Hello [[tokens=3]]")
    await other.chats.first.get_by_role("link").click()
    await person.button("Answer again", within=answer).click()
    await expect(other.answers.first.get_by_label("Version 2 of 2")).to_be_visible()
    await other.button("Version before", within=other.answers.first).click()
    await expect(person.answers.first.get_by_label("Version 1 of 2")).to_be_visible()


async def test_more_tabs_than_connections_share_one_feed(
    person: Person, other: Person, context: BrowserContext
) -> None:
    tabs = [other, *[await open_tab(context, person) for _ in range(5)]]
    await person.page.close()  # it was the first, so it read the feed for all
    await tabs[-1].say("Seven tabs [[tokens=3]] [[title: tokens=2]]")
    for tab in tabs:
        await expect(tab.chats.get_by_role("link")).to_have_text("t1 t2", timeout=15_000)


async def test_without_locks_each_tab_reads_the_feed_for_itself_and_tells_nobody(
    context: BrowserContext, api_url: str
) -> None:
    await context.add_init_script(WITHOUT_LOCKS)
    first = Person(await context.new_page(), api_url)
    await first.arrive()
    second = await open_tab(context, first)
    await first.ask("Two tabs [[tokens=3]]")
    await expect(second.chats).to_have_count(1)
    for tab in (first, second):
        assert await tab.page.evaluate("window.posted") == []


async def test_a_hidden_page_has_no_connections_and_goes_on_when_it_is_shown(person: Person, groq_url: str) -> None:
    page, text = person.page, person.answers.first.locator(".markdown")
    await person.say("Hidden [[tokens=40 after=20 hold=page-hidden]]")
    await expect(text).to_have_text(numbered(20).strip())
    async with (
        page.expect_event("requestfailed", lambda request: request.url.endswith("/api/events")),
        page.expect_event("requestfailed", lambda request: request.url.endswith("/stream")),
    ):
        await page.evaluate(BECOME, "hidden")
    await groq_control.release(groq_url, "page-hidden")
    await page.evaluate(BECOME, "visible")
    await expect(text).to_have_text(numbered(40).strip())
