"""A long chat is shown from its end. Its older messages come when a reader goes up, and what is read stays in its place."""

import psycopg
from playwright.async_api import expect

from tests.support.page import Person
from tests.support.system import System

MESSAGES = 250


async def test_older_messages_come_when_one_reads_up(person: Person, system: System) -> None:
    page = person.page
    await person.ask("Hello [[tokens=1]]")
    chat = int(page.url.rpartition("/")[2])
    with psycopg.connect(system.env["DATABASE_URL"]) as connection:
        connection.execute(
            "INSERT INTO messages (chat_id, role, content, position, status)"
            " SELECT %s, 'user', 'number ' || n || '.', n + 2, 'completed' FROM generate_series(1, %s) n",
            (chat, MESSAGES),
        )
        connection.execute("UPDATE chats SET last_position = %s WHERE id = %s", (MESSAGES + 2, chat))
    await page.reload()
    await expect(person.questions.last).to_contain_text(f"number {MESSAGES}.")
    assert await person.questions.count() == 100
    scroller = page.locator(".scroller")
    await scroller.hover()
    await page.mouse.wheel(0, -100_000)
    await expect(person.questions).to_have_count(200)
    top = await scroller.evaluate(
        "(scroller, text) => [...scroller.querySelectorAll('.messages > *')].find((each) => each.textContent.includes(text))"
        ".getBoundingClientRect().top - scroller.getBoundingClientRect().top",
        f"number {MESSAGES - 99}.",
    )
    assert -200 < top < 600  # what was read is still on the screen
    await person.button("Show older messages").dispatch_event("click")  # a mouse would scroll up, which asks too
    await expect(person.questions).to_have_count(MESSAGES + 1)
    await expect(person.button("Show older messages")).to_be_hidden()
    await expect(person.questions.first).to_contain_text("Hello")
    await expect(person.answers.first).to_be_attached()
