"""What a person decides by: nothing in a value hides, and all places where two values differ are shown or named."""

import pytest
from playwright.async_api import expect

from tests.support.databases_on_page import call, card, make_sandbox
from tests.support.page import Person, call_module

HIDDEN = [0x0, 0x7F, 0xAD, 0x34F, 0x115F, 0x180B, 0x200B, 0x200D, 0x2028, 0x2029, 0x202E, 0x2066, 0x2800, 0x3164]
HIDDEN += [0xFE0F, 0xFEFF, 0xFFF9, 0xFFFB, 0x1D159, 0xE0041, 0xE0101]
SEEN = "tab\t line\n windows\r\n ünï 漢字 ﷼ 😀 \u0661 \u0600"

SHOW_TOOL = """async (part) => {
    const app = document.querySelector("script[src$='app.js']").src;
    const {toolView} = await import(app.replace("app.js", "views/tool_view.js"));
    const view = toolView(new AbortController().signal);
    view.update(part, {status: "pending", parts: [part]});
    return view.element.textContent;
}"""


async def test_characters_that_nobody_sees_are_shown_by_their_numbers(stranger: Person) -> None:
    text = "".join(f"a{chr(number)}" for number in HIDDEN)
    shown = "".join(f"a⟨U+{number:04X}⟩" for number in HIDDEN)
    assert await call_module(stranger.page, "visible.js", "visible", text) == shown
    assert await call_module(stranger.page, "visible.js", "visible", "a\rb") == "a⟨U+000D⟩b"
    assert await call_module(stranger.page, "visible.js", "visible", SEEN) == SEEN


@pytest.mark.parametrize(
    ("old", "new", "stretches"),
    [
        ("same and old", "same and newer", [{"from": 9, "to": 12}, {"from": 9, "to": 14}]),
        ("aaa", "aaaa", [{"from": 3, "to": 3}, {"from": 3, "to": 4}]),
        ({"a": 1}, {"a": 2}, [{"from": 5, "to": 6}, {"from": 5, "to": 6}]),
        (None, "text", [None, None]),
    ],
)
async def test_the_stretch_in_which_two_values_differ_is_found(
    stranger: Person, old: object, new: object, stretches: list[dict[str, int]]
) -> None:
    assert await call_module(stranger.page, "views/value.js", "differingStretches", old, new) == stretches


async def test_a_second_difference_of_a_long_value_is_shown_too(person: Person) -> None:
    page, source = person.page, await make_sandbox(person)
    path = f"/api/data-sources/{source}/operations"
    filling = "x" * 1000
    long = "UPDATE products SET name = 'begin … end' WHERE id = 1".replace("…", filling)
    made = await call(person, "POST", path, {"sql": long})
    await call(person, "POST", f"/api/operations/{made['id']}/approve", {"digest": made["digest"]})
    filling = f"{filling[:400]}Y{filling[401:]}"
    again = "UPDATE products SET name = 'BEGIN … END' WHERE id = 1".replace("…", filling)
    await call(person, "POST", path, {"sql": again})
    await page.goto("/#/changes")
    value = card(page, "Waits for your decision").locator("ins")
    await expect(value).to_contain_text("BEGIN xxx")
    await expect(value).to_contain_text("xxx END")
    await expect(value).to_contain_text("710 characters between, which may differ too")
    await person.button("Show all 1,010 characters", within=value).click()
    await expect(value).to_contain_text("xYx")


async def test_nothing_hides_in_what_a_tool_is_given(stranger: Person) -> None:
    part = {"name": "db_propose_write", "state": "running", "input": {"sql": "DELETE FROM orders\u202e --\u3164"}}
    shown = await stranger.page.evaluate(SHOW_TOOL, part)
    assert "DELETE FROM orders⟨U+202E⟩ --⟨U+3164⟩" in shown
