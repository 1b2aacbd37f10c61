"""Answering anew, editing, and going back to a version, on the page."""

import re
from uuid import uuid4

from playwright.async_api import expect

from tests.doubles import groq_control
from tests.support.page import Person, hold_requests


async def test_an_answer_is_made_anew_and_the_one_before_can_be_chosen_again(person: Person, groq_url: str) -> None:
    for number in (1, 2):
        await groq_control.script(groq_url, reply=f"Reply number {number}", marker="anew", purpose="answer")
    answer = await person.ask("anew")
    await expect(answer.locator(".markdown")).to_have_text("Reply number 1")
    await person.button("Answer again", within=answer).click()
    await expect(answer.locator(".markdown")).to_have_text("Reply number 2")
    await expect(person.answers).to_have_count(1)
    await expect(answer.get_by_label("Version 2 of 2")).to_have_text("2 / 2")
    await person.button("Version before", within=answer).click()
    await expect(answer.locator(".markdown")).to_have_text("Reply number 1")
    await expect(answer.get_by_label("Version 1 of 2")).to_be_visible()
    await expect(person.button("Version before", within=answer)).to_be_disabled()
    await person.page.reload()
    await expect(answer.locator(".markdown")).to_have_text("Reply number 1")


async def test_a_message_is_edited_and_the_chat_goes_on_from_there(person: Person) -> None:
    await person.ask("First [[tokens=3]]")
    await person.ask("Second [[tokens=4]]")
    question = person.questions.first
    await question.hover()
    await person.button("Edit message", within=question).click()
    box = question.get_by_role("textbox", name="Edit message")
    await expect(box).to_be_focused()
    await expect(box).to_have_value("First [[tokens=3]]")
    await box.fill("Other [[tokens=5]]")
    await box.press("Enter")
    await expect(person.answers.first.locator(".markdown")).to_have_text("t1 t2 t3 t4 t5")
    await expect(person.questions).to_have_count(1)
    await expect(question.get_by_label("Version 2 of 2")).to_be_visible()
    await person.button("Version before", within=question).click()
    await expect(person.questions).to_have_count(2)
    await expect(person.answers.nth(1).locator(".markdown")).to_have_text("t1 t2 t3 t4")


async def test_who_uses_a_keyboard_stays_at_the_versions_that_they_step_through(person: Person, groq_url: str) -> None:
    await groq_control.script(groq_url, reply="Reply number 1", marker="step", purpose="answer")
    answer = await person.ask("step")
    for number in (2, 3):
        gate, reply = uuid4().hex, f"Reply number {number}"
        await groq_control.script(groq_url, f"hold={gate} after=1", reply=reply, marker="step", purpose="answer")
        await person.button("Answer again", within=answer).press("Enter")
        await expect(person.composer).to_be_focused()  # its button is gone as long as an answer is written
        await groq_control.release(groq_url, gate)
        await expect(answer.get_by_label(f"Version {number} of {number}")).to_be_visible()
        await expect(person.composer).to_be_focused()
    await person.button("Version before", within=answer).press("Enter")
    await expect(answer.locator(".markdown")).to_have_text("Reply number 2")
    await expect(person.button("Version before", within=answer)).to_be_focused()
    await person.page.keyboard.press("Enter")
    await expect(answer.locator(".markdown")).to_have_text("Reply number 1")
    await expect(person.button("Next version", within=answer)).to_be_focused()


async def test_a_read_of_other_versions_does_not_take_the_chosen_one_away(person: Person, groq_url: str) -> None:
    page, gate, later = person.page, uuid4().hex, re.compile(r"/messages\?after=[1-9]")
    await groq_control.script(groq_url, reply="Reply number 1", marker="late-read", purpose="answer")
    answer = await person.ask("late-read")
    await groq_control.script(
        groq_url, f"hold={gate} after=1", reply="Reply number 2", marker="late-read", purpose="answer"
    )
    await person.button("Answer again", within=answer).click()
    await expect(answer.locator(".markdown")).to_have_text("Reply")
    go_on = await hold_requests(page, later)
    async with page.expect_request(later):  # that of the answer that has ended
        await groq_control.release(groq_url, gate)
    await expect(answer.get_by_label("Version 2 of 2")).to_be_visible()
    async with page.expect_response("**/choose"):
        await person.button("Version before", within=answer).press("Enter")
    go_on.set()
    await expect(answer.locator(".markdown")).to_have_text("Reply number 1")
    await expect(person.button("Next version", within=answer)).to_be_focused()


async def test_an_edit_that_was_not_meant_is_taken_back_with_escape(person: Person) -> None:
    await person.ask("First [[tokens=3]]")
    question = person.questions.first
    await question.hover()
    await person.button("Edit message", within=question).click()
    await question.get_by_role("textbox", name="Edit message").fill("Nothing")
    await person.page.keyboard.press("Escape")
    await expect(question).to_contain_text("First [[tokens=3]]")
    await expect(person.button("Edit message", within=question)).to_be_focused()


async def test_an_answer_that_failed_is_made_anew(person: Person, groq_url: str) -> None:
    await groq_control.script(groq_url, "fault=401", marker="mend", purpose="answer")
    answer = await person.ask("mend [[tokens=4]]")
    await expect(answer.get_by_role("alert")).to_contain_text("model_auth_failed")
    await person.button("Answer again", within=answer).click()
    await expect(person.answers.first.locator(".markdown")).to_have_text("t1 t2 t3 t4")
    await expect(person.answers.first.get_by_role("alert")).to_have_count(0)
