"""An answer of a megabyte leaves the page responsive, while it comes and after a reload."""

import json
from collections.abc import Iterator

from playwright.async_api import Page, Route, expect

from tests.support.page import Person
from tests.support.system import System

BLOCK = "A paragraph with *emphasis*, `code` and [a link](https://example.com/) in it, number {}.\n\n"
COUNT = 12_000
TEXT = "".join(BLOCK.format(number) for number in range(COUNT))
LAST = f"number {COUNT - 1}."
DELTA = 100
WATCH = """() => {
    window.gaps = [];
    let last = performance.now();
    const look = () => { const now = performance.now(); window.gaps.push(now - last); last = now; setTimeout(look, 0); };
    look();
}"""
LONGEST_GAP_MS = 1_500
"""A person calls a page stuck after some seconds. Two cores that run other tests too need some of them."""


def frames() -> Iterator[dict[str, object]]:
    """The frames of the answer, in small deltas."""
    yield {"type": "start", "messageId": "1"}
    yield {"type": "text-start", "id": "0"}
    for at in range(0, len(TEXT), DELTA):
        yield {"type": "text-delta", "id": "0", "delta": TEXT[at : at + DELTA]}
    yield {"type": "text-end", "id": "0"}
    yield {"type": "finish", "finishReason": "stop"}


async def shown_without_a_stop(page: Page) -> None:
    """Wait until the whole answer is there. The page must have answered its reader all the while."""
    await page.evaluate(WATCH)
    await expect(page.locator(".markdown p").last).to_contain_text(LAST, timeout=60_000)
    assert max(await page.evaluate("window.gaps")) < LONGEST_GAP_MS
    assert await page.locator(".markdown p").count() == COUNT


async def test_a_megabyte_that_is_streamed_leaves_the_page_responsive(person: Person) -> None:
    assert len(TEXT) > 1_000_000

    async def stream(route: Route) -> None:
        events = (f"id: 1:1-{number}\ndata: {json.dumps(frame)}\n\n" for number, frame in enumerate(frames(), 1))
        body = "".join(events) + "data: [DONE]\n\n"
        await route.fulfill(status=200, content_type="text/event-stream", body=body)

    await person.page.route("**/api/generations/*/stream", stream)
    await person.say("Much [[tokens=3]]")
    await shown_without_a_stop(person.page)


async def test_a_megabyte_that_was_saved_leaves_the_page_responsive(person: Person, system: System) -> None:
    await person.ask("Much [[tokens=3]]")
    chat = int(person.page.url.rpartition("/")[2])
    system.ask("UPDATE messages SET content = %s, parts = NULL WHERE chat_id = %s AND role = 'assistant'", TEXT, chat)
    await person.page.reload()
    await shown_without_a_stop(person.page)
