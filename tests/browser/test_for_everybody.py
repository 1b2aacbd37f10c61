"""With a keyboard, with a screen reader, on a phone, in the dark."""

from importlib import resources
from typing import Any, Literal

import pytest
from playwright.async_api import Page, expect

from tests.doubles import groq_control
from tests.support.page import Person, hold_requests

AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text()
RULES: dict[str, object] = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
STILL = """Promise.allSettled(document.getAnimations()
    .filter((one) => one.effect.getComputedTiming().iterations !== Infinity && one.effect.target.checkVisibility())
    .map((one) => one.finished))"""
"""Waits for what fades. In a `details` that is closed, nothing ever finishes."""
RICH = """\
# Head

Text with `code`, [a link](https://example.com/) and [1].

- [x] done

| a | b |
|---|---|
| 1 | 2 |

```python
print('x')  # y
```

> quote"""


async def faults(page: Page, rules: dict[str, object] = RULES) -> list[str]:
    """What axe finds wrong by these rules."""
    await page.evaluate(AXE)
    # Nothing is measured while it fades.
    await page.evaluate(STILL)
    found: dict[str, Any] = await page.evaluate("(rules) => axe.run(document, rules)", rules)
    return [
        f"{fault['id']} ({fault['impact']}): {node['html'][:200]} {node['any'][:1]}"
        for fault in found["violations"]
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_no_fault(stranger: Person, groq_url: str, scheme: Literal["light", "dark"]) -> None:
    page, person = stranger.page, stranger
    await page.emulate_media(color_scheme=scheme)
    await expect(person.button("Sign in")).to_be_visible()
    assert await faults(page) == []
    await person.sign_up()
    assert await faults(page) == []
    await groq_control.script(
        groq_url, "reasoning=3 tool=web_search", arguments={"query": "tides"}, marker=f"axe-{scheme}", purpose="answer"
    )
    await groq_control.script(groq_url, reply=RICH, marker=f"axe-{scheme}", anywhere=True, purpose="answer")
    await person.ask(f"axe-{scheme} [[search: tokens=1]]")
    await person.ask("[[fault=401]]")
    for summary in await page.locator("details summary").all():
        await summary.click()
    assert await faults(page) == []
    await person.chats.first.hover()
    await person.chats.first.get_by_role("button", name="Rename").click()
    assert await faults(page) == []
    await page.keyboard.press("Escape")
    await page.goto("/#/memory")
    await page.get_by_label("Something to remember").fill("I am a sailor.")
    await person.button("Add").click()
    await expect(page.get_by_text("you wrote it")).to_be_visible()
    assert await faults(page) == []
    await page.goto("/#/usage")
    await expect(page.get_by_role("row").nth(1)).to_be_visible()
    assert await faults(page) == []


async def test_everything_is_reached_with_the_keyboard(person: Person) -> None:
    page = person.page
    answer = await person.ask("Hello [[tokens=3]]")
    await expect(person.button("Answer again", within=answer)).to_be_visible()
    names: list[str] = []
    while "Skip to the message box" not in names:
        assert len(names) < 60
        await page.keyboard.press("Shift+Tab")
        names.append(await page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.textContent"))
    for name in (
        "Answer again",
        "Copy message",
        "Edit message",
        "Memory of this chat",
        "Sign out",
        "Usage",
        "Memory",
        "New chat",
    ):
        assert name in names
    assert [name for name in names if name.startswith("Delete “")]
    await page.keyboard.press("Enter")
    await expect(person.composer).to_be_focused()


async def test_the_focus_stays_at_an_answer_that_is_known_better_a_moment_later(person: Person) -> None:
    async with person.page.expect_request("**/messages?after=*"):  # the versions of the answer that has ended
        held = await hold_requests(person.page, "**/messages?after=*")
        answer = await person.ask("Hello [[tokens=3]]")
    again = person.button("Answer again", within=answer)
    await again.focus()
    async with person.page.expect_response("**/messages?after=*"):
        held.set()
    await person.page.evaluate("new Promise(requestAnimationFrame)")
    await expect(again).to_be_focused()


async def test_a_finished_answer_is_told_to_a_screen_reader_once_it_is_whole(person: Person, groq_url: str) -> None:
    announcer = person.page.locator("#announcer")
    await person.say("Aloud [[tokens=6 after=3 hold=page-aloud]]")
    await expect(person.answers.first.locator(".markdown")).to_have_text("t1 t2 t3")
    await expect(announcer).to_have_text("")
    await groq_control.release(groq_url, "page-aloud")
    await expect(announcer).to_have_text("The assistant said: t1 t2 t3 t4 t5 t6")
    assert await announcer.get_attribute("aria-live") == "polite"


async def test_on_a_phone_the_list_is_a_drawer(person: Person) -> None:
    page = person.page
    await page.set_viewport_size({"width": 375, "height": 740})
    await person.ask("Hello [[tokens=3]]")
    await expect(person.button("New chat")).to_be_hidden()
    await person.button("Open the list of chats").click()
    await expect(person.button("New chat")).to_be_in_viewport()
    await page.keyboard.press("Escape")
    await expect(person.button("New chat")).to_be_hidden()
    await expect(person.button("Open the list of chats")).to_be_focused()
    await person.button("Open the list of chats").click()
    await person.button("New chat").click()
    await expect(page.get_by_role("heading", name="What is on your mind?")).to_be_visible()
    await expect(person.button("New chat")).to_be_hidden()
    assert await page.evaluate("document.documentElement.scrollWidth") == 375
    assert await faults(page) == []


async def test_the_colours_follow_the_system_until_the_reader_chooses(person: Person) -> None:
    page = person.page
    ground = "getComputedStyle(document.body).backgroundColor"
    await page.emulate_media(color_scheme="light")
    light = await page.evaluate(ground)
    await page.emulate_media(color_scheme="dark")
    dark = await page.evaluate(ground)
    assert light != dark
    await person.button("Colours: system. Change to light").click()
    assert await page.evaluate(ground) == light
    await page.reload()
    await expect(person.composer).to_be_visible()
    assert await page.evaluate(ground) == light
    await person.button("Colours: light. Change to dark").click()
    await page.emulate_media(color_scheme="light")
    assert await page.evaluate(ground) == dark
