"""Invites, as an admin makes them on the page and as somebody uses one."""

from playwright.async_api import Browser, expect

from tests.browser.test_account import fits_a_phone, forget_proof
from tests.browser.test_databases_for_everybody import all_faults
from tests.browser.test_users_on_page import become_admin
from tests.support.chromium import Complaints, watched_context
from tests.support.clients import PASSWORD
from tests.support.oidc import new_email
from tests.support.page import Person
from tests.support.system import System


async def test_an_admin_makes_invites_of_which_one_is_used_and_one_is_taken_back(
    person: Person, system: System, browser: Browser, complaints: Complaints
) -> None:
    page = person.page
    email = await become_admin(person, system)
    # Another API of the same system, at which nobody makes an account without an invite. The cookie is good there too.
    _, origin = await system.start_api(SIGNUP_MODE="invite")
    await complaints.move(page, origin)
    await page.goto(f"{complaints.origin}/#/users")
    await page.get_by_role("link", name="Invites").click()
    field, link = page.get_by_label("E-mail address"), page.get_by_role("group", name="Link of the invite")
    invites = page.get_by_role("main").get_by_role("listitem")
    await expect(page.get_by_text("There are no invites.")).to_be_visible()
    await field.fill("nobody")
    await person.button("Make an invite").click()
    await expect(field).to_be_focused()
    await expect(field).to_have_attribute("aria-invalid", "true")
    forget_proof(system, email)
    guest = new_email()
    await field.fill(guest)
    await person.button("Make an invite").click()
    await page.get_by_role("dialog", name="Is it you?").get_by_label("Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(invites).to_have_count(1)
    await expect(invites.filter(has_text=guest)).to_contain_text(email)
    first = await link.inner_text()
    assert first.startswith(f"{complaints.origin}/#/sign-up?invite=")
    await person.button("Copy").click()
    assert await page.evaluate("navigator.clipboard.readText()") == first
    assert await all_faults(page) == []
    assert await fits_a_phone(page)
    await person.button("I have kept it").click()
    await expect(link).to_have_count(0)

    await person.button("Make an invite").click()
    await expect(invites).to_have_count(2)
    second = await link.inner_text()
    await person.button("Take back the invite for “whoever has the link”").click()
    await person.button("Take back", within=page.get_by_role("dialog")).click()
    await expect(invites).to_have_count(1)
    await expect(link).to_have_count(0)

    await use_one(browser, complaints.origin, guest, good=first, taken_back=second)
    await page.reload()
    await expect(page.get_by_text("There are no invites.")).to_be_visible()
    await page.get_by_role("link", name="What admins did").click()
    for words in ("made", "taken back"):
        await expect(invites.filter(has_text="Invite").filter(has_text=words).first).to_be_visible()


async def use_one(browser: Browser, origin: str, guest: str, *, good: str, taken_back: str) -> None:
    """Be refused with one link, and make an account with the other."""
    async with watched_context(browser, origin) as (context, _):
        there = Person(await context.new_page(), origin)
        await there.page.goto(taken_back)
        await there.fill_in(guest, PASSWORD)
        await there.button("Make an account").click()
        await expect(there.page.get_by_role("alert").filter(has_text="This invite has ended")).to_be_visible()
        await there.page.goto(good)
        await expect(there.page.get_by_role("alert").filter(has_text="This invite has ended")).to_have_count(0)
        await there.fill_in(guest, PASSWORD)
        await there.button("Make an account").click()
        await expect(there.composer).to_be_focused()
