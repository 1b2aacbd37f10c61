"""The list of chats: live titles, renaming, deleting, temporary chats."""

from playwright.async_api import expect

from tests.support.databases_on_page import call
from tests.support.page import Person, hold_next

TELL = """([account, event]) => {
    const channel = new BroadcastChannel(`cortexai-feed-${account}`);
    channel.postMessage({event, id: null});
    channel.close();
}"""
"""Tells a page an event of the feed, as the tab does that reads the feed for all."""
OPEN_AND_SAY = """(opener, text) => {
    opener.click();
    const input = document.querySelector("#composer-input");
    input.value = text;
    input.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter", bubbles: true}));
}"""
"""Opens a place by a link or a button, and says something at once: sooner than the browser tells of the new hash."""


async def test_a_chat_is_renamed_and_deleted(person: Person) -> None:
    await person.ask("Hello [[tokens=3]]")
    chat = person.chats.first
    await chat.hover()
    await chat.get_by_role("button", name="Rename").click()
    title = person.page.get_by_role("dialog").get_by_label("Title")
    await expect(title).to_be_focused()
    await title.fill("About <b>tides</b>")
    await title.press("Enter")
    await expect(chat.get_by_role("link")).to_have_text("About <b>tides</b>")
    await expect(person.page.get_by_role("main").get_by_role("heading", level=1)).to_have_text("About <b>tides</b>")
    await person.page.reload()
    await expect(chat.get_by_role("link")).to_have_text("About <b>tides</b>")
    await chat.hover()
    await chat.get_by_role("button", name="Delete").click()
    await person.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(person.chats).to_have_count(0)
    await expect(person.page.get_by_role("heading", name="What is on your mind?")).to_be_visible()


async def test_a_deletion_that_was_not_meant_is_taken_back_with_escape(person: Person) -> None:
    await person.ask("Hello [[tokens=3]]")
    await person.chats.first.hover()
    await person.chats.first.get_by_role("button", name="Delete").click()
    await person.page.keyboard.press("Escape")
    await expect(person.page.get_by_role("dialog")).to_have_count(0)
    await expect(person.chats).to_have_count(1)


async def test_several_chats_are_gone_between(person: Person) -> None:
    await person.ask("One [[tokens=3]]")
    await person.button("New chat").click()
    await person.ask("Two [[tokens=4]]")
    await expect(person.chats).to_have_count(2)
    await expect(person.questions).to_have_text(["You saidTwo [[tokens=4]]"])
    await person.page.go_back()
    await expect(person.questions).to_have_text(["You saidOne [[tokens=3]]"])
    await expect(person.chats.locator("[aria-current=page]")).to_have_count(1)


async def test_what_is_typed_right_after_another_chat_was_opened_is_said_there(person: Person) -> None:
    await person.ask("One [[tokens=3]]")
    await person.button("New chat").evaluate(OPEN_AND_SAY, "Two [[tokens=4]]")
    await expect(person.chats).to_have_count(2)
    await expect(person.questions).to_have_text(["You saidTwo [[tokens=4]]"])
    await expect(person.answers.locator(".markdown")).to_have_text(["t1 t2 t3 t4"])
    await person.other_chats.evaluate(OPEN_AND_SAY, "Three [[tokens=5]]")
    await expect(person.questions).to_have_text(["You saidOne [[tokens=3]]", "You saidThree [[tokens=5]]"])
    await expect(person.answers.locator(".markdown")).to_have_text(["t1 t2 t3", "t1 t2 t3 t4 t5"])


async def test_a_click_is_not_lost_while_the_list_changes(person: Person) -> None:
    await person.ask("One [[tokens=3]]")
    await person.button("New chat").click()
    await person.ask("Two [[tokens=4]]")
    await person.other_chats.hover()
    await person.page.mouse.down()
    await call(person, "PATCH", f"/api/chats/{person.page.url.rpartition('/')[2]}", {"title": "Renamed"})
    await expect(person.chats.get_by_role("link", name="Renamed")).to_be_visible()
    await person.page.mouse.up()
    await expect(person.questions).to_have_text(["You saidOne [[tokens=3]]"])


async def test_a_place_opens_in_another_tab_where_that_is_asked_for(person: Person) -> None:
    await person.ask("One [[tokens=3]]")
    async with person.page.context.expect_page() as opened:
        await person.page.get_by_role("link", name="Usage").click(modifiers=["Control"])
    await expect((await opened.value).get_by_text("The last 30 days")).to_be_visible()
    await expect(person.questions).to_have_count(1)


async def test_a_temporary_chat_stands_apart(person: Person) -> None:
    await person.page.get_by_label("Temporary chat").check()
    await person.ask("Secret [[tokens=3]]")
    await expect(person.page.get_by_role("navigation").get_by_role("heading", name="Temporary")).to_be_visible()
    await person.page.reload()
    await expect(person.page.get_by_role("navigation").get_by_role("heading", name="Temporary")).to_be_visible()


async def test_a_chat_that_does_not_exist_leads_to_a_new_one(person: Person) -> None:
    await person.page.goto("/#/chats/987654321")
    await expect(person.page.get_by_role("heading", name="What is on your mind?")).to_be_visible()


async def test_older_chats_keep_their_titles_and_places_whatever_is_told_meanwhile(person: Person) -> None:
    page, api = person.page, person.page.context.request
    account = (await (await api.get("/api/auth/me")).json())["id"]
    made = [
        await (await api.post("/api/chats", data={"title": f"Chat {number}"}, headers={"Origin": person.origin})).json()
        for number in range(61)
    ]

    async def tell(**event: object) -> None:
        await page.evaluate(TELL, [account, event])

    title = page.get_by_role("main").get_by_role("heading", level=1)
    await page.goto(f"/#/chats/{made[9]['id']}")
    await page.reload()
    await expect(title).to_have_text("Chat 9")
    await person.button("Show older chats").click()
    await expect(person.button("Show older chats")).to_be_hidden()
    held = await hold_next(page, "**/api/chats")
    await tell(type="resync")
    await held.is_there.wait()
    await tell(type="chat.renamed", chat_id=made[60]["id"], title="Renamed")
    async with page.expect_response("**/api/chats"):
        held.go_on.set()
    await expect(person.chats.first.get_by_role("link")).to_have_text("Renamed")
    await expect(person.chats).to_have_count(61)
    await tell(type="chat.deleted", chat_id=int(str(made[9]["id"])[:-1]))  # as chat 1, for a reader of chat 12
    await tell(type="chat.renamed", chat_id=made[9]["id"], title="Still open")
    await expect(title).to_have_text("Still open")
