"""What is remembered, and what was used, on pages of their own."""

from collections.abc import Awaitable

from playwright.async_api import Page, expect

from tests.support.page import Person, hold_next, pass_event


async def test_what_chats_share_is_switched_on_added_corrected_pinned_and_forgotten(person: Person) -> None:
    page = person.page
    await page.get_by_role("link", name="Memory", exact=True).click()
    sharing = page.get_by_role("switch", name="Share between my chats")
    await expect(sharing).not_to_be_checked()
    await sharing.check()
    await page.get_by_label("Something to remember").fill("I am a sailor.")
    await page.get_by_label("Kind").select_option("identity")
    await person.button("Add").click()
    fact = page.get_by_role("listitem").filter(has_text="I am a sailor.")
    await expect(fact).to_contain_text("you wrote it")
    await fact.get_by_role("button", name="Correct").click()
    await page.get_by_role("dialog").get_by_label("What holds").fill("I am a diver.")
    await page.get_by_role("dialog").get_by_role("button", name="Save").click()
    fact = page.get_by_role("listitem").filter(has_text="I am a diver.")
    await fact.get_by_role("button", name="Unpin").or_(fact.get_by_role("button", name="Pin")).click()
    await page.reload()
    await expect(page.get_by_role("switch", name="Share between my chats")).to_be_checked()
    await fact.get_by_role("button", name="Forget").click()
    await page.get_by_role("dialog").get_by_role("button", name="Forget").click()
    await expect(fact).to_have_count(0)
    await expect(page.get_by_text("Nothing yet.")).to_be_visible()


async def test_the_focus_stays_while_what_is_remembered_is_shown_anew(person: Person) -> None:
    page = person.page
    await page.get_by_role("link", name="Memory", exact=True).click()
    sharing = page.get_by_role("switch", name="Share between my chats")
    await _change(page, sharing.press("Space"))
    await expect(sharing).to_be_checked()
    await expect(sharing).to_be_focused()
    for text in ("I am a sailor.", "I am a diver."):
        await page.get_by_label("Something to remember").fill(text)
        await _change(page, person.button("Add").press("Enter"))
        await expect(page.get_by_role("listitem").filter(has_text=text)).to_be_visible()
        await expect(person.button("Add")).to_be_focused()
    fact = page.get_by_role("listitem").filter(has_text="I am a sailor.")
    await _change(page, person.button("Pin “I am a sailor.”").press("Enter"))
    await expect(person.button("Unpin “I am a sailor.”")).to_be_focused()
    await fact.get_by_role("button", name="Forget").press("Enter")
    await _change(page, page.get_by_role("dialog").get_by_role("button", name="Forget").press("Enter"))
    await expect(fact).to_have_count(0)
    await expect(page.get_by_role("heading", name="What is remembered")).to_be_focused()


async def test_of_two_answers_about_the_memory_the_newer_one_stays(person: Person) -> None:
    page = person.page
    await page.get_by_role("link", name="Memory", exact=True).click()
    await expect(page.get_by_text("Nothing yet.")).to_be_visible()
    held = await hold_next(page, "**/api/memory")
    await pass_event(page, {"type": "memory.changed"})
    await held.is_there.wait()
    await page.get_by_label("Something to remember").fill("I am a sailor.")
    await person.button("Add").click()
    async with page.expect_response(lambda response: response.request.method == "PATCH"):
        held.go_on.set()
    await expect(page.get_by_text("you wrote it")).to_be_visible()
    await page.evaluate("new Promise(requestAnimationFrame)")
    await expect(page.get_by_text("you wrote it")).to_be_visible()


async def _change(page: Page, action: Awaitable[None]) -> None:
    """Do what changes the memory, and wait until the page has the answer."""
    async with page.expect_response(lambda response: response.request.method == "PATCH"):
        await action


async def test_the_memory_of_a_chat_is_seen_and_corrected(person: Person) -> None:
    page = person.page
    for number in range(5):
        await person.ask(f"I live in town {number} [[tokens=3]]")
    await person.button("Memory of this chat").click()
    segment = page.get_by_label("Messages 1 to", exact=False).first
    await expect(segment).to_be_visible(timeout=20_000)  # the summarizer takes a moment
    await segment.fill("They live in many towns.")
    save = page.locator(".segment").first.get_by_role("button", name="Save")
    while True:  # the summarizer may be quicker; what was written stays in the field
        async with page.expect_response(lambda response: response.request.method == "PATCH") as saved:
            await save.click()
        if (await saved.value).status != 409:
            break
    await expect(page.get_by_label("Messages 1 to", exact=False).first).to_have_value("They live in many towns.")
    await page.reload()
    await expect(page.get_by_label("Messages 1 to", exact=False).first).to_have_value("They live in many towns.")
    await page.get_by_role("link", name="Back to the chat").click()
    await expect(person.questions).to_have_count(5)


async def test_the_tokens_that_were_used_are_told(person: Person) -> None:
    await person.ask("Hello [[tokens=7]]")
    await person.page.get_by_role("link", name="Usage").click()
    row = person.page.get_by_role("row").filter(has_text="Answers")
    await expect(row.get_by_role("cell").nth(4)).to_have_text("7")
    await expect(person.page.get_by_role("img", name="Tokens a day")).to_be_visible()
