"""Requests that fail, come late or find something gone: what was said is kept, in its own chat, and what is missed is read."""

import asyncio
import re
from time import monotonic

import pytest
from playwright.async_api import Route, expect

from tests.doubles import groq_control
from tests.support.chromium import Complaints
from tests.support.page import Person, answer_next, refuse

BREAK_A_PART = """async () => {
    const {plan} = await import(document.querySelector("script[src$='app.js']").src.replace("app.js", "scheduler.js"));
    plan({step: () => { throw new Error("a broken part"); }});
}"""


async def test_a_message_that_cannot_be_sent_is_tried_slowly_and_comes_back_in_its_own_chat(person: Person) -> None:
    times: list[float] = []

    async def fail(route: Route) -> None:
        times.append(monotonic())
        await refuse(route, *((503, "too_busy") if len(times) < 4 else (429, "quota_exceeded")))

    await person.ask("Hello [[tokens=3]]")
    await person.page.route("**/api/chats/*/messages", fail)
    await person.say("Unsent")
    await expect(person.questions).to_have_count(2)
    await person.composer.fill("Behind it")
    await person.button("New chat").click()
    await person.composer.fill("Another")
    await expect(person.page.get_by_text("Your tokens for today are used up.")).to_be_visible(timeout=15_000)
    assert times[-1] - times[0] > 1
    await expect(person.composer).to_have_value("Another")
    await person.page.go_back()
    await expect(person.composer).to_have_value("Unsent\n\nBehind it")
    await expect(person.questions).to_have_count(1)


async def test_messages_to_a_chat_that_is_being_made_are_one_chat_and_take_nobody_away(
    person: Person, groq_url: str
) -> None:
    made = asyncio.Event()

    async def wait(route: Route) -> None:
        if route.request.method == "POST":
            await made.wait()
        await route.continue_()

    await person.page.route("**/api/chats", wait)
    await person.say("One [[tokens=3]]")
    await person.say("Two [[tokens=4]]")
    first = ["You saidOne [[tokens=3]]", "You saidTwo [[tokens=4]]"]
    await expect(person.questions).to_have_text(first)
    made.set()
    await expect(person.answers.locator(".markdown")).to_have_text(["t1 t2 t3", "t1 t2 t3 t4"])
    await expect(person.chats).to_have_count(1)
    made.clear()
    await person.button("New chat").click()
    await person.say("Three [[tokens=5 after=2 hold=page-made]]")
    await person.button("Stop").click()
    await person.chats.first.get_by_role("link").click()
    await expect(person.questions).to_have_text(first)
    made.set()
    await expect(person.chats).to_have_count(2)
    await expect(person.other_chats).to_have_count(1)
    await expect(person.questions).to_have_text(first)
    await person.other_chats.click()
    await expect(person.answers.get_by_text("Stopped.")).to_be_visible()
    await groq_control.release(groq_url, "page-made")


async def test_what_could_not_be_read_is_read_again(person: Person) -> None:
    async def fail(route: Route) -> None:
        await refuse(route, 503, "too_busy")

    page = person.page
    await person.ask("One [[tokens=3]]")
    chat = page.url.rpartition("/")[2]
    await answer_next(page, f"**/api/chats/{chat}", fail)
    await answer_next(page, "**/api/chats", fail)
    # The page reads once more what may have happened until its feed was there.
    async with page.expect_response(re.compile(r"/messages\?after=0")):
        await page.reload()
    await expect(person.questions).to_have_count(1)
    await expect(person.chats).to_have_count(1)
    asked: list[str] = []

    async def fail_to_read(route: Route) -> None:
        asked.append(route.request.url)
        await fail(route)

    await answer_next(page, re.compile(r"/messages\?after="), fail_to_read)
    elsewhere = await page.context.request.post(
        f"/api/chats/{chat}/messages",
        data={"content": "Two [[tokens=4]]"},
        headers={"Origin": person.origin, "Prefer": "respond-async"},
    )
    assert elsewhere.ok
    await expect(person.answers.nth(1).locator(".markdown")).to_have_text("t1 t2 t3 t4")
    assert [url.rpartition("?")[2] for url in asked] == ["after=2&limit=100"]  # only what is new
    await expect(person.questions).to_have_count(2)


@pytest.mark.parametrize(
    ("place", "path", "shown"),
    [
        ("memory", "**/api/memory", "Nothing yet."),
        ("usage", "**/api/usage?*", "The last 30 days"),
        ("trash", "**/api/trash?*", "The trash is empty."),
        ("databases", "**/api/data-sources", "Try a sandbox"),
        ("changes", "**/api/operations?status=proposed*", "Nothing waits."),
        ("changes/audit", "**/api/audit?*", "Nothing was done yet."),
    ],
)
async def test_a_panel_that_could_not_be_read_is_read_again(person: Person, place: str, path: str, shown: str) -> None:
    asked: list[str] = []

    async def fail(route: Route) -> None:
        asked.append(route.request.url)
        await refuse(route, 503, "too_busy")

    await answer_next(person.page, path, fail)
    await person.page.goto(f"/#/{place}")
    await expect(person.page.get_by_text(shown)).to_be_visible()
    assert len(asked) == 1


async def test_a_first_message_is_tried_again_while_its_chat_cannot_be_made(person: Person) -> None:
    makes = 0

    async def fail_once(route: Route) -> None:
        nonlocal makes
        makes += route.request.method == "POST"
        if route.request.method == "POST" and makes == 1:
            await refuse(route, 503, "too_busy")
        else:
            await route.continue_()

    await person.page.route("**/api/chats", fail_once)
    answer = await person.ask("First [[tokens=3]]")
    await expect(answer.locator(".markdown")).to_have_text("t1 t2 t3")
    await expect(person.chats).to_have_count(1)
    assert makes == 2


async def test_a_part_that_cannot_be_rendered_does_not_stop_the_others(person: Person, complaints: Complaints) -> None:
    await person.page.evaluate(BREAK_A_PART)
    answer = await person.ask("Hello [[tokens=3]]")
    await expect(answer.locator(".markdown")).to_have_text("t1 t2 t3")
    (told,) = complaints.errors
    assert "a broken part" in told
    complaints.errors.clear()


async def test_a_generation_that_is_gone_does_not_take_its_chat_away(person: Person) -> None:
    async def fail(route: Route) -> None:
        await refuse(route, 404, "generation_not_found")

    await answer_next(person.page, "**/api/generations/*/stream", fail)
    answer = await person.ask("Gone [[tokens=3]]")
    await expect(answer.locator(".markdown")).to_have_text("t1 t2 t3")
