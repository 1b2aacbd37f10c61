"""Asking on the page, and everything that may happen to an answer."""

import json
from collections.abc import Mapping

from playwright.async_api import Page, Route, expect

from tests.conftest import NewSystem
from tests.doubles import groq_control
from tests.support.chromium import Complaints
from tests.support.clients import numbered
from tests.support.page import Person, answer_next, hold_next
from tests.support.system import System

PROSE = "Some *words*, with `code`.\n\n* one\n* two\n\n```python\nprint(1)\n```\n\nThe end."


def tokens(count: int) -> str:
    """What the double says, as a page shows it."""
    return numbered(count).strip()


async def test_a_message_is_sent_with_enter_and_its_answer_is_shown(person: Person) -> None:
    answer = await person.ask("Hello [[tokens=30 rate=200]]")
    await expect(answer.locator(".markdown")).to_have_text(tokens(30))
    await expect(person.questions).to_have_text(["You saidHello [[tokens=30 rate=200]]"])
    await expect(person.composer).to_have_value("")
    await expect(person.composer).to_be_focused()


async def test_shift_enter_begins_a_new_line(person: Person) -> None:
    await person.composer.fill("one")
    await person.composer.press("Shift+Enter")
    await person.composer.press_sequentially("two")
    await expect(person.composer).to_have_value("one\ntwo")
    await expect(person.questions).to_have_count(0)


async def test_an_answer_is_shown_while_it_is_written_and_stops_on_escape(person: Person, groq_url: str) -> None:
    await person.say("Long [[tokens=50 after=10 hold=page-stop]]")
    answer = person.answers.first
    await expect(answer.locator(".markdown")).to_have_text(tokens(10))
    await expect(person.button("Stop")).to_be_visible()
    await person.page.keyboard.press("Escape")
    await expect(answer.get_by_text("Stopped.")).to_be_visible()
    await expect(person.button("Stop")).to_have_count(0)
    await groq_control.release(groq_url, "page-stop")
    await person.page.reload()
    await expect(person.answers.first.get_by_text("Stopped.")).to_be_visible()
    await expect(person.answers.first.locator(".markdown")).to_have_text(tokens(10))


async def test_the_button_stops_too(person: Person, groq_url: str) -> None:
    await person.say("Long [[tokens=50 after=10 hold=page-stop-2]]")
    await expect(person.answers.first.locator(".markdown")).to_have_text(tokens(10))
    await person.button("Stop").click()
    await expect(person.answers.first.get_by_text("Stopped.")).to_be_visible()
    await groq_control.release(groq_url, "page-stop-2")


async def test_a_page_that_is_loaded_again_in_the_middle_shows_the_whole_answer(person: Person, groq_url: str) -> None:
    await person.say("Reload [[tokens=40 after=20 hold=page-reload]]")
    await expect(person.answers.first.locator(".markdown")).to_have_text(tokens(20))
    await person.page.reload()
    await expect(person.answers.first.locator(".markdown")).to_have_text(tokens(20))
    await groq_control.release(groq_url, "page-reload")
    await expect(person.answers.first.locator(".markdown")).to_have_text(tokens(40))
    await expect(person.answers).to_have_count(1)


async def test_a_second_message_waits_for_the_answer_before(person: Person, groq_url: str) -> None:
    await person.say("First [[tokens=20 after=10 hold=page-second]]")
    await expect(person.answers.first.locator(".markdown")).to_have_text(tokens(10))
    await person.say("Second [[tokens=5]]")
    await expect(person.answers.nth(1).get_by_text("Waiting for the answer before")).to_be_visible()
    await groq_control.release(groq_url, "page-second")
    await expect(person.answers.nth(0).locator(".markdown")).to_have_text(tokens(20))
    await expect(person.answers.nth(1).locator(".markdown")).to_have_text(tokens(5))


async def test_an_answer_that_fails_says_why_in_words_and_with_its_code(person: Person) -> None:
    answer = await person.ask("[[fault=401]]")
    await expect(answer.get_by_role("alert")).to_contain_text("The model refused this service's key.")
    await expect(answer.get_by_role("alert")).to_contain_text("model_auth_failed")
    await expect(person.button("Answer again", within=answer)).to_be_visible()


async def test_reasoning_is_folded_away(person: Person) -> None:
    answer = await person.ask("[[tokens=5 reasoning=6]]")
    reasoning = answer.locator("details", has_text="Reasoning")
    await expect(reasoning.locator(".markdown")).to_be_hidden()
    await reasoning.locator("summary").click()
    await expect(reasoning.locator(".markdown")).to_have_text("r1 r2 r3 r4 r5 r6")


async def test_a_search_shows_its_words_its_results_and_the_sources(person: Person, groq_url: str) -> None:
    said = {"marker": "springs", "purpose": "answer"}
    await groq_control.script(
        groq_url, "tool=web_search", arguments={"query": "tides"}, marker="springs", purpose="answer"
    )
    await groq_control.script(groq_url, reply="The Moon does it [2]. Not [77].", anywhere=True, **said)  # type: ignore[arg-type]
    answer = await person.ask("What springs? [[search: tokens=1]]")
    tool = answer.locator("details", has_text="Web search")
    await expect(tool.locator("summary")).to_contain_text("tides")
    await expect(tool.locator("summary")).to_contain_text("done")
    await tool.locator("summary").click()
    await expect(tool.get_by_role("group", name="Input")).to_contain_text('"query": "tides"')
    await expect(tool.get_by_role("group", name="Result")).to_contain_text("site1.example")
    await expect(answer.get_by_role("region", name="Sources").get_by_role("listitem")).to_have_count(5)
    citation = answer.get_by_role("link", name="Source 2: Page 2")
    await expect(citation).to_have_text("2")
    assert (await citation.get_attribute("href") or "").startswith("https://site2.example/")
    assert await citation.get_attribute("rel") == "noopener noreferrer nofollow"
    await expect(answer.get_by_text("Cited without a source: [77]")).to_be_visible()


async def test_what_was_streamed_looks_the_same_when_the_page_is_loaded_again(person: Person, groq_url: str) -> None:
    await groq_control.script(groq_url, reply=PROSE, marker="prosaic", purpose="answer")
    answer = await person.ask("prosaic")
    await expect(answer.locator(".hljs-built_in")).to_have_text("print")
    live = await answer.locator(".markdown").inner_html()
    await person.page.reload()
    await expect(person.answers.first.locator(".hljs-built_in")).to_have_text("print")
    assert await person.answers.first.locator(".markdown").inner_html() == live


async def test_code_is_copied_with_a_button(person: Person, groq_url: str) -> None:
    await groq_control.script(groq_url, reply=PROSE, marker="copied", purpose="answer")
    answer = await person.ask("copied")
    await answer.get_by_role("button", name="Copy", exact=True).click()
    await expect(answer.get_by_role("button", name="Copied")).to_be_visible()
    assert await person.page.evaluate("navigator.clipboard.readText()") == "print(1)"
    await person.button("Copy message", within=answer).click()
    assert await person.page.evaluate("navigator.clipboard.readText()") == PROSE


async def test_a_page_whose_api_dies_says_so_and_goes_on_by_itself(
    page: Page, new_system: NewSystem, groq_url: str, complaints: Complaints
) -> None:
    system: System = new_system()
    await system.start_worker()
    process, url = await system.start_api()
    complaints.origin = url
    person = Person(page, url)
    await person.arrive()
    await person.say("Restart [[tokens=40 after=20 hold=page-restart]]")
    await expect(person.answers.first.locator(".markdown")).to_have_text(tokens(20))
    system.kill(process)
    banner = page.get_by_text("Connection lost. Trying again …")
    await expect(banner).to_be_visible()
    process, _ = await system.start_api(PORT=url.rpartition(":")[2])
    await expect(banner).to_be_hidden()
    await groq_control.release(groq_url, "page-restart")
    await expect(person.answers.first.locator(".markdown")).to_have_text(tokens(40))
    system.kill_all()


async def test_a_message_whose_202_gets_lost_is_sent_once(person: Person) -> None:
    lost = 0

    async def lose(route: Route) -> None:
        nonlocal lost
        lost += 1
        await route.fetch()  # the API has accepted it
        await route.abort("connectionreset")

    await answer_next(person.page, "**/api/chats/*/messages", lose)
    answer = await person.ask("Once [[tokens=5]]")
    await expect(answer.locator(".markdown")).to_have_text(tokens(5))
    await person.page.reload()
    await expect(person.answers).to_have_count(1)
    assert lost == 1


async def test_a_message_stays_though_messages_come_that_were_read_before_it(person: Person) -> None:
    page = person.page
    await person.ask("One [[tokens=3]]")
    held = await hold_next(page, "**/messages?after=0*")  # what may have happened until the feed was there
    await page.reload()
    await held.is_there.wait()
    async with page.expect_response("**/messages"):
        await person.say("Two [[tokens=4]]")
    question = await person.questions.nth(1).element_handle()
    async with page.expect_request("**/messages?after=*"):  # the next read: the one before was dealt with
        held.go_on.set()
    await expect(person.answers.nth(1).locator(".markdown")).to_have_text(tokens(4))
    assert await question.evaluate("(element) => element.isConnected")


async def test_a_message_that_is_refused_comes_back_into_the_box(person: Person) -> None:
    async def refuse(route: Route) -> None:
        problem = {"status": 429, "code": "quota_exceeded", "detail": "no more"}
        await route.fulfill(status=429, content_type="application/problem+json", body=json.dumps(problem))

    await person.page.route("**/api/chats/*/messages", refuse)
    await person.say("Too much")
    await expect(person.page.get_by_text("Your tokens for today are used up.")).to_be_visible()
    await expect(person.composer).to_have_value("Too much")
    await expect(person.answers).to_have_count(0)


def text(part: str, words: str) -> list[dict[str, object]]:
    """The frames of a part of text."""
    return [
        {"type": "text-start", "id": part},
        {"type": "text-delta", "id": part, "delta": words},
        {"type": "text-end", "id": part},
    ]


async def tell(person: Person, *frames: Mapping[str, object]) -> None:
    """Have the stream of the next answer tell these frames: what happens seldom on a real one."""
    events = "".join(f"id: 1:1-{number}\ndata: {json.dumps(frame)}\n\n" for number, frame in enumerate(frames, 1))

    async def stream(route: Route) -> None:
        await route.fulfill(status=200, content_type="text/event-stream", body=events + "data: [DONE]\n\n")

    await answer_next(person.page, "**/api/generations/*/stream", stream)


async def test_an_answer_that_broke_off_says_so_where_it_goes_on_otherwise(person: Person) -> None:
    retry = {"type": "data-retry", "data": {"attempt": 2}, "transient": True}
    await tell(
        person, *text("0", "One way"), retry, *text("1", "Another way"), {"type": "finish", "finishReason": "stop"}
    )
    answer = await person.ask("Broken [[tokens=3]]")
    await expect(answer.get_by_text("The answer broke off here. It goes on from another try.")).to_be_visible()
    await expect(answer.locator(".markdown")).to_have_text(["One way", "Another way"])


async def test_an_answer_that_is_told_anew_forgets_what_was_told(person: Person) -> None:
    reset = {"type": "data-reset", "data": {}, "transient": True}
    await tell(
        person, *text("0", "Forgotten"), reset, *text("0", "All of it"), {"type": "finish", "finishReason": "stop"}
    )
    answer = await person.ask("Anew [[tokens=3]]")
    await expect(answer.locator(".markdown")).to_have_text(["All of it"])


async def test_frames_and_keys_of_later_releases_change_nothing(person: Person) -> None:
    later = {"type": "data-later", "data": {"x": 1}, "new": True}
    error = {"type": "data-error", "id": "error", "data": {"code": "model_timeout", "message": "too slow"}}
    await tell(person, later, *text("0", "Half"), error, {"type": "error", "errorText": "too slow"})
    answer = await person.ask("Later [[tokens=3]]")
    await expect(answer.get_by_role("alert")).to_contain_text("The model took too long.")
    await expect(answer.get_by_role("alert")).to_contain_text("model_timeout")
    await expect(answer.locator(".markdown")).to_have_text(["Half"])


async def test_an_answer_that_waits_for_a_worker_tells_its_place(
    page: Page, new_system: NewSystem, complaints: Complaints
) -> None:
    system = new_system()
    _, url = await system.start_api()
    complaints.origin = url
    person = Person(page, url)
    await person.arrive()
    await person.say("Waiting [[tokens=3]]")
    await expect(person.answers.first.get_by_text("Waiting for a free worker: place 1 in the queue")).to_be_visible()
    await system.start_worker()
    await expect(person.answers.first.locator(".markdown")).to_have_text(tokens(3), timeout=20_000)
    system.kill_all()


async def test_an_escape_that_closes_a_dialog_stops_nothing(person: Person, groq_url: str) -> None:
    await person.say("Go on [[tokens=12 after=6 hold=page-dialog]]")
    await expect(person.answers.first.locator(".markdown")).to_have_text(tokens(6))
    await person.chats.first.hover()
    await person.chats.first.get_by_role("button", name="Rename").click()
    await person.page.keyboard.press("Escape")
    await groq_control.release(groq_url, "page-dialog")
    await expect(person.answers.first.locator(".markdown")).to_have_text(tokens(12))
